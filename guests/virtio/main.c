/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives every virtio device that it finds, first as it should be, then with broken rings. `need=blk,rng,net` on the command line
 * (any part of it) says what must be there; `bench=yes`, `exits`, `kicks`, `restart` and `repeat=` only
 * measure the first disk (bench.c), `bench=net` two interfaces (bench_net.c); `bad=N` says which of its sectors cannot be read; `break=no` leaves the broken rings out; `rounds=N` is the number of writes and reads of
 * a disk for each kind of ring.
 */
#include "guests/virtio/virtio.h"

uint32_t block_rounds = 200;

/* What follows `word` in the text; NULL if it is not there. */
static const char *find_word(const char *text, const char *word)
{
	for (; *text != '\0'; text++) {
		uint32_t i = 0;

		while (word[i] != '\0' && text[i] == word[i]) {
			i++;
		}
		if (word[i] == '\0') {
			return text + i;
		}
	}
	return NULL;
}

static bool has_word(const char *text, const char *word)
{
	return find_word(text, word) != NULL;
}

static uint32_t number(const char *digits)
{
	uint32_t value = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++) {
		value = value * 10 + (uint32_t)(*digits - '0');
	}
	return value;
}

/* The refusals that do not depend on the type (virtio 1.2 2.2, 4.1.4.3). */
static void refusals_test(const struct device *device)
{
	uint64_t not_offered = ~device->features & 0xffffffff;

	check((device->features & F_VERSION_1) != 0, "slot %u: VERSION_1 is not offered",
	      device->slot);
	check(!device_negotiate(device, 0), "slot %u: takes a driver without VERSION_1",
	      device->slot);
	check(!device_negotiate(device, F_VERSION_1 | (not_offered & -not_offered)),
	      "slot %u: takes what it did not offer", device->slot);
	device_go(device);
	check((device_status(device) & STATUS_DRIVER_OK) == 0, "slot %u: runs without features",
	      device->slot);
	device_reset(device);
	check(device_status(device) == 0, "slot %u: status %x after a reset", device->slot,
	      device_status(device));
}

static void type_test(uint32_t type, const char *name, const char *cmdline,
                      void (*test)(const struct device *device))
{
	struct device device;
	uint32_t count = 0;

	while (device_find(type, count, &device)) {
		refusals_test(&device);
		test(&device);
		if (type == TYPE_BLOCK && !has_word(cmdline, "break=no")) {
			broken_test(&device, &broken_block);
		}
		count++;
	}
	check(count > 0 || !has_word(cmdline, name), "there is no %s device", name);
}

static _Noreturn void bench(const char *cmdline)
{
	struct device device;
	enum bench_part part = has_word(cmdline, "repeat=")         ? BENCH_REPEAT
	                       : has_word(cmdline, "bench=exits")   ? BENCH_EXITS
	                       : has_word(cmdline, "bench=kicks")   ? BENCH_KICKS
	                       : has_word(cmdline, "bench=restart") ? BENCH_RESTART
	                                                            : BENCH_ALL;
	bool is_there = device_find(TYPE_BLOCK, 0, &device);

	if (has_word(cmdline, "=net")) {
		bench_net_run(part, block_rounds);
		guest_exit("bench");
	}
	check(is_there, "there is no disk");
	if (is_there) {
		bench_run(&device, part, block_rounds);
	}
	guest_exit("bench");
}

void guest_main(const struct multiboot_info *info)
{
	const char *cmdline = (info->flags & 4) != 0 ? (const char *)(uint64_t)info->cmdline : "";

	if (has_word(cmdline, "rounds=")) {
		block_rounds = number(find_word(cmdline, "rounds="));
	}
	if (has_word(cmdline, "bench=") || has_word(cmdline, "repeat=")) {
		bench(cmdline);
	}
	if (has_word(cmdline, "bad=")) {
		struct device device;

		check(device_find(TYPE_BLOCK, 0, &device), "there is no disk");
		bad_sector_test(&device, number(find_word(cmdline, "bad=")));
		guest_exit("virtio");
	}
	type_test(TYPE_RNG, "rng", cmdline, rng_test);
	type_test(TYPE_BLOCK, "blk", cmdline, block_test);
	type_test(TYPE_NET, "net", cmdline, net_test);
	type_test(TYPE_CONSOLE, "console", cmdline, ports_test);
	type_test(TYPE_VSOCK, "vsock", cmdline, vsock_test);
	type_test(TYPE_BALLOON, "balloon", cmdline, balloon_test);
	guest_exit("virtio");
}
