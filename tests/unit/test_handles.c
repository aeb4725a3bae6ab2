/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles, derivation and the end of things, by calls on the fake machine: what is given can be taken back, with the mappings made by
 * it; a domain's end takes all that it held and gives every byte back; bad handles and rights are refused.
 */
// flags: -iquote tests/fake -Wno-sign-conversion
// sources: tests/fake/machine.c tests/fake/guest.c arch/x86/ptable.c kernel/call.c kernel/call_host.c kernel/call_vm.c kernel/domain.c kernel/event.c kernel/exit.c kernel/fault.c kernel/fpu.c kernel/handle.c kernel/interrupt.c kernel/log.c kernel/memory.c kernel/message.c kernel/object.c kernel/printf.c kernel/quota.c kernel/region.c kernel/root.c kernel/sched.c kernel/start.c kernel/thread.c kernel/trace.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/domain.h"
#include "kernel/handle.h"
#include "kernel/memory.h"
#include "kernel/region.h"
#include "kernel/thread.h"
#include "kernel/trace.h"
#include "tests/fake/machine.h"
#include "tests/unit/ptable_lookup.h"

#define SCRATCH   (BH_VA_IMAGE + PAGE_SIZE)
#define TARGET_VA 0x10000000ull
#define MANY      1000u

static int start(void **state)
{
	(void)state;
	fake_machine_init(FAKE_CPUS);
	fake_kernel_start(4);
	return fake_leave(0) ? 0 : -1;
}

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return fake_call(0, number, (uint64_t[4]){ a, b, c, d });
}

static int64_t call_until_done(uint64_t number, uint64_t handle)
{
	int64_t result;

	for (;;) {
		result = call(number, handle, 0, 0, 0);
		if (result != BH_ERR_AGAIN) {
			return result;
		}
		fake_leave(1); /* a thread there has to leave first */
		assert_true(fake_leave(0));
	}
}

static uint64_t domain_make(uint64_t quota, uint64_t event)
{
	struct bh_domain_params params = { .quota_bytes = quota,
		                           .death_event = (uint32_t)event,
		                           .name = "child" };

	assert_true(fake_user_write(SCRATCH, &params, sizeof(params)));
	int64_t handle = call(BH_CALL_DOMAIN_CREATE, SCRATCH, 0, 0, 0);

	assert_true(handle >= HANDLE_FIRST_AUTO);
	return (uint64_t)handle;
}

static uint64_t thread_make(uint64_t domain, uint32_t pcpu)
{
	struct bh_thread_params params = { .entry = BH_VA_IMAGE, .pcpu = pcpu, .weight = 256 };

	assert_true(fake_user_write(SCRATCH, &params, sizeof(params)));
	int64_t handle = call(BH_CALL_THREAD_CREATE, domain, SCRATCH, 0, 0);

	assert_true(handle > 0);
	return (uint64_t)handle;
}

static uint64_t region_make(uint64_t size)
{
	int64_t handle = call(BH_CALL_REGION_ALLOCATE, size, PAGE_SIZE, 0, 0);

	assert_true(handle > 0);
	assert_int_equal(call_until_done(BH_CALL_REGION_ZERO, (uint64_t)handle), BH_OK);
	return (uint64_t)handle;
}

static int64_t region_map_at(uint64_t region, uint64_t domain, uint64_t va, uint64_t size,
                             uint32_t flags)
{
	struct bh_map map = { .size = size, .flags = flags };

	assert_true(fake_user_write(SCRATCH, &map, sizeof(map)));
	return call(BH_CALL_REGION_MAP, region, domain, va, SCRATCH);
}

static struct domain *domain_at(uint64_t handle)
{
	return domain_of(handle_object(handle_entry(root_domain, handle)));
}

static bool is_mapped(const struct domain *domain, uint64_t va)
{
	uint32_t flags;
	uint64_t left;
	hpa_t pa;

	return ptable_lookup(&domain->space, va, &pa, &flags, &left);
}

