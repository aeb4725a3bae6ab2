/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler on the fake machine, with time that the test moves: shares by weight, caps, preemption by a wake-up.
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
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "tests/fake/machine.h"

#define SCRATCH (BH_VA_IMAGE + PAGE_SIZE)
#define MS      (FAKE_TSC_HZ / 1000)

static struct thread *thread_add(uint32_t pcpu, uint32_t weight, uint32_t cap_percent)
{
	const struct bh_thread_params params = {
		.entry = BH_VA_IMAGE, .pcpu = pcpu, .weight = weight, .cap_percent = cap_percent
	};

	assert_true(fake_user_write(SCRATCH, &params, sizeof(params)));
	int64_t handle = fake_call(0, BH_CALL_THREAD_CREATE,
	                           (uint64_t[4]){ BH_HANDLE_SELF, SCRATCH });

	assert_true(handle > 0);
	return thread_of(handle_object(handle_entry(root_domain, (uint64_t)handle)));
}

static int start(void **state)
{
	(void)state;
	fake_machine_init(FAKE_CPUS);
	fake_kernel_start(4);
	return fake_leave(0) ? 0 : -1;
}

/* Ring 3 runs on that pCPU; the timer interrupts it when it is due. */
static void run_for(uint32_t cpu, uint64_t ticks)
{
	uint64_t end = fake_tsc + ticks;

	while (fake_tsc < end) {
		uint64_t now = fake_tsc;

		if (!fake_leave(cpu)) {
			fake_tsc = end;
			return;
		}
		if (fake_tsc < now + MS / 10) {
			fake_tsc = now + MS / 10;
		}
	}
	fake_leave(cpu);
}

static void assert_near(uint64_t value, uint64_t wanted, uint64_t tolerance_percent)
{
	uint64_t difference = value > wanted ? value - wanted : wanted - value;

	if (difference * 100 > wanted * tolerance_percent) {
		fail_msg("%lu is not near %lu", (unsigned long)value, (unsigned long)wanted);
	}
}

static void test_weights(void **state)
{
	struct thread *one = thread_add(1, 256, 0), *two = thread_add(1, 512, 0),
		      *four = thread_add(1, 1024, 0);

	(void)state;
	run_for(1, 7000 * MS);
	assert_near(one->run_tsc, 1000 * MS, 3);
	assert_near(two->run_tsc, 2000 * MS, 3);
	assert_near(four->run_tsc, 4000 * MS, 3);
}

static void test_cap(void **state)
{
	struct thread *capped = thread_add(1, 1024, 20), *other = thread_add(1, 64, 0);

	(void)state;
	run_for(1, 4000 * MS);
	assert_near(capped->run_tsc, 800 * MS, 4);
	assert_near(other->run_tsc, 3200 * MS, 4);
}

static void test_cap_leaves_idle_time(void **state)
{
	struct thread *capped = thread_add(1, 256, 30);

	(void)state;
	run_for(1, 2000 * MS);
	assert_near(capped->run_tsc, 600 * MS, 4);
	assert_near(capped->delay_tsc, 1400 * MS, 4); /* it could have run, but for its cap */
	assert_near(fake_cpus[1].stats->idle_tsc + (fake_cpus[1].current == NULL ? fake_tsc : 0),
	            1400 * MS, 4);
}

/* A thread waits whenever others run; a sleeper does not. */
static void test_delay(void **state)
{
	struct thread *one = thread_add(1, 256, 0), *three = thread_add(1, 768, 0);

	(void)state;
	run_for(1, 4000 * MS);
	assert_near(one->delay_tsc, 3000 * MS, 3);
	assert_near(three->delay_tsc, 1000 * MS, 3);
	assert_true(fake_cpus[1].stats->switches > 100);
}

static void test_alone_is_not_interrupted(void **state)
{
	struct thread *alone = thread_add(1, 256, 0);

	(void)state;
	assert_true(fake_leave(1));
	assert_ptr_equal(fake_cpus[1].current, alone);
	assert_int_equal(fake_cpus[1].slice_end_tsc, BH_FOREVER);
}

