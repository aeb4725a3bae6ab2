// SPDX-License-Identifier: Apache-2.0
/*
 * MC146818: time of day from the clock, alarm, update and periodic interrupts.
 *
 * Must never: trust a time that the guest wrote; fields out of range are carried, never used as an
 * index.
 */
#include "vmm/devices/rtc.h"

#include <stddef.h>
#include <string.h>

#define REG_SECONDS       0x0u
#define REG_SECONDS_ALARM 0x1u
#define REG_MINUTES       0x2u
#define REG_MINUTES_ALARM 0x3u
#define REG_HOURS         0x4u
#define REG_HOURS_ALARM   0x5u
#define REG_WEEKDAY       0x6u
#define REG_DAY           0x7u
#define REG_MONTH         0x8u
#define REG_YEAR          0x9u
#define REG_A             0xau
#define REG_B             0xbu
#define REG_C             0xcu
#define REG_D             0xdu

#define A_UPDATING        0x80u
#define A_RATE            0x0fu
#define A_DEFAULT         0x26u /* 32768 Hz base, 1024 Hz rate */
#define B_SET             0x80u
#define B_PERIODIC        0x40u
#define B_ALARM           0x20u
#define B_UPDATE          0x10u
#define B_BINARY          0x04u
#define B_24_HOURS        0x02u
#define C_IRQ             0x80u
#define C_PERIODIC        0x40u
#define C_ALARM           0x20u
#define C_UPDATE          0x10u
#define D_VALID           0x80u
#define HOURS_PM          0x80u
#define ALARM_ANY         0xc0u
#define UPDATE_NS         244000u /* UIP is set this long before the second changes */
#define DAY_S             86400
#define CRYSTAL_HZ        32768u

struct civil {
	int64_t year;
	uint32_t month, day, hours, minutes, seconds, weekday;
};

/*
 * Days since 1970-01-01 of a date in the proleptic Gregorian calendar, by counting from 1 March of
 * year 0.
 */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
	int64_t shifted = month > 2 ? year : year - 1;
	int64_t month_idx = (month + 9) % 12;
	int64_t leaps = shifted / 4 - shifted / 100 + shifted / 400;

	return shifted * 365 + leaps + (month_idx * 306 + 5) / 10 + day - 1 - 719468;
}

static struct civil civil_from_seconds(int64_t seconds)
{
	struct civil civil;
	int64_t days;
	int64_t rest;

	if (seconds < 0) {
		seconds = 0;
	}
	days = seconds / DAY_S;
	rest = seconds % DAY_S;
	civil.hours = (uint32_t)(rest / 3600);
	civil.minutes = (uint32_t)(rest / 60 % 60);
	civil.seconds = (uint32_t)(rest % 60);
	civil.weekday = (uint32_t)((days + 4) % 7 + 1); /* 1970-01-01 was a Thursday; Sunday is 1 */
	civil.year = 1970 + days / 366;
	while (days_from_civil(civil.year + 1, 1, 1) <= days) {
		civil.year++;
	}
	civil.month = 1;
	while (civil.month < 12 && days_from_civil(civil.year, civil.month + 1, 1) <= days) {
		civil.month++;
	}
	civil.day = (uint32_t)(days - days_from_civil(civil.year, civil.month, 1)) + 1;
	return civil;
}

static uint8_t encode(const struct rtc *rtc, uint32_t value)
{
	return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static uint32_t decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15u);
}

static uint8_t encode_hours(const struct rtc *rtc, uint32_t hours)
{
	uint8_t value;

	if (rtc->cmos[REG_B] & B_24_HOURS) {
		return encode(rtc, hours);
	}
	value = encode(rtc, hours % 12 == 0 ? 12 : hours % 12);
	return (uint8_t)(value | (hours >= 12 ? HOURS_PM : 0u));
}

static uint32_t decode_hours(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24_HOURS) {
		return decode(rtc, value);
	}
	return decode(rtc, value & 0x7fu) % 12 + (value & HOURS_PM ? 12u : 0u);
}

static int64_t guest_seconds_at(const struct rtc *rtc, uint64_t now_ns)
{
	return (int64_t)(rtc->wall_seconds + now_ns / DEVICE_NS_PER_S) + rtc->offset_s;
}

