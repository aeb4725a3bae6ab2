/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead.efi: the order of the UEFI start. Opens the folder that it came from, collects command line and modules, loads the kernel and
 * enters it. It decides nothing about the machine; whatever goes wrong is one line on the firmware's console. UEFI 2.10 4.1, 9.1.
 */
#include "boot/uefi.h"

#define CMDLINE_FILE "bulkhead.cmd"
#define LOADER_NAME  "bulkhead.efi"

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

/* Load options as plain text. Boot managers also put binary data there: then, and when there are none, the result is empty. */
static void options_read(const EFI_LOADED_IMAGE *image, char *text, UINTN size)
{
	const CHAR16 *options = image->LoadOptions;
	UINTN count = image->LoadOptionsSize / sizeof(CHAR16), length = 0;

	text[0] = '\0';
	for (UINTN i = 0; options != NULL && i < count && options[i] != 0; i++) {
		if (options[i] < 0x20 || options[i] > 0x7e) {
			text[0] = '\0';
			return;
		}
		if (length + 1 < size) {
			text[length++] = (char)options[i];
			text[length] = '\0';
		}
	}
}

/* The UEFI shell puts the program's own name first. */
static const char *name_skip(const char *text)
{
	UINTN word = 0;

	while (text[word] != '\0' && text[word] != ' ') {
		word++;
	}
	if (word < 4 || (text[word - 4] != '.') || (text[word - 3] | 0x20) != 'e' ||
	    (text[word - 2] | 0x20) != 'f' || (text[word - 1] | 0x20) != 'i') {
		return text;
	}
	while (text[word] == ' ') {
		word++;
	}
	return text + word;
}

/* Load options, else the first line of the file bulkhead.cmd. */
static void cmdline_read(const EFI_LOADED_IMAGE *image, struct boot_info *info)
{
	char options[sizeof(info->cmdline)];
	const char *text;
	struct uefi_file file;
	UINTN length = 0;

	options_read(image, options, sizeof(options));
	text = name_skip(options);
	if (text[0] == '\0' && uefi_file_read(CMDLINE_FILE, &file) == EFI_SUCCESS) {
		text = (const char *)file.base;
		while (length < file.size && length + 1 < sizeof(info->cmdline) &&
		       text[length] >= ' ') {
			info->cmdline[length] = text[length];
			length++;
		}
		return;
	}
	while (text[length] != '\0') {
		info->cmdline[length] = text[length];
		length++;
	}
}

static struct boot_info *record_make(void)
{
	UINT64 base = uefi_pages_allocate(sizeof(struct boot_info), 0xffffffffull);
	struct boot_info *info = (struct boot_info *)base;

	if (base != 0) {
		SetMem(info, sizeof(*info), 0);
		info->magic = BOOT_INFO_MAGIC;
		info->version = BOOT_INFO_VERSION;
		CopyMem(info->loader, LOADER_NAME, sizeof(LOADER_NAME));
	}
	return info;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
	EFI_LOADED_IMAGE *loaded;
	struct uefi_file kernel;
	struct boot_info *info;
	EFI_STATUS status;
	UINT64 entry;

	InitializeLib(image, table);
	Print(L"Bulkhead: starting\n");
	(void)BS->SetWatchdogTimer(0, 0, 0, NULL);
	status = BS->HandleProtocol(image, &LoadedImageProtocol, (VOID **)&loaded);
	info = record_make();
	if (EFI_ERROR(status) || info == NULL) {
		Print(L"Bulkhead: the firmware does not say what it loaded, or has no memory left: %r\n",
		      status);
		return EFI_LOAD_ERROR;
	}
	if (!uefi_source_open(loaded)) {
		Print(L"Bulkhead: started from neither a disk nor a TFTP server; only what is built in can be used\n");
	}
	cmdline_read(loaded, info);
	if (!uefi_modules_load(info) || !uefi_payload_find("kernel", &kernel)) {
		Print(L"Bulkhead: this file is damaged: its payload does not hold what it should\n");
		return EFI_LOAD_ERROR;
	}
	entry = uefi_kernel_load(&kernel);
	if (entry == 0) {
		return EFI_LOAD_ERROR;
	}
	uefi_machine_read(info);
	status = uefi_kernel_enter(image, info, entry);
	Print(L"Bulkhead: the firmware does not let go of the machine: %r\n", status);
	return status;
}
