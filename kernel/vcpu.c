/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of VMs and vCPUs, the way into vcpu_run and out of it, and the requests that others leave in a vCPU's word.
 * What exits mean is in vcpu_exit.c, what goes into the guest in vcpu_event.c. Nothing here knows the vendor.
 */
#include "kernel/vcpu.h"

#include "arch/x86/hvm.h"
#include "kernel/cpuid.h"
#include "kernel/trace.h"
#include "kernel/vcpu_exit.h"
#include "kernel/vcpu_state.h"
#include "kernel/vlapic.h"

#define VM_ORDER   1u
#define VCPU_ORDER 3u /* its record, and the pages behind it */

/* ---- life ---- */

int vm_create(struct domain *payer, const struct bh_vm_params *params, struct vm **out)
{
	hpa_t page;
	struct vm *vm;
	int error = quota_pages_allocate(payer, VM_ORDER, &page);

	if (error != BH_OK) {
		return error;
	}
	vm = phys_to_virt(page);
	vm->object.payer = payer;
	vm->vcpus_max = params->vcpus_max;
	vm->id = params->id;
	vm->tsc_offset = 0 - arch_tsc_read();
	cpuid_clear(vm);
	doorbell_clear(vm);
	error = ptable_init(&vm->npt, hvm->ptable_format,
	                    feature_has(FEATURE_NPT_1G) || feature_has(FEATURE_VMX_EPT_1G), payer);
	if (error != BH_OK) {
		quota_pages_free(payer, VM_ORDER, page);
		return error;
	}
	*out = vm;
	return BH_OK;
}

void vm_destroy(struct vm *vm)
{
	ptable_destroy(&vm->npt);
	quota_pages_free(vm->object.payer, VM_ORDER, virt_to_phys(vm));
}

int vcpu_create(struct domain *payer, struct vm *vm, uint32_t idx, struct vcpu **out)
{
	hpa_t block;
	int error = quota_pages_allocate(payer, VCPU_ORDER, &block);

	if (error != BH_OK) {
		return error;
	}
	struct vcpu *vcpu = phys_to_virt(block);

	vcpu->object.payer = payer;
	vcpu->vm = vm;
	vcpu->cpuid = vm->cpuid;
	vcpu->idx = idx;
	vcpu->tsc_offset = vm->tsc_offset;
	vcpu->run = phys_to_virt(vcpu_page(vcpu, BH_VCPU_PAGE_RUN));
	vcpu->lapic.regs = phys_to_virt(vcpu_page(vcpu, BH_VCPU_PAGE_LAPIC));
	vcpu->stats = phys_to_virt(vcpu_page(vcpu, BH_VCPU_PAGE_STATS));
	vcpu->hvm_page = vcpu_page(vcpu, VCPU_PAGE_HVM);
	vcpu->hvm_state = phys_to_virt(vcpu->hvm_page);
	vcpu->fpu = phys_to_virt(vcpu_page(vcpu, VCPU_PAGE_FPU));
	vcpu->run->tsc_offset = vcpu->tsc_offset;
	vlapic_timer_init(vcpu);
	vcpu_make_current(vcpu);
	hvm->vcpu_init(vcpu);
	hvm_set(vcpu, HVM_TSC_OFFSET, vcpu->tsc_offset);
	vcpu->xcr0 = 1;
	arch_fpu_init_area(vcpu->fpu);
	vlapic_reset(vcpu, false);
	vcpu->activity = idx == 0 ? BH_ACTIVITY_RUNNING : BH_ACTIVITY_WAIT_SIPI;
	vcpu_unload(vcpu);
	__atomic_store_n(&vm->vcpus[idx], vcpu, __ATOMIC_RELEASE);
	*out = vcpu;
	return BH_OK;
}

/* It is on no pCPU (vcpu_unload) and no other pCPU can find it any more. */
void vcpu_destroy(struct vcpu *vcpu)
{
	quota_pages_free(vcpu->object.payer, VCPU_ORDER, virt_to_phys(vcpu));
}

/* ---- on and off a pCPU ---- */

void vcpu_debug_registers_save(struct vcpu *vcpu)
{
	__asm__ volatile("mov %%db0, %0" : "=r"(vcpu->dr[0]));
	__asm__ volatile("mov %%db1, %0" : "=r"(vcpu->dr[1]));
	__asm__ volatile("mov %%db2, %0" : "=r"(vcpu->dr[2]));
	__asm__ volatile("mov %%db3, %0" : "=r"(vcpu->dr[3]));
	__asm__ volatile("mov %%db6, %0" : "=r"(vcpu->dr6));
}

