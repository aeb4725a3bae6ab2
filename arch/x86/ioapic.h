/* SPDX-License-Identifier: Apache-2.0 */
/* I/O APICs: global system interrupts to vectors of one pCPU (arch_gsi_* in arch.h). */
#pragma once

#include "arch/x86/arch.h"

/* Mask the 8259s. Before LINT0 is masked, so that what they have raised goes away and does not stay pending in the CPU. */
void pic_mask(void);
/* Map every I/O APIC that ACPI named (or the usual one, if it answers), mask all pins. */
void ioapic_init(void);
/* A vector in the GSI range arrived: mask a level interrupt, end it, tell kernel/. */
void ioapic_interrupt(uint32_t vector);
/* Send an edge GSI as `vector` to every pCPU. For the net tick only. */
void ioapic_broadcast(uint32_t gsi, uint32_t vector);
