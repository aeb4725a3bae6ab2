/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is below a guest's disk: a boot file or a fetched one, memory that root keeps, a machine's device, an
 * overlay on any of them. Of guest_devices.c alone.
 */
#pragma once

#include "mgmt/guest_devices.h"

/* Our start, from which on a source that is not there is waited for. May be called again. */
void guest_disks_begin(void);

/* Makes the block device of disk `disk_idx`, step by step. READY: guest_disk_device() is there. */
enum guest_devices_step guest_disk_prepare(const struct guest *guest, uint32_t disk_idx, char *why,
                                           size_t size);
struct block_device *guest_disk_device(uint32_t slot, uint32_t disk_idx);

/* The disk is not used any more; its kept memory stays. */
void guest_disk_close(uint32_t slot, uint32_t disk_idx);

/* Its kept memory goes too. The disk is closed. */
void guest_disk_forget(const struct guest *guest, uint32_t disk_idx);

/* The same once it is closed: the guest's driver may still have it. */
void guest_disk_drop(const struct guest *guest, uint32_t disk_idx);

/* True while a disk is being filled: there is more to do at once. */
bool guest_disks_are_busy(void);
