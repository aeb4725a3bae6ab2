/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broken rings of every kind, against any virtio device (struct broken_target): indices, chains, loops, lengths, addresses outside of memory and across its
 * parts, changes after submission, floods of kicks and resets. Each time the device must say that it needs a reset, or carry on; and
 * after the reset it must work.
 */
#include "guests/virtio/virtio.h"

#define HOLE         0xa0000ull
#define FLOOD_KICKS  20000u
#define FLOOD_RESETS 200u
#define CHANGES      300u

static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;

static uint8_t data[4096] __attribute__((aligned(4096)));
static uint8_t status_byte;
static struct desc table[QUEUE_SIZE] __attribute__((aligned(16)));
static uint64_t memory_end;
static const struct broken_target *target;

/* A good read of one sector at descriptors 0 to 2, not yet available. */
static void block_put(struct queue *queue)
{
	header.type = 0;
	header.sector = 0;
	queue->desc[0] = (struct desc){ (uint64_t)&header, 16, DESC_NEXT, 1 };
	queue->desc[1] = (struct desc){ (uint64_t)data, 512, DESC_NEXT | DESC_WRITE, 2 };
	queue->desc[2] = (struct desc){ (uint64_t)&status_byte, 1, DESC_WRITE, 0 };
}

static void submit(struct queue *queue, uint16_t head, uint16_t count)
{
	queue->avail[2 + queue->next_avail % QUEUE_SIZE] = head;
	queue->next_avail = (uint16_t)(queue->next_avail + count);
	__atomic_store_n(&queue->avail[1], queue->next_avail, __ATOMIC_RELEASE);
}

enum change {
	INDEX_JUMPS,
	HEAD_OUTSIDE,
	NEXT_OUTSIDE,
	LOOP_OF_ONE,
	LOOP_OF_TWO,
	ADDRESS_NOWHERE,
	ADDRESS_HOLE,
	ADDRESS_ACROSS_HOLE,
	ADDRESS_ACROSS_END,
	ADDRESS_WRAPS,
	LENGTH_HUGE,
	LENGTH_ZERO,
	READABLE_AFTER_WRITABLE,
	INDIRECT_NOT_ACCEPTED,
	INDIRECT_ODD,
	INDIRECT_EMPTY,
	INDIRECT_NOWHERE,
	INDIRECT_WITH_NEXT,
	INDIRECT_NESTED,
	INDIRECT_LOOP,
	INDIRECT_NEXT_OUTSIDE,
	HEADER_SHORT,
	HEADER_ONLY,
	HEADER_WRITABLE,
	CHANGES_COUNT,
};

static const char *const change_names[CHANGES_COUNT] = {
	[INDEX_JUMPS] = "index jumps",
	[HEAD_OUTSIDE] = "head outside",
	[NEXT_OUTSIDE] = "next outside",
	[LOOP_OF_ONE] = "loop of one",
	[LOOP_OF_TWO] = "loop of two",
	[ADDRESS_NOWHERE] = "address nowhere",
	[ADDRESS_HOLE] = "address in the hole",
	[ADDRESS_ACROSS_HOLE] = "buffer across the hole",
	[ADDRESS_ACROSS_END] = "buffer across the end",
	[ADDRESS_WRAPS] = "address wraps",
	[LENGTH_HUGE] = "length huge",
	[LENGTH_ZERO] = "length zero",
	[READABLE_AFTER_WRITABLE] = "readable after writable",
	[INDIRECT_NOT_ACCEPTED] = "indirect, not accepted",
	[INDIRECT_ODD] = "indirect, odd length",
	[INDIRECT_EMPTY] = "indirect, empty",
	[INDIRECT_NOWHERE] = "indirect, nowhere",
	[INDIRECT_WITH_NEXT] = "indirect with next",
	[INDIRECT_NESTED] = "indirect in indirect",
	[INDIRECT_LOOP] = "loop in a table",
	[INDIRECT_NEXT_OUTSIDE] = "next outside of a table",
	[HEADER_SHORT] = "header short",
	[HEADER_ONLY] = "header only",
	[HEADER_WRITABLE] = "header writable",
};

