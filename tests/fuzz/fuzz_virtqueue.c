// SPDX-License-Identifier: Apache-2.0
/*
 * A virtqueue whose rings, tables and buffers are all the fuzzer's, and change between steps. What must
 * hold: every piece is in guest memory, chains are bounded, the walk ends, and a broken queue stays so.
 *
 * Input: features, log2 of the size, 8 bytes of ring addresses, then memory from RING_GPA on; what is
 * left when the memory ends is written over it between steps as (offset, 4 bytes).
 */
// sources: mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mgmt/virtio/queue.h"
#include "tests/unit/fake_driver.h"
#include "tests/fuzz/check.h"

#define RING_GPA   0x9e000ull /* ends at the hole */
#define RING_BYTES 0x2000u

/* What the look without taking has found is what is taken then. */
static void check_look(const struct virtqueue_chain *chain, const struct virtqueue_request *look)
{
	CHECK(chain->id == look->id);
	CHECK(chain->out_count + chain->in_count == 3);
	CHECK(chain->out_count == (look->is_in ? 1 : 2));
	CHECK(chain->pieces[0].address == look->header &&
	      chain->pieces[0].bytes == look->header_bytes);
	CHECK(chain->pieces[1].address == look->data && chain->pieces[1].bytes == look->data_bytes);
	CHECK(chain->pieces[2].address == look->status &&
	      chain->pieces[2].bytes == look->status_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chain(const struct virtqueue_chain *chain, const struct guest_memory *memory)
{
	static uint8_t sink[0x10000];
	uint32_t count = chain->out_count + chain->in_count;
	uint64_t bytes = 0;
	uint32_t i;

	CHECK(count >= 1 && count <= VIRTQUEUE_PIECES_MAX);
	for (i = 0; i < count; i++) {
		uint64_t gpa = (uint64_t)((uint8_t *)chain->pieces[i].address - memory->base);

		CHECK(chain->pieces[i].bytes != 0);
		CHECK(guest_memory_at(memory, gpa, chain->pieces[i].bytes) != NULL);
		bytes += chain->pieces[i].bytes;
	}
	CHECK(bytes == (uint64_t)chain->out_bytes + chain->in_bytes);
	CHECK(virtqueue_read(chain, 0, sink, sizeof(sink)) <= chain->out_bytes);
	CHECK(virtqueue_write(chain, 1, sink, 64) <= chain->in_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtqueue queue;
	static struct virtqueue_chain chain;
	struct guest_memory memory = fake_guest_memory();
	struct vio_progress progress = { 0 };
	struct vio_queue setup = { .flags = VIO_QUEUE_ENABLED };
	uint64_t features;
	size_t part;
	uint32_t step;

	if (size < 16) {
		return 0;
	}
	features = (data[0] & 1 ? VIRTIO_F_INDIRECT_DESC : 0) |
	           (data[0] & 2 ? VIRTIO_F_EVENT_IDX : 0) |
	           (data[0] & 4 ? VIRTIO_F_RING_PACKED : 0);
	setup.size = 1u << (data[1] % 9);
	setup.descriptors = RING_GPA + 16u * data[2];
	setup.driver = RING_GPA + 0x1000 + 2u * data[3];
	setup.device = RING_GPA + 0x1400 + 4u * data[4];
	if ((data[0] & 8) != 0) {
		memcpy(&progress, data + 8, sizeof(progress));
	}
	data += 16;
	size -= 16;
	part = size < RING_BYTES ? size : RING_BYTES;
	memcpy(memory.base + RING_GPA, data, part);
	data += part;
	size -= part;
	if (!virtqueue_init(&queue, &memory, &setup, features, &progress)) {
		CHECK(queue.broken != NULL);
		return 0;
	}
	for (step = 0; step < 64; step++) {
		struct virtqueue_mark mark;
		struct virtqueue_request look;
		bool is_shown;

		if (size >= 6) {
			memcpy(memory.base + RING_GPA + (data[0] | data[1] << 8) % (RING_BYTES - 4),
			       data + 2, 4);
			data += 6;
			size -= 6;
		}
		mark = virtqueue_mark(&queue);
		is_shown = !queue.is_packed && !virtqueue_is_empty(&queue) &&
		           virtqueue_split_look(&queue, &look);
		if (!virtqueue_take(&queue, &chain)) {
			CHECK(!is_shown);
			virtqueue_kicks_on(&queue);
			if (queue.broken != NULL) {
				CHECK(!virtqueue_take(&queue, &chain));
				break;
			}
			continue;
		}
		check_chain(&chain, &memory);
		if (is_shown) {
			check_look(&chain, &look);
		}
		if (step % 8 == 7) {
			virtqueue_rewind(&queue, mark);
			continue;
		}
		virtqueue_give(&queue, &chain, chain.in_bytes);
		virtqueue_needs_interrupt(&queue);
	}
	return 0;
}
