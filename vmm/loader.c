// SPDX-License-Identifier: Apache-2.0
/*
 * Recognises what a kernel image is and hands it to its loader: bzImage first, then an ELF with a
 * PVH note, then multiboot 1. An image can be several of these; the first is the one with least
 * work left to the guest.
 *
 * Must never: look further into an image than its type needs.
 */
#include "vmm/loader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

/* Loading is done by one thread, before the guest's first instruction. */
static struct loader_work loader_work;

int loader_fail(const struct loader_input *in, struct loader_result *out, int error,
                const char *format, ...)
{
	va_list arguments;
	int used;

	used = snprintf(out->error, sizeof(out->error),
	                "kernel '%.40s': ", in->kernel_name != NULL ? in->kernel_name : "");
	if (used < 0 || (size_t)used >= sizeof(out->error)) {
		return error;
	}
	va_start(arguments, format);
	vsnprintf(out->error + used, sizeof(out->error) - (size_t)used, format, arguments);
	va_end(arguments);
	return error;
}

uint16_t loader_read16(const uint8_t *bytes, uint64_t offset)
{
	return (uint16_t)(bytes[offset] | bytes[offset + 1] << 8);
}

uint32_t loader_read32(const uint8_t *bytes, uint64_t offset)
{
	return loader_read16(bytes, offset) | (uint32_t)loader_read16(bytes, offset + 2) << 16;
}

uint64_t loader_read64(const uint8_t *bytes, uint64_t offset)
{
	return loader_read32(bytes, offset) | (uint64_t)loader_read32(bytes, offset + 4) << 32;
}

/* What an image that nobody can load looks like, for the message. */
static const char *loader_guess_type(const uint8_t *bytes, uint64_t size)
{
	if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
		return "gzip data: unpack it first";
	}
	if (size >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0) {
		return "zstd data: unpack it first";
	}
	if (size >= 6 && memcmp(bytes, "070701", 6) == 0) {
		return "a cpio archive: is it the ramdisk?";
	}
	if (size >= 2 && bytes[0] == 'M' && bytes[1] == 'Z') {
		return "an EFI program";
	}
	return "unknown data";
}

static int loader_load_other(const struct loader_input *in, struct loader_result *out)
{
	const uint8_t *bytes = in->kernel;
	const char *why = "";
	uint32_t header_offset;
	bool is_elf = loader_elf_parse(bytes, in->kernel_size, &loader_work.elf, &why);

	if (is_elf && loader_work.elf.has_pvh_entry) {
		return loader_pvh_load(&loader_work, out);
	}
	if (loader_multiboot_find_header(bytes, in->kernel_size, &header_offset)) {
		return loader_multiboot_load(&loader_work, header_offset, out);
	}
	if (is_elf) {
		return loader_fail(
			in, out, BH_ERR_FORMAT,
			"an ELF with neither a PVH note (Xen, type 18) nor a multiboot 1 "
			"header in its first 8192 bytes");
	}
	if (in->kernel_size >= 4 && memcmp(bytes,
	                                   "\x7f"
	                                   "ELF",
	                                   4) == 0) {
		return loader_fail(in, out, BH_ERR_FORMAT, "an ELF that cannot be loaded: %s", why);
	}
	return loader_fail(in, out, BH_ERR_FORMAT,
	                   "not a bzImage (no HdrS at 0x202), PVH ELF or multiboot 1 image; "
	                   "found %s",
	                   loader_guess_type(bytes, in->kernel_size));
}

static int loader_check_input(const struct loader_input *in, struct loader_result *out)
{
	if (in->kernel == NULL || in->kernel_size == 0) {
		return loader_fail(in, out, BH_ERR_FORMAT, "the file is empty");
	}
	if (in->modules_count > LOADER_MODULES_MAX) {
		return loader_fail(in, out, BH_ERR_LIMIT, "%u ramdisks or modules; at most %u",
		                   (unsigned int)in->modules_count, LOADER_MODULES_MAX);
	}
	if (in->e820_count == 0 || in->e820_count > LOADER_E820_MAX) {
		return loader_fail(in, out, BH_ERR_INVALID, "a memory map of %u entries; 1 to %u",
		                   (unsigned int)in->e820_count, LOADER_E820_MAX);
	}
	for (uint32_t i = 0; i < in->modules_count; i++) {
		if (in->modules[i].size == 0 || in->modules[i].bytes == NULL) {
			return loader_fail(in, out, BH_ERR_FORMAT, "ramdisk '%.40s' is empty",
			                   in->modules[i].name != NULL ? in->modules[i].name : "");
		}
	}
	return BH_OK;
}

int loader_load(const struct loader_input *in, struct loader_result *out)
{
	int error;

	memset(out, 0, sizeof(*out));
	memset(&loader_work, 0, sizeof(loader_work));
	loader_work.place.in = in;
	error = loader_check_input(in, out);
	if (error != BH_OK) {
		return error;
	}
	if (loader_bzimage_is_image(in->kernel, in->kernel_size)) {
		return loader_bzimage_load(&loader_work, out);
	}
	return loader_load_other(in, out);
}

const char *loader_kind_name(enum loader_kind kind)
{
	switch (kind) {
	case LOADER_KIND_NONE:
		break;
	case LOADER_KIND_BZIMAGE_64:
		return "Linux bzImage, 64-bit entry";
	case LOADER_KIND_BZIMAGE_32:
		return "Linux bzImage, 32-bit entry";
	case LOADER_KIND_PVH:
		return "PVH ELF";
	case LOADER_KIND_MULTIBOOT:
		return "multiboot 1";
	}
	return "none";
}