/* Descriptors of the ring itself. */
static void change_ring(struct queue *queue, enum change change)
{
	struct desc *desc = queue->desc;

	switch ((uint32_t)change) {
	case NEXT_OUTSIDE:
		desc[1].next_or_flags = QUEUE_SIZE;
		break;
	case LOOP_OF_ONE:
		desc[1].next_or_flags = 1;
		break;
	case LOOP_OF_TWO:
		desc[2].flags_or_id = DESC_NEXT | DESC_WRITE;
		desc[2].next_or_flags = 1;
		break;
	case ADDRESS_NOWHERE:
		desc[1].address = 0xd0000000;
		break;
	case ADDRESS_HOLE:
		desc[1].address = HOLE;
		break;
	case ADDRESS_ACROSS_HOLE:
		desc[1].address = HOLE - 256;
		break;
	case ADDRESS_ACROSS_END:
		desc[1].address = memory_end - 256;
		break;
	case ADDRESS_WRAPS:
		desc[1].address = ~0ull - 255;
		break;
	case LENGTH_HUGE:
		desc[1].length = 0xfffffe00;
		break;
	case LENGTH_ZERO:
		desc[1].length = 0;
		break;
	case READABLE_AFTER_WRITABLE:
		desc[1].flags_or_id = DESC_NEXT | DESC_WRITE;
		desc[2].flags_or_id = 0;
		break;
	case HEADER_SHORT:
		desc[0].length = 15;
		break;
	case HEADER_ONLY:
		desc[0].flags_or_id = 0;
		break;
	case HEADER_WRITABLE:
		desc[0].flags_or_id = DESC_NEXT | DESC_WRITE;
		break;
	default:
		break;
	}
}

/* The same request through a table. */
static void change_table(struct queue *queue, enum change change)
{
	struct desc *desc = &queue->desc[0];

	for (uint32_t i = 0; i < 3; i++) {
		table[i] = queue->desc[i];
	}
	*desc = (struct desc){ (uint64_t)table, 3 * sizeof(table[0]), DESC_INDIRECT, 1 };
	switch ((uint32_t)change) {
	case INDIRECT_ODD:
		desc->length = 40;
		break;
	case INDIRECT_EMPTY:
		desc->length = 0;
		break;
	case INDIRECT_NOWHERE:
		desc->address = 0xd0000000;
		break;
	case INDIRECT_WITH_NEXT:
		desc->flags_or_id = DESC_INDIRECT | DESC_NEXT;
		break;
	case INDIRECT_NESTED:
		table[1] = (struct desc){ (uint64_t)table, 48, DESC_INDIRECT, 0 };
		break;
	case INDIRECT_LOOP:
		table[1].next_or_flags = 1;
		break;
	case INDIRECT_NEXT_OUTSIDE:
		table[1].next_or_flags = 3;
		break;
	default:
		break;
	}
}

static void works_test(const struct device *device, const char *after)
{
	if (!target->start(device, &queues[0], 0)) {
		return;
	}
	check(target->works(device), "type %u: after `%s` the device does not work", device->type,
	      after);
}

static void split_test(const struct device *device, enum change change)
{
	bool is_indirect = change >= INDIRECT_NOT_ACCEPTED && change <= INDIRECT_NEXT_OUTSIDE;
	bool has_indirect = is_indirect && change != INDIRECT_NOT_ACCEPTED;

	if (!target->start(device, &queues[0], has_indirect ? F_INDIRECT : 0)) {
		return;
	}
	target->put(&queues[0]);
	if (is_indirect) {
		change_table(&queues[0], change);
	} else {
		change_ring(&queues[0], change);
	}
	submit(&queues[0], change == HEAD_OUTSIDE ? QUEUE_SIZE : 0,
	       change == INDEX_JUMPS ? QUEUE_SIZE + 1 : 1);
	device_kick(device, 0);
	check(device_wait_broken(device), "`%s` does not break the device", change_names[change]);
	print("broken: %s: status %x\n", change_names[change], device_status(device));
	works_test(device, change_names[change]);
}

