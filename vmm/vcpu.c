// SPDX-License-Identifier: Apache-2.0
/*
 * Run loop of a vCPU thread: vcpu_run(), then the exit's handler, again and again.
 *
 * Must never: hold the machine's lock over vcpu_run(). The short path is a port access: lock,
 * device, unlock.
 */
#include "vmm/vcpu.h"

#include <stdio.h>
#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/threads.h"
#include "lib/time.h"
#include "vmm/boot.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate.h"
#include "vmm/lapic.h"
#include "vmm/machine.h"
#include "vmm/mmio.h"
#include "vmm/msr.h"

#define VCPU_VA_PAGES \
	0x0000130000000000ull /* run, statistics and local-APIC page of each vCPU, as the VMM maps them */
#define VCPU_VA_STRIDE           0x4000ull
#define VCPU_VA_STATS            0x1000ull
#define VCPU_VA_LAPIC            0x2000ull

#define LAPIC_BYTES              0x1000ull
#define SETTLE_TRIES             8u
#define REPEAT_MAX               256u /* iterations of a REP before interrupts get a chance */

#define HYPERCALL_UNKNOWN        (-1000)

#define INJECT_EXCEPTION(vector) (BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | (vector))

struct vcpu_thread {
	uint32_t idx;
	bh_handle_t handle;
	bh_handle_t wake_event; /* in its own event set, where it sleeps when it is parked */
	bh_handle_t wake_set;
	uint32_t is_parked; /* atomic */
	uint32_t
		job; /* atomic; enum vcpu_job: set by the control thread, cleared when it is done */
	int job_result;
	bool has_answers; /* the run page holds something that the kernel has not taken yet */
	struct bh_run *run;
	struct lapic lapic;
	struct emulate_bus bus;
	struct msr_state msrs;
	uint8_t physical_bits;
	struct mmio_cache mmio;
};

/* One for each vCPU that there is, in memory of the VMM's own; after the pages of all vCPUs that there may be. */
static struct vcpu_thread *const threads = (struct vcpu_thread *)(VCPU_VA_PAGES +
                                                                  BH_MAX_VCPUS * VCPU_VA_STRIDE);

int vcpu_threads_make(void)
{
	return machine_records_make((uint64_t)threads,
	                            machine.config->vcpus_count * sizeof(*threads));
}

/* ---- parking ---- */

/* Forgets what the last exit left for the kernel: a reset makes it void. */
static void answers_drop(struct vcpu_thread *vcpu)
{
	vcpu->has_answers = false;
	vcpu->run->state_dirty = 0;
	vcpu->run->inject = 0;
	vcpu->run->lapic_write = 0;
}

static void job_take(struct vcpu_thread *vcpu)
{
	switch ((enum vcpu_job)__atomic_load_n(&vcpu->job, __ATOMIC_ACQUIRE)) {
	case VCPU_JOB_NONE:
		return;
	case VCPU_JOB_RESET:
		answers_drop(vcpu);
		msr_reset(&vcpu->msrs);
		vcpu->job_result = vcpu_state_reset(vcpu->idx,
		                                    vcpu->idx == 0 ? boot_start_state() : NULL);
		break;
	case VCPU_JOB_REGISTERS:
		vcpu->job_result = vcpu_state_publish(vcpu->idx);
		break;
	}
	__atomic_store_n(&vcpu->job, VCPU_JOB_NONE, __ATOMIC_SEQ_CST);
	(void)bh_event_signal(machine.parked_event);
}

static __attribute__((noinline)) void park(struct vcpu_thread *vcpu)
{
	uint64_t bits[BH_EVENT_WORDS];

	__atomic_store_n(&vcpu->is_parked, 1, __ATOMIC_SEQ_CST);
	(void)bh_event_signal(machine.parked_event);
	while (__atomic_load_n(&machine.should_park, __ATOMIC_SEQ_CST)) {
		job_take(vcpu);
		(void)bh_event_wait(vcpu->wake_set, BH_FOREVER, bits);
	}
	__atomic_store_n(&vcpu->is_parked, 0, __ATOMIC_SEQ_CST);
}

