/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest guest: says what it was booted with, and ends. */
#include "guests/lib/guest.h"

void guest_main(const struct multiboot_info *info)
{
	print("hello from a guest\n");
	print("memory: %u KiB above 1 MiB\n", info->mem_upper);
	if ((info->flags & 4) != 0) {
		print("cmdline: %s\n", (const char *)(uint64_t)info->cmdline);
	}
	check((info->flags & 1) != 0, "no memory size from the loader");
	check(info->mem_upper >= 1024, "only %u KiB of memory", info->mem_upper);
	guest_exit("hello");
}