static void time_to_cmos(struct rtc *rtc, int64_t seconds)
{
	struct civil civil = civil_from_seconds(seconds);

	rtc->cmos[REG_SECONDS] = encode(rtc, civil.seconds);
	rtc->cmos[REG_MINUTES] = encode(rtc, civil.minutes);
	rtc->cmos[REG_HOURS] = encode_hours(rtc, civil.hours);
	rtc->cmos[REG_WEEKDAY] = encode(rtc, civil.weekday);
	rtc->cmos[REG_DAY] = encode(rtc, civil.day);
	rtc->cmos[REG_MONTH] = encode(rtc, civil.month);
	rtc->cmos[REG_YEAR] = encode(rtc, (uint32_t)(civil.year % 100));
	rtc->cmos[RTC_CENTURY] = encode(rtc, (uint32_t)(civil.year / 100 % 100));
}

/* Fields are taken as numbers and carried, so that 31 February is a day in March. */
static int64_t time_from_cmos(const struct rtc *rtc)
{
	int64_t year = (int64_t)decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
	               decode(rtc, rtc->cmos[REG_YEAR]);
	int64_t month = decode(rtc, rtc->cmos[REG_MONTH]);
	int64_t days;

	month = month < 1 || month > 12 ? 1 : month;
	days = days_from_civil(year, month, decode(rtc, rtc->cmos[REG_DAY]));
	return days * DAY_S + (int64_t)decode_hours(rtc, rtc->cmos[REG_HOURS]) * 3600 +
	       (int64_t)decode(rtc, rtc->cmos[REG_MINUTES]) * 60 +
	       decode(rtc, rtc->cmos[REG_SECONDS]);
}

static bool field_matches(const struct rtc *rtc, uint32_t reg, uint32_t value)
{
	uint8_t wanted = rtc->cmos[reg];

	if ((wanted & ALARM_ANY) == ALARM_ANY) {
		return true;
	}
	return (reg == REG_HOURS_ALARM ? decode_hours(rtc, wanted) : decode(rtc, wanted)) == value;
}

static bool alarm_matches(const struct rtc *rtc, int64_t seconds)
{
	uint32_t of_day = (uint32_t)(seconds < 0 ? 0 : seconds % DAY_S);

	return field_matches(rtc, REG_SECONDS_ALARM, of_day % 60) &&
	       field_matches(rtc, REG_MINUTES_ALARM, of_day / 60 % 60) &&
	       field_matches(rtc, REG_HOURS_ALARM, of_day / 3600);
}

/*
 * The first second in (from, to] at which the alarm matches, or -1. Steps by hours and minutes
 * where it can.
 */
static int64_t alarm_find(const struct rtc *rtc, int64_t from, int64_t to)
{
	int64_t at = from + 1;

	if (to > from + DAY_S) {
		to = from + DAY_S; /* it repeats every day */
	}
	while (at <= to) {
		if (at >= 0 &&
		    !field_matches(rtc, REG_HOURS_ALARM, (uint32_t)(at % DAY_S / 3600))) {
			at += 3600 - at % 3600;
		} else if (at >= 0 &&
		           !field_matches(rtc, REG_MINUTES_ALARM, (uint32_t)(at / 60 % 60))) {
			at += 60 - at % 60;
		} else if (alarm_matches(rtc, at)) {
			return at;
		} else {
			at++;
		}
	}
	return -1;
}

/* Ticks of the 32768 Hz crystal in one periodic interval; 0 = off (MC146818A, table 5). */
static uint32_t periodic_ticks(const struct rtc *rtc)
{
	uint32_t rate = rtc->cmos[REG_A] & A_RATE;

	if (rate == 0) {
		return 0;
	}
	return rate <= 2 ? 1u << (rate + 6) : 1u << (rate - 1);
}

static void irq_update(struct rtc *rtc)
{
	uint8_t enabled = rtc->cmos[REG_B] & (B_PERIODIC | B_ALARM | B_UPDATE);

	if (rtc->cmos[REG_C] & enabled) {
		rtc->cmos[REG_C] |= C_IRQ;
		irq_line_set(&rtc->irq, true);
	} else {
		rtc->cmos[REG_C] &= (uint8_t)~C_IRQ;
		irq_line_set(&rtc->irq, false);
	}
}

