// SPDX-License-Identifier: Apache-2.0
/*
 * The life of the virtio devices that mgmt serves (see backend.h): offers, starts, resets, kicks,
 * interrupts, and devices whose drivers broke the rules. Knows no kind of device.
 *
 * The VMM's half of a device page is read field by field, once; nothing in it is trusted.
 */
#include "mgmt/virtio/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/machine.h"

#define MSI_READ_TRIES 16u
#define BREAKS_TOLD    32u /* each of the first, then the 64th, 128th, ... */
#define INTX_QUEUE     0x1u
#define INTX_CONFIG    0x2u
#define TRANSPORT_BITS (VIRTIO_F_VERSION_1 | VIRTIO_F_RING)

static struct {
	bool is_there;
	struct guest_memory memory;
} slots[BH_PARTITIONS_MAX];

/* Slot by slot, which is the order of their kicks' events. */
static struct virtio_device *devices[BH_PARTITIONS_MAX * VIO_DEVICES_MAX];

static struct virtio_device **place_of(uint32_t slot, uint32_t idx)
{
	return &devices[slot * VIO_DEVICES_MAX + idx];
}

static struct virtio_device *ready_first;
static struct virtio_device **ready_last = &ready_first;

/* ---- interrupts ----------------------------------------------------------------------------- */

/* A copy of a vector; false: the VMM is just changing it. */
static inline bool read_msi_once(const struct vio_msi *from, struct vio_msi *copy)
{
	uint32_t sequence = machine_load32(&from->sequence);

	copy->is_masked = machine_load32(&from->is_masked);
	copy->address = machine_load64(&from->address);
	copy->data = machine_load32(&from->data);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return (sequence & 1u) == 0 && machine_load32(&from->sequence) == sequence;
}

/* A consistent copy of a vector; false if the VMM never leaves it alone. */
static bool read_msi(const struct vio_msi *from, struct vio_msi *copy)
{
	uint32_t tries;

	for (tries = 0; tries < MSI_READ_TRIES; tries++) {
		if (read_msi_once(from, copy)) {
			return true;
		}
	}
	return false;
}

/* The pending bit is set: does the message go out after all, since the vector has just been unmasked? */
static __attribute__((noinline)) void send_masked(struct virtio_device *device, uint32_t vector)
{
	uint32_t *pending = &device->page->msi_pending;
	struct vio_msi msi;

	__atomic_fetch_or(pending, 1u << vector, __ATOMIC_SEQ_CST);
	/* The VMM looks at the bit after it has unmasked; so one of us sees the other. */
	if (read_msi(&device->page->msi[vector], &msi) && msi.is_masked == 0 &&
	    (__atomic_fetch_and(pending, ~(1u << vector), __ATOMIC_SEQ_CST) & 1u << vector) != 0) {
		machine_vm_msi(device->slot, msi.address, msi.data);
	}
}

/* Not at the first try, or masked. */
static __attribute__((noinline)) void send_msi_slow(struct virtio_device *device, uint32_t vector)
{
	struct vio_msi msi;

	if (!read_msi(&device->page->msi[vector], &msi)) {
		return;
	}
	if (msi.is_masked != 0) {
		send_masked(device, vector);
	} else {
		machine_vm_msi(device->slot, msi.address, msi.data);
	}
}

static inline void send_msi(struct virtio_device *device, uint32_t vector)
{
	struct vio_msi msi;

	if (!read_msi_once(&device->page->msi[vector], &msi) || msi.is_masked != 0) {
		send_msi_slow(device, vector);
	} else {
		machine_vm_msi(device->slot, msi.address, msi.data);
	}
}

