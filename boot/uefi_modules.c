/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot modules under UEFI: root, mgmt and vmm out of the payload; the configuration from the file bulkhead.cfg or the payload; and every
 * file that the configuration or the list bulkhead.files names. The configuration is only searched for names here (mgmt/config.c is
 * its parser): a line that this scan misunderstands costs a module, no more. A file that cannot be read is passed on as missing.
 */
#include "boot/payload.h"
#include "lib/sha256.h"
#include "boot/uefi.h"

#define CONFIG_FILE    "bulkhead.cfg"
#define LIST_FILE      "bulkhead.files"
#define NAME_MAX_CHARS 200u

static UINTN text_length(const char *text)
{
	UINTN length = 0;

	while (text[length] != '\0') {
		length++;
	}
	return length;
}

static BOOLEAN text_is(const char *text, UINTN length, const char *wanted)
{
	return length == text_length(wanted) && CompareMem(text, wanted, length) == 0;
}

static const struct payload_header *payload_header(void)
{
	return (const struct payload_header *)payload_start;
}

static BOOLEAN payload_is_sane(void)
{
	const struct payload_header *header = payload_header();
	const struct payload_file *files = (const struct payload_file *)(header + 1);
	UINT64 size = (UINT64)(payload_end - payload_start);

	if (size < sizeof(*header) ||
	    CompareMem(header->magic, PAYLOAD_MAGIC, sizeof(header->magic)) != 0 ||
	    header->size > size ||
	    header->files_count > (header->size - sizeof(*header)) / sizeof(*files)) {
		return FALSE;
	}
	for (UINT32 i = 0; i < header->files_count; i++) {
		if (files[i].offset > header->size ||
		    files[i].size > header->size - files[i].offset ||
		    files[i].name[sizeof(files[i].name) - 1] != '\0') {
			return FALSE;
		}
	}
	return TRUE;
}

/* What was packed is what is here: against damage, not against malice (that is a signature's job). */
static BOOLEAN payload_is_whole(void)
{
	const struct payload_header *header = payload_header();
	UINT8 digest[SHA256_BYTES];
	struct sha256 sha;

	sha256_init(&sha);
	sha256_add(&sha, header + 1, header->size - sizeof(*header));
	sha256_end(&sha, digest);
	return CompareMem(digest, header->sha256, sizeof(digest)) == 0;
}

BOOLEAN uefi_payload_find(const char *name, struct uefi_file *file)
{
	const struct payload_file *files = (const struct payload_file *)(payload_header() + 1);

	for (UINT32 i = 0; i < payload_header()->files_count; i++) {
		if (text_is(name, text_length(name), files[i].name)) {
			file->base = (UINT64)payload_start + files[i].offset;
			file->size = files[i].size;
			return TRUE;
		}
	}
	return FALSE;
}

/* The last part of a path. */
static const char *name_of(const char *path)
{
	const char *name = path;

	for (const char *p = path; *p != '\0'; p++) {
		if (*p == '/' || *p == '\\') {
			name = p + 1;
		}
	}
	return name;
}

static struct boot_module *module_add(struct boot_info *info, const char *path)
{
	const char *name = name_of(path);
	struct boot_module *module;

	for (UINT32 i = 0; i < info->modules_count; i++) {
		if (text_is(name, text_length(name), info->modules[i].name)) {
			return NULL; /* several guests may boot the same file */
		}
	}
	if (info->modules_count == BOOT_MODULES_MAX || name[0] == '\0' ||
	    text_length(name) >= sizeof(module->name)) {
		Print(L"Bulkhead: file %a left out: too many files, or its name is too long\n",
		      path);
		return NULL;
	}
	module = &info->modules[info->modules_count++];
	CopyMem(module->name, name, text_length(name) + 1);
	return module;
}

/* Folders in a name are for other loaders: everything lies in the folder that we came from (docs/configuration.md). */
static void file_add(struct boot_info *info, const char *path)
{
	struct boot_module *module = module_add(info, path);
	struct uefi_file file;
	EFI_STATUS status;

	if (module == NULL) {
		return;
	}
	status = uefi_file_read(name_of(path), &file);
	if (EFI_ERROR(status)) {
		Print(L"Bulkhead: cannot read the file %a: %r\n", path, status);
		module->is_missing = 1;
		return;
	}
	module->base = file.base;
	module->size = file.size;
}

