/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's local APIC: registers, priorities, inter-processor interrupts (SDM 3A 11). No instruction is decoded here and nothing of the
 * VMM's is read. Others touch of an APIC only irr_remote, TMR (atomic) and, reading, ID, LDR, DFR, SVR, TPR.
 */
#include "kernel/vlapic.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/msr.h"
#include "kernel/string.h"
#include "kernel/trace.h"

#define LVT_MODE                   GENMASK(10, 8)

#define ESR_SEND_ILLEGAL_VECTOR    5u
#define ESR_RECEIVE_ILLEGAL_VECTOR 6u

#define DFR_FLAT                   0xffffffffu

#define MSI_DESTINATION(address)   ((uint32_t)field_get(GENMASK(19, 12), address))

static uint32_t *reg(struct vcpu *vcpu, uint32_t offset)
{
	return &vcpu->lapic.regs[offset / 4];
}

static bool is_x2apic(const struct vcpu *vcpu)
{
	return (vcpu->lapic.apic_base & APIC_BASE_X2APIC) != 0;
}

static bool is_on(const struct vcpu *vcpu)
{
	return (vcpu->lapic.apic_base & APIC_BASE_ENABLE) != 0;
}

/* Globally and by software enabled: accepts fixed interrupts. */
static bool is_enabled(const struct vcpu *vcpu)
{
	return is_on(vcpu) && (vlapic_reg(vcpu, APIC_SVR) & APIC_SVR_ENABLE) != 0;
}

/* ---- 256-bit registers: eight words, 16 bytes apart ---- */

static inline uint32_t *vector_word(struct vcpu *vcpu, uint32_t base, uint32_t vector)
{
	return &vcpu->lapic.regs[base / 4 + vector / 32 * 4];
}

static uint32_t vector_bit(uint32_t vector)
{
	return 1u << (vector % 32);
}

/* IRR and ISR: which of their words are not zero is kept aside, so that nobody searches. */
static inline void vector_set(struct vcpu *vcpu, uint32_t base, uint32_t *words, uint32_t vector)
{
	*vector_word(vcpu, base, vector) |= vector_bit(vector);
	*words |= 1u << vector / 32;
}

static inline void vector_clear(struct vcpu *vcpu, uint32_t base, uint32_t *words, uint32_t vector)
{
	uint32_t *word = vector_word(vcpu, base, vector);

	*word &= ~vector_bit(vector);
	if (*word == 0 && !vcpu->lapic.is_in_cpu) {
		*words &= ~(1u << vector / 32);
	}
}

/* ---- taking interrupts ---- */

