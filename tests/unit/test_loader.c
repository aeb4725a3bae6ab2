// SPDX-License-Identifier: Apache-2.0
/*
 * The boot-image loaders: what they put where, in what state the CPU starts, and that a broken
 * image ends in a message and not in a write outside the guest. Real kernels are loaded when they
 * have been fetched.
 */
// sources: vmm/loader.c vmm/loader_place.c vmm/loader_state.c vmm/loader_elf.c vmm/loader_bzimage.c vmm/loader_pvh.c vmm/loader_multiboot.c vmm/guest_memory.c
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

#define RAM_BYTES   (256ull << 20)
#define IMAGE_BYTES 0x8000

static uint8_t *ram;
static struct guest_memory memory;
static uint8_t image[IMAGE_BYTES];
static struct loader_result result;

static const struct loader_e820 e820[] = {
	{ 0, 0x9fc00, LOADER_E820_RAM },
	{ 0x9fc00, 0x60400, LOADER_E820_RESERVED },
	{ 0x100000, RAM_BYTES - 0x100000, LOADER_E820_RAM },
};

static const struct loader_module modules[] = {
	{ "first module", 12, "mod1 arg=1" },
	{ "second", 6, "mod2" },
};

static struct loader_input input;

static void put16(uint32_t at, uint16_t value)
{
	memcpy(image + at, &value, sizeof(value));
}

static void put32(uint32_t at, uint32_t value)
{
	memcpy(image + at, &value, sizeof(value));
}

static void put64(uint32_t at, uint64_t value)
{
	memcpy(image + at, &value, sizeof(value));
}

static uint32_t ram32(uint64_t gpa)
{
	uint32_t value;

	assert_int_equal(guest_memory_read(&memory, gpa, &value, sizeof(value)), BH_OK);
	return value;
}

static uint64_t ram64(uint64_t gpa)
{
	return ram32(gpa) | (uint64_t)ram32(gpa + 4) << 32;
}

static int set_up(void **state)
{
	(void)state;
	if (ram != NULL) {
		munmap(ram, RAM_BYTES);
	}
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	memset(image, 0, sizeof(image));
	memory = (struct guest_memory){ .slots = { { 0, RAM_BYTES, ram } }, .slots_count = 1 };
	input = (struct loader_input){
		.memory = &memory,
		.kernel = image,
		.kernel_size = IMAGE_BYTES,
		.kernel_name = "test",
		.modules = modules,
		.modules_count = 2,
		.cmdline = "console=ttyS0",
		.e820 = e820,
		.e820_count = 3,
		.rsdp_gpa = 0xe0000,
	};
	return 0;
}

static void make_bzimage(uint16_t xloadflags)
{
	image[0x1f1] = 1;
	put16(0x1fe, 0xaa55);
	put16(0x200, 0x6aeb);
	memcpy(image + 0x202, "HdrS", 4);
	put16(0x206, 0x020f);
	image[0x211] = 0x41;
	put32(0x22c, 0x7fffffff); /* initrd_addr_max */
	put32(0x230, 0x200000);
	image[0x234] = 1;
	put16(0x236, xloadflags);
	put32(0x238, 2047);
	put64(0x258, 0x1000000);
	put32(0x260, 0x100000);
	memset(image + 0x400, 0x90, IMAGE_BYTES - 0x400);
}

