/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps of the UEFI loader: kernel segments to the addresses that they are linked for, screen, RSDP, memory map, end of the boot
 * services, and the jump. After ExitBootServices nothing of the firmware is called. UEFI 2.10 7.2, 7.4.6, 12.9; ELF-64 1.5.
 */
#include "boot/uefi.h"

#define ELF_MAGIC          0x464c457fu
#define ELF_CLASS_64       2u
#define ELF_MACHINE_X86_64 62u
#define ELF_LOAD           1u
#define EXIT_TRIES         8
#define RSDP_BYTES         36
#define MAP_SPARE_BYTES    4096u /* room for what allocating the map itself adds to it */

struct elf_header {
	UINT32 magic;
	UINT8 class, rest[11];
	UINT16 type, machine;
	UINT32 version;
	UINT64 entry, segments_offset, sections_offset;
	UINT32 flags;
	UINT16 header_size, segment_size, segments_count, section_size, sections_count, names_index;
};

struct elf_segment {
	UINT32 type, flags;
	UINT64 offset, virtual_address, physical_address, file_size, memory_size, alignment;
};

static BOOLEAN segment_is_sane(const struct elf_segment *segment, UINT64 size)
{
	return segment->offset <= size && segment->file_size <= size - segment->offset &&
	       segment->file_size <= segment->memory_size &&
	       segment->physical_address < (1ull << 32) && segment->memory_size < (1ull << 30);
}

static const struct elf_segment *segments_find(const struct uefi_file *file, UINT16 *count)
{
	const struct elf_header *header = (const struct elf_header *)file->base;

	if (file->size < sizeof(*header) || header->magic != ELF_MAGIC ||
	    header->class != ELF_CLASS_64 || header->machine != ELF_MACHINE_X86_64 ||
	    header->segment_size != sizeof(struct elf_segment) ||
	    header->segments_offset > file->size ||
	    header->segments_count * sizeof(struct elf_segment) >
	            file->size - header->segments_offset) {
		return NULL;
	}
	*count = header->segments_count;
	return (const struct elf_segment *)(file->base + header->segments_offset);
}

/* Lowest and highest address of all that is loaded; FALSE: the file is not what we packed. */
static BOOLEAN extent_find(const struct elf_segment *segments, UINT16 count, UINT64 size,
                           UINT64 *start, UINT64 *end)
{
	*start = ~0ull;
	*end = 0;
	for (UINT16 i = 0; i < count; i++) {
		const struct elf_segment *segment = &segments[i];

		if (segment->type != ELF_LOAD) {
			continue;
		}
		if (!segment_is_sane(segment, size)) {
			return FALSE;
		}
		*start = segment->physical_address < *start ? segment->physical_address : *start;
		if (segment->physical_address + segment->memory_size > *end) {
			*end = segment->physical_address + segment->memory_size;
		}
	}
	return *start < *end && *start % UEFI_PAGE_BYTES == 0;
}

UINT64 uefi_kernel_load(const struct uefi_file *file)
{
	UINT16 count = 0;
	const struct elf_segment *segments = segments_find(file, &count);
	EFI_PHYSICAL_ADDRESS base;
	UINT64 start, end;
	EFI_STATUS status;

	if (segments == NULL || !extent_find(segments, count, file->size, &start, &end)) {
		Print(L"Bulkhead: the kernel in this file is no ELF-64 program for x86-64\n");
		return 0;
	}
	base = start;
	/* Code, since firmware may make data pages non-executable. */
	status = BS->AllocatePages(AllocateAddress, EfiLoaderCode,
	                           (end - start + UEFI_PAGE_BYTES - 1) / UEFI_PAGE_BYTES, &base);
	if (EFI_ERROR(status)) {
		Print(L"Bulkhead: the firmware uses the memory from %lx to %lx, where the kernel belongs: %r\n",
		      start, end, status);
		return 0;
	}
	SetMem((VOID *)start, end - start, 0);
	for (UINT16 i = 0; i < count; i++) {
		if (segments[i].type == ELF_LOAD) {
			CopyMem((VOID *)segments[i].physical_address,
			        (VOID *)(file->base + segments[i].offset), segments[i].file_size);
		}
	}
	return ((const struct elf_header *)file->base)->entry;
}

