// SPDX-License-Identifier: Apache-2.0
/*
 * Linux bzImage: the 64-bit boot protocol (entry at 0x200 of the protected-mode code), or the
 * 32-bit one for images without XLF_KERNEL_64.
 *
 * Must never: run or place the real-mode part of the image; only its setup header is read.
 * Manual: Linux Documentation/x86/boot.rst, sections "The Real-Mode Kernel Header", "32-bit Boot
 * Protocol", "64-bit Boot Protocol"; zero-page.rst.
 */
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

/* The setup header: offsets in the image, and the same in boot_params. */
#define BZ_SETUP_SECTS      0x1f1u
#define BZ_BOOT_FLAG        0x1feu
#define BZ_JUMP             0x200u
#define BZ_MAGIC            0x202u
#define BZ_VERSION          0x206u
#define BZ_TYPE_OF_LOADER   0x210u
#define BZ_LOADFLAGS        0x211u
#define BZ_CODE32_START     0x214u
#define BZ_RAMDISK_IMAGE    0x218u
#define BZ_RAMDISK_SIZE     0x21cu
#define BZ_CMD_LINE_PTR     0x228u
#define BZ_INITRD_ADDR_MAX  0x22cu
#define BZ_KERNEL_ALIGNMENT 0x230u
#define BZ_RELOCATABLE      0x234u
#define BZ_XLOADFLAGS       0x236u
#define BZ_CMDLINE_SIZE     0x238u
#define BZ_PREF_ADDRESS     0x258u
#define BZ_INIT_SIZE        0x260u
#define BZ_HEADER_END       0x268u /* of what is read here; protocol 2.12 and later */
#define BZ_HEADER_END_MAX   0x290u /* room for it in boot_params */
#define BZ_HEADER_END_MIN   0x22cu /* protocol 2.02 */

#define BZ_LOADED_HIGH      0x01u /* loadflags */
#define BZ_KEEP_SEGMENTS    0x40u /* loadflags */
#define BZ_XLF_KERNEL_64    0x01u
#define BZ_XLF_ABOVE_4G     0x02u
#define BZ_ENTRY_64         0x200u
#define BZ_LOADER_UNDEFINED 0xffu
#define BZ_SECTOR_BYTES     512u

/* Other fields of boot_params (zero-page.rst). */
#define BZ_PARAMS_BYTES        0x1000u
#define BZ_PARAMS_ACPI_RSDP    0x070u
#define BZ_PARAMS_EXT_RAMDISK  0x0c0u
#define BZ_PARAMS_EXT_SIZE     0x0c4u
#define BZ_PARAMS_EXT_CMDLINE  0x0c8u
#define BZ_PARAMS_E820_ENTRIES 0x1e8u
#define BZ_PARAMS_E820_TABLE   0x2d0u
#define BZ_PARAMS_E820_BYTES   20u
#define BZ_PARAMS_E820_MAX     128u

/* The header, read once and given the defaults of the older protocol versions. */
struct bzimage_header {
	uint32_t version;
	uint64_t code_offset; /* of the protected-mode code, in the image */
	uint64_t code_size;
	uint64_t header_end;
	uint64_t initrd_max;  /* the last address that an initrd may use */
	uint64_t cmdline_max; /* characters, without the NUL */
	uint64_t alignment;
	bool is_relocatable;
	bool has_entry_64;
	bool is_loaded_above_4g;
	uint64_t preferred;
	uint64_t memory_size; /* that the kernel needs from its load address on */
};

bool loader_bzimage_is_image(const uint8_t *bytes, uint64_t size)
{
	return size >= BZ_MAGIC + 4 && memcmp(bytes + BZ_MAGIC, "HdrS", 4) == 0;
}

