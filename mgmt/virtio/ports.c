// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-console (see ports.h): bytes between a guest's queues and rings, and the control queue's little
 * protocol. What the driver is to be told is a set of bits for each port, so nothing that the driver says makes
 * anything grow; a message may be told twice after mgmt's death, which drivers bear.
 */
#include "mgmt/virtio/ports.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/machine.h"

/* virtio 1.2 5.3.3 */
#define PORTS_F_SIZE        (1ull << 0)
#define PORTS_F_MULTIPORT   (1ull << 1)
#define PORTS_F_EMERG_WRITE (1ull << 2)

#define PORTS_QUEUE_SIZE    64u
#define PORTS_TURN          32u /* chains of a queue in one turn */
#define CONTROL_RECEIVE     2u  /* queues (5.3.2) */
#define CONTROL_TRANSMIT    3u

/* virtio 1.2 5.3.6.2 */
enum control_event {
	CONTROL_DEVICE_READY = 0,
	CONTROL_PORT_ADD = 1,
	CONTROL_PORT_READY = 3,
	CONTROL_CONSOLE_PORT = 4,
	CONTROL_RESIZE = 5,
	CONTROL_PORT_OPEN = 6,
	CONTROL_PORT_NAME = 7,
};

struct control {
	uint32_t id;
	uint16_t event;
	uint16_t value;
};
_Static_assert(sizeof(struct control) == 8, "virtio 1.2 5.3.6.2");

struct resize {
	uint16_t columns;
	uint16_t rows;
};

/* virtio 1.2 5.3.4 */
struct ports_config {
	uint16_t columns;
	uint16_t rows;
	uint32_t ports_max;
	uint32_t emergency;
};
_Static_assert(sizeof(struct ports_config) == 12, "virtio 1.2 5.3.4");

/* bh_console.port_flags */
#define FLAG_READY 0x1u
#define FLAG_OPEN  0x2u

/* bh_console.port_pending: what the driver is to be told, in this order. */
static const uint16_t messages[] = { CONTROL_PORT_ADD, CONTROL_CONSOLE_PORT, CONTROL_PORT_NAME,
	                             CONTROL_RESIZE, CONTROL_PORT_OPEN };

#define MESSAGES_COUNT (sizeof(messages) / sizeof(messages[0]))
#define BIT_OF(event)  (1u << (event))

struct ports {
	struct ports_params params;
	bool is_multiport;
	bool has_size;
};

static struct virtqueue_chain chain;
static bool have_news;

static struct ports *ports_of(const struct virtio_device *device)
{
	return device->own;
}

static struct bh_console *ring_of(const struct virtio_device *device, uint32_t port)
{
	return machine_port_console(device->slot, port);
}

/* Is there such a port for the driver? */
static bool is_shown(const struct ports *ports, uint32_t port)
{
	return port < ports->params.count && (port != 0 || ports->params.has_console);
}

static uint32_t receive_queue(uint32_t port)
{
	return port == 0 ? 0 : 2 * port + 2;
}

/* ---- what the driver says ----------------------------------------------------------------------- */

static void port_ready(struct ports *ports, struct bh_console *ring, uint32_t port, bool is_ready)
{
	if (!is_ready) {
		ring->port_flags = 0;
		ring->port_pending = 0;
		return;
	}
	ring->port_flags |= FLAG_READY;
	ring->port_pending |= BIT_OF(CONTROL_PORT_OPEN);
	if (port == 0) {
		ring->port_pending |= BIT_OF(CONTROL_CONSOLE_PORT);
		ring->port_pending |= ports->has_size && ring->port_columns != 0
		                              ? BIT_OF(CONTROL_RESIZE)
		                              : 0;
	} else {
		ring->port_pending |= BIT_OF(CONTROL_PORT_NAME);
	}
}