/* Payload files are used where the firmware put them; it need not have put them on a page boundary. */
static BOOLEAN payload_add(struct boot_info *info, const char *name)
{
	struct boot_module *module;
	struct uefi_file file;
	UINT64 copy;

	if (!uefi_payload_find(name, &file)) {
		return FALSE;
	}
	module = module_add(info, name);
	if (module == NULL) {
		return FALSE;
	}
	if (file.base % UEFI_PAGE_BYTES != 0) {
		copy = uefi_pages_allocate(file.size, 0);
		if (copy == 0) {
			return FALSE;
		}
		CopyMem((VOID *)copy, (VOID *)file.base, file.size);
		file.base = copy;
	}
	module->base = file.base;
	module->size = file.size;
	return TRUE;
}

static BOOLEAN is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The file that one line names: first word of the value of a key that takes files, quotes off. FALSE: none. */
static BOOLEAN line_file(const char *line, UINTN length, char *name)
{
	static const char *const keys[] = { "kernel", "ramdisk", "initrd", "module" };
	UINTN key = 0, at, count = 0;
	char end = '\0';
	BOOLEAN is_key = FALSE;

	while (key < length &&
	       ((line[key] >= 'a' && line[key] <= 'z') || line[key] == '-' || line[key] == '_')) {
		key++;
	}
	for (UINTN i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		is_key |= text_is(line, key, keys[i]);
	}
	at = key;
	while (at < length && is_blank(line[at])) {
		at++;
	}
	if (!is_key || at == length || line[at] != '=') {
		return FALSE;
	}
	for (at++; at < length && is_blank(line[at]);) {
		at++;
	}
	if (at < length && (line[at] == '"' || line[at] == '\'')) {
		end = line[at++];
	}
	while (at < length && line[at] != end && !is_blank(line[at]) && line[at] >= ' ' &&
	       count + 1 < NAME_MAX_CHARS) {
		name[count++] = line[at++];
	}
	name[count] = '\0';
	return count != 0;
}

/* A line of bulkhead.files is a name and nothing else. */
static BOOLEAN line_name(const char *line, UINTN length, char *name)
{
	UINTN count = 0;

	while (count < length && count + 1 < NAME_MAX_CHARS && line[count] > ' ') {
		name[count] = line[count];
		count++;
	}
	name[count] = '\0';
	return count != 0 && line[0] != '#';
}

static void lines_scan(struct boot_info *info, const struct uefi_file *text,
                       BOOLEAN (*find)(const char *line, UINTN length, char *name))
{
	const char *bytes = (const char *)text->base;
	char name[NAME_MAX_CHARS];
	UINT64 at = 0, end;

	while (at < text->size) {
		while (at < text->size && is_blank(bytes[at])) {
			at++;
		}
		for (end = at; end < text->size && bytes[end] != '\n' && bytes[end] != '\r';) {
			end++;
		}
		if (find(bytes + at, end - at, name)) {
			file_add(info, name);
		}
		at = end + 1;
	}
}

static void config_load(struct boot_info *info)
{
	EFI_STATUS status;
	struct boot_module *module;
	struct uefi_file file;

	status = uefi_file_read(CONFIG_FILE, &file);
	if (!EFI_ERROR(status)) {
		module = module_add(info, "config");
		if (module != NULL) {
			module->base = file.base;
			module->size = file.size;
			lines_scan(info, &file, line_file);
		}
		return;
	}
	if (status != EFI_NOT_FOUND) {
		Print(L"Bulkhead: cannot read %a: %r; going on with the built-in configuration\n",
		      CONFIG_FILE, status);
	}
	if (payload_add(info, "config") && uefi_payload_find("config", &file)) {
		lines_scan(info, &file, line_file);
	}
}

BOOLEAN uefi_modules_load(struct boot_info *info)
{
	struct uefi_file list;

	if (!payload_is_sane() || !payload_is_whole() || !payload_add(info, "root") ||
	    !payload_add(info, "mgmt") || !payload_add(info, "vmm")) {
		return FALSE;
	}
	config_load(info);
	if (uefi_file_read(LIST_FILE, &list) == EFI_SUCCESS) {
		lines_scan(info, &list, line_name);
	}
	return TRUE;
}
