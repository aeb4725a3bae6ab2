/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What disk requests cost, by the TSC, which counts instructions in QEMU with -icount: a read of 4 KiB alone, and 32 of them with one kick
 * and one interrupt, from before the kick to the first instructions of the interrupt's handler, and its EOI. What the guest itself
 * executes in between is measured by a software interrupt and taken off, and so is the copy of the data, which is what a second
 * page costs more. Interrupts end as Linux ends them under KVM: by a word in memory where the hypervisor offers that. `bench=exits rounds=N` only makes 32 requests N times, `bench=kicks` one; `bench=restart` waits for the request that mgmt's restart
 * holds up; `repeat=blk.qd1` goes on for ever.
 */
#include "guests/virtio/virtio.h"

#define VECTOR         0x52u
#define REQUESTS       16384u
#define BATCH          32u /* chains of the same three descriptors in a ring of 64 */
#define PAGE_BYTES     4096u
#define HELD_UP        1000000u /* no request takes as long, unless there is no mgmt */
#define RESTART_ROUNDS 20000000u
#define REQUEST_IN     0u
#define MSIX_ENABLE    (1u << 31)
#define MSR_APIC_BASE  0x1bu
#define APIC_BASE_X2   (1u << 10)
#define MSR_X2APIC_EOI 0x80bu
#define CPUID_X2APIC   (1u << 21)

static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;

static uint8_t data[2 * PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t status_byte;
static bool has_x2apic;
static struct {
	volatile bool has_come;
	bool is_dry;
	uint64_t entry_tsc; /* of the handler */
	uint64_t eoi_ticks;
	uint64_t own_ticks; /* of the guest's path to entry_tsc */
} irq;

static void on_interrupt(struct trap_frame *frame)
{
	uint64_t start;

	irq.entry_tsc = rdtsc();
	(void)frame;
	irq.has_come = true;
	if (irq.is_dry) {
		return;
	}
	start = rdtsc();
	if (guest_eoi_by_word()) {
		/* as Linux ends one under KVM */
	} else if (has_x2apic) {
		wrmsr(MSR_X2APIC_EOI, 0);
	} else {
		apic_write(APIC_EOI, 0);
	}
	irq.eoi_ticks = rdtsc() - start;
}

/* The same way to the handler without any of ours. */
static void own_measure(void)
{
	uint64_t start;

	irq.is_dry = true;
	start = rdtsc();
	__asm__ volatile("int %0" : : "i"(VECTOR) : "memory");
	irq.own_ticks = irq.entry_tsc - start;
	irq.is_dry = false;
}

/* Interrupts are on from here to bench_wait(), as they are when Linux' drivers kick: an answer that is there at once is taken at once. */
uint64_t bench_start(void)
{
	__asm__ volatile("sti" : : : "memory");
	return rdtsc();
}

uint64_t bench_wait(uint64_t start)
{
	__asm__ volatile("cli" : : : "memory");
	while (!irq.has_come) {
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
	irq.has_come = false;
	return irq.entry_tsc - start - irq.own_ticks + irq.eoi_ticks;
}

/* One batch, halted until it is back; what it took but for the guest's own part. */
static uint64_t batch_run(const struct device *device, uint32_t count, uint32_t bytes)
{
	const struct segment segments[3] = { { (uint64_t)&header, 16, false },
		                             { (uint64_t)data, bytes, true },
		                             { (uint64_t)&status_byte, 1, true } };
	uint32_t left = count;
	uint64_t start;
	uint64_t ticks = 0;

	for (uint32_t i = 0; i < count; i++) {
		queue_put(&queues[0], segments, 3, NULL);
	}
	irq.has_come = false;
	start = bench_start();
	device_kick(device, 0);
	while (left > 0) {
		ticks += bench_wait(start);
		while (left > 0 && queue_take(&queues[0]) >= 0) {
			left--;
		}
		if (left > 0) {
			start = bench_start();
		}
	}
	return ticks;
}

/* The mean of so many that it does not matter how kernel and mgmt take turns: their shares of the pCPU settle only after thousands. */
static uint64_t measure(const struct device *device, uint32_t count, uint32_t bytes)
{
	uint32_t rounds = REQUESTS / count;
	uint64_t ticks = 0;

	for (uint32_t i = 0; i < rounds; i++) {
		ticks += batch_run(device, count, bytes);
	}
	return ticks / rounds;
}

static void show(const char *name, uint64_t value)
{
	print("bench %s %lu %lu %lu\n", name, value, value, value);
}

static void measure_all(const struct device *device)
{
	uint64_t one = measure(device, 1, PAGE_BYTES);
	uint64_t batch = measure(device, BATCH, PAGE_BYTES);
	uint64_t copy = (measure(device, BATCH, 2 * PAGE_BYTES) - batch) / BATCH;

	show("blk.qd1", one - copy);
	show("blk.qd32", batch / BATCH - copy);
	show("blk.copy", copy);
}

/* One request after another until one is held up. */
static void restart_measure(const struct device *device)
{
	uint64_t ticks = 0;

	print("one request after another until it is held up\n");
	for (uint32_t i = 0; i < RESTART_ROUNDS && ticks < HELD_UP; i++) {
		ticks = batch_run(device, 1, PAGE_BYTES);
	}
	check(ticks >= HELD_UP, "no request was held up");
	show("mgmt.restart", ticks);
}

static void vector_set(const struct device *device, uint16_t queue)
{
	volatile uint32_t *entry = (volatile uint32_t *)(volatile void *)device->table;
	volatile uint16_t *vector = (volatile uint16_t *)(volatile void *)(device->common +
	                                                                   COMMON_QUEUE_VECTOR);

	pci_write(device->slot, device->msix_at,
	          pci_read(device->slot, device->msix_at) | MSIX_ENABLE);
	entry[0] = 0xfee00000u | (apic_read(APIC_ID) >> 24) << 12;
	entry[1] = 0;
	entry[2] = VECTOR;
	entry[3] = 0;
	*(volatile uint16_t *)(volatile void *)(device->common + COMMON_QUEUE_SELECT) = queue;
	*vector = 0;
	guest_irq[VECTOR] = on_interrupt;
}

/* By MSRs where the CPU has them, as Linux does under a hypervisor. */
static void x2apic_enable(void)
{
	uint32_t registers[4];

	cpuid(1, 0, registers);
	has_x2apic = (registers[2] & CPUID_X2APIC) != 0;
	if (has_x2apic) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	}
}

void bench_prepare(const struct device *device, uint16_t queue)
{
	apic_enable();
	vector_set(device, queue);
	x2apic_enable();
	(void)guest_eoi_word_use(true);
	own_measure();
}

void bench_run(const struct device *device, enum bench_part part, uint32_t rounds)
{
	if (!block_start(device, &queues[0], 0)) {
		return;
	}
	bench_prepare(device, 0);
	header.type = REQUEST_IN;
	if (part == BENCH_REPEAT) {
		print("repeating blk.qd1\n");
		for (;;) {
			batch_run(device, 1, PAGE_BYTES);
		}
	} else if (part == BENCH_RESTART) {
		restart_measure(device);
	} else if (part == BENCH_EXITS || part == BENCH_KICKS) {
		for (uint32_t i = 0; i < rounds; i++) {
			batch_run(device, part == BENCH_EXITS ? BATCH : 1, PAGE_BYTES);
		}
	} else {
		measure_all(device);
	}
	check(status_byte == 0, "the requests end with status %x", status_byte);
	device_reset(device);
}
