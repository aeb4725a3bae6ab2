/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare side of the Linux figures: boots a bzImage on the machine itself in the way in which our VMM boots it in a guest (64-bit entry
 * of Documentation/arch/x86/boot.rst), and prints the TSC right before the kernel's first instruction. Module 0 is the kernel, module 1
 * the initrd; the kernel's command line is what follows the first word of module 0's string.
 */
#include "guests/lib/guest.h"

#define SETUP_HEADER 0x1f1u
#define BOOT_PARAMS  0x20000ull
#define CMDLINE      0x21000ull
#define INITRD_ALIGN 4096ull
#define E820_MAX     128u

struct module {
	uint32_t start, end, string, reserved;
};

struct memory_entry {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

static uint64_t boot_gdt[4] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

static void copy(void *to, const void *from, uint64_t size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static uint32_t field(const uint8_t *image, uint32_t offset, uint32_t bytes)
{
	uint32_t value = 0;

	copy(&value, image + offset, bytes);
	return value;
}

static void e820_fill(uint8_t *params, const struct multiboot_info *info, uint64_t *top)
{
	uint32_t count = 0;

	for (uint32_t offset = 0; offset < info->memory_map_length && count < E820_MAX;) {
		struct memory_entry entry;

		copy(&entry, (const void *)(uint64_t)(info->memory_map_address + offset),
		     sizeof(entry));
		copy(params + 0x2d0 + count * 20, &entry.base, 20);
		if (entry.type == 1 && entry.base + entry.length <= 0x80000000ull &&
		    entry.base + entry.length > *top) {
			*top = entry.base + entry.length;
		}
		offset += entry.size + 4;
		count++;
	}
	params[0x1e8] = (uint8_t)count;
}

static void cmdline_place(uint8_t *params, const char *string)
{
	char *to = (char *)CMDLINE;

	while (*string != '\0' && *string != ' ') {
		string++;
	}
	while (*string == ' ') {
		string++;
	}
	while ((*to++ = *string++) != '\0') {
	}
	*(uint32_t *)(void *)(params + 0x228) = (uint32_t)CMDLINE;
}

static _Noreturn void jump(uint64_t entry)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(boot_gdt) - 1, (uint64_t)boot_gdt };

	__asm__ volatile("lgdt %0; mov %1, %%ds; mov %1, %%es; mov %1, %%ss"
	                 :
	                 : "m"(pointer), "r"(0x18));
	__asm__ volatile("push $0x10; push %0; lretq" : : "r"(entry), "S"(BOOT_PARAMS) : "memory");
	__builtin_unreachable();
}

void guest_main(const struct multiboot_info *info)
{
	const struct module *modules = (const struct module *)(uint64_t)info->modules_address;
	uint8_t *params = (uint8_t *)BOOT_PARAMS;

	if (info->modules_count < 2) {
		check(false, "a kernel and an initrd are needed as modules");
		guest_exit("linuxboot");
	}
	const uint8_t *image = (const uint8_t *)(uint64_t)modules[0].start;
	uint64_t kernel = field(image, 0x258, 4);
	uint64_t initrd_size = modules[1].end - modules[1].start;
	uint64_t setup_size = (image[SETUP_HEADER] + 1u) * 512u;
	uint64_t top = 0;

	for (uint32_t i = 0; i < 4096; i++) {
		params[i] = 0;
	}
	copy(params + SETUP_HEADER, image + SETUP_HEADER, 0x202u + image[0x201] - SETUP_HEADER);
	e820_fill(params, info, &top);
	cmdline_place(params, (const char *)(uint64_t)modules[0].string);
	uint64_t initrd = (top - initrd_size - 0x100000) & ~(INITRD_ALIGN - 1);

	copy((void *)initrd, (const void *)(uint64_t)modules[1].start, initrd_size);
	copy((void *)kernel, image + setup_size, modules[0].end - modules[0].start - setup_size);
	params[0x210] = 0xff;
	*(uint32_t *)(void *)(params + 0x218) = (uint32_t)initrd;
	*(uint32_t *)(void *)(params + 0x21c) = (uint32_t)initrd_size;
	print("linuxboot tsc %lu\n", rdtsc());
	jump(kernel + 0x200);
}