static void send(struct virtio_device *device, uint32_t vector_of, uint32_t intx_bit)
{
	device->page->counters.interrupts++;
	if (machine_load32(&device->page->uses_intx) != 0) {
		__atomic_fetch_or(&device->page->intx_pending, intx_bit, __ATOMIC_SEQ_CST);
		machine_signal_vmm_device(device->slot);
	} else {
		uint16_t vector = __atomic_load_n(&device->page->queue_vector[vector_of],
		                                  __ATOMIC_RELAXED);

		if (vector <= VIO_QUEUES_MAX) {
			send_msi(device, vector);
		}
	}
}

void virtio_device_interrupt(struct virtio_device *device, uint32_t queue_idx)
{
	if (device->is_running && virtqueue_needs_interrupt(&device->queues[queue_idx])) {
		send(device, queue_idx, INTX_QUEUE);
	}
}

/* ---- work ------------------------------------------------------------------------------------ */

void virtio_device_poke(struct virtio_device *device)
{
	if (!device->is_ready) {
		device->is_ready = true;
		device->next_ready = NULL;
		*ready_last = device;
		ready_last = &device->next_ready;
	}
}

static bool is_idle(const struct virtio_device *device)
{
	return device->operations->is_idle == NULL || device->operations->is_idle(device);
}

static void remove_ready(const struct virtio_device *device)
{
	struct virtio_device **link = &ready_first;

	while (*link != NULL && *link != device) {
		link = &(*link)->next_ready;
	}
	if (*link == NULL) {
		return;
	}
	*link = device->next_ready;
	if (*link == NULL) {
		ready_last = link;
	}
}

static void free_device(struct virtio_device *device)
{
	if (device->is_ready) {
		remove_ready(device);
	}
	*place_of(device->slot, device->idx) = NULL;
	device->operations->destroy(device);
	free(device->queues);
	free(device);
}

/* ---- starts and resets ------------------------------------------------------------------------ */

static void stop(struct virtio_device *device)
{
	if (device->is_running) {
		device->is_running = false;
		device->operations->stop(device);
	}
	device->features = 0;
}

static void publish(struct virtio_device *device, enum vio_backend_state state)
{
	machine_store32(&device->page->backend_state, state);
	machine_store32(&device->page->backend_generation, device->generation);
	machine_signal_vmm_device(device->slot);
}

void virtio_device_break(struct virtio_device *device, const char *why)
{
	const struct guest *guest = &machine_ledger()->guests[device->slot];

	if (device->is_broken) {
		return;
	}
	stop(device);
	device->is_broken = true;
	device->breaks_count++;
	snprintf(device->page->reason, sizeof(device->page->reason), "%s", why);
	/* A driver that does it for ever must not drown what others have to tell. */
	if (device->breaks_count <= BREAKS_TOLD ||
	    (device->breaks_count & (device->breaks_count - 1)) == 0) {
		ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
		             "%s device %u is stopped until its driver resets it: %s",
		             device->operations->name, (unsigned int)device->idx, why);
	}
	publish(device, VIO_BACKEND_BROKEN);
}

bool virtio_device_check_queue(struct virtio_device *device, const struct virtqueue *queue)
{
	if (queue->broken == NULL) {
		return false;
	}
	virtio_device_break(device, queue->broken);
	return true;
}

/* What a driver has set up, as it was at one moment. */
struct driver {
	uint32_t state, generation, offer_seen;
	uint64_t features;
	struct vio_queue queues[VIO_QUEUES_MAX];
};

/* A copy of it; false while the VMM changes it: it signals when it is through. */
static bool read_driver(const struct vio_device *page, struct driver *driver)
{
	driver->generation = machine_load32(&page->driver_generation);
	driver->state = machine_load32(&page->driver_state);
	driver->offer_seen = machine_load32(&page->offer_seen);
	driver->features = machine_load64(&page->driver_features);
	memcpy(driver->queues, page->queues, sizeof(driver->queues));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/* A change stores CHANGING, the fields, the generation, the new state: who saw one field sees one of the others differ. */
	return driver->state != VIO_DRIVER_CHANGING &&
	       machine_load32(&page->driver_state) == driver->state &&
	       machine_load32(&page->driver_generation) == driver->generation;
}