/* root sleeps in event_wait; a hog runs; the event brings root back at once, and its result is in RAX. */
static void test_wake_preempts(void **state)
{
	int64_t set = fake_call(0, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });
	int64_t event = fake_call(0, BH_CALL_EVENT_CREATE, (uint64_t[4]){ (uint64_t)set, 70 });
	struct thread *root = fake_cpus[0].current, *hog = thread_add(0, 256, 0);

	(void)state;
	run_for(0, 100 * MS);
	while (fake_cpus[0].current != root) {
		run_for(0, MS);
	}
	assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT,
	                           (uint64_t[4]){ (uint64_t)set, BH_FOREVER, SCRATCH }),
	                 INT64_MIN);
	assert_ptr_equal(fake_cpus[0].current, hog);
	run_for(0, 50 * MS);
	assert_ptr_equal(fake_cpus[0].current, hog);
	fake_call(0, BH_CALL_EVENT_SIGNAL, (uint64_t[4]){ (uint64_t)event });
	assert_ptr_equal(fake_cpus[0].current, root);
	assert_int_equal(arch_user_frame(&fake_cpus[0])->rax, 2);
	assert_int_equal(arch_user_frame(&fake_cpus[0])->rdx, 1u << 6);
}

/* A word at a time, each with all its bits; one that is set again comes after the others. */
static void test_words_take_turns(void **state)
{
	static const uint64_t bits[] = { 3, 5, 70, 1023 };
	static const struct {
		int64_t mask;
		uint64_t word;
	} wanted[] = { { 1, 1u << 3 | 1u << 5 },
		       { 2, 1u << 6 },
		       { 1u << 15, 1ull << 63 },
		       { 1, 1u << 3 },
		       { BH_ERR_TIMEOUT, 0 } };
	uint64_t set = (uint64_t)fake_call(0, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });
	uint64_t events[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		events[i] = (uint64_t)fake_call(0, BH_CALL_EVENT_CREATE,
		                                (uint64_t[4]){ set, bits[i] });
		fake_call(0, BH_CALL_EVENT_SIGNAL, (uint64_t[4]){ events[i] });
	}
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT, (uint64_t[4]){ set, 0 }),
		                 wanted[i].mask);
		if (wanted[i].mask > 0) {
			assert_int_equal(arch_user_frame(&fake_cpus[0])->rdx, wanted[i].word);
		}
		if (i == 0) {
			fake_call(0, BH_CALL_EVENT_SIGNAL, (uint64_t[4]){ events[0] });
		}
	}
}

static void test_wait_ends_in_time(void **state)
{
	int64_t set = fake_call(0, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });
	uint64_t deadline = fake_tsc + 5 * MS;

	(void)state;
	assert_int_equal(
		fake_call(0, BH_CALL_EVENT_WAIT, (uint64_t[4]){ (uint64_t)set, 0, SCRATCH }),
		BH_ERR_TIMEOUT);
	assert_int_equal(
		fake_call(0, BH_CALL_EVENT_WAIT, (uint64_t[4]){ (uint64_t)set, deadline, SCRATCH }),
		BH_ERR_TIMEOUT);
	assert_true(fake_tsc >= deadline && fake_tsc < deadline + MS);
}

