/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk as it should be used (virtio 1.2 5.2), over both kinds of rings, with and without indirect tables; then interrupts. What is
 * written must be read again; the disk may be one in memory, and is overwritten from sector 8 on.
 */
#include "guests/virtio/virtio.h"

#define REQUEST_IN    0u
#define REQUEST_OUT   1u
#define REQUEST_FLUSH 4u
#define REQUEST_ID    8u
#define STATUS_BAD    2u
#define SECTOR_BYTES  512u
#define DATA_BYTES    8192u

#define F_FLUSH       (1ull << 9)
#define F_READ_ONLY   (1ull << 5)

#define VECTOR_MSIX   0x50u
#define VECTOR_INTX   0x51u
#define IOAPIC        0xfec00000ull

static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;

static uint8_t data[DATA_BYTES] __attribute__((aligned(4096)));
static volatile uint8_t status_byte;
static struct desc table[8] __attribute__((aligned(16)));
static volatile uint32_t interrupts_count;
static const struct device *interrupting;

bool block_start(const struct device *device, struct queue *queue, uint64_t features)
{
	features = (features | F_VERSION_1) & device->features;
	if (!device_negotiate(device, features)) {
		check(false, "slot %u: features %lx are refused", device->slot, features);
		return false;
	}
	if (!queue_start(device, queue, 0, (features & F_PACKED) != 0)) {
		check(false, "slot %u: the ring is refused", device->slot);
		return false;
	}
	device_go(device);
	return true;
}

/* The data in three pieces, so that a chain has five descriptors. */
static int32_t request(const struct device *device, struct queue *queue, uint32_t type,
                       uint64_t sector, uint32_t bytes, bool is_indirect)
{
	bool is_in = type == REQUEST_IN || type == REQUEST_ID;
	uint32_t third = bytes / 3;
	struct segment segments[5] = { { (uint64_t)&header, 16, false } };
	uint32_t count = 1;

	for (uint32_t i = 0; i < 3 && bytes != 0; i++) {
		segments[count++] = (struct segment){ (uint64_t)data + i * third,
			                              i < 2 ? third : bytes - 2 * third, is_in };
	}
	segments[count++] = (struct segment){ (uint64_t)&status_byte, 1, true };
	header.type = type;
	header.reserved = 0;
	header.sector = sector;
	status_byte = 0xee;
	queue_put(queue, segments, count, is_indirect ? table : NULL);
	device_kick(device, 0);
	return queue_wait(queue) < 0 ? -1 : status_byte;
}

int32_t block_read(const struct device *device, struct queue *queue, uint64_t sector)
{
	return request(device, queue, REQUEST_IN, sector, SECTOR_BYTES, false);
}

static void pattern_put(uint32_t seed)
{
	for (uint32_t i = 0; i < DATA_BYTES; i++) {
		data[i] = (uint8_t)(seed + i * 7 + (i >> 8) * 13);
	}
}

static bool pattern_is(uint32_t seed)
{
	for (uint32_t i = 0; i < DATA_BYTES; i++) {
		if (data[i] != (uint8_t)(seed + i * 7 + (i >> 8) * 13)) {
			return false;
		}
	}
	return true;
}

/* Enough rounds that rings and indices wrap. */
static void rounds_test(const struct device *device, const char *name, uint64_t features,
                        bool is_indirect)
{
	uint32_t bad = 0;

	if (!block_start(device, &queues[0], features | F_FLUSH)) {
		return;
	}
	for (uint32_t i = 0; i < block_rounds && bad == 0; i++) {
		uint64_t sector = 8 + (i % 4) * (DATA_BYTES / SECTOR_BYTES);

		pattern_put(i);
		bad += request(device, &queues[0], REQUEST_OUT, sector, DATA_BYTES, is_indirect) !=
		       0;
		pattern_put(i + 1);
		bad += request(device, &queues[0], REQUEST_IN, sector, DATA_BYTES, is_indirect) !=
		       0;
		bad += !pattern_is(i);
	}
	check(bad == 0, "%s: a round failed, status %x", name, status_byte);
	if ((device->features & F_FLUSH) != 0) {
		check(request(device, &queues[0], REQUEST_FLUSH, 0, 0, is_indirect) == 0,
		      "%s: flush says %x", name, status_byte);
	}
	check(request(device, &queues[0], REQUEST_ID, 0, 20, is_indirect) == 0,
	      "%s: the serial number gives %x", name, status_byte);
	check(request(device, &queues[0], 0x1234, 0, SECTOR_BYTES, is_indirect) == STATUS_BAD,
	      "%s: an unknown request gives %x", name, status_byte);
	check(request(device, &queues[0], REQUEST_IN, ~0ull >> 1, SECTOR_BYTES, is_indirect) == 1,
	      "%s: a read beyond the end gives %x", name, status_byte);
	check((device_status(device) & STATUS_NEEDS_RESET) == 0, "%s: the device broke", name);
	print("block: %s: done\n", name);
}