static void test_bzimage_64(void **state)
{
	const uint8_t *params = ram + LOADER_BOOT_PARAMS_GPA;

	(void)state;
	make_bzimage(1);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.kind, LOADER_KIND_BZIMAGE_64);
	assert_int_equal(result.state.rip, 0x1000200);
	assert_int_equal(result.state.gpr[BH_GPR_RSI], LOADER_BOOT_PARAMS_GPA);
	assert_int_equal(result.state.cr0, 0x80000011);
	assert_int_equal(result.state.efer, CPU_EFER_LME | CPU_EFER_LMA);
	assert_int_equal(result.state.segments[BH_SEG_CS].selector, 0x10);
	assert_int_equal(result.state.segments[BH_SEG_CS].attributes, 0xa9b);
	assert_int_equal(result.state.segments[BH_SEG_DS].selector, 0x18);
	assert_memory_equal(params + 0x202, "HdrS", 4);
	assert_int_equal(params[0x210], 0xff);
	assert_int_equal(params[0x211], 0x01);
	assert_int_equal(params[0x1e8], 3);
	assert_int_equal(ram64(LOADER_BOOT_PARAMS_GPA + 0x70), 0xe0000);
	assert_int_equal(ram64(LOADER_BOOT_PARAMS_GPA + 0x2d0 + 40), 0x100000);
	assert_int_equal(ram32(LOADER_BOOT_PARAMS_GPA + 0x21c), 12 + 8);
	assert_memory_equal(ram + ram32(LOADER_BOOT_PARAMS_GPA + 0x218), "first modulesecond\0\0",
	                    20);
	assert_string_equal((char *)ram + ram32(LOADER_BOOT_PARAMS_GPA + 0x228), "console=ttyS0");
	assert_memory_equal(ram + 0x1000000, image + 0x400, IMAGE_BYTES - 0x400);
	/* The identity map, at an address of the last GiB. */
	assert_int_equal(ram64(LOADER_PAGE_TABLES_GPA) & ~0xfffull,
	                 LOADER_PAGE_TABLES_GPA + 0x1000);
	assert_int_equal(ram64(LOADER_PAGE_TABLES_GPA + 0x5000 + 0xff8), 0xffe00083);
	assert_int_equal(ram64(LOADER_GDT_GPA + 0x10), 0x00af9b000000ffff);
}

static void test_bzimage_32(void **state)
{
	(void)state;
	make_bzimage(0);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.kind, LOADER_KIND_BZIMAGE_32);
	assert_int_equal(result.state.rip, 0x1000000);
	assert_int_equal(result.state.cr0, 0x11);
	assert_int_equal(result.state.segments[BH_SEG_CS].attributes, 0xc9b);
	assert_int_equal(ram64(LOADER_GDT_GPA + 0x10), 0x00cf9b000000ffff);
}

static void test_bzimage_moves_when_preferred_is_no_memory(void **state)
{
	(void)state;
	make_bzimage(1);
	put64(0x258, RAM_BYTES);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.kernel_gpa, 0x200000);
	image[0x234] = 0;
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	assert_non_null(strstr(result.error, "needs 1024 KiB"));
}

static void test_bzimage_errors(void **state)
{
	static char long_line[3000];

	(void)state;
	make_bzimage(1);
	memset(long_line, 'a', sizeof(long_line) - 1);
	input.cmdline = long_line;
	assert_int_equal(loader_load(&input, &result), BH_ERR_LIMIT);
	assert_non_null(strstr(result.error, "kernel 'test'"));
	input.cmdline = NULL;
	assert_int_equal(loader_load(&input, &result), BH_OK);
	put32(0x260, 0xffffffff);
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	put32(0x260, 0x1000);
	put32(0x230, 0x300000);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x230, 0x200000);
	put32(0x22c, 0x100fff); /* initrd below 1 MiB + 4 KiB: one page is left */
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.modules_gpa, 0x100000);
	input.kernel_size = 0x400;
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	input.kernel_size = 0x210;
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	input.kernel_size = IMAGE_BYTES;
	put16(0x206, 0x0201);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_non_null(strstr(result.error, "2.01"));
}

/* An ELF64 with a PVH note and two segments. */
static void make_elf64(void)
{
	memcpy(image,
	       "\x7f"
	       "ELF\x02\x01\x01",
	       7);
	put16(16, 2);
	put16(18, 62);
	put64(24, 0xffffffff81000000);
	put64(32, 64);
	put16(54, 56);
	put16(56, 3);
	put32(64, 1);
	put64(64 + 8, 0x1000);
	put64(64 + 16, 0xffffffff81000000);
	put64(64 + 24, 0x1000000);
	put64(64 + 32, 0x1000);
	put64(64 + 40, 0x3000);
	put32(120, 1);
	put64(120 + 8, 0x2000);
	put64(120 + 16, 0xffffffff81004000);
	put64(120 + 24, 0x1004000);
	put64(120 + 32, 0x100);
	put64(120 + 40, 0x100);
	put32(176, 4);
	put64(176 + 8, 0x300);
	put64(176 + 32, 44);
	/* Another owner's note first, with a value that is not a multiple of 4. */
	put32(0x300, 4);
	put32(0x304, 5);
	put32(0x308, 18);
	memcpy(image + 0x30c, "GNU", 4);
	put32(0x318, 4);
	put32(0x31c, 4);
	put32(0x320, 18);
	memcpy(image + 0x324, "Xen", 4);
	put32(0x328, 0x1000040);
	memset(image + 0x1000, 0xaa, 0x1100);
}

