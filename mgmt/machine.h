/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies below the management logic: time, the records shared with root and the VMMs, and their
 * events.
 *
 * The partition manager, console and verbs reach the world through these functions alone, so that
 * their tests can put a machine of their own below them. machine.c is the real one. Shared records
 * are read once, with machine_load*(), and the copy is checked: a VMM may write anything at any
 * time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"
#include "bulkhead/protocol.h"
#include "bulkhead/virtio_channel.h"
#include "lib/cpu_name.h"
#include "mgmt/acpi.h"
#include "mgmt/ledger.h"

uint64_t machine_now_tsc(void);
uint64_t machine_tsc_hz(void);
const struct bh_info *machine_kernel_info(void);
const struct mgmt_info *machine_info(void);
const struct bh_log *machine_log(void);
const struct root_status *machine_status(void);
struct root_channel *machine_root_channel(void);
struct ledger *machine_ledger(void);

/* Where the run of this index is mapped; valid while root_status says that it has bytes. */
void *machine_kept(uint32_t idx);

/* Valid only while root says that the slot is not free, and until a destroy request is sent. */
struct vmm_channel *machine_vmm_channel(uint32_t slot);
struct bh_console *machine_vmm_console(uint32_t slot);

/* The device pages and the memory of a partition with VMM_CONFIG_DEVICES; valid as long as its channel. */
struct vio_device *machine_device_page(uint32_t slot, uint32_t device_idx);
uint8_t *machine_guest_memory(uint32_t slot);

/* The chunks of a guest with a balloon, and the record behind them (bulkhead/protocol.h). */
const struct bh_chunks *machine_guest_chunks(uint32_t slot);
uint8_t *machine_guest_record(uint32_t slot);

/* The ring of a port of virtio-console; valid as long as the device pages, for ports_count ports. */
struct bh_console *machine_port_console(uint32_t slot, uint32_t port);

void machine_signal_vmm_device(uint32_t slot);
/* Sent at the latest by machine_wait(), which needs no call of its own for it; one more, or machine_vm_msi_now(), sends it before. */
void machine_vm_msi(uint32_t slot, uint64_t address, uint32_t data);
void machine_vm_msi_now(void);
/* bh_event_wait() for mgmt's events. */
int64_t machine_wait(uint64_t deadline_tsc, uint64_t bits[BH_EVENT_WORDS]);
void machine_signal_root(void);
/* For tests of the restart: the first beat at `tsc` or later faults, or never comes back. */
enum machine_end {
	MACHINE_END_CRASH,
	MACHINE_END_HANG
};
void machine_end_at(enum machine_end how, uint64_t tsc);
/* When that is; BH_FOREVER if nobody asked for it. */
uint64_t machine_end_tsc(void);
/* Tells root's watchdog that we live. */
void machine_beat(void);
void machine_signal_vmm_command(uint32_t slot);
void machine_signal_vmm_console(uint32_t slot);

/* Zero or a negative enum bh_error. guest_tsc is up to date, also while the vCPU runs. */
int machine_vcpu_stats(uint32_t slot, uint32_t vcpu_idx, struct bh_vcpu_stats *stats);
int machine_host_info(struct bh_host_info *info);
/* What log and trace call mgmt's own domain. */
uint32_t machine_domain_id(void);
/* The processor's name, and what ACPI says of the machine. */
void machine_cpu_name(char name[CPU_NAME_BYTES]);
/* QEMU without hardware virtualisation. */
bool machine_is_tcg(void);
void machine_acpi(struct acpi_machine *machine);

static inline uint32_t machine_load32(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static inline uint64_t machine_load64(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static inline void machine_store32(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
}

static inline void machine_store64(uint64_t *field, uint64_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
}