static void bzimage_read_optional(const uint8_t *bytes, struct bzimage_header *header)
{
	header->initrd_max = 0x37ffffff;
	header->cmdline_max = 255;
	header->alignment = LOADER_PAGE_BYTES;
	header->preferred = 0x100000;
	header->memory_size = header->code_size;
	if (header->version >= 0x0203) {
		header->initrd_max = loader_read32(bytes, BZ_INITRD_ADDR_MAX);
	}
	if (header->version >= 0x0205) {
		header->alignment = loader_read32(bytes, BZ_KERNEL_ALIGNMENT);
		header->is_relocatable = bytes[BZ_RELOCATABLE] != 0;
	}
	if (header->version >= 0x0206) {
		header->cmdline_max = loader_read32(bytes, BZ_CMDLINE_SIZE);
	}
	if (header->version >= 0x020a) {
		header->preferred = loader_read64(bytes, BZ_PREF_ADDRESS);
		if (loader_read32(bytes, BZ_INIT_SIZE) > header->memory_size) {
			header->memory_size = loader_read32(bytes, BZ_INIT_SIZE);
		}
	}
	if (header->version >= 0x020c) {
		uint16_t flags = loader_read16(bytes, BZ_XLOADFLAGS);

		header->has_entry_64 = (flags & BZ_XLF_KERNEL_64) != 0;
		header->is_loaded_above_4g = (flags & BZ_XLF_ABOVE_4G) != 0;
	}
}

static uint64_t bzimage_header_bytes(uint32_t version)
{
	if (version >= 0x020a) {
		return BZ_HEADER_END;
	}
	if (version >= 0x0206) {
		return BZ_CMDLINE_SIZE + 4;
	}
	return version >= 0x0205 ? BZ_RELOCATABLE + 1 : BZ_KERNEL_ALIGNMENT;
}

static int bzimage_read_header(const struct loader_input *in, struct bzimage_header *header,
                               struct loader_result *out)
{
	const uint8_t *bytes = in->kernel;
	uint64_t sectors;

	memset(header, 0, sizeof(*header));
	if (in->kernel_size < BZ_HEADER_END_MIN || loader_read16(bytes, BZ_BOOT_FLAG) != 0xaa55) {
		return loader_fail(
			in, out, BH_ERR_FORMAT,
			"a bzImage whose setup header is cut short or lacks 55 AA at 0x1fe");
	}
	header->version = loader_read16(bytes, BZ_VERSION);
	if (header->version < 0x0202 || (bytes[BZ_LOADFLAGS] & BZ_LOADED_HIGH) == 0) {
		return loader_fail(
			in, out, BH_ERR_FORMAT,
			"boot protocol %u.%02u, %s; needed is 2.02 or later, loaded high",
			header->version >> 8, header->version & 0xffu,
			(bytes[BZ_LOADFLAGS] & BZ_LOADED_HIGH) != 0 ? "loaded high" : "a zImage");
	}
	sectors = bytes[BZ_SETUP_SECTS] != 0 ? bytes[BZ_SETUP_SECTS] : 4;
	header->code_offset = (sectors + 1) * BZ_SECTOR_BYTES;
	header->header_end = BZ_MAGIC + bytes[BZ_JUMP + 1];
	if (header->header_end < bzimage_header_bytes(header->version) ||
	    header->header_end > header->code_offset || header->code_offset >= in->kernel_size) {
		return loader_fail(
			in, out, BH_ERR_FORMAT,
			"setup header ends at 0x%llx and code starts at 0x%llx of 0x%llx bytes",
			(unsigned long long)header->header_end,
			(unsigned long long)header->code_offset,
			(unsigned long long)in->kernel_size);
	}
	if (header->header_end > BZ_HEADER_END_MAX) {
		header->header_end = BZ_HEADER_END_MAX;
	}
	header->code_size = in->kernel_size - header->code_offset;
	bzimage_read_optional(bytes, header);
	if (header->has_entry_64 && header->code_size <= BZ_ENTRY_64) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "%llu bytes of code end before the entry",
		                   (unsigned long long)header->code_size);
	}
	return BH_OK;
}

/* Finds the load address: the preferred one, or for a relocatable kernel any that is aligned. */
static int bzimage_place_kernel(struct loader_place *place, const struct bzimage_header *header,
                                struct loader_result *out)
{
	struct loader_wish wish = {
		.size = header->memory_size,
		.alignment = header->alignment,
		.min = 0x100000,
		.max = LOADER_4G,
	};
	int error = BH_ERR_MEMORY;