int vcpu_job_do(uint32_t vcpu_idx, enum vcpu_job job, void (*wait)(void))
{
	struct vcpu_thread *vcpu = &threads[vcpu_idx];

	__atomic_store_n(&vcpu->job, job, __ATOMIC_SEQ_CST);
	(void)bh_event_signal(vcpu->wake_event);
	while (__atomic_load_n(&vcpu->job, __ATOMIC_SEQ_CST) != VCPU_JOB_NONE) {
		wait();
	}
	return vcpu->job_result;
}

static bool all_parked(void)
{
	for (uint32_t i = 0; i < machine.config->vcpus_count; i++) {
		if (!__atomic_load_n(&threads[i].is_parked, __ATOMIC_SEQ_CST)) {
			return false;
		}
	}
	return true;
}

void vcpu_park_all(void (*wait)(void))
{
	__atomic_store_n(&machine.should_park, 1, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < machine.config->vcpus_count; i++) {
		if (!__atomic_load_n(&threads[i].is_parked, __ATOMIC_SEQ_CST)) {
			(void)bh_vcpu_kick(VMM_HANDLE_VCPU + i);
		}
	}
	vcpu_look_for_memory();
	while (!all_parked()) {
		wait();
	}
}

void vcpu_tell_pause(void)
{
	for (uint32_t i = 0; i < machine.config->vcpus_count; i++) {
		kvmclock_tell_pause(&threads[i].msrs.clock);
	}
}

void vcpu_release_all(void)
{
	__atomic_store_n(&machine.should_park, 0, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < machine.config->vcpus_count; i++) {
		(void)bh_event_signal(threads[i].wake_event);
	}
}

/* ---- memory that the machine has back ---- */

/*
 * True: the access is to be tried again, since the address's chunk is there, or the guest is to park first. False: nobody answers at this
 * address: it is no RAM, or in the balloon. mgmt reads wanted_chunks, and tells the control thread when chunks came.
 */
static __attribute__((noinline)) bool wait_for_memory(const struct vcpu_thread *vcpu, uint64_t gpa)
{
	uint16_t *wanted = &machine.channel->wanted_chunks[vcpu->idx];
	uint32_t chunk = guest_memory_chunk(&machine.memory, gpa);
	uint64_t bits[BH_EVENT_WORDS];
	bool is_answered = true;

	if (chunk == 0) {
		return false;
	}
	__atomic_store_n(wanted, (uint16_t)chunk, __ATOMIC_SEQ_CST);
	while (!guest_memory_chunk_is_there(&machine.memory, chunk) &&
	       !__atomic_load_n(&machine.should_park, __ATOMIC_SEQ_CST)) {
		if (guest_memory_chunk_is_lent(&machine.memory, chunk)) {
			is_answered = false;
			break;
		}
		(void)bh_event_signal(VMM_HANDLE_NOTIFY);
		(void)bh_event_wait(vcpu->wake_set, BH_FOREVER, bits);
	}
	__atomic_store_n(wanted, (uint16_t)0, __ATOMIC_SEQ_CST);
	return is_answered;
}

void vcpu_look_for_memory(void)
{
	for (uint32_t i = 0; machine.memory.chunks != NULL && i < machine.config->vcpus_count;
	     i++) {
		if (__atomic_load_n(&machine.channel->wanted_chunks[i], __ATOMIC_SEQ_CST) != 0) {
			(void)bh_event_signal(threads[i].wake_event);
		}
	}
}

/* ---- crashes ---- */

static void crash(struct vcpu_thread *vcpu, const char *what, uint64_t detail)
{
	char reason[160];

	snprintf(reason, sizeof(reason), "vCPU %u: %s 0x%llx", (unsigned)vcpu->idx, what,
	         (unsigned long long)detail);
	machine_lock();
	machine_stop(VMM_CRASHED, (int32_t)vcpu->idx, reason);
	machine_unlock();
}

