/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng and virtio-net: a few good requests, and the wrong ones that are theirs alone. */
#include "guests/virtio/virtio.h"

#define RANDOM_BYTES 64u
#define FRAME_BYTES  60u
#define NET_HEADER   12u
#define ANSWERS_MAX  1000000u

static uint8_t buffer[4096] __attribute__((aligned(4096)));
static uint8_t frame[NET_HEADER + 1514] __attribute__((aligned(16)));

static bool start(const struct device *device, uint16_t queues_wanted, uint64_t features)
{
	features = (features | F_VERSION_1) & device->features;
	bool is_ok = device_negotiate(device, features);

	for (uint16_t i = 0; i < queues_wanted; i++) {
		is_ok = is_ok && queue_start(device, &queues[i], i, (features & F_PACKED) != 0);
	}
	check(is_ok, "slot %u: not to be started with features %lx", device->slot, features);
	if (is_ok) {
		device_go(device);
	}
	return is_ok;
}

static void random_take(const struct device *device, const char *name)
{
	const struct segment segment = { (uint64_t)buffer, RANDOM_BYTES, true };
	uint32_t different = 0;
	int64_t length;

	for (uint32_t i = 0; i < RANDOM_BYTES; i++) {
		buffer[i] = 0;
	}
	queue_put(&queues[0], &segment, 1, NULL);
	device_kick(device, 0);
	length = queue_wait(&queues[0]);
	check(length > 0 && length <= RANDOM_BYTES, "rng %s: length %ld is given", name, length);
	for (uint32_t i = 1; i < RANDOM_BYTES; i++) {
		different += buffer[i] != buffer[0];
	}
	check(different > RANDOM_BYTES / 2, "rng %s: %u bytes differ", name, different);
}

void rng_test(const struct device *device)
{
	const struct segment readable = { (uint64_t)buffer, RANDOM_BYTES, false };

	print("rng: slot %u, features %lx\n", device->slot, device->features);
	if (start(device, 1, 0)) {
		random_take(device, "split");
		random_take(device, "split again");
	}
	if ((device->features & F_PACKED) != 0 && start(device, 1, F_PACKED)) {
		random_take(device, "packed");
	}
	/* A buffer that the device must not write (virtio 1.2 5.4.6.1). */
	if (start(device, 1, 0)) {
		queue_put(&queues[0], &readable, 1, NULL);
		device_kick(device, 0);
		check(device_wait_broken(device), "rng: a readable buffer is taken");
	}
	if (start(device, 1, 0)) {
		random_take(device, "after its reset");
	}
	device_reset(device);
}

/* Receives on queue 0, sends on queue 1. Nobody has to answer. */
static void frames_send(const struct device *device, const char *name)
{
	const struct segment good = { (uint64_t)frame, NET_HEADER + FRAME_BYTES, false };

	for (uint32_t i = 0; i < sizeof(frame); i++) {
		frame[i] = 0;
	}
	for (uint32_t i = 0; i < 6; i++) {
		frame[NET_HEADER + i] = 0xff;
		frame[NET_HEADER + 6 + i] = device->config[i];
	}
	frame[NET_HEADER + 12] = 0x88; /* an experimental type (IEEE 802, 88B5) */
	frame[NET_HEADER + 13] = 0xb5;
	for (uint32_t i = 0; i < 100; i++) {
		queue_put(&queues[1], &good, 1, NULL);
		device_kick(device, 1);
		if (queue_wait(&queues[1]) < 0) {
			check(false, "net %s: frame %u is not taken", name, i);
			return;
		}
	}
	check((device_status(device) & STATUS_NEEDS_RESET) == 0, "net %s: the device broke", name);
}

/* Either dropped or the end of the device; never more. */
static void frame_bad(const struct device *device, uint32_t bytes)
{
	const struct segment bad = { (uint64_t)frame, bytes, false };

	if (!start(device, 2, 0)) {
		return;
	}
	queue_put(&queues[1], &bad, 1, NULL);
	device_kick(device, 1);
	bool is_taken = false;
	bool is_broken = false;

	for (uint32_t i = 0; i < ANSWERS_MAX && !is_taken && !is_broken; i++) {
		is_taken = queue_take(&queues[1]) >= 0;
		is_broken = (device_status(device) & STATUS_NEEDS_RESET) != 0;
	}
	check(is_taken || is_broken, "net: no answer to a frame of %u bytes", bytes);
	print("net: a frame of %u bytes: %s\n", bytes, is_broken ? "broken" : "taken");
}

void net_test(const struct device *device)
{
	print("net: slot %u, features %lx\n", device->slot, device->features);
	if (start(device, 2, 0)) {
		frames_send(device, "split");
	}
	if ((device->features & F_PACKED) != 0 && start(device, 2, F_PACKED)) {
		frames_send(device, "packed");
	}
	frame_bad(device, NET_HEADER - 1);
	frame_bad(device, NET_HEADER);
	frame_bad(device, NET_HEADER + 5);
	if (start(device, 2, 0)) {
		frames_send(device, "after its resets");
	}
	device_reset(device);
}