/* ---- packed rings ---- */

static void packed_broken(const struct device *device, const char *name, bool is_indirect,
                          void (*change)(struct queue *queue))
{
	if (!target->start(device, &queues[0], F_PACKED | (is_indirect ? F_INDIRECT : 0))) {
		return;
	}
	change(&queues[0]);
	device_kick(device, 0);
	check(device_wait_broken(device), "packed `%s` does not break the device", name);
	print("broken: packed %s: status %x\n", name, device_status(device));
	works_test(device, name);
}

static void packed_fill(struct queue *queue, uint32_t count, uint16_t flags)
{
	for (uint32_t i = 0; i < count; i++) {
		queue->desc[i] = (struct desc){ (uint64_t)data, 16, 0,
			                        (uint16_t)(flags | DESC_AVAIL) };
	}
}

static void packed_endless(struct queue *queue)
{
	packed_fill(queue, QUEUE_SIZE, DESC_NEXT);
}

static void packed_nowhere(struct queue *queue)
{
	packed_fill(queue, 1, 0);
	queue->desc[0].address = 0xd0000000;
}

static void packed_table_with_next(struct queue *queue)
{
	packed_fill(queue, 2, 0);
	queue->desc[0].length = 32;
	queue->desc[0].next_or_flags = DESC_AVAIL | DESC_INDIRECT | DESC_NEXT;
}

static void packed_table_odd(struct queue *queue)
{
	packed_fill(queue, 1, DESC_INDIRECT);
	queue->desc[0].length = 17;
}

static void packed_order(struct queue *queue)
{
	packed_fill(queue, 2, 0);
	queue->desc[0].next_or_flags = DESC_AVAIL | DESC_WRITE | DESC_NEXT;
}

/* ---- what changes under the device's hands, and floods ---- */

/* Good requests whose descriptors go wild right after the kick: any outcome but harm. */
static void change_after_kick(const struct device *device)
{
	uint64_t random = 88172645463325252ull;
	uint32_t breaks = 0;

	for (uint32_t i = 0; i < CHANGES / target->divisor; i++) {
		if (i % 16 == 0 || (device_status(device) & STATUS_NEEDS_RESET) != 0) {
			breaks += (device_status(device) & STATUS_NEEDS_RESET) != 0;
			if (!target->start(device, &queues[0], F_INDIRECT)) {
				return;
			}
		}
		target->put(&queues[0]);
		submit(&queues[0], 0, 1);
		device_kick(device, 0);
		for (uint32_t n = 0; n < 32; n++) {
			volatile uint64_t *words =
				(volatile uint64_t *)(volatile void *)queues[0].desc;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			words[random % 8] = random >> (random % 61);
		}
	}
	print("broken: changes after the kick: %u breaks\n", breaks);
	works_test(device, "changes after the kick");
}

static void flood_kicks(const struct device *device)
{
	if (!target->start(device, &queues[0], 0)) {
		return;
	}
	for (uint32_t i = 0; i < FLOOD_KICKS / target->divisor; i++) {
		out16(device->notify_port, (uint16_t)i);
	}
	check(target->works(device), "type %u: does not work after a flood of kicks", device->type);
	check((device_status(device) & STATUS_NEEDS_RESET) == 0, "kicks broke the device");
	print("broken: %u kicks\n", FLOOD_KICKS / target->divisor);
}

static void flood_resets(const struct device *device)
{
	for (uint32_t i = 0; i < FLOOD_RESETS / target->divisor; i++) {
		if (!target->start(device, &queues[0], i % 2 != 0 ? F_PACKED : 0)) {
			return;
		}
		if (i % 2 == 0) {
			target->put(&queues[0]);
			submit(&queues[0], 0, 1);
			device_kick(device, 0); /* and away under its hands */
		}
	}
	print("broken: %u resets\n", FLOOD_RESETS / target->divisor);
	works_test(device, "resets");
}

