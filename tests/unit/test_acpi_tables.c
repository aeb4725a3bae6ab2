// SPDX-License-Identifier: Apache-2.0
/*
 * The ACPI tables: checksums, lengths and links are followed as a kernel would; with iasl on the
 * machine the DSDT and the other tables are disassembled and must come out clean. Also the memory
 * map beside them.
 */
// sources: vmm/acpi_tables.c vmm/acpi_hotplug.c vmm/aml.c vmm/memory_map.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/acpi_tables.h"
#include "vmm/memory_map.h"

static uint8_t area[ACPI_TABLES_BYTES];
static const struct acpi_tables_config config = { 8, GUEST_ECAM_BASE, true, true };

static const uint8_t *at(uint64_t gpa)
{
	assert_in_range(gpa, ACPI_TABLES_GPA, ACPI_TABLES_GPA + ACPI_TABLES_BYTES - 64);
	return area + (gpa - ACPI_TABLES_GPA);
}

static uint64_t get(const uint8_t *bytes, uint32_t width)
{
	uint64_t value = 0;

	memcpy(&value, bytes, width);
	return value;
}

static uint8_t sum(const uint8_t *bytes, uint64_t count)
{
	uint8_t total = 0;

	for (uint64_t i = 0; i < count; i++) {
		total = (uint8_t)(total + bytes[i]);
	}
	return total;
}

static const uint8_t *table(uint64_t gpa, const char *signature)
{
	const uint8_t *bytes = at(gpa);

	assert_memory_equal(bytes, signature, 4);
	assert_int_equal(sum(bytes, get(bytes + 4, 4)), 0);
	return bytes;
}

static uint64_t xsdt_entry(uint32_t idx)
{
	return get(table(get(area + 24, 8), "XSDT") + 36 + idx * 8, 8);
}

static int setup(void **state)
{
	uint64_t rsdp = 0;

	(void)state;
	memset(area, 0xaa, sizeof(area));
	assert_int_equal(acpi_tables_build(&config, area, sizeof(area), ACPI_TABLES_GPA, &rsdp),
	                 BH_OK);
	assert_int_equal(rsdp, ACPI_TABLES_GPA);
	return 0;
}

static void test_links(void **state)
{
	const uint8_t *fadt, *rsdt;

	(void)state;
	assert_memory_equal(area, "RSD PTR ", 8);
	assert_int_equal(sum(area, 20), 0);
	assert_int_equal(sum(area, 36), 0);
	fadt = table(xsdt_entry(0), "FACP");
	(void)table(xsdt_entry(1), "APIC");
	(void)table(xsdt_entry(2), "MCFG");
	rsdt = table(get(area + 16, 4), "RSDT");
	assert_int_equal(get(rsdt + 36, 4), xsdt_entry(0));
	assert_int_equal(get(fadt + 4, 4), 276);
	(void)table(get(fadt + 40, 4), "DSDT");
	(void)table(get(fadt + 140, 8), "DSDT");
	assert_memory_equal(at(get(fadt + 36, 4)), "FACS", 4);
	assert_int_equal(get(fadt + 36, 4) % 64, 0);
}

static void test_fadt(void **state)
{
	const uint8_t *fadt = table(xsdt_entry(0), "FACP");

	(void)state;
	assert_int_equal(get(fadt + 46, 2), 9); /* SCI */
	assert_int_equal(get(fadt + 48, 4), 0); /* no SMI command */
	assert_int_equal(get(fadt + 56, 4), 0x600);
	assert_int_equal(get(fadt + 64, 4), 0x604);
	assert_int_equal(get(fadt + 76, 4), 0x608);
	assert_int_equal(get(fadt + 80, 4), 0x610); /* general-purpose events */
	assert_int_equal(get(fadt + 88, 4), 0x04000204);
	assert_int_equal(get(fadt + 92, 4), 2);
	assert_int_equal(get(fadt + 220, 4), 0x01001001);
	assert_int_equal(get(fadt + 224, 8), 0x610);
	assert_int_equal(get(fadt + 108, 1), 0x32);           /* century */
	assert_int_equal(get(fadt + 112, 4) & (1u << 20), 0); /* not hardware-reduced */
	assert_int_equal(get(fadt + 120, 8), 0xcf9);          /* reset register, */
	assert_int_equal(get(fadt + 128, 1), 6);              /* value */
	assert_int_equal(get(fadt + 152, 8), 0x600);
}

