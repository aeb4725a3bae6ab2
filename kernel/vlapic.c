/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's local APIC: registers, priorities, inter-processor interrupts (SDM 3A 11). No instruction is decoded here and nothing of the
 * VMM's is read. Others touch of an APIC only irr_remote, TMR (atomic) and, reading, ID, LDR, DFR, SVR, TPR.
 */
#include "kernel/vlapic.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/string.h"

#define LVT_RESET                  ((uint32_t)APIC_LVT_MASKED)
#define LVT_MODE                   GENMASK(10, 8)

#define ESR_SEND_ILLEGAL_VECTOR    5u
#define ESR_RECEIVE_ILLEGAL_VECTOR 6u

#define DFR_FLAT                   0xffffffffu

static uint32_t *reg(struct vcpu *vcpu, uint32_t offset)
{
	return &vcpu->lapic.regs[offset / 4];
}

static bool is_x2apic(const struct vcpu *vcpu)
{
	return (vcpu->lapic.apic_base & APIC_BASE_X2APIC) != 0;
}

/* Globally and by software enabled: accepts fixed interrupts. */
static bool is_enabled(const struct vcpu *vcpu)
{
	return (vcpu->lapic.apic_base & APIC_BASE_ENABLE) != 0 &&
	       (vlapic_reg(vcpu, APIC_SVR) & APIC_SVR_ENABLED) != 0;
}

/* ---- 256-bit registers: eight words, 16 bytes apart ---- */

static uint32_t *vector_word(struct vcpu *vcpu, uint32_t base, uint32_t vector)
{
	return reg(vcpu, base + (vector / 32) * 0x10);
}

static uint32_t vector_bit(uint32_t vector)
{
	return 1u << (vector % 32);
}

static uint32_t vector_highest(const struct vcpu *vcpu, uint32_t base)
{
	for (uint32_t i = 8; i-- > 0;) {
		uint32_t word = vlapic_reg(vcpu, base + i * 0x10);

		if (word != 0) {
			return i * 32 + 31 - (uint32_t)__builtin_clz(word);
		}
	}
	return 0;
}

/* ---- taking interrupts ---- */

bool vlapic_accept(struct vcpu *vcpu, uint8_t vector, bool is_level)
{
	uint32_t *tmr;

	if (!is_enabled(vcpu)) {
		return false;
	}
	tmr = vector_word(vcpu, APIC_TMR, vector);
	if (is_level) {
		__atomic_fetch_or(tmr, vector_bit(vector), __ATOMIC_RELAXED);
	} else if ((__atomic_load_n(tmr, __ATOMIC_RELAXED) & vector_bit(vector)) != 0) {
		__atomic_fetch_and(tmr, ~vector_bit(vector), __ATOMIC_RELAXED);
	}
	__atomic_fetch_or(&vcpu->irr_remote[vector / 32], vector_bit(vector), __ATOMIC_RELEASE);
	vcpu_request(vcpu, VCPU_REQUEST_INTERRUPT);
	return true;
}

uint32_t vlapic_update(struct vcpu *vcpu)
{
	uint32_t cr8 = hvm->get_cr8(vcpu);

	for (uint32_t i = 0; i < 8; i++) {
		if (vcpu->irr_remote[i] != 0) {
			*reg(vcpu, APIC_IRR + i * 0x10) |= __atomic_exchange_n(&vcpu->irr_remote[i],
			                                                       0, __ATOMIC_ACQUIRE);
		}
	}
	if ((vlapic_reg(vcpu, APIC_TPR) >> 4) != cr8) {
		*reg(vcpu, APIC_TPR) = cr8 << 4;
	}
	return is_enabled(vcpu) ? vector_highest(vcpu, APIC_IRR) : 0;
}