static void device_ready(struct virtio_device *device)
{
	const struct ports *ports = ports_of(device);
	uint32_t port;

	for (port = 0; port < ports->params.count; port++) {
		struct bh_console *ring = ring_of(device, port);

		ring->port_flags = 0;
		ring->port_pending = is_shown(ports, port) ? BIT_OF(CONTROL_PORT_ADD) : 0;
	}
}

/* Messages of ports that there are not, and unknown ones, mean nothing. */
static void control_take(struct virtio_device *device, const struct control *control)
{
	struct ports *ports = ports_of(device);
	struct bh_console *ring;

	if (control->event == CONTROL_DEVICE_READY) {
		if (control->value == 1) {
			device_ready(device);
		}
		return;
	}
	if (!is_shown(ports, control->id)) {
		return;
	}
	ring = ring_of(device, control->id);
	if (control->event == CONTROL_PORT_READY) {
		port_ready(ports, ring, control->id, control->value == 1);
	} else if (control->event == CONTROL_PORT_OPEN) {
		ring->port_flags = (ring->port_flags & ~FLAG_OPEN) |
		                   (control->value == 1 ? FLAG_OPEN : 0);
	}
}

/* Gives every chain to take() and back to the driver; true if there is more to do. */
static bool drain(struct virtio_device *device, uint32_t queue_idx, uint32_t port,
                  bool (*take)(struct virtio_device *device, uint32_t port))
{
	struct virtqueue *queue = &device->queues[queue_idx];
	uint32_t left = PORTS_TURN;

	if (queue->size == 0) {
		return false;
	}
	virtqueue_kicks_off(queue);
	for (; left > 0 && virtqueue_take(queue, &chain); left--) {
		if (chain.in_count != 0 || !take(device, port)) {
			virtio_device_break(device, "a message to a console is none");
			return false;
		}
		virtqueue_give(queue, &chain, 0);
		device->page->counters.chains++;
	}
	if (virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, queue_idx);
	return left == 0 || virtqueue_kicks_on(queue);
}

static bool take_control(struct virtio_device *device, uint32_t port)
{
	struct control control;

	(void)port;
	if (virtqueue_read(&chain, 0, &control, sizeof(control)) != sizeof(control)) {
		return false;
	}
	control_take(device, &control);
	return true;
}

static void put_bytes(struct bh_console *ring, const uint8_t *bytes, uint32_t count)
{
	uint64_t head = ring->out_head;
	uint32_t at = (uint32_t)(head % BH_CONSOLE_OUT_BYTES);
	uint32_t first = BH_CONSOLE_OUT_BYTES - at < count ? BH_CONSOLE_OUT_BYTES - at : count;

	memcpy(ring->out + at, bytes, first);
	memcpy(ring->out, bytes + first, count - first);
	machine_store64(&ring->out_head, head + count);
	have_news = true;
}

/* Of a chain that is longer than the ring only the end would be left. */
static bool take_output(struct virtio_device *device, uint32_t port)
{
	uint8_t bytes[512];
	uint32_t offset = chain.out_bytes > BH_CONSOLE_OUT_BYTES
	                          ? chain.out_bytes - BH_CONSOLE_OUT_BYTES
	                          : 0;

	while (offset < chain.out_bytes) {
		uint32_t count = virtqueue_read(&chain, offset, bytes, sizeof(bytes));

		put_bytes(ring_of(device, port), bytes, count);
		offset += count;
	}
	return true;
}

/* ---- what the driver is told --------------------------------------------------------------------- */

/* A buffer of the driver to fill. Without one the driver is asked to kick when there is. */
static bool take_buffer(struct virtio_device *device, struct virtqueue *queue)
{
	for (;;) {
		if (virtqueue_take(queue, &chain)) {
			if (chain.out_count == 0) {
				return true;
			}
			virtio_device_break(device, "a buffer for a console is not writable");
			return false;
		}
		if (virtio_device_check_queue(device, queue) || !virtqueue_kicks_on(queue)) {
			return false;
		}
	}
}