static void test_madt(void **state)
{
	const uint8_t *madt = table(xsdt_entry(1), "APIC");
	uint64_t length = get(madt + 4, 4);
	uint32_t counts[16] = { 0 };

	(void)state;
	assert_int_equal(get(madt + 36, 4), 0xfee00000);
	for (uint64_t i = 44; i < length; i += madt[i + 1]) {
		assert_true(madt[i] < 16 && madt[i + 1] >= 6);
		counts[madt[i]]++;
	}
	assert_int_equal(counts[0], 8);
	assert_int_equal(counts[1], 1);
	assert_int_equal(counts[2], 2);
	assert_int_equal(counts[4], 1);
}

static void test_too_small(void **state)
{
	uint8_t *small = malloc(4096);
	uint64_t rsdp;

	(void)state;
	for (uint64_t size = 0; size < 1600; size += 61) {
		assert_int_equal(acpi_tables_build(&config, small, size, ACPI_TABLES_GPA, &rsdp),
		                 BH_ERR_LIMIT);
	}
	free(small);
}

static void disassemble(const char *folder, const char *name, uint64_t gpa)
{
	const uint8_t *bytes = at(gpa);
	char command[512];
	FILE *file;

	snprintf(command, sizeof(command), "%s/%s.dat", folder, name);
	file = fopen(command, "wb");
	assert_non_null(file);
	fwrite(bytes, 1, get(bytes + 4, 4), file);
	fclose(file);
	snprintf(
		command, sizeof(command),
		"cd %s && iasl -d %s.dat >%s.log 2>&1 && ! grep -iE 'error|warning|invalid' %s.log",
		folder, name, name, name);
	assert_int_equal(system(command), 0);
}

/*
 * The disassembled DSDT must compile again without a word, which checks the AML as a kernel would
 * read it.
 */
static void test_iasl(void **state)
{
	char folder[] = "/tmp/acpi-test-XXXXXX";
	char command[256];
	const uint8_t *fadt = table(xsdt_entry(0), "FACP");

	(void)state;
	if (system("command -v iasl >/dev/null 2>&1") != 0) {
		skip();
	}
	assert_non_null(mkdtemp(folder));
	disassemble(folder, "facp", xsdt_entry(0));
	disassemble(folder, "apic", xsdt_entry(1));
	disassemble(folder, "mcfg", xsdt_entry(2));
	disassemble(folder, "dsdt", get(fadt + 40, 4));
	snprintf(
		command, sizeof(command),
		"cd %s && iasl -p again dsdt.dsl >again.log 2>&1 && grep -q ' 0 Errors, 0 Warn' again.log",
		folder);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static void test_memory_map(void **state)
{
	struct vmm_config vmm = { .low_bytes = 0x20000000, .high_bytes = 0x40000000 };
	struct loader_e820 map[MEMORY_MAP_ENTRIES];
	struct guest_memory memory;
	uint64_t ram = 0;
	uint32_t count = memory_map_build(&vmm, map);

	(void)state;
	memory_map_slots(&vmm, area, &memory);
	assert_int_equal(memory.slots_count, 3);
	for (uint32_t i = 0; i < count; i++) {
		ram += map[i].type == LOADER_E820_RAM ? map[i].size : 0;
		if (i > 0) {
			assert_true(map[i - 1].base + map[i - 1].size <= map[i].base);
		}
	}
	assert_int_equal(ram, 0x20000000 - 0x100000 + 0x9fc00 + 0x40000000);
	vmm.low_bytes = 0x100000;
	vmm.high_bytes = 0;
	count = memory_map_build(&vmm, map);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(map[i].type != LOADER_E820_RAM || map[i].base == 0);
	}
	memory_map_slots(&vmm, area, &memory);
	assert_int_equal(memory.slots_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_links, setup), cmocka_unit_test_setup(test_fadt, setup),
		cmocka_unit_test_setup(test_madt, setup),  cmocka_unit_test(test_too_small),
		cmocka_unit_test_setup(test_iasl, setup),  cmocka_unit_test(test_memory_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
