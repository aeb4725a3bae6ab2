/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2 5.10): streams between a guest and mgmt's services (CID 2, vsock_host.h), and between guests
 * that name each other as peers. Packets between guests are passed on as they are but for their length, and the
 * guests' own credit holds for them; a sender whose receiver has no buffers waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/virtio/backend.h"
#include "mgmt/virtio/vsock_host.h"

#define VSOCK_PEERS_MAX 8u

struct vsock_params {
	uint32_t cid;
	bool takes_any; /* every guest may be a peer */
	uint32_t peers_count;
	uint32_t peers[VSOCK_PEERS_MAX];
	size_t (*describe)(void *owner, char *text, size_t size);
	void *owner;
};

/* NULL if there is no memory, or another device has the CID. */
struct virtio_device *vsock_add(uint32_t slot, uint32_t idx, const struct vsock_params *params);

void vsock_counters(const struct virtio_device *device, struct vsock_counters *counters,
                    uint32_t *connections);

/* The slot whose device has this CID; false if none has. */
bool vsock_find(uint32_t cid, uint32_t *slot);