/* ---- emulation ---- */

/*
 * A register of the local APIC is 32 bits wide at a multiple of 16; the rest of the page reads as
 * zero.
 */
static uint64_t lapic_page_read(const struct vcpu_thread *vcpu, uint32_t offset, uint32_t size)
{
	uint64_t value = 0;

	if (size == 4 && (offset & 0xfu) == 0) {
		return vcpu->lapic.registers[offset / 4];
	}
	for (uint32_t i = 0; i < size; i++) {
		uint32_t at = offset + i;
		uint32_t word = (at & 0xcu) == 0 ? vcpu->lapic.registers[at / 4] : 0;

		value |= (uint64_t)(word >> (at % 4 * 8) & 0xffu) << (i * 8);
	}
	return value;
}

static int bus_mmio_in(void *context, uint64_t gpa, uint32_t size, uint64_t *value)
{
	struct vcpu_thread *vcpu = context;

	if (gpa - GUEST_LAPIC_BASE <= LAPIC_BYTES - size) {
		*value = lapic_page_read(vcpu, (uint32_t)(gpa - GUEST_LAPIC_BASE), size);
	} else {
		*value = bus_mmio_read(&machine.bus, gpa, size);
	}
	return BH_OK;
}

static int bus_mmio_out(void *context, uint64_t gpa, uint32_t size, uint64_t value)
{
	struct vcpu_thread *vcpu = context;
	uint64_t offset = gpa - GUEST_LAPIC_BASE;

	if (offset > LAPIC_BYTES - size) {
		bus_mmio_write(&machine.bus, gpa, size, value);
		return BH_OK;
	}
	/*
	 * SDM 3A 11.4.1: other widths and places are undefined; only a register written whole
	 * counts.
	 */
	if (size == 4 && (offset & 0xfu) == 0) {
		lapic_write(&vcpu->lapic, (uint32_t)offset, (uint32_t)value);
	}
	return BH_OK;
}

static int bus_port_in(void *context, uint16_t port, uint32_t size, uint32_t *value)
{
	(void)context;
	*value = (uint32_t)bus_port_read(&machine.bus, port, size);
	return BH_OK;
}

static int bus_port_out(void *context, uint16_t port, uint32_t size, uint32_t value)
{
	(void)context;
	bus_port_write(&machine.bus, port, size, value & (UINT32_MAX >> (32 - size * 8)));
	return BH_OK;
}

static void inject_fault(struct bh_run *run, const struct emulate_fault *fault)
{
	run->inject = INJECT_EXCEPTION(fault->vector);
	if (fault->has_error_code) {
		run->inject |= BH_INJECT_ERROR_CODE;
		run->inject_error_code = fault->error_code;
	}
	if (fault->vector == CPU_VECTOR_PF) {
		run->inject_cr2 = fault->cr2;
	}
}

/*
 * An instruction that nobody can do. At CPL 3 the guest's kernel gets #UD and deals with its
 * program; in the guest's kernel the only honest answer is to stop and say which bytes they were.
 */
static void emulate_refused(struct vcpu_thread *vcpu, struct emulate *emulate, const char *what)
{
	struct bh_run *run = vcpu->run;
	uint8_t bytes[DECODE_LENGTH_MAX] = { 0 };
	char text[112];
	uint32_t count = 0;
	int used = 0;

	if ((run->state.segments[BH_SEG_SS].attributes >> 5 & 3u) == 3) {
		run->inject = INJECT_EXCEPTION(CPU_VECTOR_UD);
		return;
	}
	machine_lock();
	if (emulate_fetch(emulate, bytes, &count) != EMULATE_DONE) {
		count = 0;
	}
	machine_unlock();
	used = snprintf(text, sizeof(text), "%s, RIP 0x%llx, bytes", what,
	                (unsigned long long)run->state.rip);
	for (uint32_t i = 0; i < count && used > 0 && used < (int)sizeof(text) - 16; i++) {
		used += snprintf(text + used, sizeof(text) - (size_t)used, " %02x", bytes[i]);
	}
	snprintf(text + used, sizeof(text) - (size_t)used, ", address");
	crash(vcpu, text, run->mmio.gpa);
}