static void test_pvh(void **state)
{
	uint64_t info;
	uint64_t list;

	(void)state;
	make_elf64();
	memset(ram + 0x1000000, 0x55, 0x5000);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.kind, LOADER_KIND_PVH);
	assert_int_equal(result.state.rip, 0x1000040);
	assert_int_equal(result.kernel_gpa, 0x1000000);
	assert_int_equal(result.kernel_size, 0x4100);
	assert_int_equal(ram[0x1000fff], 0xaa);
	assert_int_equal(ram[0x1001000], 0);
	assert_int_equal(ram[0x1002fff], 0);
	assert_int_equal(ram[0x1003000], 0x55);
	info = result.state.gpr[BH_GPR_RBX];
	assert_int_equal(info, result.info_gpa);
	assert_int_equal(ram32(info), 0x336ec578);
	assert_int_equal(ram32(info + 4), 1);
	assert_int_equal(ram32(info + 12), 2);
	assert_string_equal((char *)ram + ram64(info + 24), "console=ttyS0");
	assert_int_equal(ram64(info + 32), 0xe0000);
	assert_int_equal(ram32(info + 48), 3);
	assert_int_equal(ram64(ram64(info + 40) + 24), 0x9fc00);
	assert_int_equal(ram32(ram64(info + 40) + 24 + 16), LOADER_E820_RESERVED);
	list = ram64(info + 16);
	assert_int_equal(ram64(list + 8), 12);
	assert_memory_equal(ram + ram64(list), "first module", 12);
	assert_string_equal((char *)ram + ram64(list + 16), "mod1 arg=1");
	assert_memory_equal(ram + ram64(list + 32), "second", 6);
}

static void test_elf_errors(void **state)
{
	(void)state;
	make_elf64();
	put64(120 + 8, IMAGE_BYTES - 0x80);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_non_null(strstr(result.error, "cut short"));
	put64(120 + 8, 0xfffffffffffffff0);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put64(120 + 8, 0x2000);
	put64(120 + 24, 0xffffffffffffff80);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put64(120 + 24, RAM_BYTES - 0x80);
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	assert_non_null(strstr(result.error, "not in memory"));
	put64(120 + 24, 0x1002000);
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	assert_non_null(strstr(result.error, "overlaps"));
	put64(120 + 24, 0x1004000);
	put32(0x328, 0x1003000);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x31c, 0x7fffffff);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_non_null(strstr(result.error, "neither a PVH note"));
	put16(56, 0xffff);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
}

static void put_multiboot_header(uint32_t at, uint32_t flags)
{
	put32(at, 0x1badb002);
	put32(at + 4, flags);
	put32(at + 8, 0u - 0x1badb002u - flags);
}

static void check_multiboot_info(void)
{
	uint64_t info = result.state.gpr[BH_GPR_RBX];
	uint32_t list;

	assert_int_equal(result.kind, LOADER_KIND_MULTIBOOT);
	assert_int_equal(result.state.gpr[BH_GPR_RAX], 0x2badb002);
	assert_int_equal(result.state.cr0, 0x11);
	assert_int_equal(ram32(info), 0x24d);
	assert_int_equal(ram32(info + 4), 0x9fc00 >> 10);
	assert_int_equal(ram32(info + 8), (RAM_BYTES >> 10) - 1024);
	assert_string_equal((char *)ram + ram32(info + 16), "test console=ttyS0");
	assert_int_equal(ram32(info + 20), 2);
	list = ram32(info + 24);
	assert_int_equal(ram32(list) & 0xfff, 0);
	assert_int_equal(ram32(list + 4), ram32(list) + 12);
	assert_memory_equal(ram + ram32(list), "first module", 12);
	assert_string_equal((char *)ram + ram32(list + 8), "mod1 arg=1");
	assert_memory_equal(ram + ram32(list + 16), "second", 6);
	assert_string_equal((char *)ram + ram32(list + 24), "mod2");
	assert_int_equal(ram32(info + 44), 3 * 24);
	assert_int_equal(ram32(ram32(info + 48)), 20);
	assert_int_equal(ram64(ram32(info + 48) + 24 + 4), 0x9fc00);
	assert_string_equal((char *)ram + ram32(info + 64), "Bulkhead");
}

