/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads files from where bulkhead.efi came from: the same folder of the same disk (UEFI 2.10 13.4, 13.5), or the same folder of the TFTP
 * server (UEFI 2.10 24.3). What a server sends is bounded by the size it announced; nothing in it is interpreted here.
 */
#include "boot/uefi.h"

#include <efipxebc.h>

#define PATH_MAX_CHARS       256u
#define FILE_MAX_BYTES       (4ull << 30)
#define TFTP_BLOCK_BYTES     1428u /* fills an Ethernet frame (RFC 2348) */
#define DHCP_OPTIONS_OFFSET  240u
#define DHCP_OPTION_PAD      0u
#define DHCP_OPTION_SERVER   54u
#define DHCP_OPTION_BOOTFILE 67u
#define DHCP_OPTION_END      255u

static EFI_FILE_HANDLE disk_root;
static EFI_PXE_BASE_CODE_PROTOCOL *pxe;
static EFI_IP_ADDRESS pxe_server;
static char folder[PATH_MAX_CHARS]; /* with the separator at its end, or empty */

UINT64 uefi_pages_allocate(UINT64 size, UINT64 limit)
{
	EFI_PHYSICAL_ADDRESS base = limit;
	UINTN pages = (size + UEFI_PAGE_BYTES - 1) / UEFI_PAGE_BYTES;
	EFI_STATUS status = BS->AllocatePages(limit != 0 ? AllocateMaxAddress : AllocateAnyPages,
	                                      EfiLoaderData, pages != 0 ? pages : 1, &base);

	return EFI_ERROR(status) ? 0 : base;
}

/* Keep `path` up to its last separator. */
static void folder_set(const char *path, char separator)
{
	UINTN length = 0;

	for (UINTN i = 0; path[i] != '\0' && i + 1 < PATH_MAX_CHARS; i++) {
		folder[i] = path[i];
		if (path[i] == separator) {
			length = i + 1;
		}
	}
	folder[length] = '\0';
}

/* The folder out of the loaded image's device path: all file path nodes, joined. */
static void disk_folder_find(const EFI_LOADED_IMAGE *image)
{
	char path[PATH_MAX_CHARS];
	UINTN length = 0;

	for (EFI_DEVICE_PATH *node = image->FilePath; node != NULL && !IsDevicePathEnd(node);
	     node = NextDevicePathNode(node)) {
		const FILEPATH_DEVICE_PATH *file = (const FILEPATH_DEVICE_PATH *)node;
		UINTN count = (DevicePathNodeLength(node) - SIZE_OF_FILEPATH_DEVICE_PATH) /
		              sizeof(CHAR16);

		if (DevicePathType(node) != MEDIA_DEVICE_PATH ||
		    DevicePathSubType(node) != MEDIA_FILEPATH_DP) {
			continue;
		}
		for (UINTN i = 0;
		     i < count && file->PathName[i] != 0 && length + 1 < PATH_MAX_CHARS; i++) {
			path[length++] = file->PathName[i] == '/' ? '\\' : (char)file->PathName[i];
		}
	}
	path[length] = '\0';
	folder_set(path, '\\');
}

static const UINT8 *dhcp_option(const EFI_PXE_BASE_CODE_PACKET *packet, UINT8 wanted, UINT8 *length)
{
	const UINT8 *raw = packet->Raw;
	UINTN at = DHCP_OPTIONS_OFFSET;

	while (at + 2 < sizeof(packet->Raw) && raw[at] != DHCP_OPTION_END) {
		if (raw[at] == DHCP_OPTION_PAD) {
			at++;
			continue;
		}
		if (raw[at] == wanted && at + 2u + raw[at + 1] <= sizeof(packet->Raw)) {
			*length = raw[at + 1];
			return raw + at + 2;
		}
		at += 2u + raw[at + 1];
	}
	return NULL;
}

/* Server and folder from the packet that named the boot file. */
static BOOLEAN pxe_folder_find(const EFI_PXE_BASE_CODE_MODE *mode)
{
	const EFI_PXE_BASE_CODE_PACKET *packet = mode->PxeReplyReceived     ? &mode->PxeReply
	                                         : mode->ProxyOfferReceived ? &mode->ProxyOffer
	                                                                    : &mode->DhcpAck;
	const UINT8 *option, *bytes = packet->Dhcpv4.BootpSiAddr;
	char path[PATH_MAX_CHARS];
	UINT8 length = 0;

	if (mode->UsingIpv6 || !mode->DhcpAckReceived) {
		return FALSE;
	}
	if ((bytes[0] | bytes[1] | bytes[2] | bytes[3]) == 0) {
		option = dhcp_option(packet, DHCP_OPTION_SERVER, &length);
		bytes = option != NULL && length == 4 ? option : bytes;
	}
	CopyMem(pxe_server.v4.Addr, bytes, 4);
	SetMem(path, sizeof(path), 0);
	CopyMem(path, packet->Dhcpv4.BootpBootFile, sizeof(packet->Dhcpv4.BootpBootFile));
	option = path[0] == '\0' ? dhcp_option(packet, DHCP_OPTION_BOOTFILE, &length) : NULL;
	if (option != NULL) {
		CopyMem(path, option, length);
	}
	folder_set(path, '/');
	return TRUE;
}

