/* SPDX-License-Identifier: Apache-2.0 */
/* See vcpu_fakes.h. */
#include "tests/unit/vcpu_fakes.h"

#include "arch/x86/feature.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/trace.h"
#include "kernel/vlapic.h"

struct vm *fake_vm;
struct fake_vcpu fake_vcpus[FAKE_VCPUS];
struct timer *fake_armed;

uint64_t arch_tsc_hz = 1000000000;
uint64_t arch_xcr0_supported = 7;
uint64_t feature_bits;

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	abort();
}

uint32_t trace_kinds;

void trace_write(uint64_t tsc, enum bh_trace_kind kind, uint32_t who, uint64_t argument)
{
	(void)tsc;
	(void)kind;
	(void)who;
	(void)argument;
}

void log_print_limited(const char *format, ...)
{
	(void)format;
}

int arch_user_exchange(hva_t at, uint8_t value)
{
	uint8_t *byte = (uint8_t *)at.raw;
	uint8_t old;

	if (at.raw == FAKE_BAD_ADDRESS) {
		return BH_ERR_ADDRESS;
	}
	old = *byte;
	*byte = value;
	return old;
}

void timer_arm(struct timer *timer, uint64_t deadline_tsc)
{
	timer->deadline_tsc = deadline_tsc;
	fake_armed = timer;
}

void timer_cancel(struct timer *timer)
{
	fake_armed = fake_armed == timer ? NULL : fake_armed;
}

static struct fake_vcpu *of(struct vcpu *vcpu)
{
	return container_of(vcpu, struct fake_vcpu, vcpu);
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	if (of(vcpu)->requests_count++ == 0) {
		of(vcpu)->remote_at_first = vcpu->irr_remote_words;
	}
	vcpu->requests |= bits;
}

static uint64_t get(struct vcpu *vcpu, enum hvm_register reg)
{
	return of(vcpu)->registers[reg];
}

static void set(struct vcpu *vcpu, enum hvm_register reg, uint64_t value)
{
	of(vcpu)->registers[reg] = value;
}

static bool offer_interrupt(struct vcpu *vcpu, uint32_t vector)
{
	of(vcpu)->offered = vector;
	return vector != 0;
}

static const struct hvm_ops ops = {
	.get = get,
	.set = set,
	.offer_interrupt = offer_interrupt,
};
const struct hvm_ops *hvm = &ops;

int fake_setup(void **state)
{
	(void)state;
	memset(fake_vcpus, 0, sizeof(fake_vcpus));
	fake_vm = calloc(1, sizeof(*fake_vm));
	fake_vm->vcpus_max = FAKE_VCPUS;
	fake_armed = NULL;
	doorbell_clear(fake_vm);
	cpuid_clear(fake_vm);
	for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
		struct vcpu *vcpu = fake(i);

		vcpu->vm = fake_vm;
		vcpu->idx = i;
		vcpu->stats = &fake_vcpus[i].stats;
		vcpu->run = &fake_vcpus[i].run;
		vcpu->lapic.regs = fake_vcpus[i].regs;
		vcpu->cpu = (struct cpu *)(uintptr_t)0x10000; /* bound; never dereferenced */
		vlapic_timer_init(vcpu);
		vlapic_reset(vcpu, false);
		vlapic_write(vcpu, APIC_SVR, 0x1ff);
		vcpu->requests = 0;
		fake_vm->vcpus[i] = vcpu;
	}
	return 0;
}

int fake_teardown(void **state)
{
	(void)state;
	free(fake_vm);
	return 0;
}

uint32_t fake_take_irr(uint32_t idx, uint32_t *vector)
{
	uint32_t count = 0;

	for (uint32_t found = vlapic_update(fake(idx)); found != 0;
	     found = vlapic_update(fake(idx))) {
		if (count++ == 0 && vector != NULL) {
			*vector = found;
		}
		vlapic_take(fake(idx), found);
	}
	while (vlapic_in_service(fake(idx)) != 0) {
		vlapic_eoi(fake(idx));
	}
	return count;
}