/* Rings that lie in each other are allowed, and harm nobody else. */
static void overlapping_rings(const struct device *device)
{
	volatile uint64_t *area = (volatile uint64_t *)(volatile void *)(device->common +
	                                                                 COMMON_QUEUE_DESC);

	if (!device_negotiate(device, F_VERSION_1)) {
		return;
	}
	*(volatile uint16_t *)(volatile void *)(device->common + COMMON_QUEUE_SELECT) = 0;
	for (uint32_t i = 0; i < 3; i++) {
		area[i] = (uint64_t)queues[0].desc;
	}
	*(volatile uint16_t *)(volatile void *)(device->common + COMMON_QUEUE_ENABLE) = 1;
	device_go(device);
	for (uint16_t i = 0; i < 64; i++) {
		queues[0].desc[i % 4] = (struct desc){ (uint64_t)queues[0].desc, 64, DESC_WRITE,
			                               i };
		device_kick(device, 0);
		(void)device_status(device);
	}
	works_test(device, "overlapping rings");
}

static bool block_works(const struct device *device)
{
	return block_read(device, &queues[0], 0) == 0;
}

const struct broken_target broken_block = { .start = block_start,
	                                    .put = block_put,
	                                    .works = block_works,
	                                    .changes = CHANGES_COUNT,
	                                    .divisor = 1 };

/* ---- devices that take what the driver sends on one of their queues ---- */

static uint16_t plain_queue;
static uint32_t plain_header;

static bool plain_start(const struct device *device, struct queue *queue, uint64_t features)
{
	features = (features | F_VERSION_1) & device->features;
	if (!device_negotiate(device, features) ||
	    !queue_start(device, queue, plain_queue, (features & F_PACKED) != 0)) {
		check(false, "slot %u: not to be started with features %lx", device->slot,
		      features);
		return false;
	}
	device_go(device);
	return true;
}

/* Zeroes: console output, pages that are none or the first, a packet from nobody. */
static void plain_put(struct queue *queue)
{
	for (uint32_t i = 0; i < sizeof(data); i++) {
		data[i] = 0;
	}
	queue->desc[0] = (struct desc){ (uint64_t)data, plain_header, DESC_NEXT, 1 };
	queue->desc[1] = (struct desc){ (uint64_t)data, 512, DESC_NEXT, 2 };
	queue->desc[2] = (struct desc){ (uint64_t)data + 512, 4, 0, 0 };
}

static bool plain_works(const struct device *device)
{
	plain_put(&queues[0]);
	submit(&queues[0], 0, 1);
	device_kick(device, 0);
	return queue_wait(&queues[0]) >= 0;
}

static const struct broken_target broken_plain = { .start = plain_start,
	                                           .put = plain_put,
	                                           .works = plain_works,
	                                           .changes = HEADER_SHORT,
	                                           .divisor = 20 };

void broken_plain_test(const struct device *device, uint16_t queue, uint32_t header_bytes)
{
	plain_queue = queue;
	plain_header = header_bytes;
	broken_test(device, &broken_plain);
}

void broken_test(const struct device *device, const struct broken_target *of)
{
	extern const uint8_t guest_end[];

	target = of;
	memory_end = ((uint64_t)guest_end & ~0xffffffull) + 0x1000000; /* tests give it 16 MiB */
	for (uint32_t i = 0; i < target->changes; i++) {
		split_test(device, (enum change)i);
	}
	if ((device->features & F_PACKED) != 0) {
		packed_broken(device, "chain without end", false, packed_endless);
		packed_broken(device, "address nowhere", false, packed_nowhere);
		packed_broken(device, "table with next", true, packed_table_with_next);
		packed_broken(device, "table of odd length", true, packed_table_odd);
		packed_broken(device, "readable after writable", false, packed_order);
	}
	change_after_kick(device);
	overlapping_rings(device);
	flood_kicks(device);
	flood_resets(device);
	device_reset(device);
}