/* A wait that an event has ended leaves its timer: the next one lasts as long as it says all the same. */
static void test_wait_after_a_wait(void **state)
{
	int64_t set = fake_call(0, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });
	int64_t event = fake_call(0, BH_CALL_EVENT_CREATE, (uint64_t[4]){ (uint64_t)set, 0 });
	struct thread *root = fake_cpus[0].current;
	uint64_t start = fake_tsc;

	(void)state;
	thread_add(0, 256, 0);
	while (fake_cpus[0].current != root) {
		run_for(0, MS);
	}
	assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT,
	                           (uint64_t[4]){ (uint64_t)set, start + 50 * MS, SCRATCH }),
	                 INT64_MIN);
	run_for(0, MS);
	fake_call(0, BH_CALL_EVENT_SIGNAL, (uint64_t[4]){ (uint64_t)event });
	assert_ptr_equal(fake_cpus[0].current, root);
	assert_int_equal(arch_user_frame(&fake_cpus[0])->rax, 1);
	assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT,
	                           (uint64_t[4]){ (uint64_t)set, start + 200 * MS, SCRATCH }),
	                 INT64_MIN);
	while (fake_cpus[0].current != root) {
		run_for(0, MS);
	}
	assert_int_equal((int64_t)arch_user_frame(&fake_cpus[0])->rax, BH_ERR_TIMEOUT);
	assert_true(fake_tsc >= start + 200 * MS && fake_tsc < start + 220 * MS);
	/* Earlier than the one before. */
	start = fake_tsc;
	assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT,
	                           (uint64_t[4]){ (uint64_t)set, start + 20 * MS, SCRATCH }),
	                 INT64_MIN);
	while (fake_cpus[0].current != root) {
		run_for(0, MS);
	}
	assert_true(fake_tsc >= start + 20 * MS && fake_tsc < start + 40 * MS);
}

/* The message of a wait goes to a vm or nowhere: an error, and no wait. */
static void test_wait_with_a_bad_message(void **state)
{
	int64_t set = fake_call(0, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });

	(void)state;
	assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT,
	                           (uint64_t[4]){ (uint64_t)set, BH_FOREVER, SCRATCH, 200 }),
	                 BH_ERR_HANDLE);
	assert_int_equal(
		fake_call(0, BH_CALL_EVENT_WAIT,
	                  (uint64_t[4]){ (uint64_t)set, BH_FOREVER, SCRATCH, (uint64_t)set }),
		BH_ERR_HANDLE);
	assert_int_equal(fake_call(0, BH_CALL_EVENT_WAIT, (uint64_t[4]){ 200, 0, SCRATCH }),
	                 BH_ERR_HANDLE);
}

static void test_yield(void **state)
{
	struct thread *root = fake_cpus[0].current, *other = thread_add(0, 256, 0);

	(void)state;
	fake_call(0, BH_CALL_THREAD_YIELD, (uint64_t[4]){ 0 });
	assert_ptr_equal(fake_cpus[0].current, other);
	fake_call(0, BH_CALL_THREAD_YIELD, (uint64_t[4]){ 0 });
	assert_ptr_equal(fake_cpus[0].current, root);
}

/* Idle until a message `after` ticks from now, or the timer's interrupt if that comes first; the work that there is then. */
static uint32_t idle_until(struct cpu *cpu, uint64_t after)
{
	fake_cpu = cpu;
	cpu->work = 0;
	fake_notified = 0;
	fake_message_tsc = fake_tsc + after;
	message_idle(cpu);
	return cpu->work;
}

/* A message that comes soon is found without an interrupt, from the second on; one that does not ends that, at the bound. */
static void test_halt_poll(void **state)
{
	struct cpu *cpu = &fake_cpus[1];
	uint64_t us = FAKE_TSC_HZ / 1000000, polled = cpu->stats->polled, before;

	(void)state;
	message_poll_tsc = 50 * us;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(idle_until(cpu, 10 * us), CPU_WORK_MESSAGE);
		assert_int_equal(fake_notified, i == 0);
		assert_int_equal(cpu->stats->polled, polled + i);
	}
	assert_int_equal(idle_until(cpu, 1000 * us), CPU_WORK_MESSAGE);
	assert_int_equal(fake_notified, 1);
	assert_int_equal(idle_until(cpu, 10 * us), CPU_WORK_MESSAGE);
	assert_int_equal(fake_notified, 1);
	assert_int_equal(cpu->stats->polled, polled + 3);
	/* The timer's interrupt is taken while it looks. */
	before = fake_tsc;
	arch_timer_set(before + 5 * us);
	assert_int_equal(idle_until(cpu, 20 * us), CPU_WORK_TIMER);
	assert_true(fake_tsc <= before + 6 * us);
	assert_int_equal(cpu->stats->polled, polled + 3);
	fake_message_tsc = 0;
}

