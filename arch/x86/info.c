/* SPDX-License-Identifier: Apache-2.0 */
/* What the architecture knows of the machine, for the records that domains read (include/bulkhead/abi.h); the wall clock at start. */
#include "arch/x86/acpi.h"
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/start.h"

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
#define RTC_TRIES    1000000u

struct rtc_time {
	uint32_t seconds, minutes, hours, day, month, year;
};

static uint8_t rtc_read(uint8_t reg)
{
	port_write8(RTC_INDEX, reg);
	return port_read8(RTC_DATA);
}

static struct rtc_time rtc_read_all(void)
{
	return (struct rtc_time){
		rtc_read(RTC_SECONDS), rtc_read(RTC_MINUTES), rtc_read(RTC_HOURS),
		rtc_read(RTC_DAY),     rtc_read(RTC_MONTH),   rtc_read(RTC_YEAR)
	};
}

static uint32_t from_bcd(uint32_t value)
{
	return (value >> 4) * 10 + (value & 15);
}

static bool rtc_is_stable(void)
{
	for (uint32_t i = 0; i < RTC_TRIES; i++) {
		if ((rtc_read(RTC_STATUS_A) & RTC_UPDATING) == 0) {
			return true;
		}
	}
	return false;
}

static uint64_t days_before(uint32_t year, uint32_t month, uint32_t day)
{
	static const uint16_t month_days[12] = { 0,   31,  59,  90,  120, 151,
		                                 181, 212, 243, 273, 304, 334 };
	uint32_t years = year - 1970;
	uint64_t days = years * 365ull + (years + 1) / 4 + month_days[month - 1] + day - 1;

	return days + (year % 4 == 0 && month > 2); /* right from 1970 to 2099 */
}

/* UNIX time from the CMOS clock, taken as UTC; 0 if it holds no date. MC146818A data sheet. */
static uint64_t rtc_seconds(void)
{
	struct rtc_time t;
	uint8_t status;
	bool is_pm;

	if (!rtc_is_stable()) {
		return 0;
	}
	t = rtc_read_all();
	status = rtc_read(RTC_STATUS_B);
	is_pm = (status & RTC_24_HOURS) == 0 && (t.hours & RTC_HOURS_PM);
	t.hours &= (status & RTC_24_HOURS) ? 0xffu : 0x7fu;
	if ((status & RTC_BINARY) == 0) {
		t = (struct rtc_time){ from_bcd(t.seconds), from_bcd(t.minutes), from_bcd(t.hours),
			               from_bcd(t.day),     from_bcd(t.month),   from_bcd(t.year) };
	}
	if ((status & RTC_24_HOURS) == 0) {
		t.hours = t.hours % 12 + (is_pm ? 12 : 0);
	}
	if (t.month < 1 || t.month > 12 || t.day < 1 || t.day > 31 || t.hours > 23 ||
	    t.minutes > 59 || t.seconds > 60 || t.year > 99) {
		return 0;
	}
	return ((days_before(2000 + t.year, t.month, t.day) * 24 + t.hours) * 60 + t.minutes) * 60 +
	       t.seconds;
}

void arch_info_fill(struct bh_info *info)
{
	uint64_t seconds = rtc_seconds(),
		 since_boot = (arch_tsc_read() - boot_info.start_tsc) / arch_tsc_hz;

	info->tsc_hz = arch_tsc_hz;
	info->boot_tsc = boot_info.start_tsc;
	info->wall_seconds = seconds > since_boot ? seconds - since_boot : 0;
	info->xsave_size = arch_fpu_size;
	info->xcr0_supported = arch_xcr0_supported;
	info->physical_address_bits = feature_physical_bits();
	for (uint32_t i = 0; i < cpus_count; i++) {
		info->apic_ids[i] = cpus[i]->apic_id;
	}
	feature_cpu_name(info->cpu_name, sizeof(info->cpu_name));
	feature_names(info->features, sizeof(info->features));
}

void arch_host_info_fill(struct bh_host_info *info)
{
	info->rsdp = boot_info.rsdp;
	info->memory_kernel += boot_info.kernel_size + memory_map_early_bytes();
	info->console_gsi = ~0u;
	if (arch_console.is_present) {
		info->console_kind = BH_CONSOLE_PORT;
		info->console_port = arch_console.port;
		info->console_gsi = arch_console.gsi;
		info->console_irq_flags = (arch_console.is_level ? BH_IRQ_LEVEL : 0) |
		                          (arch_console.is_low ? BH_IRQ_LOW : 0);
		info->console_baud = arch_console.baud;
	}
}