static inline void trigger_mode_set(struct vcpu *vcpu, uint32_t vector, bool is_level)
{
	uint32_t *tmr = vector_word(vcpu, APIC_TMR, vector);

	bool was_level = (__atomic_load_n(tmr, __ATOMIC_RELAXED) & vector_bit(vector)) != 0;

	if (unlikely(is_level != was_level)) {
		__atomic_fetch_xor(tmr, vector_bit(vector), __ATOMIC_RELAXED);
		__atomic_store_n(&vcpu->lapic.is_tmr_new, true, __ATOMIC_RELEASE);
		/* Before it can have the interrupt, a CPU that delivers must know whose EOI is wanted. */
		vcpu_request(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

bool vlapic_accept(struct vcpu *vcpu, uint8_t vector, bool is_level)
{
	if (!is_enabled(vcpu)) {
		return false;
	}
	trigger_mode_set(vcpu, vector, is_level);
	if (vcpu->cpu == cpu_self()) {
		vector_set(vcpu, APIC_IRR, &vcpu->lapic.irr_words, vector);
	} else {
		__atomic_fetch_or(&vcpu->irr_remote[vector / 32], vector_bit(vector),
		                  __ATOMIC_RELAXED);
		__atomic_fetch_or(&vcpu->irr_remote_words, 1u << vector / 32, __ATOMIC_RELEASE);
		__atomic_fetch_add(&vcpu->stats->counts[BH_COUNT_REMOTE], 1, __ATOMIC_RELAXED);
	}
	vcpu_request(vcpu, VCPU_REQUEST_INTERRUPT);
	return true;
}

void vlapic_accept_self(struct vcpu *vcpu, uint8_t vector)
{
	if (is_enabled(vcpu)) {
		trigger_mode_set(vcpu, vector, false);
		vector_set(vcpu, APIC_IRR, &vcpu->lapic.irr_words, vector);
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

static void take_remote(struct vcpu *vcpu)
{
	uint32_t words = __atomic_exchange_n(&vcpu->irr_remote_words, 0, __ATOMIC_ACQUIRE);

	for (; words != 0; words &= words - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(words);
		uint32_t bits = __atomic_exchange_n(&vcpu->irr_remote[i], 0, __ATOMIC_RELAXED);

		*reg(vcpu, APIC_IRR + i * 0x10) |= bits;
		vcpu->lapic.irr_words |= bits != 0 ? 1u << i : 0;
	}
}

uint32_t vlapic_update(struct vcpu *vcpu)
{
	if (__atomic_load_n(&vcpu->irr_remote_words, __ATOMIC_RELAXED) != 0) {
		take_remote(vcpu);
	}
	return is_enabled(vcpu) ? vlapic_highest(vcpu, APIC_IRR, vcpu->lapic.irr_words) : 0;
}

void vlapic_take(struct vcpu *vcpu, uint32_t vector)
{
	vector_clear(vcpu, APIC_IRR, &vcpu->lapic.irr_words, vector);
	vector_set(vcpu, APIC_ISR, &vcpu->lapic.isr_words, vector);
	vcpu->stats->injections[BH_INJECT_TYPE_INTERRUPT]++;
	trace(BH_TRACE_INJECT, TRACE_VCPU(vcpu), BH_INJECT_VALID | vector);
}

void vlapic_untake(struct vcpu *vcpu, uint32_t vector)
{
	if ((*vector_word(vcpu, APIC_ISR, vector) & vector_bit(vector)) != 0) {
		vector_clear(vcpu, APIC_ISR, &vcpu->lapic.isr_words, vector);
		vector_set(vcpu, APIC_IRR, &vcpu->lapic.irr_words, vector);
		vcpu->lapic.is_stale = true;
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

/* What is in IRR may get through now. */
static void look_again(struct vcpu *vcpu)
{
	if (vcpu->lapic.irr_words != 0) {
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
}

void vlapic_eoi_level(struct vcpu *vcpu, uint64_t vector)
{
	vcpu->lapic.eoi_level[vector / 64] |= BIT(vector % 64);
	vcpu_request_self(vcpu, VCPU_REQUEST_EOI);
}

void vlapic_eoi(struct vcpu *vcpu)
{
	uint32_t vector = vlapic_in_service(vcpu);

	if (vector == 0) {
		return;
	}
	vector_clear(vcpu, APIC_ISR, &vcpu->lapic.isr_words, vector);
	if ((*vector_word(vcpu, APIC_TMR, vector) & vector_bit(vector)) != 0) {
		vlapic_eoi_level(vcpu, vector);
	}
	look_again(vcpu);
}

void vlapic_eoi_arm(struct vcpu *vcpu)
{
	const struct vlapic *lapic = &vcpu->lapic;
	uint32_t words = lapic->isr_words, i = vlapic_highest_bit(words),
		 bits = lapic->regs[APIC_ISR / 4 + i * 4];
	uint64_t at = vcpu->run->eoi_byte;

	/* Level-triggered ones end at the I/O APIC, too. */
	if (at != 0 && !lapic->is_in_cpu && ((words & (words - 1)) | (bits & (bits - 1))) == 0 &&
	    (lapic->irr_words | vcpu->irr_remote_words) == 0 &&
	    (lapic->regs[APIC_TMR / 4 + i * 4] & bits) == 0 &&
	    arch_user_exchange(HVA(at), 1) >= 0) {
		vcpu->lapic.eoi_byte = at;
	}
}

void vlapic_eoi_settle(struct vcpu *vcpu)
{
	struct vlapic *lapic = &vcpu->lapic;

	/* Memory that is gone counts as an end: of the only one in service, or it has ended otherwise, too. */
	if (arch_user_exchange(HVA(lapic->eoi_byte), 0) <= 0 && lapic->isr_words != 0) {
		lapic->regs[APIC_ISR / 4 + vlapic_highest_bit(lapic->isr_words) * 4] = 0;
		lapic->isr_words = 0;
	}
	lapic->eoi_byte = 0;
}

bool vlapic_extint_pending(const struct vcpu *vcpu)
{
	uint32_t lint0 = vlapic_reg(vcpu, APIC_LVT_LINT0);

	if (!__atomic_load_n(&vcpu->lapic.is_extint_asserted, __ATOMIC_ACQUIRE)) {
		return false;
	}
	/* LINT0 is INTR while the APIC is off (SDM 3A 11.4.3). */
	return !is_on(vcpu) || ((lint0 & APIC_LVT_MASKED) == 0 &&
	                        field_get(LVT_MODE, lint0) == APIC_DELIVERY_EXTINT);
}

/* The fixed interrupt of a local vector table entry. False: its vector is illegal. */
static bool raise_lvt(struct vcpu *vcpu, uint32_t offset)
{
	uint32_t lvt = vlapic_reg(vcpu, offset);

	if ((lvt & APIC_LVT_MASKED) == 0 && (lvt & 0xff) >= 16) {
		vlapic_accept(vcpu, (uint8_t)lvt, false);
	}
	return (lvt & APIC_LVT_MASKED) != 0 || (lvt & 0xff) >= 16;
}

static void raise_error(struct vcpu *vcpu, uint32_t bit)
{
	/* Collected aside (reserved word of the page) until the guest's write to ESR latches it (SDM 3A 11.5.3). */
	*reg(vcpu, APIC_ESR + 4) |= 1u << bit;
	(void)raise_lvt(vcpu, APIC_LVT_ERROR);
}

void vlapic_raise_timer(struct vcpu *vcpu)
{
	vcpu->stats->counts[BH_COUNT_TIMER]++;
	if (!raise_lvt(vcpu, APIC_LVT_TIMER)) {
		raise_error(vcpu, ESR_RECEIVE_ILLEGAL_VECTOR);
	}
}

void vlapic_register_refresh(struct vcpu *vcpu, uint64_t offset)
{
	/* Between TPR and the last word of IRR are those that accepted interrupts and CR8 change. */
	if (offset == APIC_TIMER_CURRENT) {
		*reg(vcpu, APIC_TIMER_CURRENT) = vlapic_timer_current(vcpu);
	} else if (offset >= APIC_TPR && offset < APIC_ESR) {
		uint32_t cr8 = (uint32_t)hvm_get(vcpu, HVM_CR8), tpr = vlapic_reg(vcpu, APIC_TPR);
		uint32_t in_service;

		(void)vlapic_update(vcpu);
		in_service = vlapic_in_service(vcpu) & 0xf0;
		/* The guest moves CR8 without an exit; the low half of TPR is not in it. */
		tpr = (tpr >> 4) != cr8 ? cr8 << 4 : tpr;
		*reg(vcpu, APIC_TPR) = tpr;
		/* SDM 3A 11.8.3.1 */
		*reg(vcpu, APIC_PPR) = (tpr & 0xf0) >= in_service ? tpr : in_service;
	}
}

/* ---- sending ---- */

/* SDM 3A 11.6.2.2, 11.12.10.1; in xAPIC mode flat, or clusters where number 15 is all of them. */
static bool matches_logical(const struct vcpu *vcpu, uint32_t destination)
{
	uint32_t ldr = vlapic_reg(vcpu, APIC_LDR);

	if (is_x2apic(vcpu)) {
		return (destination >> 16) == (ldr >> 16) && (destination & ldr & 0xffff) != 0;
	}
	ldr >>= 24;
	if (vlapic_reg(vcpu, APIC_DFR) == DFR_FLAT) {
		return (ldr & destination & 0xff) != 0;
	}
	destination &= 0xff;
	return ((destination >> 4) == 0xf || (destination >> 4) == (ldr >> 4)) &&
	       (destination & ldr & 0xf) != 0;
}

static bool matches(const struct vcpu *vcpu, const struct apic_message *message)
{
	uint64_t shorthand = field_get(APIC_ICR_SHORTHAND, message->icr);

	if (shorthand != APIC_TO_FIELD) {
		return shorthand == APIC_TO_ALL || vcpu != message->sender;
	}
	if (!is_on(vcpu)) {
		return false;
	}
	if (message->destination == (message->is_x2apic ? 0xffffffffu : 0xffu)) {
		return true;
	}
	return (message->icr & APIC_ICR_LOGICAL) != 0 ? matches_logical(vcpu, message->destination)
	                                              : message->destination == vcpu->idx;
}

static void deliver_to(struct vcpu *vcpu, const struct apic_message *sent)
{
	if (sent->sender == NULL) {
		__atomic_fetch_add(&vcpu->stats->counts[BH_COUNT_MESSAGE], 1, __ATOMIC_RELAXED);
	}
	switch ((enum apic_delivery)field_get(APIC_ICR_MODE, sent->icr)) {
	case APIC_DELIVERY_FIXED:
	case APIC_DELIVERY_LOWEST:
		vlapic_accept(vcpu, (uint8_t)sent->icr, (sent->icr & APIC_ICR_TRIGGER_LEVEL) != 0);
		break;
	case APIC_DELIVERY_NMI:
		vcpu_request(vcpu, VCPU_REQUEST_NMI);
		break;
	case APIC_DELIVERY_INIT:
		vcpu_request(vcpu, VCPU_REQUEST_INIT);
		break;
	case APIC_DELIVERY_SIPI:
		__atomic_store_n(&vcpu->sipi_vector, (uint8_t)sent->icr, __ATOMIC_RELEASE);
		vcpu_request(vcpu, VCPU_REQUEST_SIPI);
		break;
	case APIC_DELIVERY_SMI:
	case APIC_DELIVERY_EXTINT:
		break; /* no SMM; ExtINT comes by LINT0 only */
	}
}

int vlapic_deliver(struct vm *vm, const struct apic_message *message)
{
	uint64_t mode = field_get(APIC_ICR_MODE, message->icr);
	struct vcpu *vcpu, *best = NULL;

	if (mode <= APIC_DELIVERY_LOWEST && (message->icr & 0xff) < 16) {
		return BH_ERR_INVALID;
	}
	for (uint32_t i = 0; (vcpu = vm_vcpu_next(vm, &i)) != NULL;) {
		if (!matches(vcpu, message)) {
			continue;
		}
		if (mode != APIC_DELIVERY_LOWEST) {
			deliver_to(vcpu, message);
		} else if (is_enabled(vcpu) &&
		           (best == NULL ||
		            vlapic_reg(vcpu, APIC_TPR) < vlapic_reg(best, APIC_TPR))) {
			best = vcpu; /* the lowest task priority: a CPU that raised its own is spared */
		}
	}
	if (best != NULL) {
		deliver_to(best, message);
	}
	return BH_OK;
}

static void send(struct vcpu *vcpu, uint32_t icr, uint32_t destination)
{
	struct apic_message message = {
		.icr = icr & ~(uint32_t)APIC_ICR_TRIGGER_LEVEL,
		.destination = destination,
		.is_x2apic = is_x2apic(vcpu),
		.sender = vcpu,
	};
	uint64_t mode = field_get(APIC_ICR_MODE, icr);

	if (mode == APIC_DELIVERY_INIT && (icr & APIC_ICR_LEVEL) == 0) {
		return; /* INIT de-assert sets arbitration ids only, on CPUs of old (SDM 3A 11.6.1) */
	}
	vcpu->stats->counts[BH_COUNT_IPI]++;
	bool is_self = field_get(APIC_ICR_SHORTHAND, icr) == APIC_TO_SELF;

	if (is_self && mode != APIC_DELIVERY_FIXED) {
		return; /* nothing else goes there (SDM 3A table 11-3) */
	}
	if (is_self && (icr & 0xff) >= 16) {
		vlapic_accept_self(vcpu, (uint8_t)icr);
	} else if (vlapic_deliver(vcpu->vm, &message) != BH_OK) {
		raise_error(vcpu, ESR_SEND_ILLEGAL_VECTOR);
	}
}

static out_of_line int msi_deliver_any(struct vm *vm, uint64_t address, uint32_t icr)
{
	struct apic_message message = { .icr = icr, .destination = MSI_DESTINATION(address) };

	if ((address & BIT(2)) != 0) {
		message.icr |= (uint32_t)APIC_ICR_LOGICAL;
		/* redirection hint (SDM 3A 11.11.1) */
		if ((address & BIT(3)) != 0 &&
		    field_get(APIC_ICR_MODE, icr) == APIC_DELIVERY_FIXED) {
			message.icr |= APIC_DELIVERY_LOWEST << 8;
		}
	}
	return vlapic_deliver(vm, &message);
}

int vm_msi_deliver(struct vm *vm, uint64_t address, uint32_t data)
{
	uint32_t icr = data & (uint32_t)(APIC_ICR_TRIGGER_LEVEL | APIC_ICR_MODE | 0xff);

	if ((address & ~0xfffffull) != APIC_BASE_RESET) {
		return BH_ERR_INVALID;
	}
	/* The usual one: a vector of one vCPU. */
	struct vcpu *vcpu = vm_vcpu(vm, MSI_DESTINATION(address));

	if (vcpu == NULL || (address & BIT(2)) != 0 || icr < 16 || icr > 0xff) {
		return msi_deliver_any(vm, address, icr);
	}
	__atomic_fetch_add(&vcpu->stats->counts[BH_COUNT_MESSAGE], 1, __ATOMIC_RELAXED);
	(void)vlapic_accept(vcpu, (uint8_t)icr, false);
	return BH_OK;
}

/* ---- registers ---- */

static void set_identity(struct vcpu *vcpu)
{
	uint32_t id = vcpu->idx;

	/* The logical x2APIC id follows from the other (SDM 3A 11.12.10.2). */
	*reg(vcpu, APIC_ID) = is_x2apic(vcpu) ? id : id << 24;
	*reg(vcpu, APIC_LDR) = is_x2apic(vcpu) ? (id >> 4) << 16 | 1u << (id & 0xf) : 0;
}

static void mask_lvts(struct vcpu *vcpu)
{
	for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10) {
		*reg(vcpu, lvt) |= (uint32_t)APIC_LVT_MASKED;
	}
}

static void reset_registers(struct vcpu *vcpu)
{
	memset(vcpu->lapic.regs, 0, PAGE_SIZE);
	*reg(vcpu, APIC_VERSION) = VLAPIC_VERSION;
	*reg(vcpu, APIC_DFR) = DFR_FLAT;
	*reg(vcpu, APIC_SVR) = 0xff;
	mask_lvts(vcpu);
	set_identity(vcpu);
	memset(vcpu->irr_remote, 0, sizeof(vcpu->irr_remote));
	vcpu->lapic.irr_words = 0;
	vcpu->lapic.isr_words = 0;
	memset(vcpu->lapic.eoi_level, 0, sizeof(vcpu->lapic.eoi_level));
	vcpu->lapic.is_stale = vcpu->lapic.is_tmr_new = true;
	vlapic_timer_set(vcpu, 0, 0);
	hvm_set(vcpu, HVM_CR8, 0);
	(void)hvm->offer_interrupt(vcpu, 0);
}

void vlapic_reset(struct vcpu *vcpu, bool is_init)
{
	if (!is_init) {
		vlapic_set_base(vcpu, APIC_BASE_ENABLE | (vcpu->idx == 0 ? APIC_BASE_BSP : 0));
	}
	reset_registers(vcpu);
}

void vlapic_restore(struct vcpu *vcpu, uint64_t guest_deadline_tsc)
{
	vcpu->lapic.irr_words = 0;
	vcpu->lapic.isr_words = 0;
	for (uint32_t i = 0; i < 8; i++) {
		vcpu->lapic.irr_words |= vlapic_reg(vcpu, APIC_IRR + i * 0x10) != 0 ? 1u << i : 0;
		vcpu->lapic.isr_words |= vlapic_reg(vcpu, APIC_ISR + i * 0x10) != 0 ? 1u << i : 0;
	}
	vcpu->lapic.is_stale = vcpu->lapic.is_tmr_new = true;
	vlapic_timer_restore(vcpu, guest_deadline_tsc);
}

void vlapic_set_base(struct vcpu *vcpu, uint64_t value)
{
	bool was_x2apic = is_x2apic(vcpu);

	value = APIC_BASE_RESET | (value & (APIC_BASE_ENABLE | APIC_BASE_X2APIC | APIC_BASE_BSP));
	__atomic_store_n(&vcpu->lapic.apic_base, value, __ATOMIC_RELEASE);
	vcpu->run->apic_base = value;
	if (!is_on(vcpu)) {
		reset_registers(vcpu);
	} else if (is_x2apic(vcpu) && !was_x2apic) {
		set_identity(vcpu);
		*reg(vcpu, APIC_ICR_HIGH) = 0;
	}
}

/* The VMM has made of the value what the register takes. Others than those are stored and no more: a wrong one harms this guest. */
void vlapic_write(struct vcpu *vcpu, uint32_t offset, uint32_t value)
{
	uint32_t old;

	switch (offset) {
	case APIC_TPR:
		*reg(vcpu, APIC_TPR) = value & 0xff;
		hvm_set(vcpu, HVM_CR8, (value >> 4) & 0xf);
		look_again(vcpu);
		break;
	case APIC_EOI:
		vlapic_eoi(vcpu);
		break;
	case APIC_ESR:
		*reg(vcpu, APIC_ESR) = vlapic_reg(vcpu, APIC_ESR + 4);
		*reg(vcpu, APIC_ESR + 4) = 0;
		break;
	case APIC_ICR:
		*reg(vcpu, APIC_ICR) = value & ~(uint32_t)APIC_ICR_PENDING;
		send(vcpu, value, vlapic_reg(vcpu, APIC_ICR_HIGH) >> (is_x2apic(vcpu) ? 0 : 24));
		break;
	case APIC_TIMER_INITIAL:
		vlapic_timer_write_initial(vcpu, value);
		break;
	case APIC_TIMER_DIVIDE:
		vlapic_timer_write_divide(vcpu, value);
		break;
	case APIC_SELF_IPI:
		send(vcpu, (uint32_t)field_set(APIC_ICR_SHORTHAND, APIC_TO_SELF) | (value & 0xff),
		     0);
		break;
	case APIC_SVR:
		*reg(vcpu, offset) = value;
		if ((value & APIC_SVR_ENABLE) == 0) {
			mask_lvts(vcpu);
		}
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
		break;
	case APIC_LVT_TIMER:
		old = vlapic_reg(vcpu, offset);
		*reg(vcpu, offset) = value;
		vlapic_timer_mode_changed(vcpu, old);
		break;
	case APIC_LVT_LINT0:
		*reg(vcpu, offset) = value;
		vcpu_request_self(vcpu, VCPU_REQUEST_EXTINT);
		break;
	default:
		*reg(vcpu, offset) = value;
		break;
	}
}