uint32_t vlapic_processor_priority(struct vcpu *vcpu)
{
	uint32_t tpr = vlapic_reg(vcpu, APIC_TPR);
	uint32_t in_service = vector_highest(vcpu, APIC_ISR) & 0xf0;
	uint32_t ppr = (tpr & 0xf0) >= in_service ? tpr : in_service; /* SDM 3A 11.8.3.1 */

	*reg(vcpu, APIC_PPR) = ppr;
	return ppr;
}

void vlapic_take(struct vcpu *vcpu, uint32_t vector)
{
	*vector_word(vcpu, APIC_IRR, vector) &= ~vector_bit(vector);
	*vector_word(vcpu, APIC_ISR, vector) |= vector_bit(vector);
}

void vlapic_untake(struct vcpu *vcpu, uint32_t vector)
{
	if ((*vector_word(vcpu, APIC_ISR, vector) & vector_bit(vector)) != 0) {
		*vector_word(vcpu, APIC_ISR, vector) &= ~vector_bit(vector);
		*vector_word(vcpu, APIC_IRR, vector) |= vector_bit(vector);
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

uint32_t vlapic_in_service(const struct vcpu *vcpu)
{
	return vector_highest(vcpu, APIC_ISR);
}

void vlapic_eoi(struct vcpu *vcpu)
{
	uint32_t vector = vector_highest(vcpu, APIC_ISR);

	if (vector == 0) {
		return;
	}
	*vector_word(vcpu, APIC_ISR, vector) &= ~vector_bit(vector);
	if ((*vector_word(vcpu, APIC_TMR, vector) & vector_bit(vector)) != 0) {
		vcpu->lapic.eoi_level[vector / 64] |= BIT(vector % 64);
		vcpu_request_self(vcpu, VCPU_REQUEST_EOI);
	}
	if (vector_highest(vcpu, APIC_IRR) != 0) {
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

void vlapic_set_tpr(struct vcpu *vcpu, uint32_t tpr)
{
	*reg(vcpu, APIC_TPR) = tpr & 0xff;
	hvm->set_cr8(vcpu, (tpr >> 4) & 0xf);
	if (vector_highest(vcpu, APIC_IRR) != 0) {
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

bool vlapic_extint_pending(const struct vcpu *vcpu)
{
	uint32_t lint0 = vlapic_reg(vcpu, APIC_LVT_LINT0);

	if (!__atomic_load_n(&vcpu->lapic.is_extint_asserted, __ATOMIC_ACQUIRE)) {
		return false;
	}
	if ((vcpu->lapic.apic_base & APIC_BASE_ENABLE) == 0) {
		return true; /* LINT0 is INTR then (SDM 3A 11.4.3) */
	}
	return (lint0 & APIC_LVT_MASKED) == 0 && field_get(LVT_MODE, lint0) == APIC_DELIVERY_EXTINT;
}

void vlapic_raise_lvt(struct vcpu *vcpu, uint32_t lvt_offset)
{
	uint32_t lvt = vlapic_reg(vcpu, lvt_offset);
	uint32_t mode = lvt_offset == APIC_LVT_TIMER || lvt_offset == APIC_LVT_ERROR
	                        ? APIC_DELIVERY_FIXED
	                        : (uint32_t)field_get(LVT_MODE, lvt);

	if ((lvt & APIC_LVT_MASKED) != 0) {
		return;
	}
	if (mode == APIC_DELIVERY_NMI) {
		vcpu_request(vcpu, VCPU_REQUEST_NMI);
	} else if (mode == APIC_DELIVERY_FIXED) {
		if ((lvt & 0xff) < 16) {
			vlapic_error(vcpu, ESR_RECEIVE_ILLEGAL_VECTOR);
		} else {
			vlapic_accept(vcpu, (uint8_t)lvt, false);
		}
	}
}

void vlapic_error(struct vcpu *vcpu, uint32_t bit)
{
	uint32_t lvt = vlapic_reg(vcpu, APIC_LVT_ERROR);

	/* Collected aside (reserved word of the page) until the guest's write to ESR latches it (SDM 3A 11.5.3). */
	*reg(vcpu, APIC_ESR + 4) |= 1u << bit;
	if ((lvt & APIC_LVT_MASKED) == 0 && (lvt & 0xff) >= 16) {
		vlapic_accept(vcpu, (uint8_t)lvt, false);
	}
}

void vlapic_page_refresh(struct vcpu *vcpu)
{
	(void)vlapic_update(vcpu);
	(void)vlapic_processor_priority(vcpu);
	*reg(vcpu, APIC_TIMER_CURRENT) = vlapic_timer_current(vcpu);
}

/* ---- sending ---- */

static bool matches_logical_xapic(const struct vcpu *vcpu, uint32_t destination)
{
	uint32_t ldr = vlapic_reg(vcpu, APIC_LDR) >> 24;

	destination &= 0xff;
	if (vlapic_reg(vcpu, APIC_DFR) == DFR_FLAT) {
		return (ldr & destination) != 0;
	}
	/* Cluster model: high nibble names it, 15 is all of them (SDM 3A 11.6.2.2). */
	return ((destination >> 4) == 0xf || (destination >> 4) == (ldr >> 4)) &&
	       (destination & ldr & 0xf) != 0;
}

static bool matches_logical_x2apic(const struct vcpu *vcpu, uint32_t destination)
{
	uint32_t ldr = vlapic_reg(vcpu, APIC_LDR);

	return (destination >> 16) == (ldr >> 16) && (destination & ldr & 0xffff) != 0;
}

bool vlapic_matches(const struct vcpu *vcpu, const struct apic_message *message)
{
	uint32_t broadcast = message->is_x2apic ? 0xffffffffu : 0xffu;

	if ((vcpu->lapic.apic_base & APIC_BASE_ENABLE) == 0) {
		return false;
	}
	if (message->destination == broadcast) {
		return true;
	}
	if (!message->is_logical) {
		return message->destination == vcpu->idx;
	}
	return is_x2apic(vcpu) ? matches_logical_x2apic(vcpu, message->destination)
	                       : matches_logical_xapic(vcpu, message->destination);
}

static void deliver_to(struct vcpu *vcpu, const struct apic_message *message)
{
	switch ((enum apic_delivery)message->delivery) {
	case APIC_DELIVERY_FIXED:
	case APIC_DELIVERY_LOWEST:
		vlapic_accept(vcpu, message->vector, message->is_level);
		break;
	case APIC_DELIVERY_NMI:
		vcpu_request(vcpu, VCPU_REQUEST_NMI);
		break;
	case APIC_DELIVERY_INIT:
		vcpu_request(vcpu, VCPU_REQUEST_INIT);
		break;
	case APIC_DELIVERY_SIPI:
		__atomic_store_n(&vcpu->sipi_vector, message->vector, __ATOMIC_RELEASE);
		vcpu_request(vcpu, VCPU_REQUEST_SIPI);
		break;
	case APIC_DELIVERY_SMI:
	case APIC_DELIVERY_EXTINT:
		break; /* no SMM; ExtINT comes by LINT0 only */
	}
}

/* One of those that match: the lowest task priority, so that a CPU that raised its own is spared. */
static void deliver_lowest(struct vm *vm, const struct apic_message *message)
{
	struct vcpu *vcpu, *best = NULL;

	for (uint32_t i = 0; (vcpu = vm_vcpu_next(vm, &i)) != NULL;) {
		if (is_enabled(vcpu) && vlapic_matches(vcpu, message) &&
		    (best == NULL || vlapic_reg(vcpu, APIC_TPR) < vlapic_reg(best, APIC_TPR))) {
			best = vcpu;
		}
	}
	if (best != NULL) {
		deliver_to(best, message);
	}
}

void vlapic_deliver(struct vm *vm, const struct apic_message *message)
{
	struct vcpu *vcpu;

	if (message->delivery == APIC_DELIVERY_LOWEST) {
		deliver_lowest(vm, message);
		return;
	}
	if (!message->is_logical && message->destination < vm->vcpus_max) {
		vcpu = vm_vcpu(vm, message->destination);
		if (vcpu != NULL && (vcpu->lapic.apic_base & APIC_BASE_ENABLE) != 0) {
			deliver_to(vcpu, message);
		}
		return;
	}
	for (uint32_t i = 0; (vcpu = vm_vcpu_next(vm, &i)) != NULL;) {
		if (vlapic_matches(vcpu, message)) {
			deliver_to(vcpu, message);
		}
	}
}

static void deliver_shorthand(struct vcpu *sender, const struct apic_message *message,
                              enum apic_shorthand shorthand)
{
	struct vcpu *vcpu;

	for (uint32_t i = 0; (vcpu = vm_vcpu_next(sender->vm, &i)) != NULL;) {
		if (vcpu != sender || shorthand == APIC_TO_ALL) {
			deliver_to(vcpu, message);
		}
	}
}

void vlapic_send(struct vcpu *vcpu, uint64_t icr)
{
	enum apic_shorthand shorthand = (enum apic_shorthand)field_get(APIC_ICR_SHORTHAND, icr);
	struct apic_message message = {
		.destination = is_x2apic(vcpu) ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56),
		.is_logical = (icr & APIC_ICR_LOGICAL) != 0,
		.is_x2apic = is_x2apic(vcpu),
		.vector = (uint8_t)icr,
		.delivery = (uint8_t)field_get(APIC_ICR_MODE, icr),
	};

	if (message.delivery <= APIC_DELIVERY_LOWEST && message.vector < 16) {
		vlapic_error(vcpu, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	if (message.delivery == APIC_DELIVERY_INIT && (icr & APIC_ICR_LEVEL) == 0) {
		return; /* INIT de-assert sets arbitration ids only, on CPUs of old (SDM 3A 11.6.1) */
	}
	if (shorthand == APIC_TO_FIELD) {
		vlapic_deliver(vcpu->vm, &message);
	} else if (shorthand == APIC_TO_SELF) {
		if (message.delivery == APIC_DELIVERY_FIXED) {
			deliver_to(vcpu, &message);
		}
	} else {
		deliver_shorthand(vcpu, &message, shorthand);
	}
}

int vm_msi_deliver(struct vm *vm, uint64_t address, uint32_t data)
{
	struct apic_message message = {
		.destination = (uint32_t)field_get(GENMASK(19, 12), address),
		.is_logical = (address & BIT(2)) != 0,
		.is_level = (data & APIC_ICR_TRIGGER_LEVEL) != 0,
		.vector = (uint8_t)data,
		.delivery = (uint8_t)field_get(APIC_ICR_MODE, data),
	};

	if ((address & ~0xfffffull) != APIC_BASE_RESET) {
		return BH_ERR_INVALID;
	}
	if (message.delivery <= APIC_DELIVERY_LOWEST && message.vector < 16) {
		return BH_ERR_INVALID;
	}
	if (message.delivery == APIC_DELIVERY_FIXED && message.is_logical &&
	    (address & BIT(3)) != 0) {
		message.delivery = APIC_DELIVERY_LOWEST; /* redirection hint (SDM 3A 11.11.1) */
	}
	vlapic_deliver(vm, &message);
	return BH_OK;
}

/* ---- registers ---- */

static void set_identity(struct vcpu *vcpu)
{
	uint32_t id = vcpu->idx;

	if (is_x2apic(vcpu)) {
		*reg(vcpu, APIC_ID) = id;
		*reg(vcpu, APIC_LDR) = ((id >> 4) << 16) |
		                       (1u << (id & 0xf)); /* SDM 3A 11.12.10.2 */
	} else {
		*reg(vcpu, APIC_ID) = id << 24;
		*reg(vcpu, APIC_LDR) = 0;
	}
}

static void set_registers_reset(struct vcpu *vcpu)
{
	memset(vcpu->lapic.regs, 0, PAGE_SIZE);
	*reg(vcpu, APIC_VERSION) = VLAPIC_VERSION;
	*reg(vcpu, APIC_DFR) = DFR_FLAT;
	*reg(vcpu, APIC_SVR) = 0xff;
	for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10) {
		*reg(vcpu, lvt) = LVT_RESET;
	}
	set_identity(vcpu);
	for (uint32_t i = 0; i < 8; i++) {
		__atomic_store_n(&vcpu->irr_remote[i], 0, __ATOMIC_RELAXED);
	}
	memset(vcpu->lapic.eoi_level, 0, sizeof(vcpu->lapic.eoi_level));
	vlapic_timer_stop(vcpu);
	hvm->set_cr8(vcpu, 0);
}

void vlapic_reset(struct vcpu *vcpu, bool is_init)
{
	if (!is_init) {
		vcpu->lapic.apic_base = APIC_BASE_RESET | APIC_BASE_ENABLE |
		                        (vcpu->idx == 0 ? APIC_BASE_BSP : 0);
	}
	set_registers_reset(vcpu);
}

/* Off, xAPIC, x2APIC: the only ways are off - xAPIC - x2APIC - off (SDM 3A 11.12.5). The page does not move (docs/caveats.md). */
int vlapic_set_base(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = vcpu->lapic.apic_base;
	uint64_t modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	if ((value & APIC_BASE_ADDRESS) != APIC_BASE_RESET ||
	    (value & ~(APIC_BASE_ADDRESS | modes | APIC_BASE_BSP)) != 0 ||
	    (value & modes) == APIC_BASE_X2APIC) {
		return BH_ERR_INVALID;
	}
	if ((value & APIC_BASE_X2APIC) != 0 &&
	    ((old & APIC_BASE_ENABLE) == 0 ||
	     !cpuid_guest_has(vcpu->vm, CPUID_LEAF_FEATURES, 2, CPUID_1_ECX_X2APIC))) {
		return BH_ERR_INVALID;
	}
	if ((old & APIC_BASE_X2APIC) != 0 && (value & modes) == APIC_BASE_ENABLE) {
		return BH_ERR_INVALID;
	}
	__atomic_store_n(&vcpu->lapic.apic_base, value, __ATOMIC_RELEASE);
	if ((value & modes) == 0) {
		set_registers_reset(vcpu);
	} else if (((old ^ value) & APIC_BASE_X2APIC) != 0) {
		set_identity(vcpu);
		*reg(vcpu, APIC_ICR_HIGH) = 0;
	}
	return BH_OK;
}

/* Sets of registers: bit n is the one at offset 16 * n (SDM 3A tables 11-1, 11-6). */
#define REGISTER(offset)       BIT((offset) / 0x10)
#define REGISTERS(last, first) GENMASK((last) / 0x10, (first) / 0x10)
#define READABLE                                                                   \
	(REGISTERS(APIC_VERSION, APIC_ID) | REGISTERS(APIC_PPR, APIC_TPR) |        \
	 REGISTERS(APIC_ESR, APIC_LDR) | REGISTERS(APIC_TIMER_CURRENT, APIC_ICR) | \
	 REGISTER(APIC_TIMER_DIVIDE))
#define XAPIC_ONLY          (REGISTER(APIC_DFR) | REGISTER(APIC_ICR_HIGH))
#define READ_ONLY_IN_X2APIC (REGISTER(APIC_ID) | REGISTER(APIC_LDR))
#define ZERO_ONLY_IN_X2APIC (REGISTER(APIC_EOI) | REGISTER(APIC_ESR))

static bool is_register(uint32_t offset)
{
	return offset < APIC_PAGE_END && offset % 0x10 == 0;
}

int vlapic_read(struct vcpu *vcpu, uint32_t offset, uint32_t *value)
{
	uint64_t readable = is_x2apic(vcpu) ? READABLE & ~XAPIC_ONLY : READABLE;

	if (!is_register(offset) || (readable & REGISTER(offset)) == 0) {
		return BH_ERR_INVALID;
	}
	vlapic_page_refresh(vcpu);
	*value = vlapic_reg(vcpu, offset);
	return BH_OK;
}

static void write_lvt(struct vcpu *vcpu, uint32_t offset, uint32_t value)
{
	/* Vector and mask; delivery mode; for the pins polarity and trigger mode; for the timer its mode. */
	static const uint32_t writable[] = { 0x700ff, 0x117ff, 0x117ff, 0x1b7ff, 0x1b7ff, 0x100ff };
	uint32_t old = vlapic_reg(vcpu, offset);

	value &= writable[(offset - APIC_LVT_TIMER) / 0x10];
	if ((vlapic_reg(vcpu, APIC_SVR) & APIC_SVR_ENABLED) == 0) {
		value |= (uint32_t)APIC_LVT_MASKED; /* SDM 3A 11.4.7.2 */
	}
	*reg(vcpu, offset) = value;
	if (offset == APIC_LVT_TIMER) {
		vlapic_timer_mode_changed(vcpu, old);
	} else if (offset == APIC_LVT_LINT0) {
		vcpu_request_self(vcpu, VCPU_REQUEST_EXTINT);
	}
}

static void write_svr(struct vcpu *vcpu, uint32_t value)
{
	*reg(vcpu, APIC_SVR) = value & 0x1ff;
	if ((value & APIC_SVR_ENABLED) == 0) {
		for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10) {
			*reg(vcpu, lvt) |= (uint32_t)APIC_LVT_MASKED;
		}
	}
	vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
}

int vlapic_write(struct vcpu *vcpu, uint32_t offset, uint32_t value)
{
	uint64_t refused = value != 0 ? XAPIC_ONLY | READ_ONLY_IN_X2APIC | ZERO_ONLY_IN_X2APIC
	                              : XAPIC_ONLY | READ_ONLY_IN_X2APIC;

	if (!is_register(offset) || (is_x2apic(vcpu) && (refused & REGISTER(offset)) != 0)) {
		return BH_ERR_INVALID;
	}
	switch (offset) {
	case APIC_TPR:
		vlapic_set_tpr(vcpu, value);
		break;
	case APIC_EOI:
		vlapic_eoi(vcpu);
		break;
	case APIC_ID:
		break; /* it is fixed */
	case APIC_DFR:
		*reg(vcpu, APIC_DFR) = value | 0x0fffffff;
		break;
	case APIC_LDR:
	case APIC_ICR_HIGH:
		*reg(vcpu, offset) = value & 0xff000000;
		break;
	case APIC_SVR:
		write_svr(vcpu, value);
		break;
	case APIC_ESR:
		*reg(vcpu, APIC_ESR) = vlapic_reg(vcpu, APIC_ESR + 4);
		*reg(vcpu, APIC_ESR + 4) = 0;
		break;
	case APIC_ICR:
		*reg(vcpu, APIC_ICR) = value & ~(uint32_t)APIC_ICR_PENDING;
		vlapic_send(vcpu, ((uint64_t)vlapic_reg(vcpu, APIC_ICR_HIGH) << 32) | value);
		break;
	case APIC_LVT_TIMER:
	case APIC_LVT_THERMAL:
	case APIC_LVT_PERF:
	case APIC_LVT_LINT0:
	case APIC_LVT_LINT1:
	case APIC_LVT_ERROR:
		write_lvt(vcpu, offset, value);
		break;
	case APIC_TIMER_INITIAL:
		vlapic_timer_write_initial(vcpu, value);
		break;
	case APIC_TIMER_DIVIDE:
		vlapic_timer_write_divide(vcpu, value);
		break;
	case APIC_SELF_IPI:
		if (!is_x2apic(vcpu)) {
			return BH_ERR_INVALID;
		}
		vlapic_send(vcpu, field_set(APIC_ICR_SHORTHAND, APIC_TO_SELF) | (value & 0xff));
		break;
	default:
		return BH_ERR_INVALID;
	}
	return BH_OK;
}
