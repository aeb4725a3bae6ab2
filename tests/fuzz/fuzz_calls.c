/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All kernel calls with all kinds of arguments, in any order, by whatever domains and threads come of it, on two pCPUs: the whole of
 * kernel/ on the fake machine. No CHECK may fail, every page must be on its payer's account after each step, and when all handles are
 * closed everything must be back.
 */
// flags: -iquote tests/fake -Wno-sign-conversion
// sources: tests/fake/machine.c tests/fake/guest.c arch/x86/ptable.c kernel/call.c kernel/call_host.c kernel/call_vm.c kernel/domain.c kernel/event.c kernel/exit.c kernel/fault.c kernel/fpu.c kernel/handle.c kernel/interrupt.c kernel/log.c kernel/memory.c kernel/message.c kernel/object.c kernel/printf.c kernel/quota.c kernel/region.c kernel/root.c kernel/sched.c kernel/start.c kernel/thread.c kernel/trace.c
#include <stdlib.h>
#include <string.h>

#include "kernel/domain.h"
#include "kernel/handle.h"
#include "kernel/memory.h"
#include "tests/fake/machine.h"

#define BSS_PAGES 8u
#define SCRATCH   (BH_VA_IMAGE + PAGE_SIZE) /* root's bss */
#define STEPS_MAX 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input, *input_end;

static uint8_t next_byte(void)
{
	return input < input_end ? *input++ : 0;
}

static uint64_t next_value(void)
{
	uint8_t kind = next_byte();
	uint64_t n = next_byte();

	switch (kind % 12) {
	case 0:
		return n; /* a handle, a small number */
	case 1:
	case 2:
	case 3:
		return HANDLE_FIRST_AUTO + n % 48;
	case 4:
		return n * PAGE_SIZE;
	case 5:
		return SCRATCH + n * 64 % (BSS_PAGES * PAGE_SIZE);
	case 6:
		return 0x10000000 + n * PAGE_SIZE;
	case 7:
		return 1ull << (n % 64);
	case 8:
		return (1ull << (n % 64)) - 1;
	case 9:
		return BH_HANDLE_HOST;
	case 10:
		return BH_HANDLE_SELF;
	default:
		return ~0ull - n;
	}
}

static void write_record(void)
{
	uint64_t record[6];

	for (size_t i = 0; i < 6; i++) {
		uint64_t low = next_value();

		record[i] = next_byte() % 4 == 0 ? (low & 0xffffffff) | next_value() << 32 : low;
	}
	fake_user_write(SCRATCH + next_byte() * 64u % (BSS_PAGES * PAGE_SIZE - 64), record,
	                sizeof(record));
}

/* A region, clear and mapped, a domain with a thread: what random calls seldom find together. */
static void make_useful(uint32_t cpu)
{
	const struct bh_domain_params domain = { .quota_bytes = 256 << 10,
		                                 .flags = next_byte() & BH_DOMAIN_SEES_LOG };
	const struct bh_thread_params thread = { .entry = BH_VA_IMAGE,
		                                 .pcpu = next_byte() % FAKE_CPUS,
		                                 .weight = 256 };
	const struct bh_map map = { .size = PAGE_SIZE, .flags = BH_MAP_READ | BH_MAP_WRITE };
	uint32_t kind = next_byte() % 3;

	if (kind == 0 && fake_user_write(SCRATCH, &domain, sizeof(domain))) {
		fake_call(cpu, BH_CALL_DOMAIN_CREATE, (uint64_t[4]){ SCRATCH });
	} else if (kind == 1 && fake_user_write(SCRATCH, &thread, sizeof(thread))) {
		fake_call(cpu, BH_CALL_THREAD_CREATE, (uint64_t[4]){ next_value(), SCRATCH });
	} else if (kind == 2 && fake_user_write(SCRATCH, &map, sizeof(map))) {
		int64_t region = fake_call(cpu, BH_CALL_REGION_ALLOCATE,
		                           (uint64_t[4]){ 4 * PAGE_SIZE, PAGE_SIZE });

		if (region > 0) {
			fake_call(cpu, BH_CALL_REGION_ZERO, (uint64_t[4]){ (uint64_t)region });
			fake_call(
				cpu, BH_CALL_REGION_MAP,
				(uint64_t[4]){ (uint64_t)region, next_value(), SCRATCH, SCRATCH });
		}
	}
}