static bool init_queue(struct virtio_device *device, uint32_t i, const struct vio_queue *setup)
{
	struct virtqueue *queue = &device->queues[i];

	memset(queue, 0, sizeof(*queue));
	if ((setup->flags & VIO_QUEUE_ENABLED) == 0) {
		return true;
	}
	if (setup->size > device->queue_size_max) {
		virtio_device_break(device, "a queue is larger than was offered");
		return false;
	}
	if (!virtqueue_init(queue, &slots[device->slot].memory, setup, device->features,
	                    &device->page->progress[i])) {
		virtio_device_break(device, queue->broken);
		return false;
	}
	return true;
}

static void start(struct virtio_device *device, const struct driver *driver)
{
	uint32_t i;

	if ((driver->features & ~device->offered) != 0) {
		virtio_device_break(device, "its driver accepted features that were not offered");
		return;
	}
	device->features = driver->features;
	for (i = 0; i < device->queues_count; i++) {
		if (!init_queue(device, i, &driver->queues[i])) {
			return;
		}
	}
	device->is_running = true;
	publish(device, VIO_BACKEND_SERVES);
	device->operations->start(device);
	virtio_device_poke(device);
}

/* Another mgmt may have died between giving chains back and the interrupt for them. */
static void interrupt_all(struct virtio_device *device)
{
	uint32_t i;

	for (i = 0; i < device->queues_count && device->is_running; i++) {
		if (device->queues[i].size != 0) {
			send(device, i, INTX_QUEUE);
		}
	}
}

/* Takes over the driver's present state. The device is stopped and idle. */
static void take_generation(struct virtio_device *device)
{
	struct vio_device *page = device->page;
	struct driver driver;
	bool is_known;
	bool is_started;

	if (!read_driver(page, &driver)) {
		return;
	}
	is_known = machine_load32(&page->backend_generation) == driver.generation;
	is_started = driver.state == VIO_DRIVER_RUNNING &&
	             (device->is_leaving || driver.offer_seen == page->offer_sequence);
	device->generation = driver.generation;
	device->is_seen = true;
	device->is_stopping = false;
	device->is_broken = is_known && machine_load32(&page->backend_state) == VIO_BACKEND_BROKEN;
	if (device->is_broken) {
		return;
	}
	if (!is_known) {
		memset(page->progress, 0, sizeof(page->progress));
	}
	if (!is_started) {
		publish(device, VIO_BACKEND_SERVES);
		return;
	}
	start(device, &driver);
	if (is_known) {
		interrupt_all(device);
	}
}

/* Looks at the driver; a change waits for the requests that are out. */
static void look(struct virtio_device *device)
{
	uint32_t generation = machine_load32(&device->page->driver_generation);

	if (device->is_leaving &&
	    machine_load32(&device->page->offer_seen) == device->page->offer_sequence) {
		machine_store32(&device->page->backend_state, VIO_BACKEND_NONE);
		stop(device);
		device->is_removed = true;
		virtio_device_poke(device);
		return;
	}

	if (device->is_seen && generation == device->generation && !device->is_stopping) {
		return;
	}
	stop(device);
	device->is_stopping = true;
	if (is_idle(device)) {
		take_generation(device);
	}
}

/* A page without device, since it was being taken away when another mgmt died: nobody touches its rings, so what waits for that may go on. */
static void look_at_page(uint32_t slot, uint32_t idx)
{
	struct vio_device *page = machine_device_page(slot, idx);
	uint32_t generation = machine_load32(&page->driver_generation);

	if (machine_load32(&page->type) == VIRTIO_TYPE_NONE &&
	    machine_load32(&page->backend_generation) != generation) {
		machine_store32(&page->backend_state, VIO_BACKEND_NONE);
		machine_store32(&page->backend_generation, generation);
		machine_signal_vmm_device(slot);
	}
}

