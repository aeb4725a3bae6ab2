/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio devices of guests: from the keys of the configuration to devices, and back when the guest ends.
 * Disk i of the configuration is device i, network j is device GUEST_DEVICE_NET + j, and so on, so a new
 * mgmt finds each at its place without a record of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/block/block.h"
#include "mgmt/ledger.h"
#include "mgmt/virtio/backend.h"

#define GUEST_DEVICE_NET     8u /* first network; disks are before */
#define GUEST_DEVICE_RNG     12u
#define GUEST_DEVICE_CONSOLE 13u
#define GUEST_DEVICE_BALLOON 14u
#define GUEST_DEVICE_VSOCK   15u

enum guest_devices_step {
	GUEST_DEVICES_READY,
	GUEST_DEVICES_WAIT, /* ask again after the next event, or at guest_devices_deadline_tsc() */
	GUEST_DEVICES_FAILED,
};

/* Takes the memory and finds the devices that the guest's disks need, before it is created. On FAILED the
 * reason is in why[size]. */
enum guest_devices_step guest_devices_prepare(struct guest *guest, char *why, size_t size);

/* Bit a device page that the guest is to start with; 0: it gets no device pages at all. */
uint32_t guest_devices_mask(const struct config_guest *config);

/* How many ports of virtio-console it is to start with, that of hvc0 always counted; 0: there is no such device. */
uint32_t guest_devices_ports(const struct config_guest *config);

/* GUEST_BALLOON* (mgmt/ledger.h). */
uint32_t guest_devices_balloon(const struct config_guest *config);

/* The partition is there: new, or found by a new mgmt. */
void guest_devices_attach(struct guest *guest);

/* The partition is to go. False: call again, a disk still works on its memory. */
bool guest_devices_detach(const struct guest *guest);

/* The definition goes: what its disks kept goes too. */
void guest_devices_forget(const struct guest *guest);

/* Another configuration is to be the guest's: what disks kept that are others then goes. */
void guest_devices_reconfigure(const struct guest *guest, const struct config_guest *config);

/* Hot-plug: the entry is in the guest's configuration (or is about to leave it). */
bool guest_devices_can_plug(const struct guest *guest);
/* Plugs a disk in that was added to the configuration. FAILED: it cannot be had, and is not in the configuration any more. */
enum guest_devices_step guest_devices_plug_disk(struct guest *guest, uint32_t disk_idx, char *why,
                                                size_t size);
void guest_devices_remove_disk(struct guest *guest, uint32_t disk_idx);
void guest_devices_remove_net(struct guest *guest, uint32_t net_idx);

/* Goes on with what waits. Call after every event. */
void guest_devices_poll(void);
uint64_t guest_devices_deadline_tsc(void);

/* The block device below a guest's disk, and the virtio device above it; NULL while there is none. */
struct block_device *guest_devices_disk(uint32_t slot, uint32_t disk_idx);

/* The MAC address of a network interface: as configured, or derived from the guest's name. */
void guest_devices_mac(const struct config_guest *config, uint32_t net_idx, uint8_t mac[6]);
