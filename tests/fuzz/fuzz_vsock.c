// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-vsock against any driver, with a second guest that takes what comes. What must hold: connections and refusals
 * are bounded, no payload is longer than its buffer, the second guest gets nothing under another's address.
 */
// sources: mgmt/virtio/vsock.c mgmt/virtio/vsock_host.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "mgmt/virtio/vsock.h"
#include "tests/fuzz/device_target.h"

#define ROOM_GPA   0x50000ull
#define ROOM_BYTES 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t describe(void *owner, char *text, size_t size)
{
	(void)owner;
	return (size_t)snprintf(text, size, "name=fuzz\n");
}

static struct virtio_device *add(uint32_t which)
{
	const struct vsock_params params = { .cid = 3 + which,
		                             .takes_any = true,
		                             .describe = describe };

	fake_backend_chosen = which;
	return vsock_add(which, 15, &params);
}

/* The second guest reads, and offers a buffer again, but for a while. */
static void between(uint8_t choice)
{
	struct fake_driver *driver = &fake_backends[1].drivers[0];
	const struct fake_piece piece = { ROOM_GPA, ROOM_BYTES, true };
	struct vsock_counters counters;
	uint32_t connections;
	uint16_t id;
	uint32_t used;

	vsock_counters(&fake_backends[0].device, &counters, &connections);
	CHECK(connections <= VSOCK_CONNECTIONS_MAX);
	while (fake_driver_used(driver, &id, &used)) {
		struct vsock_header header;

		memcpy(&header, fake_backends[1].memory.base + ROOM_GPA, sizeof(header));
		CHECK(used >= sizeof(header) && used <= ROOM_BYTES);
		CHECK(used == sizeof(header) + header.len);
		CHECK(header.src_cid == 3 && header.dst_cid == 4);
	}
	if (choice % 4 != 0 && driver->avail_idx == driver->used_idx) {
		fake_driver_add(driver, &piece, 1, false);
		fake_backend_chosen = 1;
		fake_backend_work();
		fake_backend_chosen = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1) {
		return 0;
	}
	fake_backend_reset();
	CHECK(add(1) != NULL);
	fake_backend_start(0);
	CHECK(add(0) != NULL);
	fake_backend_start((data[0] & 1) != 0 ? VIRTIO_F_RING_PACKED : 0);
	device_steps(data + 1, size - 1, between);
	fake_backends[0].device.operations->destroy(&fake_backends[0].device);
	fake_backends[1].device.operations->destroy(&fake_backends[1].device);
	return 0;
}
