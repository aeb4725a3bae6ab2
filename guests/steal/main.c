/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stolen time (Linux Documentation/virt/kvm/x86/msr.rst): the register is offered and checked, the record has its form and only grows. With
 * `wait` on the command line, for a pCPU that others use too: it waits until some has been stolen. With `p`, on one pCPU with a second vCPU: it
 * sees that one preempted, and never itself.
 */
#include "guests/lib/guest.h"

#define LEAF_KVM         0x40000001u
#define LEAF_FREQUENCIES 0x40000010u
#define KVM_STEAL_TIME   (1u << 5)
#define MSR_STEAL_TIME   0x4b564d03u
#define GP               13
#define ENOUGH_NS        20000000ull
#define PATIENCE_SECONDS 120ull

struct record {
	uint64_t steal_ns;
	uint32_t version;
	uint32_t flags;
	uint8_t preempted;
	uint8_t pad[47];
};

static volatile struct record record __attribute__((aligned(64)));
static volatile struct record other __attribute__((aligned(64)));
static volatile bool is_over;

static void write_reserved(void *bit)
{
	wrmsr(MSR_STEAL_TIME, (uint64_t)&record | 1 | 1ull << (uint64_t)bit);
}

/* The second vCPU, on the same pCPU: it spins, without an exit, until it has been told to end. */
void ap_main(uint32_t apic_id)
{
	(void)apic_id;
	wrmsr(MSR_STEAL_TIME, (uint64_t)&other | 1);
	while (!is_over) {
		__asm__ volatile("" : : : "memory");
	}
}

static uint64_t patience_end(void)
{
	uint32_t frequencies[4];

	cpuid(LEAF_FREQUENCIES, 0, frequencies);
	return rdtsc() + frequencies[0] * 1000ull * PATIENCE_SECONDS;
}

/* Who runs is not preempted; the other is, as soon as its time slice has ended. */
static void look_at_the_other(void)
{
	uint64_t end = patience_end();
	uint32_t own = 0;

	check(smp_start(1, 1000000000) == 1, "no second vCPU");
	while (other.preempted == 0 && rdtsc() < end) {
		own |= record.preempted;
	}
	check(other.preempted == 1, "the other one has never been preempted");
	check(own == 0 && record.preempted == 0, "preempted while it runs");
	is_over = true;
}

/* As Linux reads it. */
static uint64_t stolen_ns(void)
{
	uint32_t version;
	uint64_t ns;

	do {
		version = record.version;
		__asm__ volatile("" : : : "memory");
		ns = record.steal_ns;
		__asm__ volatile("" : : : "memory");
	} while ((version & 1) != 0 || version != record.version);
	return ns;
}

static bool has_word(const struct multiboot_info *info, char first)
{
	const char *text = (const char *)(uint64_t)info->cmdline;

	while ((info->flags & 4) != 0 && *text != '\0') {
		if (*text++ == first) {
			return true;
		}
	}
	return false;
}

static void wait_for_some(void)
{
	uint64_t last = 0, now, end = patience_end();

	do {
		now = stolen_ns();
		check(now >= last, "stolen time went from %lu to %lu", last, now);
		last = now;
	} while (now < ENOUGH_NS && rdtsc() < end);
	check(now >= ENOUGH_NS, "only %lu ns were stolen", now);
	print("stolen: %lu ms\n", now / 1000000);
}

void guest_main(const struct multiboot_info *info)
{
	uint32_t features[4];

	cpuid(LEAF_KVM, 0, features);
	check((features[0] & KVM_STEAL_TIME) != 0, "not offered: %x", features[0]);
	for (uint64_t bit = 1; bit < 6; bit++) {
		check(guest_catch(write_reserved, (void *)bit, NULL) == GP, "bit %lu is taken",
		      bit);
	}
	check(record.version == 0, "written while it was off");
	wrmsr(MSR_STEAL_TIME, (uint64_t)&record | 1);
	check(rdmsr(MSR_STEAL_TIME) == ((uint64_t)&record | 1), "reads %lx", rdmsr(MSR_STEAL_TIME));
	check(record.version != 0, "no record was written");
	check(record.flags == 0 && record.preempted == 0, "flags %x", record.flags);
	if (has_word(info, 'w')) {
		wait_for_some();
	}
	if (has_word(info, 'p')) {
		apic_enable();
		look_at_the_other();
	}
	wrmsr(MSR_STEAL_TIME, 0);
	guest_exit("steal");
}
