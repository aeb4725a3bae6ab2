/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last ways to reset the machine, for when mgmt could not do it by what ACPI says. PIIX4 4.1.2.3 (port CF9h); 8042 pulse of line 0; triple
 * fault.
 */
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"

#define RESET_CONTROL        0xcf9u
#define RESET_CONTROL_SYSTEM 0x02u
#define RESET_CONTROL_CPU    0x06u
#define KEYBOARD_CONTROL     0x64u
#define KEYBOARD_PULSE_RESET 0xfeu
#define WAIT_LOOPS           2000000u

static void write_and_wait(uint16_t port, uint8_t value)
{
	port_write8(port, value);
	for (uint32_t i = 0; i < WAIT_LOOPS; i++) {
		cpu_pause();
	}
}

void arch_reset(void)
{
	struct table_pointer none = { 0, 0 };

	port_write8(RESET_CONTROL, RESET_CONTROL_SYSTEM);
	write_and_wait(RESET_CONTROL, RESET_CONTROL_CPU);
	write_and_wait(KEYBOARD_CONTROL, KEYBOARD_PULSE_RESET);
	__asm__ volatile("lidt %0\n\tint3" : : "m"(none));
	arch_cpu_stop();
}