void vcpu_debug_registers_load(struct vcpu *vcpu)
{
	__asm__ volatile("mov %0, %%db0" : : "r"(vcpu->dr[0]));
	__asm__ volatile("mov %0, %%db1" : : "r"(vcpu->dr[1]));
	__asm__ volatile("mov %0, %%db2" : : "r"(vcpu->dr[2]));
	__asm__ volatile("mov %0, %%db3" : : "r"(vcpu->dr[3]));
	__asm__ volatile("mov %0, %%db6" : : "r"(vcpu->dr6));
}

void vcpu_make_current(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_self();

	if (likely(cpu->hvm_current == vcpu)) {
		return;
	}
	if (cpu->hvm_current != NULL) {
		vcpu_debug_registers_save(cpu->hvm_current);
	}
	if (vcpu->cpu == NULL) {
		vcpu->cpu = cpu;
		vcpu->exited_tsc = arch_tsc_read(); /* its time before was nobody's */
		vlapic_timer_set(vcpu, vcpu->lapic.timer_deadline, vcpu->lapic.timer_period_tsc);
	}
	hvm->load(vcpu);
	cpu->hvm_current = vcpu;
	vcpu_debug_registers_load(vcpu);
}

void vcpu_unload(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_self();

	if (vcpu->cpu == NULL) {
		return;
	}
	CHECK(vcpu->cpu == cpu);
	if (cpu->hvm_current == vcpu) {
		vcpu_debug_registers_save(vcpu);
	}
	hvm->unload(vcpu);
	cpu->hvm_current = cpu->hvm_current == vcpu ? NULL : cpu->hvm_current;
	timer_cancel(&vcpu->lapic.timer);
	vcpu->is_halted = 0;
	vcpu->in_guest = 0;
	vcpu->asid_generation = 0;
	__atomic_store_n(&vcpu->cpu, NULL, __ATOMIC_RELEASE);
}

/* ---- requests from anywhere ---- */

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	struct thread *thread;
	struct cpu *cpu;

	__atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_SEQ_CST);
	thread = __atomic_load_n(&vcpu->thread, __ATOMIC_SEQ_CST);
	if (thread == NULL) {
		return;
	}
	if (__atomic_load_n(&vcpu->is_halted, __ATOMIC_SEQ_CST) != 0) {
		if (__atomic_load_n(&vcpu->wake_tsc, __ATOMIC_RELAXED) == 0) {
			__atomic_store_n(&vcpu->wake_tsc, arch_tsc_read(), __ATOMIC_RELAXED);
		}
		thread_wake(thread);
	} else if (__atomic_load_n(&vcpu->in_guest, __ATOMIC_SEQ_CST) != 0) {
		cpu = __atomic_load_n(&vcpu->cpu, __ATOMIC_RELAXED);
		if (cpu == NULL || cpu == cpu_self()) {
			return;
		}
		if (bits == VCPU_REQUEST_INTERRUPT && vcpu->lapic.is_posted &&
		    !__atomic_load_n(&vcpu->lapic.is_tmr_new, __ATOMIC_RELAXED)) {
			__atomic_fetch_add(&vcpu->stats->counts[BH_COUNT_POSTED], 1,
			                   __ATOMIC_RELAXED);
			arch_cpu_post(cpu);
		} else {
			arch_cpu_notify(cpu);
		}
	}
}

void vm_flush(struct vm *vm)
{
	struct vcpu *vcpu;

	for (uint32_t i = 0; (vcpu = vm_vcpu_next(vm, &i)) != NULL;) {
		vcpu_request(vcpu, VCPU_REQUEST_FLUSH);
	}
	message_sync();
}

/* ---- vcpu_run ---- */

/* The VMM has decided: EDX:EAX and on, or #GP(0). The exit was the last one, so its record still says where the next instruction is. */
static out_of_line void take_msr_answer(struct vcpu *vcpu, uint8_t answer)
{
	uint64_t value = vcpu->run->msr.value;

	if (vcpu->run->msr.is_refused != 0) {
		vcpu_raise(vcpu, VECTOR_GP, 0);
		return;
	}
	if (answer == VCPU_ANSWER_RDMSR) {
		vcpu->gpr[BH_GPR_RAX] = (uint32_t)value;
		vcpu->gpr[BH_GPR_RDX] = value >> 32;
	}
	hvm->skip_instruction(vcpu, 0);
}

/* A move between a register and a device, done by the VMM. RSP is not in gpr[], so it cannot be set so. */
static void take_mmio_answer(struct vcpu *vcpu)
{
	const struct bh_exit_mmio *mmio = &vcpu->run->mmio;
	uint8_t length = mmio->answer_length;
	uint8_t gpr = mmio->answer_gpr;

	if (length == 0 || !vcpu->exit.mmio.is_final) {
		return;
	}
	if (gpr < BH_GPR_COUNT) {
		vcpu->gpr[gpr] = mmio->answer_value;
	}
	hvm->skip_instruction(vcpu, length);
}