void virtio_slot_look(uint32_t slot)
{
	uint32_t i;

	for (i = 0; slots[slot].is_there && i < VIO_DEVICES_MAX; i++) {
		struct virtio_device *device = *place_of(slot, i);

		if (device != NULL && device->operations->told != NULL) {
			device->operations->told(device);
		}
		if (device != NULL) {
			look(device);
		} else {
			look_at_page(slot, i);
		}
	}
}

/* The guest's next life waits until nothing of the device touches its memory any more. */
static void acknowledge_removal(const struct virtio_device *device)
{
	if (slots[device->slot].is_there) {
		machine_store32(&device->page->backend_generation,
		                machine_load32(&device->page->driver_generation));
		machine_signal_vmm_device(device->slot);
	}
}

static void work_device(struct virtio_device *device)
{
	if (device->is_removed) {
		if (is_idle(device)) {
			acknowledge_removal(device);
			free_device(device);
		}
		return;
	}
	if (device->is_stopping || device->is_leaving) {
		look(device);
	}
	if (device->is_running && device->operations->work(device)) {
		virtio_device_poke(device);
	}
}

bool virtio_work(void)
{
	struct virtio_device *device = ready_first;

	ready_first = NULL;
	ready_last = &ready_first;
	while (device != NULL) {
		struct virtio_device *next = device->next_ready;

		device->is_ready = false;
		work_device(device);
		device = next;
		if (device != NULL) {
			machine_vm_msi_now(); /* it does not wait for others' work */
		}
	}
	return ready_first != NULL;
}

static void take_kick(struct virtio_device *device, uint64_t now)
{
	if (device != NULL && device->is_running) {
		device->page->counters.kicks++;
		if (device->kick_tsc == 0) {
			device->kick_tsc = now;
		}
		virtio_device_poke(device);
	}
}

void virtio_take_kicks(uint32_t word, uint64_t bits, uint64_t now)
{
	struct virtio_device *const *of_word = devices + (word * 64 - MGMT_EVENT_KICK);

	for (; bits != 0; bits &= bits - 1) {
		take_kick(of_word[__builtin_ctzll(bits)], now);
	}
}

/* ---- slots and devices -------------------------------------------------------------------------- */

void virtio_slot_begin(uint32_t slot, uint64_t memory_bytes)
{
	slots[slot].memory = guest_memory_of(machine_guest_memory(slot), memory_bytes);
	slots[slot].is_there = true;
}

bool virtio_slot_is_there(uint32_t slot)
{
	return slots[slot].is_there;
}

struct guest_memory *virtio_slot_memory(uint32_t slot)
{
	return &slots[slot].memory;
}

/* No area of a ring is longer than its descriptors may be. */
static bool area_meets(const void *area, const uint8_t *from, const uint8_t *end)
{
	const uint8_t *at = area;

	return at < end && at + VIO_QUEUE_SIZE_MAX * sizeof(struct virtq_desc) > from;
}

static bool device_uses(const struct virtio_device *device, const uint8_t *from, const uint8_t *end)
{
	uint32_t i;

	for (i = 0; i < device->queues_count && device->is_running; i++) {
		const struct virtqueue *queue = &device->queues[i];

		if (queue->size != 0 && (area_meets(queue->descriptors, from, end) ||
		                         area_meets(queue->driver, from, end) ||
		                         area_meets(queue->device, from, end))) {
			return true;
		}
	}
	return device->operations->uses != NULL && device->operations->uses(device, from, end);
}

bool virtio_slot_uses(uint32_t slot, const uint8_t *from, const uint8_t *end)
{
	uint32_t i;

	for (i = 0; i < VIO_DEVICES_MAX; i++) {
		if (*place_of(slot, i) != NULL && device_uses(*place_of(slot, i), from, end)) {
			return true;
		}
	}
	return false;
}

