// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-console's ports against any driver. What must hold: nothing is read or written outside of the rings, every
 * turn ends, and counters of the rings stay sane.
 */
// sources: mgmt/virtio/ports.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <stddef.h>
#include <stdint.h>

#include "mgmt/machine.h"
#include "mgmt/virtio/ports.h"
#include "tests/fuzz/device_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bh_console rings[BH_PORTS_MAX];

struct bh_console *machine_port_console(uint32_t slot, uint32_t port)
{
	CHECK(slot == 0 && port < BH_PORTS_MAX);
	return &rings[port];
}

/* The operator types, and looks at another size. */
static void between(uint8_t choice)
{
	uint32_t port = choice % BH_PORTS_MAX;

	for (uint32_t i = 0; i < BH_PORTS_MAX; i++) {
		CHECK(rings[i].in_head - rings[i].in_tail <= BH_CONSOLE_IN_BYTES);
	}
	if (rings[port].in_head - rings[port].in_tail <= BH_CONSOLE_IN_BYTES - 100) {
		rings[port].in_head += choice % 100;
	}
	if (choice % 16 == 0) {
		ports_resize(&fake_backend.device, port, choice, 25);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ports_params params = { .count = BH_PORTS_MAX,
		                             .has_console = true,
		                             .names = { "", "one", "two", "three" } };

	if (size < 1) {
		return 0;
	}
	fake_backend_reset();
	memset(rings, 0, sizeof(rings));
	CHECK(ports_add(0, 0, &params) != NULL);
	fake_backend_start((data[0] & 3) | ((data[0] & 4) != 0 ? VIRTIO_F_RING_PACKED : 0));
	device_steps(data + 1, size - 1, between);
	fake_backend.device.operations->destroy(&fake_backend.device);
	return 0;
}
