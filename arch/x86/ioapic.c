/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC routing (82093AA data sheet 3.2): global system interrupt N is vector VECTOR_GSI_FIRST + N. The handler in kernel/ masks the pin
 * until the domain acknowledges, before the interrupt ends.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/ptable.h"
#include "arch/x86/reg/apic.h"
#include "arch/x86/start.h"
#include "kernel/lock.h"
#include "kernel/memory.h"

#define IOAPICS_MAX       16u
#define PIT_GSI           2u /* as QEMU wires it */
#define NET_TICK_HZ       50u
#define DESTINATION_SHIFT 24
#define DESTINATION_LAST  0xfeu /* eight bits; more needs interrupt remapping */
#define DESTINATION_ALL   0xffu
#define PIC1_COMMAND      0x20u
#define PIC1_DATA         0x21u
#define PIC2_COMMAND      0xa0u
#define PIC2_DATA         0xa1u
#define PIC_INIT          0x11u /* ICW1: edge, cascade, ICW4 follows */

struct ioapic {
	volatile uint32_t *regs;
	uint32_t gsi_base;
	uint32_t pins_count;
};

static struct ioapic ioapics[IOAPICS_MAX];
static uint32_t ioapics_count;
static struct spinlock lock; /* select and data registers */

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
		if (gsi - ioapics[i].gsi_base < ioapics[i].pins_count) {
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

static void entry_write(const struct ioapic *ioapic, uint32_t reg, uint32_t target, uint32_t entry)
{
	spinlock_take(&lock);
	ioapic_write(ioapic, reg + 1, target << DESTINATION_SHIFT);
	ioapic_write(ioapic, reg, entry);
	spinlock_drop(&lock);
}

_Static_assert(BH_MESSAGE_DATA == VECTOR_GSI_FIRST &&
                       BH_MESSAGE_DATA + BH_MESSAGES_END == VECTOR_GSI_LAST + 1,
               "what a function writes is the number's vector");

int arch_gsi_route(uint32_t gsi, bool is_level, bool is_low, struct cpu *target)
{
	uint32_t reg;
	const struct ioapic *ioapic = ioapic_find(gsi, &reg);

	if (ioapic == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	if (target->apic_id > DESTINATION_LAST || gsi > VECTOR_GSI_LAST - VECTOR_GSI_FIRST) {
		return BH_ERR_UNSUPPORTED;
	}
	entry_write(ioapic, reg, target->apic_id,
	            (VECTOR_GSI_FIRST + gsi) | IOAPIC_ENTRY_MASKED |
	                    (is_level ? IOAPIC_ENTRY_LEVEL : 0) |
	                    (is_low ? IOAPIC_ENTRY_LOW_ACTIVE : 0));
	return BH_OK;
}

/* QEMU may lose interrupts (apic.c): there a slow tick reaches every pCPU. */
static void net_start(void)
{
	uint32_t reg;
	const struct ioapic *ioapic = ioapic_find(PIT_GSI, &reg);

	if (ioapic != NULL && cpus_count > 1 && feature_is_tcg()) {
		time_pit_start(NET_TICK_HZ);
		entry_write(ioapic, reg, DESTINATION_ALL, VECTOR_NET);
	}
}

int arch_ioapic_add(uint64_t base, uint32_t gsi_base)
{
	struct ioapic *ioapic = &ioapics[ioapics_count];
	uint32_t version = ~0u;

	if (ioapics_count == IOAPICS_MAX) {
		return BH_ERR_LIMIT;
	}
	if (memory_is_outside(HPA(base), PAGE_SIZE)) {
		ioapic->regs = memory_window(HPA(base), PAGE_SIZE, PTABLE_WRITE | PTABLE_UNCACHED);
		version = ioapic->regs != NULL ? ioapic_read(ioapic, IOAPIC_REG_VERSION) : ~0u;
	}
	if (version == ~0u || (version & 0xff) == 0) {
		return BH_ERR_INVALID;
	}
	ioapic->gsi_base = gsi_base;
	ioapic->pins_count = ((version >> IOAPIC_VERSION_LAST_PIN_SHIFT) & 0xff) + 1;
	for (uint32_t pin = 0; pin < ioapic->pins_count; pin++) {
		ioapic_write(ioapic, IOAPIC_REG_ENTRY + 2 * pin, IOAPIC_ENTRY_MASKED);
	}
	ioapics_count++;
	net_start();
	apic_accept_all();
	return BH_OK;
}

void arch_gsi_mask(uint32_t gsi, bool is_masked)
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