static void forget(struct virtio_device *device)
{
	stop(device);
	device->is_removed = true;
	if (is_idle(device)) {
		free_device(device);
	} else {
		virtio_device_poke(device);
	}
}

void virtio_slot_end(uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < VIO_DEVICES_MAX; i++) {
		if (*place_of(slot, i) != NULL) {
			forget(*place_of(slot, i));
		}
	}
	slots[slot].is_there = false;
}

bool virtio_slot_is_idle(uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < VIO_DEVICES_MAX; i++) {
		if (*place_of(slot, i) != NULL) {
			return false;
		}
	}
	return true;
}

/* True if the page says already what is offered: this mgmt takes over from another. */
static bool is_offered(const struct vio_device *page, const struct virtio_offer *offer,
                       uint64_t features)
{
	return machine_load32(&page->offer_sequence) != 0 && page->type == offer->type &&
	       page->features == features && page->queues_count == offer->queues_count &&
	       page->queue_size_max == offer->queue_size_max;
}

static void write_offer(struct virtio_device *device, const struct virtio_offer *offer)
{
	struct vio_device *page = device->page;

	memcpy(page->config, offer->config, offer->config_bytes);
	page->config_bytes = offer->config_bytes;
	if (is_offered(page, offer, device->offered)) {
		return;
	}
	memset(&page->counters, 0, sizeof(page->counters));
	page->features = device->offered;
	page->queues_count = offer->queues_count;
	page->queue_size_max = offer->queue_size_max;
	page->backend_generation = machine_load32(&page->driver_generation) - 1;
	page->type = offer->type;
	machine_store32(&page->offer_sequence, machine_load32(&page->offer_sequence) + 1);
}

struct virtio_device *virtio_device_add(uint32_t slot, uint32_t idx,
                                        const struct virtio_operations *operations, void *own,
                                        const struct virtio_offer *offer)
{
	struct virtio_device *device;

	if (!slots[slot].is_there || idx >= VIO_DEVICES_MAX || *place_of(slot, idx) != NULL ||
	    offer->queues_count > VIO_QUEUES_MAX || offer->config_bytes > VIO_CONFIG_BYTES) {
		return NULL;
	}
	device = calloc(1, sizeof(*device));
	if (device == NULL) {
		return NULL;
	}
	device->queues = calloc(offer->queues_count, sizeof(*device->queues));
	if (device->queues == NULL) {
		free(device);
		return NULL;
	}
	device->slot = slot;
	device->idx = idx;
	device->operations = operations;
	device->own = own;
	device->page = machine_device_page(slot, idx);
	device->offered = offer->features | TRANSPORT_BITS;
	device->queues_count = offer->queues_count;
	device->queue_size_max = offer->queue_size_max;
	*place_of(slot, idx) = device;
	write_offer(device, offer);
	machine_signal_vmm_device(slot);
	look(device);
	return device;
}

void virtio_device_remove(struct virtio_device *device)
{
	struct vio_device *page = device->page;

	/* The guest may use it until it has let go: offer_seen says so. */
	device->is_leaving = true;
	page->type = VIRTIO_TYPE_NONE;
	machine_store32(&page->offer_sequence, machine_load32(&page->offer_sequence) + 1);
	machine_signal_vmm_device(device->slot);
	virtio_device_poke(device);
}

struct virtio_device *virtio_device_at(uint32_t slot, uint32_t idx)
{
	return idx < VIO_DEVICES_MAX ? *place_of(slot, idx) : NULL;
}

void virtio_device_set_config(struct virtio_device *device, const void *config, uint32_t bytes)
{
	uint32_t generation = machine_load32(&device->page->config_generation);

	machine_store32(&device->page->config_generation, generation | 1u);
	memcpy(device->page->config, config, bytes);
	machine_store32(&device->page->config_generation, (generation | 1u) + 1);
	machine_signal_vmm_device(device->slot);
}
