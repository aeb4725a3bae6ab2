/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the UEFI loader share. The loader is its own program (build/bulkhead.efi); it ends by jumping into the kernel.
 * UEFI 2.10; everything it allocates stays until the kernel takes the machine over.
 */
#pragma once

#include <efi.h>
#include <efilib.h>

#include "boot/boot_info.h"

#define UEFI_PAGE_BYTES 4096ull

/* A file in memory: page-aligned, the rest of the last page zero. */
struct uefi_file {
	UINT64 base;
	UINT64 size;
};

/* ---- boot/uefi_file.c: the folder that we were started from ---- */
/* Find out whether that is a disk's folder or a TFTP server's. False: neither, no files can be read. */
BOOLEAN uefi_source_open(EFI_LOADED_IMAGE *image);
/* Read a file of that folder. EFI_NOT_FOUND, or what the firmware said. */
EFI_STATUS uefi_file_read(const char *name, struct uefi_file *file);
/* Pages for `size` bytes, at most up to `limit` (0: anywhere); their content is undefined. 0: none. */
UINT64 uefi_pages_allocate(UINT64 size, UINT64 limit);

/* ---- boot/uefi_modules.c: what becomes a boot module ---- */
/* Take all modules into `info`: those of the payload, the configuration, the files that it names. False: the payload is damaged. */
BOOLEAN uefi_modules_load(struct boot_info *info);
/* A file of the payload; false if it has none of this name. */
BOOLEAN uefi_payload_find(const char *name, struct uefi_file *file);

/* ---- boot/uefi_machine.c: what else the kernel must know, and the way into it ---- */
void uefi_machine_read(struct boot_info *info);
/* Kernel segments to their addresses; returns the entry point, 0 after an error line. */
UINT64 uefi_kernel_load(const struct uefi_file *file);
/* Memory map, end of the boot services, jump. Returns only on failure. */
EFI_STATUS uefi_kernel_enter(EFI_HANDLE image, struct boot_info *info, UINT64 entry);
