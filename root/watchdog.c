/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog over mgmt: every LOOK_NS root wakes it and expects that its beat has gone on by the next look. Looks are counted, not
 * time: a machine that stood still, or root's own long work, is no fault of mgmt. A mgmt that has not beaten yet is still starting, and
 * drivers may wait for their devices then.
 */
#include "lib/time.h"
#include "root/root.h"

#define LOOK_NS      2000000000ull
#define MISSES_MAX   3u  /* looks without a beat in between */
#define MISSES_START 30u /* before the first beat */

static uint64_t look_at_ns;
static uint64_t restart_at_ns = BH_FOREVER;
static uint32_t last_beat;
static uint32_t misses_count;

void watchdog_begin(void)
{
	__atomic_store_n(&root_channel->beat, 0, __ATOMIC_RELEASE);
	last_beat = 0;
	misses_count = 0;
	restart_at_ns = BH_FOREVER;
	look_at_ns = bh_now_ns() + LOOK_NS;
}

void watchdog_restart_after(uint64_t delay_ns)
{
	uint64_t now = bh_now_ns();

	restart_at_ns = delay_ns < BH_FOREVER - now ? now + delay_ns : BH_FOREVER;
}

uint64_t watchdog_deadline_tsc(void)
{
	return bh_deadline_tsc(restart_at_ns < look_at_ns ? restart_at_ns : look_at_ns);
}

static void beat_look(void)
{
	uint32_t beat = __atomic_load_n(&root_channel->beat, __ATOMIC_ACQUIRE);

	misses_count = beat != last_beat ? 0 : misses_count + 1;
	last_beat = beat;
	if (misses_count > (beat == 0 ? MISSES_START : MISSES_MAX)) {
		mgmt_restart(MGMT_HUNG);
		return;
	}
	mgmt_wake();
}

void watchdog_look(void)
{
	uint64_t now = bh_now_ns();

	if (now >= restart_at_ns) {
		mgmt_restart(MGMT_ASKED);
	} else if (now >= look_at_ns) {
		look_at_ns = now + LOOK_NS;
		beat_look();
	}
}