static void test_halt_poll_off(void **state)
{
	struct cpu *cpu = &fake_cpus[1];
	uint64_t polled = cpu->stats->polled;

	(void)state;
	message_poll_tsc = 0;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(idle_until(cpu, 10), CPU_WORK_MESSAGE);
		assert_int_equal(fake_notified, 1);
	}
	assert_int_equal(cpu->stats->polled, polled);
}

/* ---- kicks: a server that waits for events of one set, and clients that signal them ---- */

struct service {
	struct thread *server;
	uint64_t set, event;
	uint64_t answers;
};

/* As a guest at a doorbell does. */
static void kick(uint32_t cpu, uint64_t event)
{
	fake_cpus[cpu].is_kicking = true;
	fake_call(cpu, BH_CALL_EVENT_SIGNAL, (uint64_t[4]){ event });
	fake_cpus[cpu].is_kicking = false;
}

static void serve_wait(const struct service *service)
{
	fake_call(0, BH_CALL_EVENT_WAIT, (uint64_t[4]){ service->set, BH_FOREVER, SCRATCH });
}

/* root's thread is the server; it waits when this returns. `weight` of the first client. */
static struct service service_start(struct thread **client, uint32_t weight)
{
	struct service service = { .server = fake_cpus[0].current };

	service.set = (uint64_t)fake_call(0, BH_CALL_EVENT_SET_CREATE, (uint64_t[4]){ 0 });
	service.event = (uint64_t)fake_call(0, BH_CALL_EVENT_CREATE,
	                                    (uint64_t[4]){ service.set, 3 });
	*client = thread_add(0, weight, 0);
	while (fake_cpus[0].current != service.server) {
		run_for(0, MS);
	}
	serve_wait(&service);
	assert_ptr_equal(fake_cpus[0].current, *client);
	return service;
}

/* The server has had more than its share: a signal would let it wait. A kick hands over at once, and the wait hands back. */
static void test_kick_hands_over(void **state)
{
	struct thread *client;
	struct service service = service_start(&client, 256);
	uint64_t switches, delay;

	(void)state;
	service.server->virtual_time = client->virtual_time + 1 * MS;
	fake_call(0, BH_CALL_EVENT_SIGNAL, (uint64_t[4]){ service.event });
	assert_ptr_equal(fake_cpus[0].current, client);
	while (fake_cpus[0].current != service.server) {
		run_for(0, MS);
	}
	serve_wait(&service);
	service.server->virtual_time = client->virtual_time + 1 * MS;
	switches = fake_cpus[0].stats->switches;
	delay = client->delay_tsc;
	kick(0, service.event);
	assert_ptr_equal(fake_cpus[0].current, service.server);
	assert_int_equal(arch_user_frame(&fake_cpus[0])->rax, 1);
	assert_int_equal(client->state, THREAD_READY);
	fake_tsc += 10;
	serve_wait(&service);
	assert_ptr_equal(fake_cpus[0].current, client);
	assert_int_equal(client->state, THREAD_RUNNING);
	assert_int_equal(service.server->state, THREAD_WAITING);
	assert_int_equal(fake_cpus[0].stats->switches, switches + 2);
	assert_true(client->delay_tsc >= delay + 10);
	assert_false(fake_cpus[0].is_yielding);
	/* Nobody else is there: no slice to end. */
	assert_int_equal(fake_cpus[0].slice_end_tsc, BH_FOREVER);
}

/* One client kicks without end, and the server works long for each; the other one only computes, and has its share all the same. */
static void test_kicks_starve_nobody(void **state)
{
	struct thread *client, *other;
	struct service service = service_start(&client, 256);
	uint64_t end = fake_tsc + 4000 * MS, kicks = 0, start;

	(void)state;
	service.server->weight = 1024;
	other = thread_add(0, 256, 0);
	start = other->run_tsc;
	while (fake_tsc < end) {
		const struct thread *current = fake_cpus[0].current;

		if (current == client) {
			fake_tsc += MS / 1000;
			kick(0, service.event);
			kicks++;
		} else if (current == service.server) {
			fake_tsc += MS / 10;
			serve_wait(&service);
		} else {
			assert_ptr_equal(current, other);
			run_for(0, MS / 10);
		}
	}
	assert_true(kicks > 10000);
	/* By weight a sixth of 4 s would be its own, if all three wanted it. */
	assert_true(other->run_tsc - start > 4000 * MS / 8);
	assert_true(service.server->run_tsc > 4000 * MS / 4);
}

