/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the start, from the boot path's record to kernel/. Nothing is decided here but that order:
 * console, features, memory, page tables, the boot pCPU's slot | ACPI, local APIC, time, I/O APIC, virtualisation, other pCPUs, kernel.
 */
#include "arch/x86/start.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/console.h"
#include "arch/x86/feature.h"
#include "arch/x86/hvm.h"
#include "arch/x86/ioapic.h"
#include "arch/x86/smp.h"
#include "arch/x86/time.h"
#include "build_version.h"
#include "kernel/object.h"

bool arch_has_1g_pages;

static void missing_modules_report(void)
{
	for (uint32_t i = 0; i < boot_info.modules_count; i++) {
		if (boot_info.modules[i].is_missing) {
			log_print("file '%s' could not be read by the loader",
			          boot_info.modules[i].name);
		}
	}
}

static void memory_report(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < boot_info.memory_count; i++) {
		if (boot_info.memory[i].kind == BOOT_MEMORY_FREE) {
			bytes += boot_info.memory[i].size;
		}
	}
	log_print("memory %lu MiB free in %u ranges, image %lu KiB, %u modules", bytes >> 20,
	          boot_info.memory_count, boot_info.kernel_size >> 10, boot_info.modules_count);
}

void arch_start(void)
{
	char mask[256];
	struct cpu *cpu;

	console_init();
	feature_detect(cmdline_value("mask", mask, sizeof(mask)) ? mask : "");
	arch_has_1g_pages = feature_has(FEATURE_PAGE_1G);
	memory_map_prepare(&boot_info);
	paging_init();
	cpu = cpu_slot_create(0, 0);
	stack_switch(cpu->kernel_stack_top - sizeof(struct arch_frame), arch_start_on_slot);
}

void arch_start_on_slot(void)
{
	struct cpu *cpu = cpu_self();
	char name[64];

	cpu_init(cpu);
	cpus[0] = cpu;
	cpus_count = 1;
	screen_init();
	feature_cpu_name(name, sizeof(name));
	log_print("Bulkhead %s (%s) on %s, started by %s", BUILD_VERSION, BUILD_COMMIT, name,
	          boot_info.loader);
	if (feature_mask_unknown()[0] != '\0') {
		log_print("mask=: no CPU feature is called '%s'", feature_mask_unknown());
	}
	missing_modules_report();
	memory_report();
	acpi_init();
	console_configure();
	pic_mask();
	apic_init(acpi.lapic_base);
	apic_cpu_init();
	cpu->apic_id = apic_id_read();
	time_init();
	ioapic_init();
	hvm_probe();
	smp_start((uint32_t)cmdline_number("cpus", BH_MAX_CPUS));
	memory_map_finish(&boot_info);
	kernel_start(&boot_info);
	smp_hvm_on();
	smp_release();
	kernel_cpu_loop();
}
