// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupts of a device: MSI-X table, mask and pending bits, or INTx with the ISR register.
 *
 * mgmt sends queue interrupts itself by what is published here; configuration interrupts go out
 * from here. While a vector is masked, both sides set its bit in page->msi_pending; whoever takes
 * the bit after unmasking sends. Must never: send by a masked vector.
 */
#include "vmm/virtio/virtio.h"

#define CONTROL_ENABLE        0x8000u
#define CONTROL_FUNCTION_MASK 0x4000u
#define VECTOR_MASKED         0x1u
#define STATUS_INTERRUPT      0x08u /* PCI status register */

#define WORD_ADDRESS_LOW      0u
#define WORD_ADDRESS_HIGH     1u
#define WORD_DATA             2u
#define WORD_CONTROL          3u

static bool is_masked(const struct virtio_device *device, uint32_t vector)
{
	return !device->is_msix_on || device->is_function_masked ||
	       (device->vectors[vector].words[WORD_CONTROL] & VECTOR_MASKED) != 0;
}

static void vector_send(struct virtio_device *device, uint32_t vector)
{
	const uint32_t *words = device->vectors[vector].words;

	device->ops->message(device->ops->context,
	                     words[WORD_ADDRESS_LOW] | (uint64_t)words[WORD_ADDRESS_HIGH] << 32,
	                     words[WORD_DATA]);
}

/* Into the page: odd sequence, fields, even sequence; then what came while it was masked is sent. */
static void vector_publish(struct virtio_device *device, uint32_t vector)
{
	struct vio_msi *msi = &device->page->msi[vector];
	const uint32_t *words = device->vectors[vector].words;
	uint32_t bit = 1u << vector;
	bool masked = is_masked(device, vector);
	uint32_t sequence = (msi->sequence + 2) & ~1u;

	__atomic_store_n(&msi->sequence, sequence - 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&msi->is_masked, masked, __ATOMIC_RELAXED);
	__atomic_store_n(&msi->address,
	                 words[WORD_ADDRESS_LOW] | (uint64_t)words[WORD_ADDRESS_HIGH] << 32,
	                 __ATOMIC_RELAXED);
	__atomic_store_n(&msi->data, words[WORD_DATA], __ATOMIC_RELAXED);
	__atomic_store_n(&msi->sequence, sequence, __ATOMIC_SEQ_CST);
	if (!masked &&
	    (__atomic_fetch_and(&device->page->msi_pending, ~bit, __ATOMIC_SEQ_CST) & bit) != 0) {
		vector_send(device, vector);
	}
}

static void vectors_publish(struct virtio_device *device)
{
	for (uint32_t i = 0; i < virtio_vectors_count(device); i++) {
		vector_publish(device, i);
	}
}

/* ---- INTx ---- */

static void line_update(struct virtio_device *device)
{
	struct pci_function *function = &device->function;
	bool is_off = (pci_config_get16(function, PCI_COMMAND) & PCI_COMMAND_INTX_OFF) != 0;
	bool level = device->isr != 0 && !device->is_msix_on && !is_off;

	function->config[PCI_STATUS] &= (uint8_t)~STATUS_INTERRUPT;
	if (device->isr != 0 && !device->is_msix_on) {
		function->config[PCI_STATUS] |= STATUS_INTERRUPT;
	}
	if (level != device->is_line_high) {
		device->is_line_high = level;
		device->ops->intx(device->ops->context, device->idx, level);
	}
}

void virtio_intx_poll(struct virtio_device *device)
{
	uint32_t *pending = &device->page->intx_pending;

	if (__atomic_load_n(pending, __ATOMIC_RELAXED) != 0) {
		device->isr |= (uint8_t)(__atomic_exchange_n(pending, 0, __ATOMIC_SEQ_CST) &
		                         VIRTIO_ISR_QUEUE);
		line_update(device);
	}
}

uint8_t virtio_isr_read(struct virtio_device *device)
{
	uint8_t value;

	virtio_intx_poll(device);
	value = device->isr;
	device->isr = 0;
	line_update(device);
	return value;
}

/* ---- configuration changes ---- */

void virtio_interrupt_config(struct virtio_device *device)
{
	uint16_t vector = device->config_vector;

	if ((device->status & VIRTIO_DRIVER_OK) == 0) {
		return;
	}
	device->isr |= VIRTIO_ISR_CONFIG;
	line_update(device);
	if (!device->is_msix_on || vector >= virtio_vectors_count(device)) {
		return;
	}
	if (is_masked(device, vector)) {
		__atomic_fetch_or(&device->page->msi_pending, 1u << vector, __ATOMIC_SEQ_CST);
	} else {
		vector_send(device, vector);
	}
}

void virtio_interrupt_reset(struct virtio_device *device)
{
	__atomic_store_n(&device->page->intx_pending, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&device->page->msi_pending, 0, __ATOMIC_SEQ_CST);
	device->isr = 0;
	line_update(device);
}

/* ---- MSI-X ---- */

void virtio_msix_control(struct virtio_device *device)
{
	uint16_t control = pci_config_get16(&device->function, device->msix_at + 2u);

	device->is_msix_on = (control & CONTROL_ENABLE) != 0;
	device->is_function_masked = (control & CONTROL_FUNCTION_MASK) != 0;
	__atomic_store_n(&device->page->uses_intx, !device->is_msix_on, __ATOMIC_SEQ_CST);
	vectors_publish(device);
	line_update(device);
}

/* Offsets are multiples of 4 inside the table. */
uint32_t virtio_msix_table_read(const struct virtio_device *device, uint32_t offset)
{
	return offset / 16 < virtio_vectors_count(device)
	               ? device->vectors[offset / 16].words[offset / 4 % 4]
	               : 0;
}

void virtio_msix_table_write(struct virtio_device *device, uint32_t offset, uint32_t value)
{
	uint32_t word = offset / 4 % 4;

	if (offset / 16 >= virtio_vectors_count(device)) {
		return;
	}
	if (word == WORD_ADDRESS_LOW) {
		value &= ~3u; /* PCI 3.0 6.8.2.8: bits 1:0 are zero */
	} else if (word == WORD_CONTROL) {
		value &= VECTOR_MASKED;
	}
	device->vectors[offset / 16].words[word] = value;
	vector_publish(device, offset / 16);
}

uint32_t virtio_msix_pending_read(const struct virtio_device *device, uint32_t offset)
{
	uint32_t pending = __atomic_load_n(&device->page->msi_pending, __ATOMIC_ACQUIRE);

	return offset == 0 ? pending & ((1u << virtio_vectors_count(device)) - 1) : 0;
}