/* The VMM's answer to the last exit; for a port read, into AL, AX or EAX. */
static void take_answer(struct vcpu *vcpu)
{
	uint64_t *rax = &vcpu->gpr[BH_GPR_RAX];
	uint64_t value = vcpu->run->io.value;
	uint8_t answer = vcpu->answer;

	vcpu->answer = VCPU_ANSWER_NONE;
	if (answer == 4) {
		*rax = (uint32_t)value;
	} else if (answer == 2) {
		*rax = (*rax & ~0xffffull) | (uint16_t)value;
	} else if (answer == 1) {
		*rax = (*rax & ~0xffull) | (uint8_t)value;
	} else if (answer == VCPU_ANSWER_MMIO) {
		take_mmio_answer(vcpu);
	} else {
		take_msr_answer(vcpu, answer);
	}
}

/* Type and vector are what the CPU accepts at entry, or the entry is refused. */
static void take_injection(struct vcpu *vcpu, uint32_t inject)
{
	vcpu->run->inject = 0;
	if ((inject & HVM_EVENT_TYPE) == BH_INJECT_TYPE_EXCEPTION) {
		if ((inject & HVM_EVENT_VECTOR) == VECTOR_PF) {
			hvm_set(vcpu, HVM_CR2, vcpu->run->inject_cr2);
		}
		vcpu_raise(vcpu, inject & HVM_EVENT_VECTOR, vcpu->run->inject_error_code);
	} else if ((inject & HVM_EVENT_TYPE) == BH_INJECT_TYPE_NMI) {
		vcpu_request_self(vcpu, VCPU_REQUEST_NMI);
	} else {
		vcpu->inject = inject & BH_INJECT_MASK;
		vcpu_request_self(vcpu, VCPU_REQUEST_INJECT);
	}
}

static out_of_line int take_state(struct vcpu *vcpu, uint32_t dirty)
{
	struct bh_run *run = vcpu->run;

	if (dirty == BH_STATE_WANTED) {
		run->state_dirty = 0;
		run->state_valid = BH_STATE_EMULATE;
		vcpu_cpu_state_get(vcpu, BH_STATE_EMULATE, &run->state);
		return BH_ERR_AGAIN;
	}
	if ((dirty & ~(uint32_t)BH_STATE_RUN) != 0) {
		return BH_ERR_INVALID;
	}
	if ((dirty & BH_STATE_TSC) != 0) {
		vcpu->tsc_offset = run->tsc_offset;
		hvm_set(vcpu, HVM_TSC_OFFSET, vcpu->tsc_offset);
	}
	if ((dirty & BH_STATE_APIC_BASE) != 0) {
		vlapic_set_base(vcpu, run->apic_base);
	}
	struct bh_cpu_state state = run->state; /* a copy: the page may change under us */
	int error = vcpu_cpu_state_set(vcpu, dirty, &state);

	run->state_dirty = error == BH_OK ? 0 : dirty;
	return error;
}

/* What the VMM left in the run page that is not there in the usual case. Each field is read once. */
static out_of_line int take_answers(struct vcpu *vcpu)
{
	struct bh_run *run = vcpu->run;
	uint32_t dirty = __atomic_load_n(&run->state_dirty, __ATOMIC_RELAXED);
	uint32_t inject = __atomic_load_n(&run->inject, __ATOMIC_RELAXED);
	int error = dirty != 0 ? take_state(vcpu, dirty) : BH_OK;

	if (error != BH_OK) {
		return error;
	}
	if (run->lapic_write != 0) {
		run->lapic_write = 0;
		vlapic_write(vcpu, run->lapic_offset & 0xff0u, run->lapic_value);
	}
	if ((inject & BH_INJECT_VALID) != 0) {
		take_injection(vcpu, inject);
	}
	return BH_OK;
}

static int begin(struct vcpu *vcpu, struct cpu *cpu)
{
	struct bh_run *run = vcpu->run;

	if (unlikely((vcpu->cpu != cpu && vcpu->cpu != NULL) || vcpu->object.is_dying != 0)) {
		return BH_ERR_STATE;
	}
	if (unlikely(cpu->hvm_current != vcpu)) {
		vcpu_make_current(vcpu);
	}
	if (vcpu->answer != VCPU_ANSWER_NONE) {
		take_answer(vcpu);
	}
	if (unlikely((run->state_dirty | run->inject | run->lapic_write) != 0)) {
		return take_answers(vcpu);
	}
	return BH_OK;
}