void bad_sector_test(const struct device *device, uint32_t sector)
{
	if (!block_start(device, &queues[0], 0)) {
		return;
	}
	for (uint32_t i = 0; i < 3; i++) {
		check(block_read(device, &queues[0], sector - 1) == 0, "before it: %x",
		      status_byte);
		check(block_read(device, &queues[0], sector) == 1, "the bad sector: %x",
		      status_byte);
		check(request(device, &queues[0], REQUEST_IN, sector - 8, DATA_BYTES, false) == 1,
		      "some with it: %x", status_byte);
		check(block_read(device, &queues[0], sector + 1) == 0, "behind it: %x",
		      status_byte);
	}
	print("block: the bad sector says so\n");
	device_reset(device);
}

/* ---- interrupts ---- */

static void on_msix(struct trap_frame *frame)
{
	(void)frame;
	interrupts_count++;
	apic_write(APIC_EOI, 0);
}

/* Reading the register lowers the line (virtio 1.2 4.1.4.5). */
static void on_intx(struct trap_frame *frame)
{
	(void)frame;
	interrupts_count += *interrupting->isr & 1;
	apic_write(APIC_EOI, 0);
}

static void ioapic_write(uint32_t index, uint32_t value)
{
	*(volatile uint32_t *)IOAPIC = index;
	*(volatile uint32_t *)(IOAPIC + 16) = value;
}

static void interrupt_wait(const char *name)
{
	for (uint32_t i = 0; i < 10000000 && interrupts_count == 0; i++) {
		__asm__ volatile("sti; nop; nop; cli");
	}
	check(interrupts_count > 0, "%s: no interrupt came", name);
	check(interrupts_count <= 2, "%s: %u interrupts for one request", name, interrupts_count);
}

static void msix_test(const struct device *device)
{
	volatile uint32_t *entry = (volatile uint32_t *)(volatile void *)device->table;
	volatile uint16_t *vector = (volatile uint16_t *)(volatile void *)(device->common +
	                                                                   COMMON_QUEUE_VECTOR);

	if (!block_start(device, &queues[0], 0)) {
		return;
	}
	pci_write(device->slot, device->msix_at,
	          pci_read(device->slot, device->msix_at) | 1u << 31);
	entry[0] = 0xfee00000u | (apic_read(APIC_ID) >> 24) << 12;
	entry[1] = 0;
	entry[2] = VECTOR_MSIX;
	entry[3] = 1; /* masked: it must wait */
	*vector = 0;
	check(*vector == 0, "the queue takes no vector: %x", *vector);
	guest_irq[VECTOR_MSIX] = on_msix;
	interrupts_count = 0;
	check(block_read(device, &queues[0], 0) == 0, "MSI-X: read says %x", status_byte);
	for (uint32_t i = 0; i < 1000; i++) {
		__asm__ volatile("sti; nop; nop; cli");
	}
	check(interrupts_count == 0, "MSI-X: a masked vector was sent");
	entry[3] = 0;
	interrupt_wait("MSI-X unmasked");
	interrupts_count = 0;
	check(block_read(device, &queues[0], 0) == 0, "MSI-X: read says %x", status_byte);
	interrupt_wait("MSI-X");
	pci_write(device->slot, device->msix_at,
	          pci_read(device->slot, device->msix_at) & ~(1u << 31));
}

static void intx_test(const struct device *device)
{
	uint32_t pin = 16 + device->slot % 4;

	if (!block_start(device, &queues[0], 0)) {
		return;
	}
	interrupting = device;
	guest_irq[VECTOR_INTX] = on_intx;
	ioapic_write(0x10 + pin * 2 + 1, (apic_read(APIC_ID) >> 24) << 24);
	ioapic_write(0x10 + pin * 2, VECTOR_INTX | 1u << 15 | 1u << 13); /* level, low */
	interrupts_count = 0;
	check(block_read(device, &queues[0], 0) == 0, "INTx: read says %x", status_byte);
	interrupt_wait("INTx");
	ioapic_write(0x10 + pin * 2, 1u << 16);
}

void block_test(const struct device *device)
{
	print("block: slot %u, %lu sectors, features %lx\n", device->slot,
	      *(volatile uint64_t *)(volatile void *)device->config, device->features);
	if ((device->features & F_READ_ONLY) != 0) {
		return;
	}
	rounds_test(device, "split", 0, false);
	rounds_test(device, "split, indirect, event index", F_INDIRECT | F_EVENT_IDX, true);
	if ((device->features & F_PACKED) != 0) {
		rounds_test(device, "packed", F_PACKED, false);
		rounds_test(device, "packed, indirect, event index",
		            F_PACKED | F_INDIRECT | F_EVENT_IDX, true);
	}
	apic_enable();
	msix_test(device);
	intx_test(device);
	device_reset(device);
}