/*
 * An instruction that the emulator may know once it has the XMM registers (moves between them and a
 * device). They are fetched for it alone, since that costs a copy of the whole FPU state.
 */
static enum emulate_result emulate_with_xmm(struct vcpu_thread *vcpu, struct emulate *emulate,
                                            const uint8_t *bytes, uint32_t count)
{
	enum emulate_result result = EMULATE_UNSUPPORTED;

	machine_lock(); /* one at a time: the record is shared */
	emulate->xmm = vcpu_state_xmm_get(vcpu->idx);
	if (emulate->xmm != NULL) {
		result = emulate_step(emulate, bytes, count);
		if (result == EMULATE_DONE && vcpu_state_xmm_set(vcpu->idx) < 0) {
			result = EMULATE_FAILED;
		}
	}
	machine_unlock();
	return result;
}

static void emulate_exit(struct vcpu_thread *vcpu, const uint8_t *bytes, uint32_t count,
                         bool is_lapic)
{
	struct bh_run *run = vcpu->run;
	struct guest_memory memory = machine.memory;
	uint64_t absent = EMULATE_ABSENT_NONE;
	struct emulate emulate = {
		.cpu = &run->state,
		.memory = &memory,
		.bus = &vcpu->bus,
		.repeat_max = is_lapic ? 1 : REPEAT_MAX, /* the run page carries one APIC write */
		.physical_bits = vcpu->physical_bits,
	};
	enum emulate_result result;

	memory.absent = &absent;
	machine_lock();
	machine.channel->device_accesses++;
	result = emulate_step(&emulate, bytes, count);
	machine.channel->unclaimed_accesses = machine.bus.unclaimed_count;
	machine_unlock();
	if (result == EMULATE_UNSUPPORTED) {
		result = emulate_with_xmm(vcpu, &emulate, bytes, count);
	}
	if (absent != EMULATE_ABSENT_NONE && result != EMULATE_DONE && result != EMULATE_AGAIN &&
	    wait_for_memory(vcpu, absent)) {
		run->state_dirty |= BH_STATE_GPR; /* a REP may have gone part of its way */
		return;
	}
	switch (result) {
	case EMULATE_DONE:
	case EMULATE_AGAIN:
		run->state_dirty |= BH_STATE_GPR;
		break;
	case EMULATE_FAULT:
		run->state_dirty |= BH_STATE_GPR; /* a REP may have gone part of its way */
		inject_fault(run, &emulate.fault);
		break;
	case EMULATE_UNSUPPORTED:
		emulate_refused(vcpu, &emulate, "unknown instruction on a device");
		break;
	case EMULATE_ABSENT:
	case EMULATE_FAILED:
		emulate_refused(vcpu, &emulate, "instruction that cannot be finished");
		break;
	}
}

static void handle_mmio(struct vcpu_thread *vcpu)
{
	struct bh_run *run = vcpu->run;
	uint64_t gpa = run->mmio.gpa;
	uint8_t bytes[sizeof(run->mmio.instruction)];
	uint32_t count = run->mmio.instruction_length;

	if (run->mmio.is_fetch) {
		/* Nothing answers a fetch: the bus gives all ones, which is no instruction. */
		run->inject = INJECT_EXCEPTION(CPU_VECTOR_UD);
		return;
	}
	if ((run->state_valid & BH_STATE_SEGMENTS) == 0) {
		run->state_dirty = BH_STATE_WANTED;
		if (bh_vcpu_run(vcpu->handle) != BH_ERR_AGAIN) {
			crash(vcpu, "no state for an instruction at", run->state.rip);
			return;
		}
	}
	memcpy(bytes, run->mmio.instruction, sizeof(bytes));
	emulate_exit(vcpu, bytes, count > DECODE_LENGTH_MAX ? DECODE_LENGTH_MAX : count,
	             gpa - GUEST_LAPIC_BASE < LAPIC_BYTES);
}