static void test_refuses(void **state)
{
	uint64_t domain = domain_make(64 << 10, 0);
	uint64_t region = region_make(PAGE_SIZE);

	(void)state;
	assert_int_equal(call(99, 0, 0, 0, 0), BH_ERR_CALL);
	assert_int_equal(call(BH_CALL_REGION_ZERO, 0, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(call(BH_CALL_REGION_ZERO, domain, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(call(BH_CALL_REGION_ZERO, BH_MAX_HANDLES, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(call(BH_CALL_REGION_ZERO, ~0ull, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(call(BH_CALL_DOMAIN_CREATE, 0xffff800000000000ull, 0, 0, 0),
	                 BH_ERR_ADDRESS);
	assert_int_equal(call(BH_CALL_DOMAIN_CREATE, BH_VA_USER_MAX - 8, 0, 0, 0), BH_ERR_ADDRESS);
	assert_int_equal(region_map_at(region, domain, TARGET_VA, PAGE_SIZE,
	                               BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE),
	                 BH_ERR_INVALID);
	assert_int_equal(region_map_at(region, domain, BH_VA_USER_MAX, PAGE_SIZE, BH_MAP_READ),
	                 BH_ERR_INVALID);
	assert_int_equal(region_map_at(region, domain, TARGET_VA, 2 * PAGE_SIZE, BH_MAP_READ),
	                 BH_ERR_INVALID);
	int64_t narrow = call(BH_CALL_HANDLE_GIVE, region, BH_HANDLE_SELF, BH_RIGHT_READ, 0);

	assert_true(narrow > 0);
	assert_int_equal(region_map_at((uint64_t)narrow, domain, TARGET_VA, PAGE_SIZE,
	                               BH_MAP_READ | BH_MAP_WRITE),
	                 BH_ERR_RIGHTS);
	assert_int_equal(call(BH_CALL_HANDLE_GIVE, (uint64_t)narrow, domain, BH_RIGHT_READ, 0),
	                 BH_ERR_RIGHTS);
	assert_int_equal(call(BH_CALL_HANDLE_GIVE, region, domain, BH_RIGHT_READ, BH_HANDLE_SELF),
	                 BH_ERR_INVALID);
	assert_int_equal(call(BH_CALL_HANDLE_CLOSE, BH_HANDLE_SELF, 0, 0, 0), BH_ERR_HANDLE);
}

static void test_not_before_it_is_clear(void **state)
{
	int64_t region = call(BH_CALL_REGION_ALLOCATE, 3 * PAGE_SIZE_2M, PAGE_SIZE, 0, 0);

	(void)state;
	assert_int_equal(
		region_map_at((uint64_t)region, BH_HANDLE_SELF, TARGET_VA, PAGE_SIZE, BH_MAP_READ),
		BH_ERR_STATE);
	assert_int_equal(call(BH_CALL_REGION_ZERO, (uint64_t)region, 0, 0, 0), BH_ERR_AGAIN);
	assert_int_equal(call(BH_CALL_REGION_ZERO, (uint64_t)region, 0, 0, 0), BH_ERR_AGAIN);
	assert_int_equal(call(BH_CALL_REGION_ZERO, (uint64_t)region, 0, 0, 0), BH_OK);
	assert_int_equal(
		region_map_at((uint64_t)region, BH_HANDLE_SELF, TARGET_VA, PAGE_SIZE, BH_MAP_READ),
		BH_OK);
}

static void test_revoke_takes_mappings(void **state)
{
	uint64_t domain = domain_make(256 << 10, 0);
	uint64_t region = region_make(8 * PAGE_SIZE);
	uint64_t used = root_domain->used_bytes;
	int64_t given = call(BH_CALL_HANDLE_GIVE, region, BH_HANDLE_SELF, BH_RIGHTS_ALL, 0);
	int64_t again = call(BH_CALL_HANDLE_GIVE, (uint64_t)given, BH_HANDLE_SELF, BH_RIGHT_READ,
	                     200);

	(void)state;
	assert_int_equal(again, 200);
	assert_int_equal(
		call(BH_CALL_HANDLE_GIVE, (uint64_t)given, BH_HANDLE_SELF, BH_RIGHT_READ, 200),
		BH_ERR_EXISTS);
	assert_int_equal(
		region_map_at((uint64_t)again, domain, TARGET_VA, 8 * PAGE_SIZE, BH_MAP_READ),
		BH_OK);
	assert_int_equal(region_map_at(region, domain, TARGET_VA, PAGE_SIZE, BH_MAP_READ),
	                 BH_ERR_EXISTS);
	assert_true(is_mapped(domain_at(domain), TARGET_VA + PAGE_SIZE));
	assert_int_equal(call_until_done(BH_CALL_HANDLE_REVOKE, region), BH_OK);
	assert_false(is_mapped(domain_at(domain), TARGET_VA + PAGE_SIZE));
	assert_int_equal(call(BH_CALL_HANDLE_CLOSE, (uint64_t)given, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(call(BH_CALL_HANDLE_CLOSE, 200, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(root_domain->used_bytes, used);
	assert_int_equal(region_map_at(region, domain, TARGET_VA, PAGE_SIZE, BH_MAP_READ), BH_OK);
}

/* A child with threads on both pCPUs, and things given to it and on. */
static void test_domain_end(void **state)
{
	uint64_t free_bytes = memory_bytes.free, used = root_domain->used_bytes;
	int64_t set = call(BH_CALL_EVENT_SET_CREATE, 0, 0, 0, 0);
	int64_t death = call(BH_CALL_EVENT_CREATE, (uint64_t)set, 3, 0, 0);
	uint64_t child = domain_make(1 << 20, (uint64_t)death);
	uint64_t region = region_make(16 * PAGE_SIZE);
	struct bh_domain_info info;

	(void)state;
	assert_int_equal(
		region_map_at(region, child, TARGET_VA, 16 * PAGE_SIZE, BH_MAP_READ | BH_MAP_WRITE),
		BH_OK);
	uint64_t first = thread_make(child, 0), second = thread_make(child, 1);

	assert_true(fake_leave(1));
	assert_ptr_equal(fake_cpus[1].current->domain, domain_at(child));
	/* The child on pCPU 1 makes things; it may make no domain. */
	const struct bh_domain_params params = { .quota_bytes = 256 << 10, .name = "grandchild" };

	assert_true(fake_user_write(TARGET_VA, &params, sizeof(params)));
	assert_int_equal(fake_call(1, BH_CALL_DOMAIN_CREATE, (uint64_t[4]){ TARGET_VA }),
	                 BH_ERR_RIGHTS);
	for (uint32_t i = 0; i < 200; i++) {
		assert_true(fake_call(1, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 }) > 0);
	}
	fake_cpu = &fake_cpus[0];
	assert_true(call(BH_CALL_HANDLE_GIVE, region, child, BH_RIGHTS_ALL, 5) == 5);
	assert_int_equal(fake_call(1, BH_CALL_HANDLE_GIVE,
	                           (uint64_t[4]){ 5, BH_HANDLE_SELF, BH_RIGHT_READ, 7 }),
	                 7);
	fake_cpu = &fake_cpus[0];
	assert_int_equal(domain_at(child)->threads_alive, 2);

	/* Its own thread ends the one on pCPU 1, and root the other: it is dead, and can still be asked. */
	assert_int_equal(fake_call(1, BH_CALL_THREAD_EXIT, (uint64_t[4]){ 0 }), INT64_MIN);
	assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, second), BH_OK);
	assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, first), BH_OK);
	assert_int_equal(call(BH_CALL_EVENT_WAIT, (uint64_t)set, 0, SCRATCH, 0), 1);
	assert_int_equal(call(BH_CALL_DOMAIN_INFO, child, SCRATCH, 0, 0), BH_OK);
	assert_true(fake_user_read(SCRATCH, &info, sizeof(info)));
	assert_int_equal(info.state, BH_DOMAIN_EXITED);
	assert_int_equal(domain_at(child)->threads_alive, 0);
	assert_int_equal(region_map_at(region, child, TARGET_VA, PAGE_SIZE, BH_MAP_READ),
	                 BH_ERR_DEAD);

	const uint64_t handles[] = { child, region, (uint64_t)set };

	for (uint32_t i = 0; i < ARRAY_SIZE(handles); i++) {
		assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, handles[i]), BH_OK);
	}
	assert_int_equal(call(BH_CALL_HANDLE_CLOSE, (uint64_t)death, 0, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(root_domain->used_bytes, used);
	assert_int_equal(memory_bytes.free, free_bytes);
}

static void test_fault_is_reported(void **state)
{
	int64_t set = call(BH_CALL_EVENT_SET_CREATE, 0, 0, 0, 0);
	int64_t death = call(BH_CALL_EVENT_CREATE, (uint64_t)set, 64, 0, 0);
	uint64_t child = domain_make(1 << 20, (uint64_t)death);
	struct arch_frame *frame = arch_user_frame(&fake_cpus[1]);
	struct bh_domain_info info;

	(void)state;
	thread_make(child, 1);
	thread_make(child, 0);
	assert_true(fake_leave(1));
	frame->vector = 14;
	frame->rip = 0x1234;
	fault_handle(frame, 0x5678);
	assert_false(fake_leave(1));
	assert_true(fake_leave(0));
	assert_int_equal(call(BH_CALL_EVENT_WAIT, (uint64_t)set, 0, SCRATCH, 0), 2);
	assert_int_equal(call(BH_CALL_DOMAIN_INFO, child, SCRATCH, 0, 0), BH_OK);
	assert_true(fake_user_read(SCRATCH, &info, sizeof(info)));
	assert_int_equal(info.state, BH_DOMAIN_FAULTED);
	assert_int_equal(info.fault_vector, 14);
	assert_int_equal(info.fault_rip, 0x1234);
	assert_int_equal(info.fault_address, 0x5678);
}

static void test_quota_holds(void **state)
{
	uint64_t child = domain_make(72 << 10, 0);
	uint64_t code = region_make(PAGE_SIZE);
	int64_t result;
	uint32_t count = 0;

	(void)state;
	region_map_at(code, child, BH_VA_IMAGE, PAGE_SIZE, BH_MAP_READ | BH_MAP_EXECUTE);
	thread_make(child, 1);
	assert_true(fake_leave(1));
	do {
		result = fake_call(1, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });
		count++;
	} while (result > 0);
	assert_int_equal(result, BH_ERR_QUOTA);
	assert_true(count > 100 && domain_at(child)->used_bytes <= 72 << 10);
	assert_int_equal(
		fake_call(1, BH_CALL_REGION_ALLOCATE, (uint64_t[4]){ PAGE_SIZE_2M, PAGE_SIZE }),
		BH_ERR_QUOTA);
	fake_cpu = &fake_cpus[0];
	assert_true(region_make(PAGE_SIZE) > 0);
}

/* A guest may have used the first part of a mapping that then fails: it must forget it before the region can go. */
static void test_failed_guest_mapping_is_flushed(void **state)
{
	struct bh_vm_params params = { .vcpus_max = 1 };
	struct bh_map map = { .size = 2 * PAGE_SIZE_2M, .flags = BH_MAP_READ };
	uint64_t region = region_make(map.size), quota = root_domain->quota_bytes;

	(void)state;
	assert_true(fake_user_write(SCRATCH, &params, sizeof(params)));
	int64_t vm = call(BH_CALL_VM_CREATE, SCRATCH, 0, 0, 0);

	assert_true(vm > 0 && fake_user_write(SCRATCH, &map, sizeof(map)));
	uint64_t used = root_domain->used_bytes;

	root_domain->quota_bytes = used + 4 * PAGE_SIZE; /* for one page table, not for all three */
	fake_vm_flushes = 0;
	assert_int_equal(call(BH_CALL_REGION_MAP, region, (uint64_t)vm, PAGE_SIZE, SCRATCH),
	                 BH_ERR_QUOTA);
	assert_true(fake_vm_flushes > 0);
	assert_int_equal(root_domain->used_bytes, used);
	root_domain->quota_bytes = quota;
	assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, region), BH_OK);
	assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, (uint64_t)vm), BH_OK);
}

/* Records go into the region, in a ring a pCPU, and no further than its end; without a region there is no trace any more. */
static void test_trace(void **state)
{
	const uint64_t calls = 1u << BH_TRACE_CALL | 1u << BH_TRACE_CALL_END;
	const uint64_t part = BH_TRACE_RING_BYTES(3 * PAGE_SIZE, FAKE_CPUS);
	const uint64_t room = (part - sizeof(struct bh_trace_ring)) / 16;
	uint64_t region = (uint64_t)call(BH_CALL_REGION_ALLOCATE, 3 * PAGE_SIZE, PAGE_SIZE, 0, 0);
	const struct bh_trace_ring *ring = phys_to_virt(
		region_of(handle_object(handle_entry(root_domain, region)))->pa);

	(void)state;
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region, calls, 0), BH_ERR_INVALID);
	assert_int_equal(call_until_done(BH_CALL_REGION_ZERO, region), BH_OK);
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, 999, calls, 0), BH_ERR_HANDLE);
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region, 1u << BH_TRACE_KINDS, 0),
	                 BH_ERR_INVALID);
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region_make(PAGE_SIZE), calls, 0),
	                 BH_ERR_INVALID);
	assert_int_equal(ring->records_count, 0);
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region, calls, 0), BH_OK);
	assert_int_equal(ring->records_count, room);
	uint64_t head = ring->head;

	assert_int_equal(call(BH_CALL_DOMAIN_INFO, 77, SCRATCH, 0, 0), BH_ERR_HANDLE);
	assert_int_equal(ring->head, head + 2);
	assert_int_equal(ring->records[head].kind, BH_TRACE_CALL);
	assert_int_equal(ring->records[head].part, BH_CALL_DOMAIN_INFO);
	assert_int_equal(ring->records[head].owner, root_domain->id);
	assert_int_equal(ring->records[head].argument, 77);
	assert_int_equal(ring->records[head + 1].kind, BH_TRACE_CALL_END);
	assert_int_equal(ring->records[head + 1].argument, (uint32_t)BH_ERR_HANDLE);
	for (uint32_t i = 0; i < room; i++) {
		call(BH_CALL_THREAD_YIELD, 0, 0, 0, 0);
	}
	const struct bh_trace_ring *other = (const void *)((const char *)ring + part);

	assert_true(ring->head > 2 * room);
	assert_int_equal(other->records_count, room); /* the ring has not run into the next one */
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region, 0, 0), BH_OK);
	head = ring->head;
	call(BH_CALL_THREAD_YIELD, 0, 0, 0, 0);
	assert_int_equal(ring->head, head); /* stopped, and what was written stays */
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region, calls, 0), BH_OK);
	assert_true(ring->head < 2);
	assert_int_equal(call(BH_CALL_TRACE, BH_HANDLE_HOST, region, 0, 0), BH_OK);
	assert_int_equal(trace_kinds, 0);
	assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, region), BH_OK);
}

