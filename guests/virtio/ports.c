/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console, -vsock and -balloon: a few good requests, those that are wrong for them alone, and the broken rings of all. The balloon
 * lends a part of memory, and then uses it all the same: for its buffers, its rings, and by the CPU.
 */
#include "guests/virtio/virtio.h"

#define CONSOLE_EMERGENCY 8u /* of the configuration (virtio 1.2 5.3.4) */
#define LENT_BYTES        0x400000ull
#define PAGE              4096u
#define PATIENCE          200000u
#define PATIENCE_GONE     50000000u

static uint8_t buffer[4096] __attribute__((aligned(4096)));
static uint32_t frames[1024] __attribute__((aligned(4096)));
static struct queue *const first = &queues[0];

static bool start(const struct device *device, uint16_t queue, uint64_t features)
{
	bool is_ok = device_negotiate(device, F_VERSION_1 | (features & device->features)) &&
	             queue_start(device, first, queue, false);

	check(is_ok, "slot %u: not to be started", device->slot);
	if (is_ok) {
		device_go(device);
	}
	return is_ok;
}

/* One readable buffer; true if it came back. */
static bool send(const struct device *device, const void *bytes, uint32_t count)
{
	const struct segment segment = { (uint64_t)bytes, count, false };

	queue_put(first, &segment, 1, NULL);
	device_kick(device, 0);
	return queue_wait(first) >= 0;
}

void ports_test(const struct device *device)
{
	static const char emergency[] = "emergency!\n";
	static const char text[] = "by the queue\n";
	const struct segment writable = { (uint64_t)buffer, 16, true };

	print("console: slot %u, features %lx\n", device->slot, device->features);
	/* First what may send as text whatever lies in memory, and push all that was there out of the console's record. */
	broken_plain_test(device, 1, 16);
	/* The control queue's own: half a message. */
	if (start(device, 3, 2)) {
		queue_put(first, &(struct segment){ (uint64_t)buffer, 7, false }, 1, NULL);
		device_kick(device, 0);
		check(device_wait_broken(device), "console: half a message is taken");
	}
	device_reset(device);
	for (uint32_t i = 0; emergency[i] != '\0'; i++) {
		*(volatile uint32_t *)(volatile void *)(device->config +
		                                        CONSOLE_EMERGENCY) = (uint8_t)emergency[i];
	}
	if (start(device, 1, 0)) {
		check(send(device, text, sizeof(text) - 1), "console: text is not taken");
		queue_put(first, &writable, 1, NULL);
		device_kick(device, 0);
		check(device_wait_broken(device), "console: a writable buffer is taken as text");
	}
	device_reset(device);
}

void vsock_test(const struct device *device)
{
	uint32_t *words = (uint32_t *)(void *)buffer;

	print("vsock: slot %u, CID %u\n", device->slot,
	      *(volatile uint32_t *)(volatile void *)device->config);
	for (uint32_t i = 0; i < sizeof(buffer) / 4; i++) {
		words[i] = 0;
	}
	words[0] = *(volatile uint32_t *)(volatile void *)device->config;
	words[2] = 2;
	if (start(device, 1, 0)) {
		check(send(device, buffer, 44), "vsock: a packet is not taken");
		words[6] = 5; /* len: more than there is */
		words[7] = 5u << 16 | 1u;
		queue_put(first, &(struct segment){ (uint64_t)buffer, 44, false }, 1, NULL);
		device_kick(device, 0);
		check(device_wait_broken(device), "vsock: a packet that is shorter than it says");
	}
	broken_plain_test(device, 1, 44);
	device_reset(device);
}

/* ---- balloon ---- */

static bool frames_send(const struct device *device, uint64_t from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		frames[i] = (uint32_t)(from / PAGE) + i;
	}
	return send(device, frames, count * 4);
}

/* Until the memory reads as nothing does: it is gone. mgmt and root have work of their own in between, maybe on this pCPU. */
static bool wait_gone(uint64_t from)
{
	volatile uint32_t *word = (volatile uint32_t *)from;

	for (uint32_t i = 0; i < PATIENCE_GONE; i++) {
		if (*word == 0xffffffff) {
			return true;
		}
		__asm__ volatile("pause");
	}
	return false;
}

/* What is lent is used by another device: that one ends, nobody else. */
static void lent_buffers(uint64_t from)
{
	const struct segment segment = { from + 64, 16, true };
	static struct queue other;
	struct device rng;

	if (!device_find(TYPE_RNG, 0, &rng) || !device_negotiate(&rng, F_VERSION_1) ||
	    !queue_start(&rng, &other, 0, false)) {
		return;
	}
	device_go(&rng);
	queue_put(&other, &segment, 1, NULL);
	device_kick(&rng, 0);
	check(device_wait_broken(&rng), "balloon: lent memory is written by a device");
	device_reset(&rng);
}

void balloon_test(const struct device *device)
{
	extern const uint8_t guest_end[];
	uint64_t end = ((uint64_t)guest_end & ~0xffffffull) + 0x1000000; /* tests give it 16 MiB */
	uint64_t from = end - LENT_BYTES;
	volatile uint32_t *word = (volatile uint32_t *)from;

	print("balloon: slot %u, features %lx\n", device->slot, device->features);
	broken_plain_test(device, 0, 16);
	if (!start(device, 0, 0)) {
		return;
	}
	*word = 0x12345678;
	check(frames_send(device, from, LENT_BYTES / PAGE), "balloon: pages are not taken");
	check(wait_gone(from), "balloon: lent memory is still there");
	*word = 1; /* a write to nothing */
	lent_buffers(from);
	check((device_status(device) & STATUS_NEEDS_RESET) == 0, "balloon: the device broke");
	/* Its reset brings all of it back, cleared. */
	device_reset(device);
	check(*word == 0, "balloon: after the reset there is %x", *word);
	*word = 2;
	check(*word == 2, "balloon: memory that came back does not keep");
	if ((device->features & F_BALLOON_REPORTING) != 0) {
		reports_test(device, end);
	}
}