static void make_elf32(uint16_t machine)
{
	memcpy(image,
	       "\x7f"
	       "ELF\x01\x01\x01",
	       7);
	put16(16, 2);
	put16(18, machine);
	put32(24, 0xc0100010);
	put32(28, 52);
	put16(42, 32);
	put16(44, 1);
	put32(52, 1);
	put32(56, 0x1000);
	put32(60, 0xc0100000);
	put32(64, 0x100000);
	put32(68, 0x1000);
	put32(72, 0x2000);
	put_multiboot_header(0x1004, 3);
}

static void test_multiboot_elf(void **state)
{
	(void)state;
	make_elf32(3);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.state.rip, 0x100010);
	check_multiboot_info();
	set_up(NULL);
	make_elf32(62);
	put32(24, 0x100010);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.state.rip, 0x100010);
}

/* A kernel that itself covers the usual place of the information record. */
static void test_multiboot_low_kernel(void **state)
{
	(void)state;
	make_elf32(3);
	put32(60, 0x8000);
	put32(64, 0x8000);
	put32(72, 0x80000);
	put32(24, 0x8010);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.info_gpa, 0x88000);
	check_multiboot_info();
}

static void make_flat(void)
{
	put_multiboot_header(0x100, 0x10001);
	put32(0x10c, 0x200100);
	put32(0x110, 0x200000);
	put32(0x114, 0x202000);
	put32(0x118, 0x204000);
	put32(0x11c, 0x200020);
	memset(image + 0x120, 0xcc, IMAGE_BYTES - 0x120);
}

static void test_multiboot_flat(void **state)
{
	(void)state;
	make_flat();
	memset(ram + 0x200000, 0x55, 0x10000);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_int_equal(result.state.rip, 0x200020);
	assert_memory_equal(ram + 0x200000, image, 0x2000);
	assert_int_equal(ram[0x202000], 0);
	assert_int_equal(ram[0x203fff], 0);
	assert_int_equal(ram[0x204000], 0x55);
	check_multiboot_info();
	put32(0x114, 0);
	put32(0x118, 0);
	assert_int_equal(loader_load(&input, &result), BH_OK);
	assert_memory_equal(ram + 0x200000, image, IMAGE_BYTES);
}

static void test_multiboot_errors(void **state)
{
	(void)state;
	make_flat();
	put32(0x110, 0x200101); /* load_addr above header_addr */
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x110, 0x1fff00); /* starts before the file */
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x110, 0x200000);
	put32(0x114, 0x200000 + IMAGE_BYTES + 1);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x114, 0x1ff000);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x114, 0x202000);
	put32(0x118, 0xfffff000);
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	put32(0x118, 0x204000);
	put32(0x11c, 0x204000);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put32(0x11c, 0x200000);
	put_multiboot_header(0x100, 0x10008);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	put_multiboot_header(0x100, 0x1);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_non_null(strstr(result.error, "no ELF header"));
	put_multiboot_header(0x100, 0x10001);
	input.kernel_size = 0x11f;
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	input.kernel_size = 2;
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
}

static void test_unknown_images(void **state)
{
	(void)state;
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_string_equal(result.error,
	                    "kernel 'test': not a bzImage (no HdrS at 0x202), PVH ELF or "
	                    "multiboot 1 image; found unknown data");
	memcpy(image, "\x1f\x8b", 2);
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_non_null(strstr(result.error, "gzip"));
	input.kernel_size = 0;
	assert_int_equal(loader_load(&input, &result), BH_ERR_FORMAT);
	assert_non_null(strstr(result.error, "empty"));
}

static void test_too_little_memory(void **state)
{
	static const struct loader_e820 small[] = { { 0, 0x100000, LOADER_E820_RAM } };

	(void)state;
	make_flat();
	input.e820 = small;
	input.e820_count = 1;
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	assert_non_null(strstr(result.error, "the guest has 1024 KiB"));
	set_up(NULL);
	make_bzimage(1);
	input.e820 = small;
	input.e820_count = 1;
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
}

