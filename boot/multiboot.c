/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a multiboot loader hands over to struct boot_info: versions 1 (QEMU -kernel, GRUB) and 2 (GRUB).
 * Reads the loader's records once, through the boot direct map (all below 4 GiB), and keeps nothing of them; the lengths in them are the
 * loader's word and are only bounded, not proven. Multiboot 0.6.96 3.3; Multiboot 2 3.6.
 */
#include "arch/x86/start.h"
#include "kernel/string.h"

#define MULTIBOOT1_HANDOVER 0x2badb002u
#define MULTIBOOT2_HANDOVER 0x36d76289u

#define MB1_HAS_CMDLINE     BIT(2)
#define MB1_HAS_MODULES     BIT(3)
#define MB1_HAS_MEMORY_MAP  BIT(6)
#define MB1_HAS_MEMORY      BIT(0)
#define MB1_HAS_LOADER      BIT(9)
#define MB1_HAS_FRAMEBUFFER BIT(12)

struct mb1_info {
	uint32_t flags;
	uint32_t memory_lower_kib, memory_upper_kib;
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t modules_count, modules;
	uint32_t symbols[4];
	uint32_t map_length, map;
	uint32_t drives[2];
	uint32_t config_table;
	uint32_t loader;
	uint32_t apm;
	uint32_t vbe[4];
	uint64_t framebuffer;
	uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
	uint8_t framebuffer_bits, framebuffer_type;
} __attribute__((packed));

struct mb1_module {
	uint32_t start, end, string, reserved;
};

