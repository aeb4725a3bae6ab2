/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (virtio 1.2 5.3): the ports of a guest, each with a ring like a serial line's (struct
 * bh_console). Port 0 is the console (Linux's hvc0), the others are named byte channels. Output never waits:
 * the ring keeps the last 64 KiB.
 *
 * All that must outlive mgmt is in the rings, which root keeps: bytes, what the driver has opened, and what it is
 * still to be told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/virtio/backend.h"

struct ports_params {
	uint32_t count;                        /* 1 to BH_PORTS_MAX; port 0 included */
	bool has_console;                      /* port 0 is shown to the driver */
	char names[BH_PORTS_MAX][BH_NAME_MAX]; /* of ports 1.. */
};

struct virtio_device *ports_add(uint32_t slot, uint32_t idx, const struct ports_params *params);

/* There is input in the port's ring. */
void ports_input(struct virtio_device *device);

/* What terminals the port's programs see; false if the driver cannot be told. */
bool ports_resize(struct virtio_device *device, uint32_t port, uint16_t columns, uint16_t rows);

/* Has the guest opened the port? */
bool ports_is_open(const struct virtio_device *device, uint32_t port);

/* True once after a guest has written something. */
bool ports_have_news(void);
