/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's local APIC (SDM 3A 11). One page of registers a vCPU, which the VMM sees read-only for xAPIC reads; writes come by
 * vlapic_write, from x2APIC MSRs or from the VMM's decoder. Interrupts from anywhere come by vlapic_accept.
 */
#pragma once

#include "arch/x86/reg/apic.h"
#include "kernel/vcpu.h"

#define APIC_TIMER_MODE     GENMASK(18, 17)
#define APIC_TIMER_PERIODIC 1u
#define APIC_TIMER_DEADLINE 2u

/* ICR and MSI data share these (SDM 3A 11.6.1, 11.11.2) */
#define APIC_ICR_MODE          GENMASK(10, 8)
#define APIC_ICR_LOGICAL       BIT(11)
#define APIC_ICR_PENDING       BIT(12)
#define APIC_ICR_LEVEL         BIT(14)
#define APIC_ICR_TRIGGER_LEVEL BIT(15)
#define APIC_ICR_SHORTHAND     GENMASK(19, 18)
enum apic_delivery {
	APIC_DELIVERY_FIXED = 0,
	APIC_DELIVERY_LOWEST = 1,
	APIC_DELIVERY_SMI = 2,
	APIC_DELIVERY_NMI = 4,
	APIC_DELIVERY_INIT = 5,
	APIC_DELIVERY_SIPI = 6,
	APIC_DELIVERY_EXTINT = 7,
};
enum apic_shorthand {
	APIC_TO_FIELD = 0,
	APIC_TO_SELF = 1,
	APIC_TO_ALL = 2,
	APIC_TO_OTHERS = 3
};

#define APIC_BASE_RESET 0xfee00000ull
#define VLAPIC_VERSION  0x00050014u   /* integrated APIC, six LVT entries */
#define VLAPIC_TIMER_HZ 1000000000ull /* before the divider; told to guests by CPUID 40000010h */

/* One message on the (pretended) bus. */
struct apic_message {
	uint32_t
		icr; /* vector, mode, logical, level trigger, shorthand; an MSI's data has the same bits */
	uint32_t destination;      /* 8 bits wide in xAPIC mode and MSIs, 32 in x2APIC mode */
	bool is_x2apic;            /* destination has 32 bits */
	const struct vcpu *sender; /* NULL: no vCPU; then without shorthand */
};

/* Reset state; INIT keeps the APIC's base and id (SDM 3A 11.4.7). */
void vlapic_reset(struct vcpu *vcpu, bool is_init);
/* A register below 1000h takes this value, which the VMM has checked (vmm/lapic.c); what must happen then, happens. Own pCPU. */
void vlapic_write(struct vcpu *vcpu, uint32_t offset, uint32_t value);
/* IA32_APIC_BASE, but for the page's place, which is fixed (docs/caveats.md). */
void vlapic_set_base(struct vcpu *vcpu, uint64_t value);
/* The registers in the page have been set from outside. The deadline is for the timer, guest TSC. */
void vlapic_restore(struct vcpu *vcpu, uint64_t guest_deadline_tsc);
/* End of interrupt: highest in-service vector. */
void vlapic_eoi(struct vcpu *vcpu);
/*
 * Around a stay in the guest: the one interrupt in service may end by the byte at run.eoi_byte, if nobody waits for that; and whether it did.
 * In between IRR gets nothing, and ISR is not to be relied upon.
 */
void vlapic_eoi_arm(struct vcpu *vcpu);
void vlapic_eoi_settle(struct vcpu *vcpu);
/* That was one whose source the VMM must tell. */
void vlapic_eoi_level(struct vcpu *vcpu, uint64_t vector);

/* An interrupt arrives at this APIC. Any pCPU. False: it is disabled and takes none. */
bool vlapic_accept(struct vcpu *vcpu, uint8_t vector, bool is_level);
/* The same by edge from its own exit path, which looks before the next entry. */
void vlapic_accept_self(struct vcpu *vcpu, uint8_t vector);
/* Deliver to all that the message names among the VM's vCPUs. INVALID: illegal vector. Any pCPU. */
int vlapic_deliver(struct vm *vm, const struct apic_message *message) must_check;

/* Take in what others sent. Returns the highest vector in IRR, 0 if none. Own pCPU. */
uint32_t vlapic_update(struct vcpu *vcpu);
/* IRR to ISR: the CPU takes `vector`. */
void vlapic_take(struct vcpu *vcpu, uint32_t vector);
/* Back again: its delivery could not be finished. */
void vlapic_untake(struct vcpu *vcpu, uint32_t vector);
/* The 8259's INT gets through: asserted, and LINT0 is open for it or the APIC is off. */
bool vlapic_extint_pending(const struct vcpu *vcpu);
/* The timer's interrupt, as its LVT entry has it. */
void vlapic_raise_timer(struct vcpu *vcpu);
/* The register at this offset alone. */
void vlapic_register_refresh(struct vcpu *vcpu, uint64_t offset);

static inline uint32_t vlapic_reg(const struct vcpu *vcpu, uint32_t offset)
{
	return vcpu->lapic.regs[offset / 4];
}

static inline uint32_t vlapic_highest_bit(uint32_t word)
{
	return (uint32_t)(__builtin_clz(word) ^ 31); /* one BSR */
}

/* The highest vector of IRR or ISR, 0 if none; `words`: which of the eight may be other than 0. */
static inline uint32_t vlapic_highest(const struct vcpu *vcpu, uint32_t base, uint32_t words)
{
	while (words != 0) {
		uint32_t i = vlapic_highest_bit(words), word = vcpu->lapic.regs[base / 4 + i * 4];

		if (likely(word != 0)) {
			return i * 32 + vlapic_highest_bit(word);
		}
		words ^= 1u << i; /* the CPU has changed it */
	}
	return 0;
}

static inline uint32_t vlapic_in_service(const struct vcpu *vcpu)
{
	return vlapic_highest(vcpu, APIC_ISR, vcpu->lapic.isr_words);
}

/* ---- kernel/vlapic_timer.c ---- */
void vlapic_timer_init(struct vcpu *vcpu);
/* Run to this deadline (host TSC; 0 = stop), and in periodic mode on by this period. Own pCPU. */
void vlapic_timer_set(struct vcpu *vcpu, uint64_t deadline_tsc, uint64_t period_tsc);
void vlapic_timer_write_initial(struct vcpu *vcpu, uint32_t count);
void vlapic_timer_write_divide(struct vcpu *vcpu, uint32_t value);
/* LVT_TIMER was written: a change of mode stops the timer when it must (SDM 3A 11.5.4.1). */
void vlapic_timer_mode_changed(struct vcpu *vcpu, uint32_t old_lvt);
uint32_t vlapic_timer_current(const struct vcpu *vcpu);
void vlapic_timer_write_deadline(struct vcpu *vcpu, uint64_t guest_tsc);
uint64_t vlapic_timer_read_deadline(const struct vcpu *vcpu);
/* Run the timer that the registers describe, as if started now (or to this deadline, guest TSC). */
void vlapic_timer_restore(struct vcpu *vcpu, uint64_t guest_deadline_tsc);
/* Pure: ticks of the bus clock divided by `divide` register, to TSC ticks and back. */
uint64_t vlapic_timer_ticks_to_tsc(uint64_t ticks, uint32_t divide, uint64_t tsc_hz);
uint64_t vlapic_timer_tsc_to_ticks(uint64_t tsc, uint32_t divide, uint64_t tsc_hz);