/* Brings the flags of register C up to now. */
static void flags_update(struct rtc *rtc, uint64_t now_ns)
{
	int64_t last = guest_seconds_at(rtc, rtc->flags_checked_ns);
	int64_t now = guest_seconds_at(rtc, now_ns);
	uint32_t ticks = periodic_ticks(rtc);

	if (now > last && !(rtc->cmos[REG_B] & B_SET)) {
		rtc->cmos[REG_C] |= C_UPDATE;
		if (!(rtc->cmos[REG_C] & C_ALARM) && alarm_find(rtc, last, now) >= 0) {
			rtc->cmos[REG_C] |= C_ALARM;
		}
	}
	if (ticks && device_ns_to_ticks(now_ns, CRYSTAL_HZ) / ticks !=
	                     device_ns_to_ticks(rtc->flags_checked_ns, CRYSTAL_HZ) / ticks) {
		rtc->cmos[REG_C] |= C_PERIODIC;
	}
	rtc->flags_checked_ns = now_ns;
}

/* The next moment at which an enabled flag that is still clear will be set. */
static void reschedule(struct rtc *rtc, uint64_t now_ns)
{
	uint8_t wanted = rtc->cmos[REG_B] & (uint8_t)~rtc->cmos[REG_C];
	uint32_t ticks = periodic_ticks(rtc);
	uint64_t next = DEVICE_NEVER;
	uint64_t at;
	int64_t now = guest_seconds_at(rtc, now_ns);
	int64_t alarm;

	if ((wanted & B_UPDATE) && !(rtc->cmos[REG_B] & B_SET)) {
		next = (now_ns / DEVICE_NS_PER_S + 1) * DEVICE_NS_PER_S;
	}
	if ((wanted & B_ALARM) && !(rtc->cmos[REG_B] & B_SET)) {
		alarm = alarm_find(rtc, now, now + DAY_S);
		if (alarm > now) {
			at = (now_ns / DEVICE_NS_PER_S + (uint64_t)(alarm - now)) * DEVICE_NS_PER_S;
			next = at < next ? at : next;
		}
	}
	if ((wanted & B_PERIODIC) && ticks) {
		at = device_ns_to_ticks(now_ns, CRYSTAL_HZ) / ticks + 1;
		at = device_ticks_to_ns(at * ticks, CRYSTAL_HZ);
		next = at < next ? at : next;
	}
	if (next != rtc->next_ns) {
		rtc->next_ns = next;
		device_clock_moved(rtc->clock);
	}
}

static bool register_is_time(uint32_t reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
	       (reg >= REG_WEEKDAY && reg <= REG_YEAR) || reg == RTC_CENTURY;
}

static uint8_t register_read(struct rtc *rtc, uint32_t reg, uint64_t now_ns)
{
	bool is_set = (rtc->cmos[REG_B] & B_SET) != 0;
	uint8_t value;

	if (register_is_time(reg) && !is_set) {
		time_to_cmos(rtc, guest_seconds_at(rtc, now_ns));
	}
	value = rtc->cmos[reg];
	if (reg == REG_A && !is_set && now_ns % DEVICE_NS_PER_S >= DEVICE_NS_PER_S - UPDATE_NS) {
		value |= A_UPDATING;
	} else if (reg == REG_C) {
		flags_update(rtc, now_ns);
		value = rtc->cmos[REG_C];
		rtc->cmos[REG_C] = 0; /* reading clears the flags and the line */
		irq_update(rtc);
		reschedule(rtc, now_ns);
	}
	return value;
}

static void set_time_from_cmos(struct rtc *rtc, uint64_t now_ns)
{
	rtc->offset_s += time_from_cmos(rtc) - guest_seconds_at(rtc, now_ns);
}