struct mb1_map_entry {
	uint32_t size; /* of the rest */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

#define FRAMEBUFFER_RGB     1
#define FRAMEBUFFER_TEXT    2

#define MB2_TAG_END         0
#define MB2_TAG_CMDLINE     1
#define MB2_TAG_LOADER      2
#define MB2_TAG_MODULE      3
#define MB2_TAG_MEMORY_MAP  6
#define MB2_TAG_FRAMEBUFFER 8
#define MB2_TAG_RSDP1       14
#define MB2_TAG_RSDP2       15

struct mb2_tag {
	uint32_t type;
	uint32_t size; /* header included, padding not */
};

struct mb2_module {
	struct mb2_tag tag;
	uint32_t start, end;
	char string[];
};

struct mb2_map {
	struct mb2_tag tag;
	uint32_t entry_size, entry_version;
};

struct mb2_map_entry {
	uint64_t base, length;
	uint32_t type, reserved;
};

struct mb2_framebuffer {
	struct mb2_tag tag;
	uint64_t base;
	uint32_t pitch, width, height;
	uint8_t bits, type;
	uint16_t reserved;
};

/* Memory types of both versions and of INT 15h E820. */
#define MAP_AVAILABLE  1
#define MAP_ACPI       3
#define MAP_NVS        4

#define BDA_VIDEO_MODE 0x449u /* BIOS data area: 3 = colour text, 80x25 */
#define VGA_TEXT_BASE  0xb8000u

struct boot_info boot_info;

static const void *physical(uint64_t address)
{
	return phys_to_virt(HPA(address));
}

static void text_copy(char *to, size_t size, const char *from)
{
	size_t i = 0;

	for (; i + 1 < size && from[i] != '\0'; i++) {
		to[i] = from[i];
	}
	to[i] = '\0';
}

static void memory_add(uint64_t base, uint64_t size, uint32_t type)
{
	struct boot_memory *memory;

	if (boot_info.memory_count == BOOT_MEMORY_MAX || size == 0) {
		return;
	}
	memory = &boot_info.memory[boot_info.memory_count++];
	memory->base = base;
	memory->size = size;
	memory->kind = BOOT_MEMORY_RESERVED;
	if (type == MAP_AVAILABLE) {
		memory->kind = BOOT_MEMORY_FREE;
	} else if (type == MAP_ACPI || type == MAP_NVS) {
		memory->kind = BOOT_MEMORY_ACPI;
	}
}

/*
 * A module's name is the last word of its string, without folders: GRUB gives what stands behind the file ("root"), QEMU the file and
 * what stands behind it ("build/root.bin root"), and either only the file when nothing stands there.
 */
static void name_copy(char *to, size_t size, const char *string)
{
	const char *name = string;
	size_t length = 0;

	for (const char *p = string; *p != '\0'; p++) {
		if ((p[0] == ' ' || p[0] == '/') && p[1] != ' ' && p[1] != '\0') {
			name = p + 1;
		}
	}
	while (name[length] != '\0' && name[length] != ' ' && length + 1 < size) {
		to[length] = name[length];
		length++;
	}
	to[length] = '\0';
}

static void module_add(uint32_t start, uint32_t end, const char *string)
{
	static const char full[] = ", the most; left out with what follows it: ";
	struct boot_module *module;

	if (end < start) {
		return;
	}
	if (boot_info.modules_count == BOOT_MODULES_MAX) {
		if (boot_info.note[0] == '\0') {
			text_copy(boot_info.note, sizeof(boot_info.note), full);
			name_copy(boot_info.note + sizeof(full) - 1,
			          sizeof(boot_info.note) - sizeof(full), string);
		}
		return;
	}
	module = &boot_info.modules[boot_info.modules_count++];
	module->base = start;
	module->size = end - start;
	name_copy(module->name, sizeof(module->name), string);
}

/* QEMU puts the image's file name before the words; GRUB does not. */
static void cmdline_set(const char *text)
{
	if (strncmp(boot_info.loader, "qemu", sizeof("qemu")) == 0) {
		while (*text != '\0' && *text != ' ') {
			text++;
		}
		while (*text == ' ') {
			text++;
		}
	}
	text_copy(boot_info.cmdline, sizeof(boot_info.cmdline), text);
}

static void framebuffer_set(uint64_t base, uint32_t pitch, uint32_t width, uint32_t height,
                            uint32_t bits_and_type)
{
	struct boot_framebuffer *fb = &boot_info.framebuffer;
	uint32_t bits = bits_and_type & 0xff, type = bits_and_type >> 8;

	if (type == FRAMEBUFFER_TEXT || (type == FRAMEBUFFER_RGB && bits == 32)) {
		fb->base = base;
		fb->pitch_bytes = pitch;
		fb->width = width;
		fb->height = height;
		fb->is_text = type == FRAMEBUFFER_TEXT;
		fb->bits_per_pixel = fb->is_text ? 0 : bits;
	}
}

/* A loader that says nothing about the screen, on a BIOS machine in text mode. */
static void framebuffer_guess(void)
{
	if (boot_info.framebuffer.base == 0 && *(const uint8_t *)physical(BDA_VIDEO_MODE) == 3) {
		framebuffer_set(VGA_TEXT_BASE, 160, 80, 25, FRAMEBUFFER_TEXT << 8);
	}
}

static void multiboot1_map_read(const struct mb1_info *mb)
{
	uint32_t at = mb->map, end = mb->map + mb->map_length;

	while (at + sizeof(struct mb1_map_entry) <= end) {
		const struct mb1_map_entry *entry = physical(at);

		memory_add(entry->base, entry->length, entry->type);
		at += entry->size + (uint32_t)sizeof(entry->size);
	}
}

static void multiboot1_read(const struct mb1_info *mb)
{
	if (mb->flags & MB1_HAS_LOADER) {
		text_copy(boot_info.loader, sizeof(boot_info.loader), physical(mb->loader));
	}
	if (mb->flags & MB1_HAS_CMDLINE) {
		cmdline_set(physical(mb->cmdline));
	}
	if (mb->flags & MB1_HAS_MEMORY_MAP) {
		multiboot1_map_read(mb);
	} else if (mb->flags & MB1_HAS_MEMORY) {
		memory_add(0, (uint64_t)mb->memory_lower_kib << 10, MAP_AVAILABLE);
		memory_add(0x100000, (uint64_t)mb->memory_upper_kib << 10, MAP_AVAILABLE);
	}
	if (mb->flags & MB1_HAS_MODULES) {
		const struct mb1_module *modules = physical(mb->modules);

		for (uint32_t i = 0; i < mb->modules_count; i++) {
			module_add(modules[i].start, modules[i].end, physical(modules[i].string));
		}
	}
	if (mb->flags & MB1_HAS_FRAMEBUFFER) {
		framebuffer_set(mb->framebuffer, mb->framebuffer_pitch, mb->framebuffer_width,
		                mb->framebuffer_height,
		                mb->framebuffer_bits | (uint32_t)mb->framebuffer_type << 8);
	}
	framebuffer_guess();
}

static void multiboot2_map_read(const struct mb2_map *map)
{
	uint32_t at = sizeof(*map);

	while (map->entry_size >= sizeof(struct mb2_map_entry) &&
	       at + map->entry_size <= map->tag.size) {
		const struct mb2_map_entry *entry = (const void *)((const char *)map + at);

		memory_add(entry->base, entry->length, entry->type);
		at += map->entry_size;
	}
}

static void multiboot2_rsdp_read(const struct mb2_tag *tag)
{
	uint32_t size = tag->size - (uint32_t)sizeof(*tag);

	if (size <= sizeof(boot_info.rsdp)) {
		memset(boot_info.rsdp, 0, sizeof(boot_info.rsdp));
		memcpy(boot_info.rsdp, tag + 1, size);
	}
}

static void multiboot2_tag_read(const struct mb2_tag *tag)
{
	const struct mb2_module *module = (const void *)tag;
	const struct mb2_framebuffer *fb = (const void *)tag;

	switch (tag->type) {
	case MB2_TAG_CMDLINE:
		cmdline_set((const char *)(tag + 1));
		break;
	case MB2_TAG_LOADER:
		text_copy(boot_info.loader, sizeof(boot_info.loader), (const char *)(tag + 1));
		break;
	case MB2_TAG_MODULE:
		module_add(module->start, module->end, module->string);
		break;
	case MB2_TAG_MEMORY_MAP:
		multiboot2_map_read((const void *)tag);
		break;
	case MB2_TAG_FRAMEBUFFER:
		framebuffer_set(fb->base, fb->pitch, fb->width, fb->height,
		                fb->bits | (uint32_t)fb->type << 8);
		break;
	case MB2_TAG_RSDP1:
		if (boot_info.rsdp[0] == 0) {
			multiboot2_rsdp_read(tag);
		}
		break;
	case MB2_TAG_RSDP2:
		multiboot2_rsdp_read(tag);
		break;
	default:
		break;
	}
}

static void multiboot2_read(const uint32_t *information)
{
	uint32_t size = information[0], at = 8;

	while (at + sizeof(struct mb2_tag) <= size) {
		const struct mb2_tag *tag = (const void *)((const char *)information + at);

		if (tag->type == MB2_TAG_END || tag->size < sizeof(*tag) || tag->size > size - at) {
			break;
		}
		multiboot2_tag_read(tag);
		at += ALIGN_UP(tag->size, 8u);
	}
}

void multiboot_start(uint32_t magic, uint32_t information)
{
	if (magic == MULTIBOOT1_HANDOVER) {
		multiboot1_read(physical(information));
	} else if (magic == MULTIBOOT2_HANDOVER) {
		multiboot2_read(physical(information));
	}
	boot_info.magic = BOOT_INFO_MAGIC;
	boot_info.version = BOOT_INFO_VERSION;
	boot_info.start_tsc = boot_start_tsc;
	arch_start();
}

void loader_start(const struct boot_info *info)
{
	const struct boot_info *record = physical((uint64_t)info);

	if (record->magic == BOOT_INFO_MAGIC && record->version == BOOT_INFO_VERSION) {
		memcpy(&boot_info, record, sizeof(boot_info));
	}
	boot_info.start_tsc = boot_start_tsc;
	arch_start();
}