/* Guest memory in two slots, with a map that promises the hole between them. */
static void test_holes_in_memory(void **state)
{
	(void)state;
	memory = (struct guest_memory){
		.slots = { { 0, 0x200000, ram }, { 0x300000, 0x100000, ram + 0x200000 } },
		.slots_count = 2,
	};
	make_flat();
	assert_int_equal(loader_load(&input, &result), BH_ERR_MEMORY);
	assert_null(guest_memory_at(&memory, 0x1ff000, 0x1001));
	assert_null(guest_memory_at(&memory, UINT64_MAX, 2));
	assert_null(guest_memory_at(&memory, 0x3fffff, UINT64_MAX));
	assert_ptr_equal(guest_memory_at(&memory, 0x300000, 0x100000), ram + 0x200000);
	assert_int_equal(guest_memory_write(&memory, 0x3ffff9, image, 8), BH_ERR_ADDRESS);
}

/*
 * Every single byte of each kind of header set to a few values: no crash, no write outside (ASan).
 */
static void mutate_header(uint32_t bytes, uint32_t from)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

	for (uint32_t at = from; at < from + bytes; at++) {
		uint8_t old = image[at];

		for (size_t v = 0; v < sizeof(values); v++) {
			int error;

			image[at] = values[v];
			error = loader_load(&input, &result);
			assert_true(error <= 0);
			assert_true((error != BH_OK) == (result.error[0] != '\0'));
		}
		image[at] = old;
	}
}

static void test_mutated_headers(void **state)
{
	(void)state;
	make_bzimage(1);
	mutate_header(0x80, 0x1f0);
	set_up(NULL);
	make_elf64();
	mutate_header(232, 0);
	mutate_header(0x30, 0x300);
	set_up(NULL);
	make_elf32(3);
	mutate_header(84, 0);
	set_up(NULL);
	make_flat();
	mutate_header(0x20, 0x100);
}

/* Loads the first file that matches, if any has been fetched. */
static bool load_real(const char *pattern)
{
	glob_t found;
	uint8_t *bytes;
	FILE *file;
	long size;

	if (glob(pattern, 0, NULL, &found) != 0) {
		print_message("not fetched: %s\n", pattern);
		return false;
	}
	file = fopen(found.gl_pathv[0], "rb");
	assert_non_null(file);
	globfree(&found);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	bytes = malloc((size_t)size);
	assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
	fclose(file);
	input.kernel = bytes;
	input.kernel_size = (uint64_t)size;
	assert_int_equal(loader_load(&input, &result), BH_OK);
	free(bytes);
	return true;
}

static void test_memtest(void **state)
{
	(void)state;
	if (load_real("build/third_party/memtest/memtest86+x64.bin")) {
		assert_int_equal(result.kind, LOADER_KIND_BZIMAGE_64);
		assert_int_equal(result.state.rip, 0x100200);
	}
	if (load_real("build/third_party/memtest/memtest86+ia32.bin")) {
		assert_int_equal(result.kind, LOADER_KIND_BZIMAGE_32);
		assert_int_equal(result.state.rip, 0x100000);
	}
}

static void test_linux(void **state)
{
	(void)state;
	if (load_real("build/third_party/linux-cloud/vmlinuz*")) {
		assert_int_equal(result.kind, LOADER_KIND_BZIMAGE_64);
		assert_int_equal(result.state.rip, 0x1000200);
		assert_int_equal(ram[0x1000200 + 0], 0xfc); /* its first instruction is CLD */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bzimage_64, set_up),
		cmocka_unit_test_setup(test_bzimage_32, set_up),
		cmocka_unit_test_setup(test_bzimage_moves_when_preferred_is_no_memory, set_up),
		cmocka_unit_test_setup(test_bzimage_errors, set_up),
		cmocka_unit_test_setup(test_pvh, set_up),
		cmocka_unit_test_setup(test_elf_errors, set_up),
		cmocka_unit_test_setup(test_multiboot_elf, set_up),
		cmocka_unit_test_setup(test_multiboot_low_kernel, set_up),
		cmocka_unit_test_setup(test_multiboot_flat, set_up),
		cmocka_unit_test_setup(test_multiboot_errors, set_up),
		cmocka_unit_test_setup(test_unknown_images, set_up),
		cmocka_unit_test_setup(test_too_little_memory, set_up),
		cmocka_unit_test_setup(test_holes_in_memory, set_up),
		cmocka_unit_test_setup(test_mutated_headers, set_up),
		cmocka_unit_test_setup(test_memtest, set_up),
		cmocka_unit_test_setup(test_linux, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
