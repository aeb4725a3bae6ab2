/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame costs from one interface of this guest to another over a switch, by the TSC: 64 frames of 64 bytes with one kick and one
 * interrupt, from before the kick to the interrupt's handler, without what the guest itself executes (bench.c). `bench=net
 * rounds=N` sends 64 frames N times; `repeat=net` goes on for ever.
 */
#include "guests/virtio/virtio.h"

#define BATCH        64u /* as many chains of one descriptor as a ring has */
#define FRAME_BYTES  64u
#define HEADER_BYTES 12u
#define NET_SAMPLES  127u
#define NO_INTERRUPT 1u
#define F_MRG_RXBUF  (1ull << 15)
#define RECEIVE      0u
#define SEND         1u

static struct device from, to;
static uint8_t sent[HEADER_BYTES + FRAME_BYTES] __attribute__((aligned(64)));
static uint8_t received[2048] __attribute__((aligned(4096)));
static uint64_t samples[NET_SAMPLES];

/* Rings 0 and 1 are the sender's, 2 and 3 the receiver's. */
static bool start(struct device *device, uint32_t nth)
{
	struct queue *first = &queues[2 * nth];
	bool is_ok = device_find(TYPE_NET, nth, device) &&
	             device_negotiate(device, F_VERSION_1 | F_MRG_RXBUF);

	for (uint16_t i = 0; i < 2 && is_ok; i++) {
		is_ok = queue_start(device, &first[i], i, false);
	}
	check(is_ok, "interface %u cannot be started", nth);
	if (is_ok) {
		first[SEND].avail[0] = NO_INTERRUPT;
		device_go(device);
	}
	return is_ok;
}

static void frame_fill(const struct device *source, const struct device *destination)
{
	for (uint32_t i = 0; i < 6; i++) {
		sent[HEADER_BYTES + i] = destination->config[i];
		sent[HEADER_BYTES + 6 + i] = source->config[i];
	}
	sent[HEADER_BYTES + 12] = 0x88; /* an experimental type (IEEE 802, 88B5) */
	sent[HEADER_BYTES + 13] = 0xb5;
}

/* The switch learns where the receiver is. */
static void receiver_tell(void)
{
	const struct segment segment = { (uint64_t)sent, sizeof(sent), false };

	frame_fill(&to, &from);
	queue_put(&queues[2 + SEND], &segment, 1, NULL);
	device_kick(&to, SEND);
	check(queue_wait(&queues[2 + SEND]) >= 0, "the receiver's frame is not taken");
	frame_fill(&from, &to);
}

/* One batch; what it took but for the guest's own part. */
static uint64_t batch_run(void)
{
	const struct segment out = { (uint64_t)sent, sizeof(sent), false };
	const struct segment in = { (uint64_t)received, sizeof(received), true };
	uint32_t left = BATCH;
	uint64_t ticks = 0;
	uint64_t start_tsc;

	for (uint32_t i = 0; i < BATCH; i++) {
		queue_put(&queues[2 + RECEIVE], &in, 1, NULL);
		queue_put(&queues[SEND], &out, 1, NULL);
	}
	start_tsc = bench_start();
	device_kick(&from, SEND);
	while (left > 0) {
		ticks += bench_wait(start_tsc);
		while (left > 0 && queue_take(&queues[2 + RECEIVE]) >= 0) {
			left--;
		}
		if (left > 0) {
			start_tsc = bench_start();
		}
	}
	while (queue_take(&queues[SEND]) >= 0) {
	}
	return ticks;
}

void bench_net_run(enum bench_part part, uint32_t rounds)
{
	if (!start(&from, 0) || !start(&to, 1)) {
		return;
	}
	bench_prepare(&to, RECEIVE);
	receiver_tell();
	if (part == BENCH_REPEAT) {
		print("repeating net\n");
	}
	for (uint32_t i = 0; part == BENCH_REPEAT || i < rounds; i++) {
		samples[i % NET_SAMPLES] = batch_run();
	}
	/* The first has the switch's and the caches' first times in it. */
	print("bench net.frame %lu %lu %lu\n", samples[1] / BATCH, samples[1] / BATCH,
	      samples[1] / BATCH);
	for (uint32_t i = 0; i < FRAME_BYTES; i++) {
		check(received[HEADER_BYTES + i] == sent[HEADER_BYTES + i], "byte %u differs", i);
	}
	device_reset(&from);
	device_reset(&to);
}