static void fault(uint32_t cpu)
{
	struct arch_frame *frame = arch_user_frame(&fake_cpus[cpu]);

	frame->vector = next_byte() % 32;
	if (frame->vector != 7 && fake_cpu->current->domain == root_domain) {
		return; /* the end of root is the end of the machine */
	}
	fault_handle(frame, next_value());
	fake_leave(cpu);
}

/* The end of root and a reset are the end of the machine. */
static bool ends_machine(uint64_t number, const uint64_t arguments[4])
{
	return (number == BH_CALL_THREAD_EXIT && fake_cpu->current->domain == root_domain) ||
	       (number == BH_CALL_HOST_CONTROL && arguments[1] != BH_HOST_CLAIM_CONSOLE);
}

static void step(void)
{
	uint8_t what = next_byte();
	uint32_t cpu = what / 128;
	uint64_t number = what % 64;
	uint64_t arguments[4];

	if (!fake_leave(cpu)) {
		return;
	}
	if (number == 60) {
		make_useful(cpu);
		return;
	}
	if (number == 61) {
		fault(cpu);
		return;
	}
	if (number == 62) {
		interrupt_fired(next_byte() % 32);
		return;
	}
	if (number >= 50 && number < 60) {
		write_record();
		number = next_byte() % (BH_CALL_COUNT + 1);
	}
	for (uint32_t i = 0; i < 4; i++) {
		arguments[i] = next_value();
	}
	if (!ends_machine(number, arguments)) {
		fake_call(cpu, number, arguments);
	}
}

static uint64_t pages_owned(uint32_t owner)
{
	uint64_t count = 0;

	for (uint64_t pa = 0; pa < FAKE_RAM_BYTES; pa += PAGE_SIZE) {
		count += memory_owner(HPA(pa)) == owner;
	}
	return count;
}

/* What a domain has used is the pages it owns and the quotas of its children. */
static void check_accounts(void)
{
	for (uint32_t id = 1; id < DOMAINS_MAX; id++) {
		const struct domain *domain = domains[id];
		uint64_t used = domain != NULL ? pages_owned(id) * PAGE_SIZE : 0;

		for (uint32_t other = 1; other < DOMAINS_MAX && domain != NULL; other++) {
			used += domains[other] != NULL && domains[other]->object.payer == domain
			                ? domains[other]->quota_bytes
			                : 0;
		}
		CHECK(domain == NULL || used == domain->used_bytes);
	}
}

/* Close every handle of root's but those that it started with; some of its threads may have to run for it. */
static void close_all(void)
{
	struct thread *thread = list_entry(root_domain->threads.next, struct thread, domain_node);

	for (uint32_t number = 3; number < BH_MAX_HANDLES; number++) {
		const struct handle *handle = handle_entry(root_domain, number);
		int result = BH_ERR_AGAIN;

		for (uint32_t i = 0; i < 10000 && result == BH_ERR_AGAIN; i++) {
			if (handle == NULL || number == BH_ROOT_HANDLE_MODULES) {
				break;
			}
			fake_leave(0);
			fake_leave(1);
			fake_cpu = &fake_cpus[0];
			struct thread *current = fake_cpu->current;

			fake_cpu->current = thread;
			struct arch_frame frame = { .rax = BH_CALL_HANDLE_CLOSE, .rdi = number };

			call_handle(&frame);
			result = (int)frame.rax;
			fake_cpu->current = current;
			handle = handle_entry(root_domain, number);
		}
		CHECK(result != BH_ERR_AGAIN || handle == NULL || number == BH_ROOT_HANDLE_MODULES);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = data;
	input_end = data + size;
	fake_has_message = getenv("FUZZ_LOG") != NULL;
	fake_machine_init(FAKE_CPUS);
	fake_kernel_start(BSS_PAGES);
	uint64_t used = root_domain->used_bytes;

	for (uint32_t i = 0; i < STEPS_MAX && input < input_end; i++) {
		step();
		if (i % 16 == 0) {
			check_accounts();
		}
	}
	check_accounts();
	fake_cpu = &fake_cpus[0];
	close_all();
	check_accounts();
	/* The boot module may have been closed, too: its pages and its record. */
	CHECK(root_domain->used_bytes <= used && used - root_domain->used_bytes <= 4 * PAGE_SIZE);
	return 0;
}