/* ---- the other exits ---- */

/* The short path: one port access that is no string. The kernel has cut the value to its width. */
static inline void port_access(struct bh_run *run)
{
	machine_lock();
	machine.channel->device_accesses++;
	if (run->io.is_write) {
		bus_port_write(&machine.bus, run->io.port, run->io.width_bytes, run->io.value);
	} else {
		run->io.value = bus_port_read(&machine.bus, run->io.port, run->io.width_bytes);
	}
	machine.channel->unclaimed_accesses = machine.bus.unclaimed_count;
	machine_unlock();
}

/*
 * The short path of a memory-mapped register: a plain move. The local APIC's registers are this thread's alone to look at; a device is
 * touched under the lock.
 */
static bool mmio_access(struct vcpu_thread *vcpu)
{
	struct bh_run *run = vcpu->run;
	const struct mmio_move *move = mmio_find(&vcpu->mmio, run, &machine.memory,
	                                         vcpu->physical_bits);
	bool is_device = run->mmio.gpa - GUEST_LAPIC_BASE >= LAPIC_BYTES;
	uint64_t value = 0;

	if (move == NULL) {
		return false;
	}
	if (is_device) {
		machine_lock();
		machine.channel->device_accesses++;
	}
	if (move->is_write) {
		(void)bus_mmio_out(vcpu, run->mmio.gpa, move->memory_bytes, mmio_value(move, run));
		mmio_answer_write(move, run);
	} else {
		(void)bus_mmio_in(vcpu, run->mmio.gpa, move->memory_bytes, &value);
		mmio_answer_read(move, run, value);
	}
	if (is_device) {
		machine.channel->unclaimed_accesses = machine.bus.unclaimed_count;
		machine_unlock();
	}
	return true;
}

static void handle_eoi(const struct vcpu_thread *vcpu)
{
	machine_lock();
	ioapic_eoi(&machine.ioapic, (uint8_t)vcpu->run->vector);
	machine_unlock();
}

/*
 * The line may have fallen since: then the 8259 gives its spurious vector, as the real pair would.
 */
static void handle_extint(const struct vcpu_thread *vcpu)
{
	uint8_t vector;

	machine_lock();
	vector = pic_acknowledge(&machine.pic);
	machine_unlock();
	vcpu->run->inject = BH_INJECT_VALID | BH_INJECT_TYPE_INTERRUPT | vector;
}

static void handle_hypercall(const struct vcpu_thread *vcpu)
{
	vcpu->run->state.gpr[BH_GPR_RAX] = (uint64_t)(int64_t)HYPERCALL_UNKNOWN;
	vcpu->run->state_dirty |= BH_STATE_GPR;
}

/* The local APIC's registers, then those of policy, then those of the CPU. */
static int access_msr(struct vcpu_thread *vcpu, struct bh_exit_msr *msr)
{
	int error = msr->is_write ? lapic_msr_write(&vcpu->lapic, msr->number, msr->value)
	                          : lapic_msr_read(&vcpu->lapic, msr->number, &msr->value);

	if (error == BH_ERR_NOT_FOUND) {
		error = msr->is_write ? msr_write(&vcpu->msrs, msr->number, msr->value)
		                      : msr_read(&vcpu->msrs, msr->number, &msr->value);
	}
	if (error == BH_ERR_NOT_FOUND) {
		machine_lock(); /* one at a time: the record is shared */
		error = vcpu_state_msr(vcpu->idx, msr);
		machine_unlock();
	}
	return error;
}

static void handle_msr(struct vcpu_thread *vcpu)
{
	struct bh_exit_msr *msr = &vcpu->run->msr;
	int error = access_msr(vcpu, msr);

	msr->is_refused = error < 0;
	if (error == BH_ERR_NOT_FOUND) {
		machine_lock();
		machine.bus.unclaimed_count++;
		machine.channel->unclaimed_accesses = machine.bus.unclaimed_count;
		machine_unlock();
	}
}