	if (header->alignment == 0 || (header->alignment & (header->alignment - 1)) != 0) {
		return loader_fail(place->in, out, BH_ERR_FORMAT,
		                   "kernel_alignment 0x%llx is not a power of two",
		                   (unsigned long long)header->alignment);
	}
	if (header->preferred < LOADER_4G && header->memory_size < LOADER_4G - header->preferred) {
		out->kernel_gpa = header->preferred;
		error = loader_place_take(place, out->kernel_gpa, header->memory_size);
	}
	if (error != BH_OK && header->is_relocatable) {
		error = loader_place_find(place, &wish, &out->kernel_gpa);
	}
	if (error != BH_OK) {
		return loader_fail(
			place->in, out, BH_ERR_MEMORY,
			"needs %llu KiB of memory at 0x%llx; the guest has %llu KiB in all",
			(unsigned long long)(header->memory_size >> 10),
			(unsigned long long)header->preferred,
			(unsigned long long)(loader_place_total(place->in) >> 10));
	}
	out->kernel_size = header->memory_size;
	return BH_OK;
}

/* Joins the ramdisks, each padded to 4 bytes as the kernel's cpio reader wants. */
static int bzimage_load_initrd(struct loader_place *place, const struct bzimage_header *header,
                               struct loader_result *out, uint64_t *size)
{
	const struct loader_input *in = place->in;
	struct loader_wish wish = { .alignment = LOADER_PAGE_BYTES,
		                    .min = 0x100000,
		                    .is_high = true };
	uint64_t offset = 0;
	int error = BH_OK;

	wish.max = header->is_loaded_above_4g && header->has_entry_64 ? LOADER_4G
	                                                              : header->initrd_max + 1;
	for (uint32_t i = 0; i < in->modules_count; i++) {
		if (in->modules[i].size > LOADER_4G || wish.size > LOADER_4G) {
			return loader_fail(in, out, BH_ERR_MEMORY, "ramdisks of more than 4 GiB");
		}
		wish.size += (in->modules[i].size + 3) & ~3ull;
	}
	*size = wish.size;
	if (in->modules_count == 0) {
		return BH_OK;
	}
	if (loader_place_find(place, &wish, &out->modules_gpa) != BH_OK) {
		return loader_fail(
			in, out, BH_ERR_MEMORY,
			"no room for %llu KiB of ramdisk below 0x%llx beside the kernel; "
			"the guest has %llu KiB in all",
			(unsigned long long)(wish.size >> 10), (unsigned long long)wish.max,
			(unsigned long long)(loader_place_total(in) >> 10));
	}
	for (uint32_t i = 0; i < in->modules_count && error == BH_OK; i++) {
		error = guest_memory_write(in->memory, out->modules_gpa + offset,
		                           in->modules[i].bytes, in->modules[i].size);
		offset += (in->modules[i].size + 3) & ~3ull;
	}
	return error;
}

static int bzimage_write_cmdline(const struct loader_input *in, const struct bzimage_header *header,
                                 struct loader_result *out)
{
	const char *text = in->cmdline != NULL ? in->cmdline : "";
	uint64_t length = strlen(text);
	uint64_t room = LOADER_LOW_END - LOADER_CMDLINE_GPA - 1;

	if (header->cmdline_max < room) {
		room = header->cmdline_max;
	}
	if (length > room) {
		return loader_fail(in, out, BH_ERR_LIMIT,
		                   "a command line of %llu characters; this kernel takes %llu",
		                   (unsigned long long)length, (unsigned long long)room);
	}
	return guest_memory_write(in->memory, LOADER_CMDLINE_GPA, text, length + 1);
}

static void bzimage_write32(uint8_t *params, uint32_t offset, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	memcpy(params + offset, &low, sizeof(low));
}