static uint32_t message_put(const struct virtio_device *device, uint32_t port, uint16_t event)
{
	const struct ports *ports = ports_of(device);
	const struct bh_console *ring = ring_of(device, port);
	struct control control = { .id = port, .event = event, .value = 1 };
	struct resize size = { ring->port_columns, ring->port_rows };
	uint32_t bytes = virtqueue_write(&chain, 0, &control, sizeof(control));

	if (event == CONTROL_RESIZE) {
		bytes += virtqueue_write(&chain, bytes, &size, sizeof(size));
	} else if (event == CONTROL_PORT_NAME) {
		const char *name = ports->params.names[port];

		bytes += virtqueue_write(&chain, bytes, name, (uint32_t)strlen(name) + 1);
	}
	return bytes;
}

static uint16_t next_message(const struct bh_console *ring)
{
	uint32_t i;

	for (i = 0; i < MESSAGES_COUNT; i++) {
		if ((ring->port_pending & BIT_OF(messages[i])) != 0) {
			return messages[i];
		}
	}
	return 0;
}

static void send_control(struct virtio_device *device)
{
	struct virtqueue *queue = &device->queues[CONTROL_RECEIVE];
	uint32_t port = 0;

	while (device->is_running && port < ports_of(device)->params.count) {
		struct bh_console *ring = ring_of(device, port);
		uint16_t event = next_message(ring);

		if (event == 0) {
			port++;
			continue;
		}
		if (!take_buffer(device, queue)) {
			break;
		}
		virtqueue_give(queue, &chain, message_put(device, port, event));
		ring->port_pending &= ~BIT_OF(event);
		device->page->counters.chains++;
	}
	virtio_device_interrupt(device, CONTROL_RECEIVE);
}

/* Fills one buffer from the ring of input. */
static void give_bytes(struct virtqueue *queue, struct bh_console *ring)
{
	uint32_t bytes = 0;

	while (ring->in_tail != ring->in_head && bytes < chain.in_bytes) {
		uint32_t at = (uint32_t)(ring->in_tail % BH_CONSOLE_IN_BYTES);
		uint64_t left = ring->in_head - ring->in_tail;
		uint32_t part = left < BH_CONSOLE_IN_BYTES - at ? (uint32_t)left
		                                                : BH_CONSOLE_IN_BYTES - at;

		part = virtqueue_write(&chain, bytes, ring->in + at, part);
		bytes += part;
		ring->in_tail += part;
	}
	virtqueue_give(queue, &chain, bytes);
}

static void send_input(struct virtio_device *device, uint32_t port)
{
	struct bh_console *ring = ring_of(device, port);
	struct virtqueue *queue = &device->queues[receive_queue(port)];

	if (queue->size == 0 || (ports_of(device)->is_multiport && !ports_is_open(device, port))) {
		return;
	}
	while (ring->in_tail != ring->in_head && take_buffer(device, queue)) {
		give_bytes(queue, ring);
		device->page->counters.chains++;
	}
	virtio_device_interrupt(device, receive_queue(port));
}

/* ---- the device ----------------------------------------------------------------------------------- */

static bool work(struct virtio_device *device)
{
	const struct ports *ports = ports_of(device);
	uint32_t count = ports->is_multiport ? ports->params.count : 1;
	bool is_more = false;
	uint32_t port;

	if (ports->is_multiport) {
		is_more = drain(device, CONTROL_TRANSMIT, 0, take_control);
		if (device->queues[CONTROL_RECEIVE].size != 0) {
			send_control(device);
		}
	}
	for (port = 0; port < count && device->is_running; port++) {
		is_more |= drain(device, receive_queue(port) + 1, port, take_output);
		if (device->is_running) {
			send_input(device, port);
		}
	}
	return is_more && device->is_running;
}

