/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the start, from the boot path's record to kernel/, and what the architecture tells of the machine then.
 * Console, features, memory, page tables, the boot pCPU's slot | local APIC, time, virtualisation, kernel. Other pCPUs and I/O APICs are
 * added when root asks for them, which reads the ACPI tables.
 */
#include "arch/x86/start.h"

#include "arch/x86/feature.h"
#include "arch/x86/hvm.h"
#include "build_version.h"
#include "kernel/object.h"

void arch_start(void)
{
	struct cpu *cpu;

	console_init();
	feature_detect(cmdline_find("mask"));
	memory_map_prepare(&boot_info);
	paging_init();
	cpu = cpu_slot_create(0);
	stack_switch(cpu->kernel_stack_top - sizeof(struct arch_frame), arch_start_on_slot);
}

void arch_start_on_slot(void)
{
	struct cpu *cpu = cpu_self();

	cpu_init(cpu);
	cpus[0] = cpu;
	cpus_count = 1;
	log_print("Bulkhead %s (%s), started by %s, image %lu KiB, %u modules%s", BUILD_VERSION,
	          BUILD_COMMIT, boot_info.loader, boot_info.kernel_size >> 10,
	          boot_info.modules_count, boot_info.note);
	pic_mask();
	apic_init();
	apic_cpu_init();
	cpu->apic_id = apic_id_read();
	cpu->is_online = true;
	time_init();
	sched_cpu_init(cpu);
	hvm_probe();
	memory_map_finish(&boot_info);
	kernel_start(&boot_info);
	smp_hvm_on();
	arch_leave();
}

void arch_info_fill(struct bh_info *info)
{
	info->tsc_hz = arch_tsc_hz;
	info->boot_tsc = boot_info.start_tsc;
	info->xsave_size = arch_fpu_size;
	info->xcr0_supported = arch_xcr0_supported;
	info->physical_address_bits = feature_physical_bits();
	feature_names(info->features, sizeof(info->features));
}

void arch_host_info_fill(struct bh_host_info *info)
{
	info->memory_kernel += boot_info.kernel_size;
	info->console_port = console_port;
	info->console_baud = console_baud;
	info->screen_base = boot_info.framebuffer.base;
	info->screen_width = boot_info.framebuffer.width;
	info->screen_height = boot_info.framebuffer.height;
	info->screen_pitch_bytes = boot_info.framebuffer.pitch_bytes;
	info->screen_is_text = boot_info.framebuffer.is_text;
}
