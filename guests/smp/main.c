/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processors: start by INIT and SIPI through real mode, fixed interrupts to one, to self, to all, NMI, a counter that all
 * raise together, and the hypercall that ends another's HLT. The number of vCPUs is the number on the command line after `vcpus=` (2 if none).
 */
#include "guests/lib/guest.h"

#define ROUNDS     200u
#define VECTOR     0x40u
#define WAIT       400000000ull
#define NMI_ROUNDS 4u
#define NMI_PAUSES 20000u /* time for one too many */

/* KVM's paravirtual interface, which Linux spin locks use (Documentation/virt/kvm/x86 of Linux: cpuid.rst, hypercalls.rst). */
#define CPUID_PARAVIRTUAL  0x40000000u
#define FEATURE_PV_UNHALT  0x80u
#define HYPERCALL_KICK_CPU 5u

enum kick_phase {
	KICK_NOT_YET,
	KICK_RUNNING, /* vCPU 1 runs with interrupts off */
	KICK_SENT,    /* it has been kicked, and is to halt now */
	KICK_WOKEN
};

static volatile uint32_t received[64];
static volatile uint32_t nmi_count;
static volatile uint64_t shared;
static volatile uint32_t kick_phase;
static volatile bool is_over;
static uint32_t vcpus_count = 2;

static uint32_t own_id(void)
{
	return apic_read(APIC_ID) >> 24;
}

static void on_interrupt(struct trap_frame *frame)
{
	(void)frame;
	received[own_id() & 63]++;
	apic_write(APIC_EOI, 0);
}

static void on_nmi(struct trap_frame *frame)
{
	(void)frame;
	__atomic_fetch_add(&nmi_count, 1, __ATOMIC_RELAXED);
}

/* A waiter has looked at the lock, is kicked now, and halts only then: the kick must not be lost. */
static void kick_take(void)
{
	while (kick_phase != KICK_SENT) {
		__asm__ volatile("pause");
	}
	__asm__ volatile("hlt"); /* IF is 0 */
	kick_phase = KICK_WOKEN;
}

void ap_main(uint32_t apic_id)
{
	(void)apic_id;
	for (uint32_t i = 0; i < 10000; i++) {
		__atomic_fetch_add(&shared, 1, __ATOMIC_RELAXED);
	}
	while (!is_over) {
		if (own_id() == 1 && (kick_phase == KICK_RUNNING || kick_phase == KICK_SENT)) {
			kick_take();
		}
		__asm__ volatile("sti; hlt; cli");
	}
	__asm__ volatile("sti");
}

static void command_line_read(const struct multiboot_info *info)
{
	const char *text = (info->flags & 4) != 0 ? (const char *)(uint64_t)info->cmdline : "";

	for (; *text != '\0'; text++) {
		if (text[0] == 'v' && text[1] == 'c' && text[2] == 'p' && text[3] == 'u' &&
		    text[4] == 's') {
			vcpus_count = 0;
			for (text += 6; *text >= '0' && *text <= '9'; text++) {
				vcpus_count = vcpus_count * 10 + (uint32_t)(*text - '0');
			}
			return;
		}
	}
}

static bool wait_for(volatile uint32_t *counter, uint32_t value)
{
	for (uint64_t i = 0; i < WAIT && *counter < value; i++) {
		__asm__ volatile("pause");
	}
	return *counter >= value;
}

static void send_to_each(void)
{
	for (uint32_t id = 1; id < vcpus_count; id++) {
		for (uint32_t i = 1; i <= ROUNDS; i++) {
			apic_send(id, 0x4000 | VECTOR);
			if (!wait_for(&received[id], i)) {
				check(false, "vCPU %u got %u of %u interrupts", id, received[id],
				      i);
				return;
			}
		}
		check(received[id] == ROUNDS, "vCPU %u got %u interrupts, %u were sent", id,
		      received[id], ROUNDS);
	}
}

static void kick_cpu(uint32_t apic_id)
{
	uint32_t registers[4];
	uint64_t rax = HYPERCALL_KICK_CPU;

	cpuid(0, 0, registers);
	if (registers[2] == 0x444d4163) { /* "cAMD" */
		__asm__ volatile("vmmcall"
		                 : "+a"(rax)
		                 : "b"(0ull), "c"((uint64_t)apic_id)
		                 : "memory");
	} else {
		__asm__ volatile("vmcall"
		                 : "+a"(rax)
		                 : "b"(0ull), "c"((uint64_t)apic_id)
		                 : "memory");
	}
}

static void kick_running(void)
{
	uint32_t registers[4];

	cpuid(CPUID_PARAVIRTUAL, 0, registers);
	if (vcpus_count < 2 || registers[1] != 0x4b4d564b) { /* "KVMK" */
		return;
	}
	cpuid(CPUID_PARAVIRTUAL + 1, 0, registers);
	if ((registers[0] & FEATURE_PV_UNHALT) == 0) {
		return;
	}
	kick_phase = KICK_RUNNING;
	apic_send(1, 0x4000 | VECTOR); /* out of its HLT */
	check(wait_for(&received[1], ROUNDS + 1), "vCPU 1 does not answer");
	kick_cpu(1);
	kick_phase = KICK_SENT;
	check(wait_for(&kick_phase, KICK_WOKEN), "a kick before HLT was lost");
}

/* To all others, which halt now. Each must come once: what else wakes a processor does not repeat it. */
static void send_nmis(void)
{
	for (uint32_t round = 1; round <= NMI_ROUNDS; round++) {
		uint32_t sent = round * (vcpus_count - 1);

		apic_send(0, 0xc4400);
		check(wait_for(&nmi_count, sent), "%u of %u NMIs", nmi_count, sent);
		for (uint32_t i = 0; i < NMI_PAUSES && nmi_count == sent; i++) {
			__asm__ volatile("pause");
		}
		check(nmi_count == sent, "%u NMIs, %u were sent", nmi_count, sent);
	}
}

void guest_main(const struct multiboot_info *info)
{
	command_line_read(info);
	guest_irq[VECTOR] = on_interrupt;
	guest_irq[2] = on_nmi;
	apic_enable();
	uint32_t started = smp_start(vcpus_count - 1, WAIT);

	check(started == vcpus_count - 1, "%u of %u other processors came up", started,
	      vcpus_count - 1);
	for (uint64_t i = 0; i < WAIT && shared < started * 10000ull; i++) {
		__asm__ volatile("pause");
	}
	check(shared == started * 10000ull, "shared counter is %lu", shared);
	send_to_each();
	kick_running();
	__asm__ volatile("sti");
	apic_send(0, 0x44000 | VECTOR); /* self */
	check(wait_for(&received[0], 1), "no interrupt to self");
	for (uint32_t id = 1; id < vcpus_count; id++) {
		received[id] = 0;
	}
	is_over = true;
	apic_send(0, 0x84000 | VECTOR); /* all, self included */
	for (uint32_t id = 1; id < vcpus_count; id++) {
		check(wait_for(&received[id], 1), "vCPU %u did not get the broadcast", id);
	}
	check(wait_for(&received[0], 2), "the broadcast did not come back");
	send_nmis();
	guest_exit("smp");
}
