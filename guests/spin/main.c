/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processors that wait for each other in a loop with PAUSE, as for a spin lock, on one pCPU: each turn needs the other to run. A CPU
 * that tells of such loops (PAUSE-loop exiting, PAUSE filter) lets the hypervisor run the other at once; else a time slice passes first.
 * Prints how many ticks a turn took; the verdict does not depend on it.
 */
#include "guests/lib/guest.h"

#define TURNS 32u
#define WAIT  400000000ull

static volatile uint32_t turn; /* even: the first one's, odd: the second one's */

static void wait_for_parity(uint32_t parity)
{
	while (turn < TURNS && turn % 2 != parity) {
		__asm__ volatile("pause");
	}
}

static void take_turns(uint32_t parity)
{
	while (turn < TURNS) {
		wait_for_parity(parity);
		if (turn < TURNS) {
			turn++;
		}
	}
}

void ap_main(uint32_t apic_id)
{
	(void)apic_id;
	__asm__ volatile("sti");
	take_turns(1);
}

void guest_main(const struct multiboot_info *info)
{
	(void)info;
	apic_enable();
	__asm__ volatile("sti");
	check(smp_start(1, WAIT) == 1, "the other processor did not come up");
	uint64_t start = rdtsc();

	take_turns(0);
	print("ticks a turn: %lu\n", (rdtsc() - start) / TURNS);
	check(turn == TURNS, "%u turns", turn);
	guest_exit("spin");
}