/* A driver that a former mgmt has served goes on with what the rings say. */
static void start(struct virtio_device *device)
{
	struct ports *ports = ports_of(device);
	uint32_t port;

	ports->is_multiport = (device->features & PORTS_F_MULTIPORT) != 0;
	ports->has_size = (device->features & PORTS_F_SIZE) != 0;
	for (port = 0; port < ports->params.count; port++) {
		struct bh_console *ring = ring_of(device, port);

		if (ring->port_generation != device->generation) {
			ring->port_generation = device->generation;
			ring->port_flags = 0;
			ring->port_pending = 0;
		}
	}
}

static void nothing(struct virtio_device *device)
{
	(void)device;
}

static void destroy(struct virtio_device *device)
{
	free(device->own);
}

/* The VMM's ring of emergency bytes goes into that of port 0. */
static void told(struct virtio_device *device)
{
	struct vio_device *page = device->page;
	uint64_t count = machine_load64(&page->emergency_count);

	if (count - page->emergency_taken > VIO_EMERGENCY_BYTES) {
		page->emergency_taken = count - VIO_EMERGENCY_BYTES;
	}
	while (page->emergency_taken != count) {
		uint8_t byte = page->emergency[page->emergency_taken % VIO_EMERGENCY_BYTES];

		put_bytes(ring_of(device, 0), &byte, 1);
		page->emergency_taken++;
	}
}

static const struct virtio_operations operations = {
	.name = "console",
	.start = start,
	.work = work,
	.stop = nothing,
	.is_idle = NULL,
	.destroy = destroy,
	.told = told,
};

static struct ports_config config_of(const struct virtio_device *device, uint32_t count)
{
	const struct bh_console *ring = ring_of(device, 0);

	return (struct ports_config){ .columns = ring->port_columns,
		                      .rows = ring->port_rows,
		                      .ports_max = count };
}

struct virtio_device *ports_add(uint32_t slot, uint32_t idx, const struct ports_params *params)
{
	const struct bh_console *ring = machine_port_console(slot, 0);
	struct ports_config config = { .columns = ring->port_columns,
		                       .rows = ring->port_rows,
		                       .ports_max = params->count };
	struct virtio_offer offer = {
		.type = VIRTIO_TYPE_CONSOLE,
		.features = PORTS_F_SIZE | PORTS_F_MULTIPORT | PORTS_F_EMERG_WRITE,
		.queues_count = 2 * (params->count + 1),
		.queue_size_max = PORTS_QUEUE_SIZE,
		.config = &config,
		.config_bytes = sizeof(config),
	};
	struct ports *ports = calloc(1, sizeof(*ports));
	struct virtio_device *device;

	if (ports == NULL) {
		return NULL;
	}
	ports->params = *params;
	device = virtio_device_add(slot, idx, &operations, ports, &offer);
	if (device == NULL) {
		free(ports);
	}
	return device;
}

void ports_input(struct virtio_device *device)
{
	virtio_device_poke(device);
}

bool ports_resize(struct virtio_device *device, uint32_t port, uint16_t columns, uint16_t rows)
{
	struct ports *ports = ports_of(device);
	struct bh_console *ring = ring_of(device, port);
	struct ports_config config;

	ring->port_columns = columns;
	ring->port_rows = rows;
	if (port == 0) {
		config = config_of(device, ports->params.count);
		virtio_device_set_config(device, &config, sizeof(config));
	}
	if (!device->is_running || !ports->has_size || port != 0) {
		return false;
	}
	if ((ring->port_flags & FLAG_READY) != 0) {
		ring->port_pending |= BIT_OF(CONTROL_RESIZE);
		virtio_device_poke(device);
	}
	return true;
}

bool ports_is_open(const struct virtio_device *device, uint32_t port)
{
	return (ring_of(device, port)->port_flags & FLAG_OPEN) != 0;
}

bool ports_have_news(void)
{
	bool were = have_news;

	have_news = false;
	return were;
}
