/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC routing (82093AA data sheet 3.2). A pin gets a vector when it is first routed, and keeps it. Level interrupts are masked by the
 * handler until the domain acknowledges; edges are never masked, as an edge on a masked pin is lost.
 */
#include "arch/x86/ioapic.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/reg/apic.h"
#include "arch/x86/start.h"
#include "arch/x86/vector.h"
#include "kernel/lock.h"
#include "kernel/object.h"

#define IOAPIC_DEFAULT_BASE 0xfec00000ull
#define PINS_MAX            240u
#define PIC1_COMMAND        0x20u
#define PIC1_DATA           0x21u
#define PIC2_COMMAND        0xa0u
#define PIC2_DATA           0xa1u
#define PIC_INIT            0x11u /* ICW1: edge, cascade, ICW4 follows */
#define GSI_NONE            0xffffffffu

struct ioapic {
	volatile uint32_t *regs;
	uint32_t gsi_base;
	uint32_t pins_count;
};

static struct ioapic ioapics[ACPI_IOAPICS_MAX];
static uint32_t ioapics_count;
static uint32_t vector_gsi[VECTOR_GSI_LAST - VECTOR_GSI_FIRST + 1];
static uint32_t vectors_count;
static struct spinlock lock; /* select and data registers, vector_gsi */

static uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t reg)
{
	ioapic->regs[IOAPIC_SELECT / 4] = reg;
	return ioapic->regs[IOAPIC_DATA / 4];
}

static void ioapic_write(const struct ioapic *ioapic, uint32_t reg, uint32_t value)
{
	ioapic->regs[IOAPIC_SELECT / 4] = reg;
	ioapic->regs[IOAPIC_DATA / 4] = value;
}

static const struct ioapic *ioapic_find(uint32_t gsi, uint32_t *reg)
{
	for (uint32_t i = 0; i < ioapics_count; i++) {
		if (gsi >= ioapics[i].gsi_base &&
		    gsi - ioapics[i].gsi_base < ioapics[i].pins_count) {
			*reg = IOAPIC_REG_ENTRY + 2 * (gsi - ioapics[i].gsi_base);
			return &ioapics[i];
		}
	}
	return NULL;
}

/* Vectors 20h-2Fh for what the masked controllers may still raise, then all lines off (8259A data sheet). */
void pic_mask(void)
{
	port_write8(PIC1_COMMAND, PIC_INIT);
	port_write8(PIC2_COMMAND, PIC_INIT);
	port_write8(PIC1_DATA, VECTOR_PIC);
	port_write8(PIC2_DATA, VECTOR_PIC + 8);
	port_write8(PIC1_DATA, 4);
	port_write8(PIC2_DATA, 2);
	port_write8(PIC1_DATA, 1);
	port_write8(PIC2_DATA, 1);
	port_write8(PIC1_DATA, 0xff);
	port_write8(PIC2_DATA, 0xff);
}

static void ioapic_add(uint64_t base, uint32_t gsi_base)
{
	struct ioapic *ioapic = &ioapics[ioapics_count];
	uint32_t version;

	ioapic->regs = device_map(HPA(base), PAGE_SIZE);
	if (ioapic->regs == NULL) {
		return;
	}
	version = ioapic_read(ioapic, IOAPIC_REG_VERSION);
	if (version == ~0u || (version & 0xff) == 0) {
		log_print("I/O APIC at %lx does not answer: its interrupts are not usable", base);
		return;
	}
	ioapic->gsi_base = gsi_base;
	ioapic->pins_count = ((version >> 16) & 0xff) + 1;
	ioapic->pins_count = ioapic->pins_count < PINS_MAX ? ioapic->pins_count : PINS_MAX;
	for (uint32_t pin = 0; pin < ioapic->pins_count; pin++) {
		ioapic_write(ioapic, IOAPIC_REG_ENTRY + 2 * pin, IOAPIC_ENTRY_MASKED);
	}
	ioapics_count++;
}

void ioapic_init(void)
{
	for (uint32_t i = 0; i < acpi.ioapics_count; i++) {
		ioapic_add(acpi.ioapics[i].base, acpi.ioapics[i].gsi_base);
	}
	if (acpi.ioapics_count == 0) {
		ioapic_add(IOAPIC_DEFAULT_BASE, 0);
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(vector_gsi); i++) {
		vector_gsi[i] = GSI_NONE;
	}
}

/* The GSI's vector, a new one if it has none; 0 when all are used. Lock held. */
static uint32_t vector_choose(uint32_t gsi)
{
	for (uint32_t i = 0; i < vectors_count; i++) {
		if (vector_gsi[i] == gsi) {
			return VECTOR_GSI_FIRST + i;
		}
	}
	if (vectors_count == ARRAY_SIZE(vector_gsi)) {
		return 0;
	}
	vector_gsi[vectors_count] = gsi;
	return VECTOR_GSI_FIRST + vectors_count++;
}

int arch_gsi_route(uint32_t gsi, bool is_level, bool is_low, struct cpu *target)
{
	uint32_t reg, vector, entry = IOAPIC_ENTRY_MASKED;
	const struct ioapic *ioapic = ioapic_find(gsi, &reg);

	if (ioapic == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	if (target->apic_id > 0xfe) {
		return BH_ERR_UNSUPPORTED; /* eight bits of destination; more needs interrupt remapping */
	}
	spinlock_take(&lock);
	vector = vector_choose(gsi);
	if (vector != 0) {
		entry |= vector | (is_level ? IOAPIC_ENTRY_LEVEL : 0) |
		         (is_low ? IOAPIC_ENTRY_LOW_ACTIVE : 0);
		ioapic_write(ioapic, reg, entry);
		ioapic_write(ioapic, reg + 1, target->apic_id << 24);
	}
	spinlock_drop(&lock);
	return vector != 0 ? BH_OK : BH_ERR_LIMIT;
}

void ioapic_broadcast(uint32_t gsi, uint32_t vector)
{
	uint32_t reg;
	const struct ioapic *ioapic = ioapic_find(gsi, &reg);

	if (ioapic != NULL) {
		ioapic_write(ioapic, reg + 1, 0xffu << 24);
		ioapic_write(ioapic, reg, vector);
	}
}

static void gsi_set_mask(uint32_t gsi, bool is_masked)
{
	uint32_t reg, entry;
	const struct ioapic *ioapic = ioapic_find(gsi, &reg);

	if (ioapic == NULL) {
		return;
	}
	spinlock_take(&lock);
	entry = ioapic_read(ioapic, reg) & ~IOAPIC_ENTRY_MASKED;
	ioapic_write(ioapic, reg, entry | (is_masked ? IOAPIC_ENTRY_MASKED : 0));
	spinlock_drop(&lock);
}

void arch_gsi_mask(uint32_t gsi)
{
	gsi_set_mask(gsi, true);
}

void arch_gsi_unmask(uint32_t gsi)
{
	gsi_set_mask(gsi, false);
}

void ioapic_interrupt(uint32_t vector)
{
	uint32_t gsi = vector_gsi[vector - VECTOR_GSI_FIRST], reg;
	const struct ioapic *ioapic = ioapic_find(gsi, &reg);
	uint32_t entry;

	if (ioapic == NULL) {
		cpu_self()->count_spurious++;
		apic_eoi();
		return;
	}
	spinlock_take(&lock);
	entry = ioapic_read(ioapic, reg);
	if (entry & IOAPIC_ENTRY_LEVEL) {
		ioapic_write(ioapic, reg, entry | IOAPIC_ENTRY_MASKED);
	}
	spinlock_drop(&lock);
	apic_eoi();
	interrupt_fired(gsi);
}