static void write_b(struct rtc *rtc, uint8_t value, uint64_t now_ns)
{
	bool was_set = (rtc->cmos[REG_B] & B_SET) != 0;
	bool is_set = (value & B_SET) != 0;

	if (is_set && !was_set) {
		time_to_cmos(rtc, guest_seconds_at(rtc, now_ns)); /* freeze */
	}
	rtc->cmos[REG_B] = is_set ? value & (uint8_t)~B_UPDATE : value;
	if (!is_set && was_set) {
		set_time_from_cmos(rtc, now_ns);
	}
}

static void register_write(struct rtc *rtc, uint32_t reg, uint8_t value, uint64_t now_ns)
{
	flags_update(rtc, now_ns);
	if (reg == REG_A) {
		rtc->cmos[REG_A] = value & (uint8_t)~A_UPDATING;
	} else if (reg == REG_B) {
		write_b(rtc, value, now_ns);
	} else if (reg == REG_C || reg == REG_D) {
		return;
	} else if (register_is_time(reg) && !(rtc->cmos[REG_B] & B_SET)) {
		time_to_cmos(rtc, guest_seconds_at(rtc, now_ns));
		rtc->cmos[reg] = value;
		set_time_from_cmos(rtc, now_ns);
	} else {
		rtc->cmos[reg] = value;
	}
	irq_update(rtc);
	reschedule(rtc, now_ns);
}

static uint64_t rtc_read(void *device, uint64_t offset, uint32_t width)
{
	struct rtc *rtc = device;

	(void)width;
	if (offset == 0) {
		return 0xff; /* the index is write-only */
	}
	return register_read(rtc, rtc->index, device_clock_now(rtc->clock));
}

static void rtc_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct rtc *rtc = device;

	(void)width;
	if (offset == 0) {
		rtc->index = value & 0x7fu;
		rtc->is_nmi_masked = (value & 0x80u) != 0;
		return;
	}
	register_write(rtc, rtc->index, (uint8_t)value, device_clock_now(rtc->clock));
}

uint64_t rtc_deadline(const struct rtc *rtc)
{
	return rtc->next_ns;
}

void rtc_run(struct rtc *rtc)
{
	uint64_t now_ns = device_clock_now(rtc->clock);

	if (now_ns < rtc->next_ns) {
		return;
	}
	flags_update(rtc, now_ns);
	irq_update(rtc);
	reschedule(rtc, now_ns);
}

static void store16(struct rtc *rtc, uint32_t reg, uint64_t value)
{
	uint64_t limited = value > 0xffff ? 0xffff : value;

	rtc->cmos[reg] = (uint8_t)limited;
	rtc->cmos[reg + 1] = (uint8_t)(limited >> 8);
}

void rtc_set_memory(struct rtc *rtc, uint64_t low_bytes, uint64_t high_bytes)
{
	uint64_t extended_kib = low_bytes > 0x100000 ? (low_bytes - 0x100000) / 1024 : 0;
	uint64_t above16_64k = low_bytes > 0x1000000 ? (low_bytes - 0x1000000) / 65536 : 0;
	uint64_t high_64k = high_bytes / 65536;

	store16(rtc, 0x15, 640);
	store16(rtc, 0x17, extended_kib);
	store16(rtc, 0x30, extended_kib);
	store16(rtc, 0x34, above16_64k);
	rtc->cmos[0x5b] = (uint8_t)high_64k;
	rtc->cmos[0x5c] = (uint8_t)(high_64k >> 8);
	rtc->cmos[0x5d] = (uint8_t)(high_64k >> 16);
}

void rtc_reset(struct rtc *rtc)
{
	rtc->cmos[REG_A] = A_DEFAULT;
	rtc->cmos[REG_B] = B_24_HOURS;
	rtc->cmos[REG_C] = 0;
	rtc->cmos[REG_D] = D_VALID;
	rtc->index = 0;
	rtc->is_nmi_masked = false;
	rtc->flags_checked_ns = device_clock_now(rtc->clock);
	rtc->next_ns = DEVICE_NEVER;
	irq_line_set(&rtc->irq, false);
	device_clock_moved(rtc->clock);
}

int rtc_attach(struct rtc *rtc, struct bus *bus)
{
	const struct bus_range range = { 0x70, 2, rtc_read, rtc_write, rtc, BUS_WIDTH_1 };

	return bus_port_add(bus, &range);
}
