/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only hand-over record between a boot path (multiboot 1, multiboot 2, UEFI loader) and the kernel.
 * Filled by the boot path, read by kernel start; physical addresses; everything lies below 4 GiB or in RAM marked BOOT.
 */
#pragma once

#include <stdint.h>

#define BOOT_INFO_MAGIC   0x42484b4842303031ull
#define BOOT_INFO_VERSION 4u
#define BOOT_MEMORY_MAX   512u
#define BOOT_MODULES_MAX  64u
/* room in the map for what the kernel adds: image, modules, early pages */
#define BOOT_MEMORY_SLOTS (BOOT_MEMORY_MAX + BOOT_MODULES_MAX + 2u)

enum boot_memory_kind {
	BOOT_MEMORY_FREE = 1,     /* RAM for the kernel to manage */
	BOOT_MEMORY_RESERVED = 2, /* firmware, devices */
	BOOT_MEMORY_ACPI = 3,     /* ACPI tables (reclaimable or NVS): kept, readable */
	BOOT_MEMORY_BOOT =
		4, /* RAM that holds boot data (modules, this record): freed by the kernel after use where possible */
};

struct boot_memory {
	uint64_t base;
	uint64_t size;
	uint32_t kind; /* enum boot_memory_kind */
	uint32_t reserved;
};

struct boot_module {
	uint64_t base;       /* page-aligned where the boot path can; the kernel copies it else */
	uint64_t size;       /* bytes; 0 with is_missing */
	char name[48];       /* first word of the command line, folders cut off */
	uint32_t is_missing; /* the loader was asked for it and could not read it */
	uint32_t reserved;
};

struct boot_framebuffer {
	uint64_t base; /* 0 = none */
	uint32_t width, height, pitch_bytes;
	uint32_t bits_per_pixel; /* 32; 0 with is_text */
	uint32_t is_text;        /* VGA text mode, 80x25 at `base` */
	uint32_t reserved;
};

struct boot_info {
	uint64_t magic;
	uint32_t version;
	uint32_t memory_count;
	uint32_t modules_count;
	uint32_t reserved;
	uint8_t rsdp
		[40]; /* a copy of it (ACPI 6.4 table 5.3); zero = look for it by 5.2.5.1, or none */
	uint64_t kernel_base; /* physical extent of the loaded kernel image, bss included */
	uint64_t kernel_size;
	uint64_t start_tsc;
	char cmdline[512];
	char loader[64];
	char note[128]; /* what the boot path had no room for, for the log; empty: nothing */
	struct boot_framebuffer framebuffer;
	struct boot_memory memory[BOOT_MEMORY_SLOTS]; /* BOOT_MEMORY_MAX by the boot path */
	struct boot_module modules[BOOT_MODULES_MAX];
};
