/* SPDX-License-Identifier: Apache-2.0 */
/* What queue.c and the two ring formats share. Everybody else includes queue.h. */
#pragma once

#include "mgmt/virtio/queue.h"

/* A chain begins without pieces. */
static inline void queue_clear(struct virtqueue_chain *chain)
{
	chain->out_count = 0;
	chain->in_count = 0;
	chain->out_bytes = 0;
	chain->in_bytes = 0;
	chain->slots = 0;
}

/* Breaks the queue, with the reason why this descriptor cannot be the chain's next piece. False. */
bool queue_refuse_piece(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        const struct queue_desc *desc);

/* The same for one whose bytes are not there, unless they are on their way: then the queue waits. */
bool queue_refuse_address(struct virtqueue *queue, const struct queue_desc *desc);

/* Checks a descriptor and adds it to the chain; false: the queue is broken, or waits. Here, since every descriptor passes it. */
static inline __attribute__((always_inline)) bool queue_add_piece(struct virtqueue *queue,
                                                                  struct virtqueue_chain *chain,
                                                                  const struct queue_desc *desc)
{
	uint32_t count = chain->out_count + chain->in_count;
	uint8_t *address = guest_memory_at(queue->memory, desc->address, desc->bytes);

	if (address == NULL) {
		return queue_refuse_address(queue, desc);
	}
	if (count == VIRTQUEUE_PIECES_MAX || desc->bytes == 0) {
		return queue_refuse_piece(queue, chain, desc);
	}
	chain->pieces[count] = (struct block_piece){ address, desc->bytes };
	if ((desc->flags & VIRTQ_DESC_WRITE) != 0) {
		chain->in_count++;
		return !__builtin_add_overflow(chain->in_bytes, desc->bytes, &chain->in_bytes) ||
		       queue_refuse_piece(queue, chain, desc);
	}
	chain->out_count++;
	return (chain->in_count == 0 &&
	        !__builtin_add_overflow(chain->out_bytes, desc->bytes, &chain->out_bytes)) ||
	       queue_refuse_piece(queue, chain, desc);
}

/* The checked table of an indirect descriptor; NULL: the queue is broken, or waits. */
const uint8_t *queue_indirect_table(struct virtqueue *queue, const struct queue_desc *desc,
                                    uint32_t *count);

void queue_split_resume(struct virtqueue *queue);
bool queue_split_take(struct virtqueue *queue, struct virtqueue_chain *chain);
void queue_split_give(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count);

void queue_packed_resume(struct virtqueue *queue);
bool queue_packed_take(struct virtqueue *queue, struct virtqueue_chain *chain);
