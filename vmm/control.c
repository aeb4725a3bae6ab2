// SPDX-License-Identifier: Apache-2.0
/*
 * Control thread: one loop of wait, commands, stop requests, timers.
 *
 * Must never: believe the channel's command part twice; it is copied once for each command.
 */
#include "vmm/control.h"

#include <stdio.h>
#include <string.h>

#include "lib/call.h"
#include "lib/time.h"
#include "vmm/boot.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

#define MSI_ADDRESS 0xfee00000ull
#define MSI_NMI     0x0400u

static void notify(void)
{
	(void)bh_event_signal(VMM_HANDLE_NOTIFY);
}

static enum vmm_state state_now(void)
{
	return (enum vmm_state)machine.channel->state;
}

static void state_set(enum vmm_state state)
{
	__atomic_store_n(&machine.channel->state, (uint32_t)state, __ATOMIC_RELEASE);
}

static void reason_set(const char *reason)
{
	snprintf(machine.channel->reason, sizeof(machine.channel->reason), "%s", reason);
}

/*
 * Events that were taken while something else was waited for: the loop looks at everything again
 * before it sleeps.
 */
static bool must_look_again;

static void wait_for_event(void)
{
	uint64_t bits[BH_EVENT_WORDS];

	must_look_again = true;

	(void)bh_event_wait(VMM_HANDLE_EVENTS, BH_FOREVER, bits);
}

/* The guest starts for the first time once mgmt has offered all its devices. */
static bool is_start_pending = true;

static int registers_publish(uint32_t vcpu_idx)
{
	return vcpu_job_do(vcpu_idx, VCPU_JOB_REGISTERS, wait_for_event);
}

/* ---- starting and stopping ---- */

static void start(void)
{
	char reason[sizeof(machine.channel->reason)] = "";

	state_set(VMM_STARTING);
	vcpu_park_all(wait_for_event);
	if (boot_start(reason, sizeof(reason), wait_for_event) < 0) {
		reason_set(reason);
		state_set(VMM_FAILED);
		return;
	}
	machine.channel->boots_count++;
	machine.channel->running_since_tsc = bh_tsc();
	machine.channel->exit_code = 0;
	reason_set("");
	state_set(VMM_RUNNING);
	machine_lock();
	machine.virtio.is_live = true;
	machine_unlock();
	vcpu_release_all();
}

static void start_if_ready(void)
{
	if (is_start_pending &&
	    virtio_devices_have_offers(&machine.virtio, machine.config->devices)) {
		is_start_pending = false;
		start();
		notify();
	}
}

static void log_stop(void)
{
	char line[240];
	int length = snprintf(line, sizeof(line), "guest %s: %s\n", machine.config->name,
	                      machine.stop_reason);

	if (length > 0) {
		(void)bh_log_write(line, length < (int)sizeof(line) ? (uint64_t)length
		                                                    : sizeof(line) - 1);
	}
}

/*
 * A vCPU thread asked for a stop: gather all, then tell mgmt, which decides what becomes of the
 * guest.
 */
static void stop_requested(void)
{
	vcpu_park_all(wait_for_event);
	if (machine.stop_vcpu >= 0) {
		(void)registers_publish((uint32_t)machine.stop_vcpu);
	}
	machine.channel->exit_code = machine.stop_exit_code;
	reason_set(machine.stop_reason);
	if (machine.stop_state == VMM_CRASHED) {
		log_stop();
	}
	state_set(machine.stop_state);
	notify();
}

static bool is_stop_wanted(void)
{
	return state_now() == VMM_RUNNING && machine.stop_state != VMM_RUNNING;
}

/* ---- commands ---- */

static int command_pause(void)
{
	if (state_now() != VMM_RUNNING) {
		return BH_ERR_STATE;
	}
	vcpu_park_all(wait_for_event);
	if (machine.stop_state != VMM_RUNNING) { /* it stopped by itself meanwhile */
		stop_requested();
		return BH_ERR_STATE;
	}
	state_set(VMM_PAUSED);
	return BH_OK;
}

static int command_resume(void)
{
	if (state_now() != VMM_PAUSED) {
		return BH_ERR_STATE;
	}
	vcpu_tell_pause();
	state_set(VMM_RUNNING);
	vcpu_release_all();
	return BH_OK;
}

static int command_power_button(void)
{
	if (state_now() != VMM_RUNNING) {
		return BH_ERR_STATE;
	}
	machine_lock();
	acpi_pm_press_power_button(&machine.acpi_pm);
	machine_unlock();
	return BH_OK;
}

static int command_reset(void)
{
	if (is_start_pending) {
		return BH_ERR_STATE;
	}
	start();
	return state_now() == VMM_RUNNING ? BH_OK : BH_ERR_STATE;
}

static int command_registers(uint64_t vcpu_idx)
{
	bool was_running = state_now() == VMM_RUNNING;
	int error;

	if (vcpu_idx >= machine.config->vcpus_count) {
		return BH_ERR_INVALID;
	}
	vcpu_park_all(wait_for_event);
	error = registers_publish((uint32_t)vcpu_idx);
	if (was_running && machine.stop_state == VMM_RUNNING) {
		vcpu_release_all();
	}
	return error;
}

static int command_nmi(uint64_t vcpu_idx)
{
	if (vcpu_idx >= machine.config->vcpus_count) {
		return BH_ERR_INVALID;
	}
	if (state_now() != VMM_RUNNING) {
		return BH_ERR_STATE;
	}
	return bh_vm_msi(VMM_HANDLE_VM, MSI_ADDRESS | vcpu_idx << 12, MSI_NMI);
}

static int command_do(uint32_t command, uint64_t argument)
{
	switch (command) {
	case VMM_COMMAND_NONE:
		return BH_OK;
	case VMM_COMMAND_PAUSE:
		return command_pause();
	case VMM_COMMAND_RESUME:
		return command_resume();
	case VMM_COMMAND_POWER_BUTTON:
		return command_power_button();
	case VMM_COMMAND_RESET:
		return command_reset();
	case VMM_COMMAND_REGISTERS:
		return command_registers(argument);
	case VMM_COMMAND_NMI:
		return command_nmi(argument);
	default:
		return BH_ERR_UNSUPPORTED;
	}
}

static void commands_take(void)
{
	struct vmm_channel *channel = machine.channel;
	uint32_t sequence = __atomic_load_n(&channel->command_sequence, __ATOMIC_ACQUIRE);
	uint32_t command = channel->command;
	uint64_t argument = channel->argument;

	if (sequence == channel->done_sequence) {
		return;
	}
	channel->result = command_do(command, argument);
	__atomic_store_n(&channel->done_sequence, sequence, __ATOMIC_RELEASE);
	notify();
}

/* ---- the loop ---- */

static uint64_t deadline_tsc(uint64_t ns)
{
	return ns == DEVICE_NEVER ? BH_FOREVER : bh_deadline_tsc(ns);
}

_Noreturn void control_run(void)
{
	uint64_t bits[BH_EVENT_WORDS];

	for (;;) {
		uint64_t next_ns;

		start_if_ready();
		commands_take();
		if (is_stop_wanted()) {
			stop_requested();
		}
		machine_lock();
		machine_console_pump();
		virtio_devices_poll(&machine.virtio);
		next_ns = machine_timers_run();
		machine_unlock();
		(void)bh_event_wait(VMM_HANDLE_EVENTS, must_look_again ? 0 : deadline_tsc(next_ns),
		                    bits);
		must_look_again = false;
		vcpu_look_for_memory();
	}
}
