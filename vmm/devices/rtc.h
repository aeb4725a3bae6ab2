// SPDX-License-Identifier: Apache-2.0
/*
 * The MC146818 real-time clock with 128 bytes of CMOS memory.
 *
 * Owns: ports 0x70-0x71; ISA IRQ 8. The time of day is the machine's wall clock plus what the guest
 * set; the host's clock is never changed. Must never: tick; flags are worked out when they are read
 * or when an interrupt is due. Manual: Motorola MC146818A data sheet; port 0x70 bit 7 masks NMI,
 * century at 0x32 (named in the FADT).
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define RTC_CMOS_BYTES 128
#define RTC_CENTURY    0x32

struct rtc {
	uint8_t cmos
		/* 1, 3, 5 alarm; 0xa-0xd control; 0xe.. memory; time bytes only while B.SET */
		[RTC_CMOS_BYTES];
	uint8_t index;
	bool is_nmi_masked;
	int64_t offset_s;          /* guest's time = wall time + this */
	uint64_t wall_seconds;     /* UNIX time at now_ns() == 0 */
	uint64_t flags_checked_ns; /* update, alarm and periodic flags are right up to here */
	uint64_t next_ns;          /* deadline */
	struct irq_line irq;
	const struct device_clock *clock;
};

/* Power-on values; the CMOS memory and the offset are kept, as a battery would. */
void rtc_reset(struct rtc *rtc);
int rtc_attach(struct rtc *rtc, struct bus *bus);

/*
 * Tells firmware and old kernels the size of memory where a PC's BIOS would (CMOS 0x15-0x18,
 * 0x30-0x35, 0x5b-0x5d).
 */
void rtc_set_memory(struct rtc *rtc, uint64_t low_bytes, uint64_t high_bytes);

uint64_t rtc_deadline(const struct rtc *rtc);
void rtc_run(struct rtc *rtc);
