/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypercall that interrupts many at once (KVM's number 10, Linux Documentation/virt/kvm/x86/hypercalls.rst), for four vCPUs: it is
 * offered, each that the map names gets one interrupt and no other does, ids that nobody has are not counted, and refusals are KVM's.
 */
#include "guests/lib/guest.h"

#define OTHERS             3u
#define VECTOR             0x40u
#define WAIT               400000000ull
#define NMI                0x400u
#define INIT               0x500u
#define CPUID_PARAVIRTUAL  0x40000000u
#define FEATURE_PV_IPI     0x800u
#define HYPERCALL_SEND_IPI 10u
#define EINVAL             22

static volatile uint32_t received[OTHERS + 1];
static volatile uint32_t nmi_count;
static bool is_amd;

static void on_interrupt(struct trap_frame *frame)
{
	(void)frame;
	received[(apic_read(APIC_ID) >> 24) & OTHERS]++;
	apic_write(APIC_EOI, 0);
}

static void on_nmi(struct trap_frame *frame)
{
	(void)frame;
	__atomic_fetch_add(&nmi_count, 1, __ATOMIC_RELAXED);
}

void ap_main(uint32_t apic_id)
{
	(void)apic_id;
	for (;;) {
		__asm__ volatile("sti; hlt; cli");
	}
}

static uint64_t send_by_call(uint64_t low, uint64_t high, uint64_t first, uint64_t icr)
{
	uint64_t rax = HYPERCALL_SEND_IPI;

	if (is_amd) {
		__asm__ volatile("vmmcall"
		                 : "+a"(rax)
		                 : "b"(low), "c"(high), "d"(first), "S"(icr)
		                 : "memory");
	} else {
		__asm__ volatile("vmcall"
		                 : "+a"(rax)
		                 : "b"(low), "c"(high), "d"(first), "S"(icr)
		                 : "memory");
	}
	return rax;
}

static bool wait_for(const volatile uint32_t *counter, uint32_t value)
{
	for (uint64_t i = 0; i < WAIT && *counter < value; i++) {
		__asm__ volatile("pause");
	}
	return *counter >= value;
}

/* Vectors to all, then to the last one alone: who was named has one more, the others have not. */
static void send_vectors(void)
{
	uint64_t sent = send_by_call(7ull | 1ull << 63, 1, 1, VECTOR);

	check(sent == OTHERS, "one call sent %lu interrupts", sent);
	for (uint32_t id = 1; id <= OTHERS; id++) {
		check(wait_for(&received[id], 1), "vCPU %u did not get it", id);
	}
	sent = send_by_call(1, 0, OTHERS, VECTOR);
	check(sent == 1 && wait_for(&received[OTHERS], 2), "the last one did not get it");
	for (uint32_t id = 0; id <= OTHERS; id++) {
		uint32_t expected = id == OTHERS ? 2 : id == 0 ? 0 : 1;

		check(received[id] == expected, "vCPU %u got %u", id, received[id]);
	}
}

static void send_others(void)
{
	check(send_by_call(2, 0, 1, NMI) == 1 && wait_for(&nmi_count, 1), "no NMI");
	check(send_by_call(7, 0, 1, 15) == (uint64_t)-EINVAL, "vector 15 is taken");
	check(send_by_call(7, 0, 1, INIT) == (uint64_t)-EINVAL, "INIT is taken");
	check(send_by_call(~0ull, ~0ull, OTHERS + 1, VECTOR) == 0, "somebody is there");
}

void guest_main(const struct multiboot_info *info)
{
	uint32_t registers[4];

	(void)info;
	cpuid(0, 0, registers);
	is_amd = registers[2] == 0x444d4163; /* "cAMD" */
	cpuid(CPUID_PARAVIRTUAL + 1, 0, registers);
	check((registers[0] & FEATURE_PV_IPI) != 0, "the call is not offered");
	guest_irq[VECTOR] = on_interrupt;
	guest_irq[2] = on_nmi;
	apic_enable();
	uint32_t started = smp_start(OTHERS, WAIT);

	check(started == OTHERS, "%u of %u other processors came up", started, OTHERS);
	send_vectors();
	send_others();
	guest_exit("ipi");
}
