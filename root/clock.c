/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock at the machine's start, from its CMOS clock, which is taken to run in UTC. MC146818A data sheet. */
#include "lib/time.h"
#include "root/root.h"

#define RTC_INDEX    0x70u
#define RTC_DATA     0x71u
#define RTC_SECONDS  0x00u
#define RTC_MINUTES  0x02u
#define RTC_HOURS    0x04u
#define RTC_HOURS_PM 0x80u
#define RTC_DAY      0x07u
#define RTC_MONTH    0x08u
#define RTC_YEAR     0x09u
#define RTC_STATUS_A 0x0au
#define RTC_UPDATING 0x80u
#define RTC_STATUS_B 0x0bu
#define RTC_24_HOURS 0x02u
#define RTC_BINARY   0x04u
#define RTC_TRIES    10000u /* an update takes 2 ms */

static uint32_t rtc_read(uint8_t reg)
{
	bh_port_write(BH_HANDLE_HOST, RTC_INDEX, 1, reg);
	return (uint32_t)bh_port_read(BH_HANDLE_HOST, RTC_DATA, 1) & 0xff;
}

/* A field of the time; `is_binary` is what status B says. */
static uint32_t rtc_read_number(uint8_t reg, bool is_binary)
{
	uint32_t value = rtc_read(reg);

	return is_binary ? value : (value >> 4) * 10 + (value & 15);
}

static uint64_t days_before(uint32_t year, uint32_t month, uint32_t day)
{
	static const uint16_t month_days[12] = { 0,   31,  59,  90,  120, 151,
		                                 181, 212, 243, 273, 304, 334 };
	uint32_t years = year - 1970;
	uint64_t days = years * 365ull + (years + 1) / 4 + month_days[month - 1] + day - 1;

	return days + (year % 4 == 0 && month > 2); /* right from 1970 to 2099 */
}

static uint64_t seconds_now(void)
{
	uint32_t status = rtc_read(RTC_STATUS_B);
	bool is_binary = (status & RTC_BINARY) != 0;
	uint32_t seconds = rtc_read_number(RTC_SECONDS, is_binary);
	uint32_t minutes = rtc_read_number(RTC_MINUTES, is_binary);
	uint32_t hours = rtc_read(RTC_HOURS);
	uint32_t day = rtc_read_number(RTC_DAY, is_binary);
	uint32_t month = rtc_read_number(RTC_MONTH, is_binary);
	uint32_t year = rtc_read_number(RTC_YEAR, is_binary);
	bool is_pm = (status & RTC_24_HOURS) == 0 && (hours & RTC_HOURS_PM) != 0;

	hours &= (status & RTC_24_HOURS) != 0 ? 0xffu : 0x7fu;
	hours = is_binary ? hours : (hours >> 4) * 10 + (hours & 15);
	if ((status & RTC_24_HOURS) == 0) {
		hours = hours % 12 + (is_pm ? 12 : 0);
	}
	if (month < 1 || month > 12 || day < 1 || day > 31 || hours > 23 || minutes > 59 ||
	    seconds > 60 || year > 99) {
		return 0;
	}
	return ((days_before(2000 + year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds;
}

uint64_t clock_wall_seconds(void)
{
	uint64_t now, since_boot;

	for (uint32_t i = 0; rtc_read(RTC_STATUS_A) & RTC_UPDATING; i++) {
		if (i == RTC_TRIES) {
			return 0;
		}
	}
	now = seconds_now();
	since_boot = bh_now_ns() / 1000000000u;
	return now > since_boot ? now - since_boot : 0;
}
