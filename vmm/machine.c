// SPDX-License-Identifier: Apache-2.0
/*
 * The small PC put together: interrupt wiring, clock, console, reset and power-off requests.
 *
 * Wiring as on a PC: ISA interrupts go to the 8259 pair and to the I/O APIC, IRQ 0 to pin 2 there;
 * the 8259's INT goes to LINT0 of vCPU 0.
 */
#include "vmm/machine.h"

#include <stdio.h>
#include <string.h>

#include "lib/call.h"
#include "lib/time.h"
#include "vmm/machine_virtio.h"
#include "vmm/memory_map.h"

#define ISA_IRQ_TIMER    0u
#define ISA_IRQ_RTC      8u
#define IOAPIC_PIN_TIMER 2u
#define ISA_IRQS         16u

/*
 * Output is told to mgmt this much after its first byte, so that a line costs one wake-up and not
 * eighty.
 */
#define CONSOLE_DELAY_NS 2000000ull

struct machine machine;

/* ---- clock ---- */

static uint64_t clock_now(void *context)
{
	(void)context;
	return bh_now_ns();
}

static void clock_deadline_moved(void *context)
{
	(void)context;
	machine.is_deadline_moved = true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(void)
{
	uint64_t next = least(pit_deadline(&machine.pit), rtc_deadline(&machine.rtc));

	next = least(next, acpi_pm_deadline(&machine.acpi_pm));
	return least(next, machine.console_ns);
}

void machine_unlock_moved(void)
{
	uint64_t next = next_deadline();
	bool is_nearer = next < machine.armed_ns;

	machine.is_deadline_moved = false;
	if (is_nearer) {
		machine.armed_ns = next;
	}
	bh_mutex_unlock(&machine.lock);
	if (is_nearer) {
		(void)bh_event_signal(machine.timer_event);
	}
}

uint64_t machine_timers_run(void)
{
	uint64_t now_ns = bh_now_ns();

	/* a parked guest gets no ticks; they are dropped, not made up */
	if (!machine.should_park) {
		if (now_ns >= pit_deadline(&machine.pit)) {
			pit_run(&machine.pit);
		}
		if (now_ns >= rtc_deadline(&machine.rtc)) {
			rtc_run(&machine.rtc);
		}
		if (now_ns >= acpi_pm_deadline(&machine.acpi_pm)) {
			acpi_pm_run(&machine.acpi_pm);
		}
	}
	if (now_ns >= machine.console_ns) {
		machine.console_ns = DEVICE_NEVER;
		(void)bh_event_signal(VMM_HANDLE_NOTIFY);
	}
	machine.is_deadline_moved = false;
	machine.armed_ns = machine.should_park ? machine.console_ns : next_deadline();
	return machine.armed_ns;
}

/* ---- interrupts ---- */

static void isa_irq_set(void *context, uint32_t number, bool level)
{
	(void)context;
	pic_line_set(&machine.pic, number, level);
	ioapic_line_set(&machine.ioapic, number == ISA_IRQ_TIMER ? IOAPIC_PIN_TIMER : number,
	                level);
}

static void pic_output_set(void *context, uint32_t number, bool level)
{
	(void)context;
	(void)number;
	(void)bh_vcpu_extint(VMM_HANDLE_VCPU, level);
}

static void message_send(void *context, uint64_t address, uint32_t data)
{
	(void)context;
	(void)bh_vm_msi(VMM_HANDLE_VM, address, data);
}

/* ---- console ---- */

static void console_touched(void)
{
	if (machine.console_ns == DEVICE_NEVER) {
		machine.console_ns = bh_now_ns() + CONSOLE_DELAY_NS;
		machine.is_deadline_moved = true;
	}
}

static void console_send(void *context, uint8_t byte)
{
	struct bh_console *console = machine.console;
	uint64_t head = console->out_head;

	(void)context;
	console->out[head % BH_CONSOLE_OUT_BYTES] = byte;
	__atomic_store_n(&console->out_head, head + 1, __ATOMIC_RELEASE);
	console_touched();
}

/* mgmt's counter is believed only as far as the ring goes. */
void machine_console_pump(void)
{
	struct bh_console *console = machine.console;
	uint64_t head = __atomic_load_n(&console->in_head, __ATOMIC_ACQUIRE);
	uint64_t tail = console->in_tail;
	uint64_t start = tail;

	if (head - tail > BH_CONSOLE_IN_BYTES) {
		tail = head - BH_CONSOLE_IN_BYTES;
	}
	while (tail != head &&
	       uart_receive(&machine.uart, console->in[tail % BH_CONSOLE_IN_BYTES])) {
		tail++;
	}
	if (tail != start) {
		__atomic_store_n(&console->in_tail, tail, __ATOMIC_RELEASE);
		console_touched();
	}
}

static void console_room(void *context)
{
	(void)context;
	machine_console_pump();
}

/* ---- stop requests ---- */

void machine_stop(enum vmm_state state, int32_t vcpu_idx, const char *reason)
{
	if (machine.stop_state != VMM_RUNNING) {
		return;
	}
	machine.stop_state = state;
	machine.stop_vcpu = vcpu_idx;
	snprintf(machine.stop_reason, sizeof(machine.stop_reason), "%s", reason);
	__atomic_store_n(&machine.should_park, 1, __ATOMIC_SEQ_CST);
	(void)bh_event_signal(machine.parked_event);
}

static void power_off(void *context)
{
	(void)context;
	machine_stop(VMM_OFF, -1, "the guest powered itself off");
}

static void reset_requested(void *context, enum reset_cause cause)
{
	char reason[64];

	(void)context;
	snprintf(reason, sizeof(reason), "the guest asked for a reset by %s",
	         reset_cause_name(cause));
	machine_stop(VMM_REBOOT, -1, reason);
}

static void debug_exit(void *context, uint8_t code)
{
	char reason[64];

	(void)context;
	if (machine.stop_state == VMM_RUNNING) {
		machine.stop_exit_code = code;
	}
	snprintf(reason, sizeof(reason), "the guest wrote 0x%02x to the debug-exit port", code);
	machine_stop(VMM_DEBUG_EXIT, -1, reason);
}

static uint8_t cf9_read(void *context)
{
	(void)context;
	return reset_control_read(&machine.reset);
}

static void cf9_write(void *context, uint8_t value)
{
	(void)context;
	reset_control_write(&machine.reset, value);
}

/* ---- building ---- */

static void wire_devices(const struct vmm_config *config)
{
	const struct device_clock *clock = &machine.clock;

	machine.clock = (struct device_clock){ clock_now, clock_deadline_moved, NULL };
	machine.pic.intr = (struct irq_line){ pic_output_set, NULL, 0, false };
	machine.ioapic.send = message_send;
	machine.pit.irq = (struct irq_line){ isa_irq_set, NULL, ISA_IRQ_TIMER, false };
	machine.pit.clock = clock;
	machine.rtc.irq = (struct irq_line){ isa_irq_set, NULL, ISA_IRQ_RTC, false };
	machine.rtc.clock = clock;
	machine.rtc.wall_seconds = config->wall_seconds;
	rtc_set_memory(&machine.rtc, config->low_bytes, config->high_bytes);
	machine.uart.irq = (struct irq_line){ isa_irq_set, NULL, UART_COM1_IRQ, false };
	machine.uart.send = console_send;
	machine.uart.room = console_room;
	machine.acpi_pm.sci = (struct irq_line){ isa_irq_set, NULL, ACPI_PM_SCI_IRQ, false };
	machine.acpi_pm.clock = clock;
	machine.acpi_pm.power_off = power_off;
	machine.reset.request = reset_requested;
	machine.reset.debug_exit = config->flags & VMM_CONFIG_DEBUG_EXIT ? debug_exit : NULL;
	machine.pci.cf9_read = cf9_read;
	machine.pci.cf9_write = cf9_write;
	machine.fw_cfg.memory_bytes = config->memory_bytes;
	machine.fw_cfg.cpus_count = (uint16_t)config->vcpus_count;
}

static int attach_devices(const struct vmm_config *config)
{
	struct bus *bus = &machine.bus;
	int error;

	bus_init(bus);
	error = pic_attach(&machine.pic, bus);
	error = error ? error : ioapic_attach(&machine.ioapic, bus);
	error = error ? error : pit_attach(&machine.pit, bus);
	error = error ? error : rtc_attach(&machine.rtc, bus);
	error = error ? error : acpi_pm_attach(&machine.acpi_pm, bus);
	error = error ? error : reset_attach(&machine.reset, bus);
	error = error ? error : pci_attach(&machine.pci, bus, GUEST_ECAM_BASE);
	error = error ? error : fw_cfg_attach(&machine.fw_cfg, bus);
	if (error == BH_OK && (config->flags & VMM_CONFIG_CONSOLE)) {
		error = uart_attach(&machine.uart, bus, UART_COM1_PORT);
	}
	return error;
}

/*
 * Ports that firmware and kernels write for people with a POST card: the kernel drops such writes
 * by itself.
 */
static int bind_swallowed(void)
{
	static const uint16_t ports[] = { 0x80, 0x402 };
	int error = BH_OK;

	for (uint32_t i = 0; i < sizeof(ports) / sizeof(ports[0]) && error == BH_OK; i++) {
		error = bh_doorbell_bind(VMM_HANDLE_VM, ports[i], 0);
	}
	return error;
}

int machine_records_make(uint64_t va, uint64_t bytes)
{
	const uint64_t size = (bytes + BH_PAGE_SIZE - 1) & ~(uint64_t)(BH_PAGE_SIZE - 1);
	const struct bh_map map = { .size = size, .flags = BH_MAP_READ | BH_MAP_WRITE };
	int64_t region = bh_region_allocate(size, BH_PAGE_SIZE, 0);
	int error;

	if (region < 0) {
		return (int)region;
	}
	do {
		error = bh_region_zero((bh_handle_t)region);
	} while (error == BH_ERR_AGAIN);
	return error ? error : bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, va, &map);
}

