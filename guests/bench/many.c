/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One interrupt to each of several halted processors, and the last one's answer that wakes the sender: by a write of ICR for each
 * (`wake.many-ipi`), and by KVM's one hypercall for all (`wake.many-ipi.call`). In x2APIC mode only.
 */
#include "guests/bench/bench.h"

#define MANY_VECTOR        0x45u
#define ANSWER_VECTOR      0x46u
#define MSR_APIC_BASE      0x1bu
#define APIC_BASE_X2       (1u << 10)
#define MSR_X2APIC_EOI     0x80bu
#define MSR_X2APIC_ICR     0x830u
#define HYPERCALL_SEND_IPI 10u /* KVM's: RBX, RCX: bitmap of APIC ids from RDX on; RSI: ICR */

static uint32_t others_count;
static volatile uint32_t taken, answers;
static bool is_amd;

static void on_many(struct trap_frame *frame)
{
	(void)frame;
	if ((rdmsr(MSR_APIC_BASE) & APIC_BASE_X2) == 0) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	}
	wrmsr(MSR_X2APIC_EOI, 0);
	if (__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED) % others_count == 0) {
		wrmsr(MSR_X2APIC_ICR, ANSWER_VECTOR);
	}
}

static void on_answer(struct trap_frame *frame)
{
	(void)frame;
	answers++;
	wrmsr(MSR_X2APIC_EOI, 0);
}

static inline void wait_for_answer(uint32_t before)
{
	while (answers == before) {
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
}

static inline void send_each(void)
{
	uint32_t before = answers;

	for (uint64_t id = 1; id <= others_count; id++) {
		wrmsr(MSR_X2APIC_ICR, id << 32 | MANY_VECTOR);
	}
	wait_for_answer(before);
}

static inline void send_by_call(void)
{
	uint64_t rax = HYPERCALL_SEND_IPI, all = (1ull << others_count) - 1;
	uint32_t before = answers;

	if (is_amd) {
		__asm__ volatile("vmmcall"
		                 : "+a"(rax)
		                 : "b"(all), "c"(0ull), "d"(1ull), "S"((uint64_t)MANY_VECTOR)
		                 : "memory");
	} else {
		__asm__ volatile("vmcall"
		                 : "+a"(rax)
		                 : "b"(all), "c"(0ull), "d"(1ull), "S"((uint64_t)MANY_VECTOR)
		                 : "memory");
	}
	wait_for_answer(before);
}

BENCH_LOOP(run_send_each, send_each())
BENCH_LOOP(run_send_by_call, send_by_call())

const struct bench_figure bench_many[] = {
	{ "wake.many-ipi", run_send_each },
	{ "wake.many-ipi.call", run_send_by_call },
	{ NULL, NULL },
};

void bench_many_init(uint32_t others)
{
	uint32_t registers[4];

	cpuid(0, 0, registers);
	is_amd = registers[2] == 0x444d4163; /* "cAMD" */
	others_count = others;
	guest_irq[MANY_VECTOR] = on_many;
	guest_irq[ANSWER_VECTOR] = on_answer;
}