static void test_a_thousand_times(void **state)
{
	uint64_t free_bytes = memory_bytes.free, used = root_domain->used_bytes;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		uint64_t child = domain_make(1 << 20, 0);
		uint64_t region = region_make(4 * PAGE_SIZE);

		assert_int_equal(region_map_at(region, child, TARGET_VA, PAGE_SIZE, BH_MAP_READ),
		                 BH_OK);
		uint64_t thread = thread_make(child, i % 2);

		assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, child), BH_OK);
		/* it was derived from the domain's */
		assert_int_equal(call(BH_CALL_HANDLE_CLOSE, thread, 0, 0, 0), BH_ERR_HANDLE);
		assert_int_equal(call_until_done(BH_CALL_HANDLE_CLOSE, region), BH_OK);
	}
	assert_int_equal(root_domain->used_bytes, used);
	assert_int_equal(memory_bytes.free, free_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refuses, start),
		cmocka_unit_test_setup(test_not_before_it_is_clear, start),
		cmocka_unit_test_setup(test_revoke_takes_mappings, start),
		cmocka_unit_test_setup(test_domain_end, start),
		cmocka_unit_test_setup(test_fault_is_reported, start),
		cmocka_unit_test_setup(test_quota_holds, start),
		cmocka_unit_test_setup(test_failed_guest_mapping_is_flushed, start),
		cmocka_unit_test_setup(test_trace, start),
		cmocka_unit_test_setup(test_a_thousand_times, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
