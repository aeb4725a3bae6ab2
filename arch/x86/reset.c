/* SPDX-License-Identifier: Apache-2.0 */
/* Resetting the machine by every known way, one after the other. ACPI 6.4 4.8.3.6; PIIX4 4.1.2.3 (port CF9h); 8042 pulse of line 0. */
#include "arch/x86/acpi.h"
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/start.h"

#define RESET_CONTROL        0xcf9u
#define RESET_CONTROL_SYSTEM 0x02u
#define RESET_CONTROL_CPU    0x04u
#define KEYBOARD_CONTROL     0x64u
#define KEYBOARD_BUSY        0x02u
#define KEYBOARD_PULSE_RESET 0xfeu
#define WAIT_LOOPS           2000000u

static void wait(void)
{
	for (uint32_t i = 0; i < WAIT_LOOPS; i++) {
		cpu_pause();
	}
}

static void reset_by_acpi(void)
{
	/* Memory registers would need a mapping that the dying kernel may not get any more; ports are what firmware uses. */
	if (acpi.reset.address != 0 && acpi.reset.is_port) {
		port_write8((uint16_t)acpi.reset.address, acpi.reset_value);
		wait();
	}
}

void arch_reset(void)
{
	struct table_pointer none = { 0, 0 };

	reset_by_acpi();
	port_write8(RESET_CONTROL, RESET_CONTROL_SYSTEM);
	port_write8(RESET_CONTROL, RESET_CONTROL_SYSTEM | RESET_CONTROL_CPU);
	wait();
	for (uint32_t i = 0; i < WAIT_LOOPS && (port_read8(KEYBOARD_CONTROL) & KEYBOARD_BUSY);
	     i++) {
		cpu_pause();
	}
	port_write8(KEYBOARD_CONTROL, KEYBOARD_PULSE_RESET);
	wait();
	__asm__ volatile("lidt %0\n\tint3" : : "m"(none));
	arch_cpu_stop();
}
