// SPDX-License-Identifier: Apache-2.0
/*
 * Boot-image loaders: put a kernel and its files into guest memory, and say how its first CPU
 * starts.
 *
 * Owns: recognising bzImage, PVH ELF and multiboot 1 images, placing what they need, the start
 * state. Must never: trust a field of an image, or write outside the guest's usable memory.
 * Manuals: Linux Documentation/x86/boot.rst, Xen docs/misc/pvh.pandoc, Multiboot 0.6.96.
 *
 * What a loader puts into low memory, in every case inside usable E820 memory:
 *   0x1000  GDT            0x2000-0x7fff  identity page tables (4 GiB, 2 MiB pages)
 *   0x8000  boot_params    0x9000-0xffff  command line
 * for bzImage; PVH and multiboot records go to the lowest free place from 0x9000 on.
 */
#pragma once

#include <stdint.h>

#include "vmm/cpu_state.h"
#include "vmm/guest_memory.h"

#define LOADER_MODULES_MAX 32
#define LOADER_E820_MAX    128
#define LOADER_ERROR_BYTES 160

enum loader_e820_type {
	LOADER_E820_RAM = 1,
	LOADER_E820_RESERVED = 2,
	LOADER_E820_ACPI = 3,
	LOADER_E820_NVS = 4,
};

/*
 * One entry of the guest's memory map; bytes. The type is an enum loader_e820_type, passed on as
 * it is.
 */
struct loader_e820 {
	uint64_t base;
	uint64_t size;
	uint32_t type;
};

/*
 * A file for the guest. For Linux it is an initrd (several are joined, each padded to 4 bytes);
 * for PVH and multiboot a module, whose command line is `name`, as written by the user: file name,
 * then arguments.
 */
struct loader_module {
	const void *bytes;
	uint64_t size;
	const char *name; /* may be NULL */
};

/* All of it stays the caller's; nothing is kept after the call. */
struct loader_input {
	const struct guest_memory *memory;
	const void *kernel;
	uint64_t kernel_size;
	const char *kernel_name; /* for messages, and the first word of a multiboot command line */
	const struct loader_module *modules;
	uint32_t modules_count;
	const char *cmdline;            /* may be NULL */
	const struct loader_e820 *e820; /* sorted by base, without overlaps */
	uint32_t e820_count;
	uint64_t rsdp_gpa; /* 0: the guest gets no ACPI tables */
};

enum loader_kind {
	LOADER_KIND_NONE = 0,
	LOADER_KIND_BZIMAGE_64,
	LOADER_KIND_BZIMAGE_32,
	LOADER_KIND_PVH,
	LOADER_KIND_MULTIBOOT,
};

struct loader_result {
	enum loader_kind kind;
	/*
	 * The boot vCPU at the kernel's first instruction (BH_STATE_EMULATE groups). cr0 is as the
	 * guest is to read it: without NE, which VMX must hide (SDM 3C 23.8).
	 */
	struct bh_cpu_state state;
	uint64_t kernel_gpa;  /* lowest byte of the kernel in guest memory */
	uint64_t kernel_size; /* bytes that it takes there, its zero-filled memory included */
	uint64_t modules_gpa; /* lowest byte of initrd or modules; 0 when there are none */
	uint64_t info_gpa;    /* boot_params, hvm_start_info or multiboot information */
	char error[LOADER_ERROR_BYTES]; /* one line without a newline; empty on success */
};

/*
 * Loads in->kernel into in->memory and fills *out. Guest memory must be zeroed before; the loaders
 * only zero what the protocols ask for. Returns BH_OK; BH_ERR_FORMAT for an image that is broken
 * or of no known type; BH_ERR_MEMORY when the guest has too little memory or not at the right
 * place; BH_ERR_LIMIT when a command line or list is too long; BH_ERR_INVALID for a bad caller.
 * out->error then says which item it was and what would be right. Guest memory may then hold part
 * of the image. One thread at a time.
 */
int loader_load(const struct loader_input *in, struct loader_result *out);

/* The name of a kind as shown to users ("Linux bzImage, 64-bit entry"). */
const char *loader_kind_name(enum loader_kind kind);