int machine_init(void)
{
	const struct vmm_config *config = (const struct vmm_config *)VMM_VA_CONFIG;
	int64_t event;
	int error;

	machine.config = config;
	machine.channel = (struct vmm_channel *)VMM_VA_CHANNEL;
	machine.console = (struct bh_console *)VMM_VA_CONSOLE;
	machine.should_park = 1;
	machine.armed_ns = DEVICE_NEVER;
	machine.console_ns = DEVICE_NEVER;
	event = bh_event_create(VMM_HANDLE_EVENTS, MACHINE_EVENT_TIMER);
	if (event < 0) {
		return (int)event;
	}
	machine.timer_event = (bh_handle_t)event;
	event = bh_event_create(VMM_HANDLE_EVENTS, MACHINE_EVENT_PARKED);
	if (event < 0) {
		return (int)event;
	}
	machine.parked_event = (bh_handle_t)event;
	memory_map_slots(config, (uint8_t *)VMM_VA_GUEST, &machine.memory);
	if ((config->flags & VMM_CONFIG_BALLOON) != 0) {
		machine.memory.chunks = (const struct bh_chunks *)VMM_VA_CHUNKS;
		machine.memory.lent = machine.channel->lent_chunks;
	}
	wire_devices(config);
	error = attach_devices(config);
	error = error ? error : machine_virtio_init();
	return error ? error : bind_swallowed();
}

void machine_reset(void)
{
	pic_reset(&machine.pic);
	ioapic_reset(&machine.ioapic);
	pit_reset(&machine.pit);
	rtc_reset(&machine.rtc);
	uart_reset(&machine.uart);
	acpi_pm_reset(&machine.acpi_pm);
	reset_reset(&machine.reset);
	pci_reset(&machine.pci);
	pci_hotplug_reset(&machine.pci_hotplug);
	virtio_devices_reset(&machine.virtio);
	fw_cfg_reset(&machine.fw_cfg);
	machine.stop_state = VMM_RUNNING;
	machine.stop_exit_code = 0;
	machine.stop_vcpu = -1;
	machine.stop_reason[0] = '\0';
}