/* INIT, or the start-up IPI after it. */
static void handle_restart(struct vcpu_thread *vcpu)
{
	int error;

	(void)msr_pv_eoi_set(&vcpu->msrs, 0);
	machine_lock(); /* one at a time: the record is shared */
	error = vcpu->run->exit == BH_EXIT_INIT
	                ? vcpu_state_init(vcpu->idx)
	                : vcpu_state_start(vcpu->idx, (uint8_t)vcpu->run->vector);
	machine_unlock();
	if (error < 0) {
		crash(vcpu, "INIT or start-up failed, error", (uint64_t)(int64_t)error);
	}
}

static void handle_exit(struct vcpu_thread *vcpu)
{
	switch ((enum bh_exit)vcpu->run->exit) {
	case BH_EXIT_EMULATE:
		emulate_exit(vcpu, NULL, 0, false);
		break;
	case BH_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case BH_EXIT_EOI:
		handle_eoi(vcpu);
		break;
	case BH_EXIT_EXTINT:
		handle_extint(vcpu);
		break;
	case BH_EXIT_HYPERCALL:
		handle_hypercall(vcpu);
		break;
	case BH_EXIT_MSR:
		handle_msr(vcpu);
		break;
	case BH_EXIT_CPUID:
		boot_answer_cpuid(vcpu->idx, &vcpu->run->state);
		vcpu->run->state_dirty |= BH_STATE_GPR;
		break;
	case BH_EXIT_DELIVERY: /* a CPU would read ones, fault again, and shut down */
	case BH_EXIT_SHUTDOWN:
		crash(vcpu, "triple fault, RIP", vcpu->run->state.rip);
		break;
	case BH_EXIT_FAILED_ENTRY:
		crash(vcpu, "the CPU refused the vCPU's state, reason", vcpu->run->failure);
		break;
	case BH_EXIT_NONE:
	case BH_EXIT_IO: /* port_access() has done it */
		break;
	case BH_EXIT_KICK:
		steal_update(&vcpu->msrs.steal);
		break;
	case BH_EXIT_INIT:
	case BH_EXIT_SIPI:
		handle_restart(vcpu);
		break;
	case BH_EXIT_COUNT:
	default:
		crash(vcpu, "unknown exit", vcpu->run->exit);
		break;
	}
}

/* May the handler have left something in the run page? */
static bool exit_has_answers(uint32_t exit)
{
	return exit == BH_EXIT_MMIO || exit == BH_EXIT_EXTINT || exit == BH_EXIT_EMULATE ||
	       exit == BH_EXIT_HYPERCALL || exit == BH_EXIT_MSR || exit == BH_EXIT_CPUID;
}

/* ---- the thread ---- */

static void *map_page(const struct vcpu_thread *vcpu, enum bh_vcpu_page page, uint64_t va,
                      uint32_t flags)
{
	struct bh_map map = { .offset = 0, .size = BH_PAGE_SIZE, .flags = flags };
	int64_t region = bh_vcpu_page(vcpu->handle, page);

	if (region < 0 || bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, va, &map) < 0) {
		domain_fail("cannot map page %u of vCPU %u", (unsigned)page, (unsigned)vcpu->idx);
	}
	return (void *)va;
}

