// SPDX-License-Identifier: Apache-2.0
/*
 * The machine that the guest sees: one record with all its devices, their wires, their clock and
 * their lock.
 *
 * Owns: which device hangs on which bus and interrupt; the console ring's VMM side; the request to
 * stop. Must never: wait while the lock is held; the calls made under it (signal, MSI, EXTINT) do
 * not wait.
 *
 * Threads: vCPU threads call devices between machine_lock() and machine_unlock(); the control
 * thread runs timers and commands. `should_park` is the one word that both sides read without the
 * lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/protocol.h"
#include "lib/mutex.h"
#include "vmm/bus.h"
#include "vmm/devices/acpi_pm.h"
#include "vmm/devices/fw_cfg.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/pci_hotplug.h"
#include "vmm/devices/pic.h"
#include "vmm/devices/pit.h"
#include "vmm/devices/reset.h"
#include "vmm/devices/rtc.h"
#include "vmm/devices/uart.h"
#include "vmm/guest_memory.h"
#include "vmm/virtio/devices.h"

/* Bits of the VMM's event set that it uses itself. */
#define MACHINE_EVENT_TIMER  VMM_EVENT_OWN       /* a deadline came nearer */
#define MACHINE_EVENT_PARKED (VMM_EVENT_OWN + 1) /* a vCPU thread parked, or asks for a stop */

struct machine {
	struct bh_mutex lock;
	uint32_t should_park;   /* atomic: vCPU threads leave the guest and wait */
	bool is_deadline_moved; /* under the lock */
	uint64_t armed_ns;      /* the control thread wakes then at the latest */
	uint64_t console_ns;    /* when mgmt is to hear of console output */
	struct vmm_channel *channel;

	struct bus bus;
	struct pic pic;
	struct ioapic ioapic;
	struct pit pit;
	struct rtc rtc;
	struct uart uart;
	struct acpi_pm acpi_pm;
	struct reset reset;
	struct pci pci;
	struct fw_cfg fw_cfg;
	struct pci_hotplug pci_hotplug;
	struct virtio_devices virtio;

	struct device_clock clock;
	struct guest_memory memory;
	const struct vmm_config *config;
	struct bh_console *console;
	bh_handle_t timer_event;
	bh_handle_t parked_event;

	/* Why the machine is to stop: the first cause counts. VMM_RUNNING = it is not. */
	enum vmm_state stop_state;
	uint32_t stop_exit_code;
	int32_t stop_vcpu; /* whose registers tell the story; -1: nobody's */
	char stop_reason[sizeof(((struct vmm_channel *)0)->reason)];
};

/* The one machine of this VMM. */
extern struct machine machine;

/* Builds devices and wires from the configuration. An error code of the call that failed. */
int machine_init(void);

/* All devices as after power-on (the RTC keeps its time). No vCPU may run. */
void machine_reset(void);

/* Cleared memory of the VMM's own at `va`, for records that not every guest needs. Errors of the kernel's calls. */
int machine_records_make(uint64_t va, uint64_t bytes);

static inline void machine_lock(void)
{
	bh_mutex_lock(&machine.lock);
}

/* Tells the control thread if a deadline came nearer, then lets go. */
void machine_unlock_moved(void);

static inline void machine_unlock(void)
{
	if (machine.is_deadline_moved) {
		machine_unlock_moved();
	} else {
		bh_mutex_unlock(&machine.lock);
	}
}

/* Under the lock: runs what is due; returns the next deadline in ns and notes it as armed. */
uint64_t machine_timers_run(void);

/* Under the lock: moves console input into the UART as far as there is room. */
void machine_console_pump(void);

/*
 * Asks for a stop (under the lock). vCPU threads park as soon as they see it; the control thread
 * does the rest.
 */
void machine_stop(enum vmm_state state, int32_t vcpu_idx, const char *reason);