static void bzimage_fill_params(const struct loader_input *in, const struct bzimage_header *header,
                                const struct loader_result *out, uint64_t initrd_size,
                                uint8_t *params)
{
	memset(params, 0, BZ_PARAMS_BYTES);
	memcpy(params + BZ_SETUP_SECTS, (const uint8_t *)in->kernel + BZ_SETUP_SECTS,
	       header->header_end - BZ_SETUP_SECTS);
	params[BZ_TYPE_OF_LOADER] = BZ_LOADER_UNDEFINED;
	params[BZ_LOADFLAGS] &= (uint8_t)~BZ_KEEP_SEGMENTS;
	bzimage_write32(params, BZ_CODE32_START, out->kernel_gpa);
	bzimage_write32(params, BZ_CMD_LINE_PTR, LOADER_CMDLINE_GPA);
	bzimage_write32(params, BZ_PARAMS_EXT_CMDLINE, LOADER_CMDLINE_GPA >> 32);
	bzimage_write32(params, BZ_RAMDISK_IMAGE, out->modules_gpa);
	bzimage_write32(params, BZ_RAMDISK_SIZE, initrd_size);
	bzimage_write32(params, BZ_PARAMS_EXT_RAMDISK, out->modules_gpa >> 32);
	bzimage_write32(params, BZ_PARAMS_EXT_SIZE, initrd_size >> 32);
	memcpy(params + BZ_PARAMS_ACPI_RSDP, &in->rsdp_gpa, sizeof(in->rsdp_gpa));
	params[BZ_PARAMS_E820_ENTRIES] = (uint8_t)in->e820_count;
	for (uint32_t i = 0; i < in->e820_count; i++) {
		uint8_t *entry = params + BZ_PARAMS_E820_TABLE + (uint64_t)i * BZ_PARAMS_E820_BYTES;

		memcpy(entry, &in->e820[i].base, 8);
		memcpy(entry + 8, &in->e820[i].size, 8);
		memcpy(entry + 16, &in->e820[i].type, 4);
	}
}

static int bzimage_set_state(const struct loader_input *in, const struct bzimage_header *header,
                             struct loader_result *out)
{
	int error = BH_OK;

	if (header->has_entry_64) {
		out->kind = LOADER_KIND_BZIMAGE_64;
		loader_state_set_long(&out->state);
		error = loader_state_write_identity_map(in->memory, &out->state);
		out->state.rip = out->kernel_gpa + BZ_ENTRY_64;
	} else {
		out->kind = LOADER_KIND_BZIMAGE_32;
		loader_state_set_protected(&out->state, 0x10, 0x18);
		out->state.rip = out->kernel_gpa;
	}
	out->state.gpr[BH_GPR_RSI] = LOADER_BOOT_PARAMS_GPA;
	return error != BH_OK ? error : loader_state_write_gdt(in->memory, &out->state);
}

int loader_bzimage_load(struct loader_work *work, struct loader_result *out)
{
	const struct loader_input *in = work->place.in;
	struct bzimage_header header;
	uint64_t initrd_size = 0;
	uint8_t *params;
	int error;

	error = bzimage_read_header(in, &header, out);
	if (error != BH_OK) {
		return error;
	}
	error = loader_place_take(&work->place, LOADER_GDT_GPA, LOADER_LOW_END - LOADER_GDT_GPA);
	if (error != BH_OK) {
		return loader_fail(in, out, error, "the guest has no memory at 0x1000-0xffff");
	}
	error = bzimage_place_kernel(&work->place, &header, out);
	if (error != BH_OK) {
		return error;
	}
	error = bzimage_load_initrd(&work->place, &header, out, &initrd_size);
	if (error != BH_OK) {
		return error;
	}
	error = bzimage_write_cmdline(in, &header, out);
	if (error != BH_OK) {
		return error;
	}
	out->info_gpa = LOADER_BOOT_PARAMS_GPA;
	params = guest_memory_at(in->memory, LOADER_BOOT_PARAMS_GPA, BZ_PARAMS_BYTES);
	if (params == NULL || guest_memory_write(in->memory, out->kernel_gpa,
	                                         (const uint8_t *)in->kernel + header.code_offset,
	                                         header.code_size) != BH_OK) {
		return loader_fail(in, out, BH_ERR_MEMORY, "its memory has a hole");
	}
	bzimage_fill_params(in, &header, out, initrd_size, params);
	return bzimage_set_state(in, &header, out);
}
