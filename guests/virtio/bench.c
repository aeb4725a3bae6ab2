/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk request costs: the TSC from before the kick to after the interrupt, one request of 4 KiB at a time, and a batch of 32 with one
 * kick. Under instruction counting the TSC counts all that runs meanwhile: kernel, mgmt, the copy, and this guest's own handler.
 */
#include "guests/virtio/virtio.h"

#define VECTOR      0x52u
#define ROUNDS      128u
#define BATCH       16u /* chains of three descriptors in a ring of 64 */
#define BLOCK_BYTES 4096u
#define REQUEST_IN  0u
#define MSIX_ENABLE (1u << 31)

static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;

static uint8_t data[BLOCK_BYTES] __attribute__((aligned(4096)));
static uint8_t status_bytes[BATCH];
static volatile uint32_t interrupts_count;
static uint64_t samples[ROUNDS];

static void on_interrupt(struct trap_frame *frame)
{
	(void)frame;
	interrupts_count++;
	apic_write(APIC_EOI, 0);
}

static void put(uint32_t i, uint64_t sector)
{
	const struct segment segments[3] = { { (uint64_t)&header, 16, false },
		                             { (uint64_t)data, BLOCK_BYTES, true },
		                             { (uint64_t)&status_bytes[i], 1, true } };

	header.sector = sector;
	queue_put(&queues[0], segments, 3, NULL);
}

/* One batch, halted until it is back. */
static uint64_t round_run(const struct device *device, uint32_t count)
{
	uint32_t left = count;
	uint64_t start;

	for (uint32_t i = 0; i < count; i++) {
		put(i, 0);
	}
	start = rdtsc();
	device_kick(device, 0);
	while (left > 0) {
		while (left > 0 && queue_take(&queues[0]) >= 0) {
			left--;
		}
		if (left > 0 && interrupts_count == 0) {
			__asm__ volatile("sti; hlt; cli");
		}
		interrupts_count = 0;
	}
	return rdtsc() - start;
}

static void sort(uint64_t *values)
{
	for (uint32_t i = 1; i < ROUNDS; i++) {
		uint64_t value = values[i];
		uint32_t j = i;

		for (; j > 0 && values[j - 1] > value; j--) {
			values[j] = values[j - 1];
		}
		values[j] = value;
	}
}

static void measure(const struct device *device, const char *name, uint32_t count)
{
	for (uint32_t i = 0; i < ROUNDS; i++) {
		samples[i] = round_run(device, count);
	}
	sort(samples);
	print("bench %s %lu %lu %lu\n", name, samples[0] / count, samples[ROUNDS / 2] / count,
	      samples[ROUNDS - 1] / count);
}

void bench_run(const struct device *device)
{
	volatile uint32_t *entry = (volatile uint32_t *)(volatile void *)device->table;
	volatile uint16_t *vector = (volatile uint16_t *)(volatile void *)(device->common +
	                                                                   COMMON_QUEUE_VECTOR);

	if (!block_start(device, &queues[0], 0)) {
		return;
	}
	apic_enable();
	pci_write(device->slot, device->msix_at,
	          pci_read(device->slot, device->msix_at) | MSIX_ENABLE);
	entry[0] = 0xfee00000u | (apic_read(APIC_ID) >> 24) << 12;
	entry[1] = 0;
	entry[2] = VECTOR;
	entry[3] = 0;
	*vector = 0;
	guest_irq[VECTOR] = on_interrupt;
	header.type = REQUEST_IN;
	measure(device, "blk.qd1", 1);
	measure(device, "blk.qd16", BATCH);
	check(status_bytes[0] == 0, "the requests end with status %x", status_bytes[0]);
	device_reset(device);
}