static void thread_init(struct vcpu_thread *vcpu, uint32_t vcpu_idx)
{
	uint64_t va = VCPU_VA_PAGES + vcpu_idx * VCPU_VA_STRIDE;
	int64_t set = bh_event_set_create();
	int64_t event = set < 0 ? set : bh_event_create((bh_handle_t)set, 0);

	if (event < 0) {
		domain_fail("no event for vCPU %u: error %d", (unsigned)vcpu_idx, (int)event);
	}
	vcpu->idx = vcpu_idx;
	mmio_init(&vcpu->mmio);
	vcpu->physical_bits = (uint8_t)bh_info()->physical_address_bits;
	vcpu->handle = VMM_HANDLE_VCPU + vcpu_idx;
	vcpu->wake_set = (bh_handle_t)set;
	vcpu->wake_event = (bh_handle_t)event;
	vcpu->run = map_page(vcpu, BH_VCPU_PAGE_RUN, va, BH_MAP_READ | BH_MAP_WRITE);
	vcpu->lapic.run = vcpu->run;
	vcpu->lapic.registers = map_page(vcpu, BH_VCPU_PAGE_LAPIC, va + VCPU_VA_LAPIC, BH_MAP_READ);
	vcpu->bus = (struct emulate_bus){ bus_mmio_in, bus_mmio_out, bus_port_in, bus_port_out,
		                          vcpu };
	vcpu->msrs.run = vcpu->run;
	vcpu->msrs.clock.memory = &machine.memory;
	vcpu->msrs.clock.info = bh_info();
	vcpu->msrs.clock.wall_seconds = machine.config->wall_seconds;
	vcpu->msrs.clock.tsc_offset = &vcpu->run->tsc_offset;
	vcpu->msrs.steal.memory = &machine.memory;
	vcpu->msrs.steal.info = bh_info();
	vcpu->msrs.steal.preempted_byte = &vcpu->run->preempted_byte;
	vcpu->msrs.steal.steal_tsc = &((const struct bh_vcpu_stats *)map_page(
					       vcpu, BH_VCPU_PAGE_STATS, va + VCPU_VA_STATS,
					       BH_MAP_READ))
	                                      ->steal_tsc;
}

/* The guest's own access, or an event's delivery, was to memory that is away: it is tried again. */
static bool is_memory_awaited(struct vcpu_thread *vcpu)
{
	const struct bh_run *run = vcpu->run;

	mmio_forget(&vcpu->mmio, run->state.rip);
	return (run->exit == BH_EXIT_MMIO || run->exit == BH_EXIT_DELIVERY) &&
	       wait_for_memory(vcpu, run->mmio.gpa);
}

/*
 * All returns of vcpu_run() but the usual one. Apart, so that the usual one needs no stack frame.
 */
static __attribute__((noinline)) void handle_return(struct vcpu_thread *vcpu, int error)
{
	if (error < 0) {
		vcpu->has_answers = false;
		crash(vcpu, "vcpu_run failed, error", (uint64_t)(int64_t)error);
		return;
	}
	if (machine.memory.chunks != NULL && is_memory_awaited(vcpu)) {
		vcpu->has_answers = false;
		return;
	}
	vcpu->has_answers = true;
	if (vcpu->run->exit == BH_EXIT_MMIO && mmio_access(vcpu)) {
		return;
	}
	vcpu->has_answers = exit_has_answers(vcpu->run->exit);
	handle_exit(vcpu);
}

/* One vcpu_run() and what it returned for. */
static inline void run_once(struct vcpu_thread *vcpu)
{
	int error = bh_vcpu_run(vcpu->handle);
	struct bh_run *run = vcpu->run;

	if (error >= 0 && run->exit == BH_EXIT_IO) {
		vcpu->has_answers = true;
		port_access(run);
		return;
	}
	handle_return(vcpu, error);
}

/*
 * Answers that lie in the run page (a value read, an injection, registers) go into the vCPU before
 * it parks, so that its state is whole: a kicked vcpu_run() takes them and comes straight back.
 */
static __attribute__((noinline)) void settle(struct vcpu_thread *vcpu)
{
	for (uint32_t i = 0; i < SETTLE_TRIES && vcpu->has_answers; i++) {
		(void)bh_vcpu_kick(vcpu->handle);
		run_once(vcpu);
	}
}

_Noreturn void domain_thread_main(uint32_t idx)
{
	struct vcpu_thread *vcpu = &threads[idx - 1];

	thread_init(vcpu, idx - 1);
	for (;;) {
		while (__atomic_load_n(&machine.should_park, __ATOMIC_SEQ_CST)) {
			settle(vcpu);
			park(vcpu);
		}
		run_once(vcpu);
	}
}