/* As a guest at a doorbell does, up to the point where the pCPU would look for work. */
static void kick_only(const struct service *service)
{
	fake_cpus[0].is_kicking = true;
	event_signal(event_of(handle_object(handle_entry(root_domain, service->event))));
	fake_cpus[0].is_kicking = false;
}

/* A guest that asked for it learns that the hand-over took its vCPU's pCPU. */
static void test_kick_tells_preempted(void **state)
{
	static struct bh_run run = { .preempted_byte = SCRATCH + 64 };
	static struct bh_vcpu_stats stats;
	static struct vcpu vcpu = { .run = &run, .stats = &stats };
	struct thread *client;
	struct service service = service_start(&client, 256);
	uint8_t byte = 0;

	(void)state;
	assert_true(fake_user_write(run.preempted_byte, &byte, 1));
	client->vcpu = &vcpu;
	kick_only(&service);
	sched_run(&fake_cpus[0]);
	assert_ptr_equal(fake_cpus[0].current, service.server);
	assert_true(fake_user_read(run.preempted_byte, &byte, 1));
	assert_int_equal(byte, 1);
	client->vcpu = NULL;
}

/* Whoever is handed over to may have been killed in the meantime, or its set may die: the kicker goes on. */
static void test_kick_of_the_dying(void **state)
{
	struct thread *client;
	struct service service = service_start(&client, 256);

	(void)state;
	kick_only(&service);
	assert_int_equal(service.server->state, THREAD_READY);
	__atomic_store_n(&service.server->object.is_dying, 1, __ATOMIC_RELEASE);
	thread_wake_here(service.server);
	assert_true(thread_is_dead(service.server));
	assert_true(fake_leave(0));
	assert_ptr_equal(fake_cpus[0].current, client);
	assert_true(list_is_empty(&fake_cpus[0].run_queue));
	assert_false(fake_cpus[0].is_yielding);
}

/* A kicker that is killed with its kick does not run again, and the server does. */
static void test_kick_by_the_dying(void **state)
{
	struct thread *client;
	struct service service = service_start(&client, 256);

	(void)state;
	kick_only(&service);
	__atomic_store_n(&client->object.is_dying, 1, __ATOMIC_RELEASE);
	assert_true(fake_leave(0));
	assert_ptr_equal(fake_cpus[0].current, service.server);
	assert_true(thread_is_dead(client));
	assert_true(list_is_empty(&fake_cpus[0].run_queue));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_weights, start),
		cmocka_unit_test_setup(test_cap, start),
		cmocka_unit_test_setup(test_cap_leaves_idle_time, start),
		cmocka_unit_test_setup(test_delay, start),
		cmocka_unit_test_setup(test_alone_is_not_interrupted, start),
		cmocka_unit_test_setup(test_wake_preempts, start),
		cmocka_unit_test_setup(test_words_take_turns, start),
		cmocka_unit_test_setup(test_wait_ends_in_time, start),
		cmocka_unit_test_setup(test_wait_after_a_wait, start),
		cmocka_unit_test_setup(test_wait_with_a_bad_message, start),
		cmocka_unit_test_setup(test_yield, start),
		cmocka_unit_test_setup(test_halt_poll, start),
		cmocka_unit_test_setup(test_halt_poll_off, start),
		cmocka_unit_test_setup(test_kick_hands_over, start),
		cmocka_unit_test_setup(test_kicks_starve_nobody, start),
		cmocka_unit_test_setup(test_kick_of_the_dying, start),
		cmocka_unit_test_setup(test_kick_tells_preempted, start),
		cmocka_unit_test_setup(test_kick_by_the_dying, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