BOOLEAN uefi_source_open(EFI_LOADED_IMAGE *image)
{
	EFI_FILE_IO_INTERFACE *disk;

	/* PXE first: iPXE also shows a file system, which holds only what it has loaded. */
	if (BS->HandleProtocol(image->DeviceHandle, &PxeBaseCodeProtocol, (VOID **)&pxe) ==
	            EFI_SUCCESS &&
	    pxe->Mode != NULL && pxe->Mode->Started && pxe_folder_find(pxe->Mode)) {
		return TRUE;
	}
	pxe = NULL;
	if (BS->HandleProtocol(image->DeviceHandle, &FileSystemProtocol, (VOID **)&disk) ==
	            EFI_SUCCESS &&
	    !EFI_ERROR(disk->OpenVolume(disk, &disk_root))) {
		disk_folder_find(image);
		return TRUE;
	}
	disk_root = NULL;
	return FALSE;
}

static BOOLEAN path_make(const char *name, char *path)
{
	UINTN length = 0;

	for (UINTN i = 0; folder[i] != '\0'; i++) {
		path[length++] = folder[i];
	}
	for (UINTN i = 0; name[i] != '\0'; i++) {
		if (length + 1 >= PATH_MAX_CHARS) {
			return FALSE;
		}
		path[length++] = name[i];
	}
	path[length] = '\0';
	return TRUE;
}

/* Memory for a file of `size` bytes, the end of the last page cleared. */
static EFI_STATUS file_space(UINT64 size, struct uefi_file *file)
{
	if (size > FILE_MAX_BYTES) {
		return EFI_OUT_OF_RESOURCES;
	}
	file->size = size;
	file->base = uefi_pages_allocate(size, 0);
	if (file->base == 0) {
		return EFI_OUT_OF_RESOURCES;
	}
	SetMem((UINT8 *)file->base + size,
	       (UEFI_PAGE_BYTES - size % UEFI_PAGE_BYTES) % UEFI_PAGE_BYTES, 0);
	return EFI_SUCCESS;
}

static EFI_STATUS disk_size(EFI_FILE_HANDLE handle, UINT64 *size)
{
	EFI_FILE_INFO *info = LibFileInfo(handle);

	if (info == NULL) {
		return EFI_DEVICE_ERROR;
	}
	*size = info->FileSize;
	if (info->Attribute & EFI_FILE_DIRECTORY) {
		FreePool(info);
		return EFI_NOT_FOUND;
	}
	FreePool(info);
	return EFI_SUCCESS;
}

static EFI_STATUS disk_read(const char *path, struct uefi_file *file)
{
	CHAR16 wide[PATH_MAX_CHARS];
	EFI_FILE_HANDLE handle;
	EFI_STATUS status;
	UINT64 size = 0;
	UINTN done, i = 0;

	for (; path[i] != '\0'; i++) {
		wide[i] = path[i] == '/' ? '\\' : (CHAR16)(UINT8)path[i];
	}
	wide[i] = 0;
	status = disk_root->Open(disk_root, &handle, wide, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status)) {
		return status;
	}
	status = disk_size(handle, &size);
	status = EFI_ERROR(status) ? status : file_space(size, file);
	if (!EFI_ERROR(status)) {
		done = size;
		status = handle->Read(handle, &done, (VOID *)file->base);
		if (!EFI_ERROR(status) && done != size) {
			status = EFI_END_OF_FILE;
		}
	}
	(void)handle->Close(handle);
	return status;
}

static EFI_STATUS pxe_read(char *path, struct uefi_file *file)
{
	UINTN block = TFTP_BLOCK_BYTES;
	UINT64 size = 0;
	EFI_STATUS status;

	status = pxe->Mtftp(pxe, EFI_PXE_BASE_CODE_TFTP_GET_FILE_SIZE, NULL, FALSE, &size, &block,
	                    &pxe_server, (UINT8 *)path, NULL, FALSE);
	if (EFI_ERROR(status)) {
		return status == EFI_TFTP_ERROR ? EFI_NOT_FOUND : status;
	}
	status = file_space(size, file);
	if (EFI_ERROR(status) || size == 0) {
		return status;
	}
	Print(L"Bulkhead: reading %a (%ld KiB)\n", path,
	      size / 1024); /* TFTP is slow: show that something happens */
	status = pxe->Mtftp(pxe, EFI_PXE_BASE_CODE_TFTP_READ_FILE, (VOID *)file->base, FALSE, &size,
	                    &block, &pxe_server, (UINT8 *)path, NULL, FALSE);
	file->size = size <= file->size ? size : file->size;
	return status;
}

EFI_STATUS uefi_file_read(const char *name, struct uefi_file *file)
{
	char path[PATH_MAX_CHARS];

	file->base = 0;
	file->size = 0;
	if (!path_make(name, path)) {
		return EFI_INVALID_PARAMETER;
	}
	if (pxe != NULL) {
		return pxe_read(path, file);
	}
	return disk_root != NULL ? disk_read(path, file) : EFI_NOT_FOUND;
}
