// SPDX-License-Identifier: Apache-2.0
/*
 * Start of the guest from its images.
 *
 * Must never: keep a pointer into an image; reloading reads everything again.
 */
#include "vmm/boot.h"

#include <stdio.h>

#include "lib/call.h"
#include "lib/time.h"
#include "vmm/acpi_tables.h"
#include "vmm/cpuid.h"
#include "vmm/machine.h"
#include "vmm/memory_map.h"
#include "vmm/vcpu.h"

/* The least memory in which there is room for the tables below 1 MiB. */
#define MEMORY_LEAST_BYTES (ACPI_TABLES_GPA + ACPI_TABLES_BYTES)

/* what the kernel's local APIC timer counts at, undivided */
#define LAPIC_TIMER_HZ 1000000000ull

static struct loader_result result;

static struct bh_cpuid_entry cpuid_entries[BH_CPUID_MAX];
static uint32_t cpuid_count;

int boot_set_cpuid(void)
{
	const struct bh_info *info = bh_info();
	struct cpuid_config config = {
		.vcpus_count = machine.config->vcpus_count,
		.physical_address_bits = info->physical_address_bits,
		.xcr0_supported = info->xcr0_supported,
		.tsc_hz = info->tsc_hz,
		.lapic_timer_hz = LAPIC_TIMER_HZ,
		.host = cpuid_host,
	};
	int count = cpuid_table_build(&config, cpuid_entries, BH_CPUID_MAX);

	if (count < 0) {
		return count;
	}
	cpuid_count = (uint32_t)count;
	return bh_vm_set_cpuid(VMM_HANDLE_VM, cpuid_entries, cpuid_count);
}

void boot_answer_cpuid(uint32_t vcpu_idx, struct bh_cpu_state *state)
{
	cpuid_answer(cpuid_entries, cpuid_count, vcpu_idx, state);
}

static int put_tables(uint64_t *rsdp_gpa)
{
	struct acpi_tables_config config = {
		.vcpus_count = machine.config->vcpus_count,
		.ecam_gpa = GUEST_ECAM_BASE,
		.has_com1 = (machine.config->flags & VMM_CONFIG_CONSOLE) != 0,
		.has_hotplug = (machine.config->flags & VMM_CONFIG_DEVICES) != 0,
	};
	uint8_t *area = guest_memory_at(&machine.memory, ACPI_TABLES_GPA, ACPI_TABLES_BYTES);
	int error = memory_map_bios_data(machine.config, &machine.memory);

	if (error < 0 || area == NULL) {
		return BH_ERR_MEMORY;
	}
	return acpi_tables_build(&config, area, ACPI_TABLES_BYTES, ACPI_TABLES_GPA, rsdp_gpa);
}

static int load_images(uint64_t rsdp_gpa)
{
	const struct vmm_config *config = machine.config;
	struct loader_module modules[BH_FILES_MAX];
	struct loader_e820 map[MEMORY_MAP_ENTRIES];
	uint32_t files = config->files_count < BH_FILES_MAX ? config->files_count : BH_FILES_MAX;
	struct loader_input input = {
		.memory = &machine.memory,
		.kernel = (const void *)config->files[0].address,
		.kernel_size = config->files[0].size_bytes,
		.kernel_name = config->files[0].name,
		.modules = modules,
		.modules_count = files - 1,
		.cmdline = config->cmdline,
		.e820 = map,
		.e820_count = memory_map_build(config, map),
		.rsdp_gpa = rsdp_gpa,
	};

	for (uint32_t i = 1; i < files; i++) {
		modules[i - 1] = (struct loader_module){
			.bytes = (const void *)config->files[i].address,
			.size = config->files[i].size_bytes,
			.name = config->files[i].name,
		};
	}
	return loader_load(&input, &result);
}

const struct bh_cpu_state *boot_start_state(void)
{
	return &result.state;
}

static int reset_vcpus(void (*wait)(void))
{
	for (uint32_t i = 0; i < machine.config->vcpus_count; i++) {
		int error = vcpu_job_do(i, VCPU_JOB_RESET, wait);

		if (error < 0) {
			return error;
		}
	}
	return BH_OK;
}

int boot_start(char *reason, size_t reason_size, void (*wait)(void))
{
	uint64_t rsdp_gpa = 0;
	int error;

	machine_lock();
	machine_reset();
	machine_unlock();
	/* mgmt may still write into buffers of the guest's last life. */
	while (!virtio_devices_are_quiet(&machine.virtio)) {
		wait();
	}
	if (machine.config->files_count == 0) {
		snprintf(reason, reason_size, "no kernel is configured");
		return BH_ERR_NOT_FOUND;
	}
	if (machine.config->low_bytes < MEMORY_LEAST_BYTES) {
		snprintf(reason, reason_size, "memory is %llu bytes, a guest needs at least 1M",
		         (unsigned long long)machine.config->memory_bytes);
		return BH_ERR_MEMORY;
	}
	error = put_tables(&rsdp_gpa);
	if (error < 0) {
		snprintf(reason, reason_size, "no room for the firmware tables (error %d)", error);
		return error;
	}
	error = load_images(rsdp_gpa);
	if (error < 0) {
		snprintf(reason, reason_size, "%s", result.error);
		return error;
	}
	error = reset_vcpus(wait);
	if (error < 0) {
		snprintf(reason, reason_size, "the kernel refused the start state (error %d)",
		         error);
	}
	return error;
}
