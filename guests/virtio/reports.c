/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free-page reporting by a driver that does not mean it: memory that it has just reported is used by all that can use memory: the CPU's
 * data and code, the stack of an exception, instructions that the VMM emulates, another device. Each time it is there, and cleared.
 */
#include "guests/virtio/virtio.h"

#define REPORTED_BYTES 0x400000ull
#define CHUNK_BYTES    0x200000ull
#define ROUNDS         40u
#define APIC_ID_GPA    0xfee00020ull
#define LOW_GPA        0x100000ull
#define VECTOR_UD      6

static struct queue *const reports = &queues[0];
static uint8_t byte;

static bool report(const struct device *device, uint64_t from, uint64_t bytes)
{
	const struct segment segment = { from, (uint32_t)bytes, true };

	queue_put(reports, &segment, 1, NULL);
	device_kick(device, 3);
	return queue_wait(reports) >= 0;
}

static bool reports_start(const struct device *device)
{
	bool is_ok = device_negotiate(device, F_VERSION_1 | F_BALLOON_REPORTING) &&
	             queue_start(device, reports, 3, false);

	check(is_ok, "reports: the driver is not to be started");
	if (is_ok) {
		device_go(device);
	}
	return is_ok;
}

static void fault_on_stack(void *top)
{
	__asm__ volatile("mov %0, %%rsp; ud2" : : "r"(top) : "memory");
}

/* Zeros are `add %al, (%rax)`: they end where the guest's memory ends. */
static void run_zeros(void *at)
{
	__asm__ volatile("jmp *%1" : : "a"(&byte), "r"(at) : "memory");
}

static void by_cpu(const struct device *device, uint64_t from)
{
	volatile uint64_t *words = (volatile uint64_t *)from;
	uint64_t end = from + REPORTED_BYTES;

	words[0] = 0x1234;
	words[CHUNK_BYTES / 8] = 0x5678;
	check(report(device, from, REPORTED_BYTES), "reports: one is not answered");
	check(words[0] == 0 && words[CHUNK_BYTES / 8] == 0, "reports: there is %lx, %lx", words[0],
	      words[CHUNK_BYTES / 8]);
	words[1] = 77;
	check(report(device, from + 4096, CHUNK_BYTES), "reports: parts are not answered");
	check(words[1] == 77, "reports: memory that was not reported whole has gone");
	report(device, end - CHUNK_BYTES, CHUNK_BYTES);
	check(guest_catch(fault_on_stack, (void *)(end - 64), NULL) == VECTOR_UD,
	      "reports: an exception's stack");
	report(device, end - CHUNK_BYTES, CHUNK_BYTES);
	check(guest_catch(run_zeros, (void *)(end - 64), NULL) == VECTOR_UD, "reports: code");
}

/* The destination is away while the VMM does the instruction. */
static void by_vmm(const struct device *device, uint64_t from)
{
	volatile uint32_t *words = (volatile uint32_t *)from;
	uint64_t source = APIC_ID_GPA;
	uint64_t to = from + 8;
	uint64_t count = 4;

	words[1] = 5;
	report(device, from, CHUNK_BYTES);
	__asm__ volatile("movsl" : "+S"(source), "+D"(to) : : "memory");
	check(words[1] == 0 && words[2] == apic_read(0x20), "reports: a copy from a device: %x",
	      words[2]);
	report(device, from, CHUNK_BYTES);
	to = from;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(0x61) : "memory");
	check(to == from + 4 && count == 0 && words[0] != 0xffffffff,
	      "reports: a string from a port");
}

static void by_device(const struct device *device, uint64_t from)
{
	const struct segment segment = { from + CHUNK_BYTES - 32, 64, true }; /* in two chunks */
	volatile uint64_t *words = (volatile uint64_t *)from;
	static struct queue other;
	struct device rng;

	if (!device_find(TYPE_RNG, 0, &rng) || !device_negotiate(&rng, F_VERSION_1) ||
	    !queue_start(&rng, &other, 0, false)) {
		check(false, "reports: no other device");
		return;
	}
	device_go(&rng);
	words[0] = 1;
	report(device, from, REPORTED_BYTES);
	queue_put(&other, &segment, 1, NULL);
	device_kick(&rng, 0);
	check(queue_wait(&other) == 64, "reports: a device's buffer");
	check(words[0] == 0 && (words[CHUNK_BYTES / 8 - 1] | words[CHUNK_BYTES / 8]) != 0,
	      "reports: what the device wrote is not there");
	device_reset(&rng);
}

void reports_test(const struct device *device, uint64_t end)
{
	uint64_t from = end - REPORTED_BYTES;
	volatile uint32_t *word = (volatile uint32_t *)from;

	device_reset(device);
	if (!reports_start(device)) {
		return;
	}
	by_cpu(device, from);
	by_vmm(device, from);
	by_device(device, from);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		*word = i + 1;
		check(report(device, from, CHUNK_BYTES) && *word == 0, "reports: round %u", i);
	}
	report(device, LOW_GPA,
	       from - LOW_GPA); /* what it runs in, too: that is in the first chunk, which stays */
	check(report(device, from, CHUNK_BYTES), "reports: none is taken any more");
	queue_put(reports, &(struct segment){ end - 4096, 8192, true }, 1, NULL);
	device_kick(device, 3);
	check(device_wait_broken(device), "reports: memory of nobody");
	device_reset(device);
	print("reports: done\n");
}
