/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtio device of mgmt sees of the backend, for tests of one device: queues that are driven by
 * fake_driver.h, and counts of what the device asked for.
 */
#pragma once

#include "mgmt/virtio/backend.h"
#include "tests/unit/fake_driver.h"

#define FAKE_QUEUES_MAX 10u
#define FAKE_QUEUE_SIZE 16u

struct fake_backend_state {
	struct virtio_device device;
	struct guest_memory memory;
	struct virtqueue queues[FAKE_QUEUES_MAX];
	struct fake_driver drivers[FAKE_QUEUES_MAX];
	struct vio_progress progress[FAKE_QUEUES_MAX];
	const char *broken; /* why, or NULL */
	uint32_t interrupts_count;
	uint32_t pokes_count;
	uint8_t config[VIO_CONFIG_BYTES];
	uint32_t configs_count;
	/* The driver of an earlier mgmt is there: virtio_device_add() starts the device before it returns. */
	bool has_driver;
	uint64_t driver_features;
};

/* Two devices at most, in one memory; the functions are about the one that is chosen. */
extern struct fake_backend_state fake_backends[2];
extern uint32_t fake_backend_chosen;
#define fake_backend (fake_backends[fake_backend_chosen])

/* Forgets everything; the next virtio_device_add() gives fake_backend.device. */
void fake_backend_reset(void);

/* The driver is there with these features and all queues. */
void fake_backend_start(uint64_t features);

/* Turns, until the device says that there is no more to do. */
void fake_backend_work(void);

/* The device's page. */
struct vio_device *fake_backend_page(void);

/* The driver resets the device. */
void fake_backend_stop(void);
