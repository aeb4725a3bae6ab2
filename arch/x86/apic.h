/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC of each pCPU (xAPIC or x2APIC): interrupts in, IPIs out, the one-shot timer. SDM 3A 11. */
#pragma once

#include "arch/x86/arch.h"

/* Boot pCPU: choose the mode, map the registers. `base`: physical address from the MADT (0: from the MSR). */
void apic_init(uint64_t base);
/* Every pCPU: enable, LVT, timer mode. */
void apic_cpu_init(void);
uint32_t apic_id_read(void);
void apic_eoi(void);
/* Send ICR bits 19:0 to one local APIC (ignored with a shorthand). */
void apic_ipi_send(uint32_t apic_id, uint32_t icr_low);
/* An interrupt (vector 20h and up) arrived: handle it and end it. */
void apic_interrupt(uint32_t vector);
/* Timer: raw countdown for calibration. Ticks per second go to apic_timer_set_rate; 0 ticks: the TSC deadline is used. */
void apic_timer_count_start(void);
uint32_t apic_timer_count_elapsed(void);
void apic_timer_set_rate(uint64_t timer_hz);
bool apic_timer_has_deadline(void);
extern bool apic_is_x2apic;