static void screen_read(struct boot_framebuffer *fb)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;

	if (EFI_ERROR(BS->LocateProtocol(&guid, NULL, (VOID **)&gop)) || gop->Mode == NULL ||
	    gop->Mode->Info == NULL) {
		return;
	}
	mode = gop->Mode->Info;
	if (mode->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
	    mode->PixelFormat != PixelBlueGreenRedReserved8BitPerColor) {
		return;
	}
	fb->base = gop->Mode->FrameBufferBase;
	fb->width = mode->HorizontalResolution;
	fb->height = mode->VerticalResolution;
	fb->pitch_bytes = mode->PixelsPerScanLine * 4;
	fb->bits_per_pixel = 32;
}

void uefi_machine_read(struct boot_info *info)
{
	EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
	VOID *rsdp = NULL;

	if (EFI_ERROR(LibGetSystemConfigurationTable(&acpi2, &rsdp))) {
		(void)LibGetSystemConfigurationTable(&acpi1, &rsdp);
	}
	if (rsdp != NULL) {
		CopyMem(info->rsdp, rsdp, RSDP_BYTES);
	}
	screen_read(&info->framebuffer);
}

static UINT32 memory_kind(UINT32 type)
{
	switch (type) {
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiConventionalMemory:
		return BOOT_MEMORY_FREE; /* the kernel itself keeps its image and the modules out */
	case EfiACPIReclaimMemory:
	case EfiACPIMemoryNVS:
		return BOOT_MEMORY_ACPI;
	default:
		return BOOT_MEMORY_RESERVED;
	}
}

static void map_convert(struct boot_info *info, const UINT8 *map, UINTN size, UINTN entry_size)
{
	info->memory_count = 0;
	for (UINTN at = 0; at + entry_size <= size; at += entry_size) {
		const EFI_MEMORY_DESCRIPTOR *entry = (const EFI_MEMORY_DESCRIPTOR *)(map + at);
		struct boot_memory *last = info->memory_count != 0
		                                   ? &info->memory[info->memory_count - 1]
		                                   : NULL;
		UINT64 bytes = entry->NumberOfPages * UEFI_PAGE_BYTES;
		UINT32 kind = memory_kind(entry->Type);

		if (last != NULL && last->kind == kind &&
		    last->base + last->size == entry->PhysicalStart) {
			last->size += bytes;
		} else if (info->memory_count < BOOT_MEMORY_MAX) {
			last = &info->memory[info->memory_count++];
			last->base = entry->PhysicalStart;
			last->size = bytes;
			last->kind = kind;
		}
	}
}

/* Get the map and leave the firmware with its key; the map may change in between, then again (UEFI 2.10 7.4.6). */
static EFI_STATUS services_exit(EFI_HANDLE image, struct boot_info *info)
{
	UINTN size = 0, buffer_size, key, entry_size;
	EFI_STATUS status;
	UINT32 version;
	UINT64 buffer;

	status = BS->GetMemoryMap(&size, NULL, &key, &entry_size, &version);
	if (status != EFI_BUFFER_TOO_SMALL) {
		return status;
	}
	buffer_size = size + MAP_SPARE_BYTES;
	buffer = uefi_pages_allocate(buffer_size, 0);
	if (buffer == 0) {
		return EFI_OUT_OF_RESOURCES;
	}
	for (int i = 0; i < EXIT_TRIES; i++) {
		size = buffer_size;
		status = BS->GetMemoryMap(&size, (EFI_MEMORY_DESCRIPTOR *)buffer, &key, &entry_size,
		                          &version);
		if (EFI_ERROR(status)) {
			return status;
		}
		status = BS->ExitBootServices(image, key);
		if (!EFI_ERROR(status)) {
			map_convert(info, (const UINT8 *)buffer, size, entry_size);
			return EFI_SUCCESS;
		}
	}
	return status;
}

EFI_STATUS uefi_kernel_enter(EFI_HANDLE image, struct boot_info *info, UINT64 entry)
{
	EFI_STATUS status;
	UINT64 cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (cr4 & (1ull << 12)) {
		Print(L"Bulkhead: the firmware runs with five-level paging, which cannot be switched off here\n");
		return EFI_UNSUPPORTED;
	}
	status = services_exit(image, info);
	if (EFI_ERROR(status)) {
		return status;
	}
	__asm__ volatile("cli\n\tjmp *%0" : : "r"(entry), "D"(info) : "memory");
	__builtin_unreachable();
}