int vcpu_run_begin(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_self();
	struct thread *nobody = NULL;
	int error;

	if (!__atomic_compare_exchange_n(&vcpu->thread, &nobody, cpu->current, false,
	                                 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		return BH_ERR_STATE;
	}
	error = begin(vcpu, cpu);
	if (unlikely(error != BH_OK)) {
		__atomic_store_n(&vcpu->thread, NULL, __ATOMIC_RELEASE);
		return error;
	}
	vcpu->vm->has_run = true;
	cpu->current->vcpu = vcpu;
	return BH_OK;
}

bool vcpu_return(struct vcpu *vcpu, enum bh_exit reason, uint32_t state_groups)
{
	if (state_groups != 0) {
		vcpu_cpu_state_get(vcpu, state_groups, &vcpu->run->state);
	}
	return vcpu_return_plain(vcpu, reason, state_groups);
}

/* ---- time ---- */

static void time_add(struct bh_time *time, uint64_t ticks)
{
	uint32_t log2 = 63 - (uint32_t)__builtin_clzll(ticks | 0xff);
	uint32_t last = BH_TIME_BUCKETS - 1 + 7;

	time->total_tsc += ticks;
	if (unlikely(ticks > time->max_tsc)) {
		time->max_tsc = ticks;
	}
	time->histogram[(log2 < last ? log2 : last) - 7]++;
}

static void halt_ended(struct vcpu *vcpu)
{
	uint64_t now = arch_tsc_read();

	vcpu->is_halted = 0;
	vcpu->stats->halt_tsc += now - vcpu->halt_since_tsc;
	if (vcpu->wake_tsc != 0 && vcpu->wake_tsc < now) {
		time_add(&vcpu->stats->wake, now - vcpu->wake_tsc);
	}
	vcpu->exited_tsc = now;
}

/* Into the guest until an exit leaves the fast path. False: it left no more to do. */
static bool enter(struct vcpu *vcpu)
{
	struct bh_vcpu_stats *stats = vcpu->stats;
	uint64_t now = arch_tsc_read();

	time_add(&stats->time[vcpu->time_slot], now - vcpu->exited_tsc);
	stats->guest_tsc -= now;
	trace(BH_TRACE_ENTER, TRACE_VCPU(vcpu), vcpu->time_slot);
	if (unlikely(vcpu->lapic.isr_words != 0)) {
		vlapic_eoi_arm(vcpu);
	}
	hvm->enter(vcpu, &vcpu->exit);
	if (unlikely(vcpu->lapic.eoi_byte != 0)) {
		vlapic_eoi_settle(vcpu);
	}
	trace(BH_TRACE_EXIT, TRACE_VCPU(vcpu), vcpu->exit.reason);
	now = arch_tsc_read();
	stats->guest_tsc += now;
	vcpu->exited_tsc = now;
	if (likely(vcpu->exit.reason < BH_REASON_COUNT)) {
		stats->exits[vcpu->exit.reason]++;
		vcpu->time_slot = 2 * vcpu->exit.reason;
		return true;
	}
	vcpu->time_slot = 2 * BH_REASON_OTHER;
	return vcpu->exit.reason != VM_EXIT_NONE;
}

/* Nothing to execute: wait for a request. False when one came meanwhile. */
static bool halt(struct vcpu *vcpu)
{
	if (vcpu->is_kicked && vcpu->activity == BH_ACTIVITY_HALTED) {
		vcpu->is_kicked = false;
		vcpu->activity = BH_ACTIVITY_RUNNING;
		return false;
	}
	__atomic_store_n(&vcpu->is_halted, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST) != 0) {
		vcpu->is_halted = 0;
		return false;
	}
	vcpu->wake_tsc = 0;
	vcpu->halt_since_tsc = arch_tsc_read();
	thread_wait_current();
	return true;
}

/* All that must be true before the guest may run. False: leave vcpu_enter. */
static bool prepare(struct vcpu *vcpu, struct cpu *cpu)
{
	for (;;) {
		if (unlikely(__atomic_load_n(&cpu->work, __ATOMIC_ACQUIRE) != 0)) {
			return false;
		}
		if (unlikely(__atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) != 0) &&
		    !vcpu_deliver_fast(vcpu) && !vcpu_requests_handle(vcpu)) {
			return false;
		}
		if (likely(vcpu->activity == BH_ACTIVITY_RUNNING)) {
			return true;
		}
		if (halt(vcpu)) {
			return false;
		}
		arch_interrupts_poll(); /* requests without end must not hold this pCPU */
	}
}

void vcpu_enter(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_self();

	if (vcpu->is_halted) {
		halt_ended(vcpu);
	}
	if (unlikely(cpu->hvm_current != vcpu)) {
		vcpu_make_current(vcpu);
	}
	/* Seen by others before we look at the words that they set; see vcpu_request(). */
	__atomic_store_n(&vcpu->in_guest, 1, __ATOMIC_SEQ_CST);
	do {
		if (!prepare(vcpu, cpu)) {
			break;
		}
	} while (!enter(vcpu) || vcpu_exit_handle(vcpu, &vcpu->exit));
	vcpu->in_guest = 0;
	hvm->leave(vcpu);
}
