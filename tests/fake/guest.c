/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machines of the fake machine: records and memory as the true ones need, and a guest that does one of a few things at each
 * entry: comes back to its VMM, or halts.
 */
#include <string.h>

#include "arch/x86/hvm.h"
#include "kernel/quota.h"
#include "tests/fake/machine.h"

const struct hvm_ops svm_ops = { .name = "fake" }, vmx_ops;
const struct hvm_ops *hvm = &svm_ops;
const char *hvm_reason;
uint32_t hvm_features;
uint32_t fake_vm_flushes;

void hvm_trace(bool is_on)
{
	(void)is_on;
}

int vm_create(struct domain *payer, const struct bh_vm_params *params, struct vm **out)
{
	hpa_t pa;
	int error = quota_pages_allocate(payer, 1, &pa);
	struct vm *vm;

	if (error < 0) {
		return error;
	}
	vm = phys_to_virt(pa);
	vm->object.payer = payer;
	vm->vcpus_max = params->vcpus_max;
	error = ptable_init(&vm->npt, PTABLE_NPT, true, payer);
	if (error < 0) {
		quota_pages_free(payer, 1, pa);
		return error;
	}
	*out = vm;
	return BH_OK;
}

void vm_destroy(struct vm *vm)
{
	for (uint32_t i = 0; i < BH_MAX_VCPUS; i++) {
		CHECK(vm->vcpus[i] == NULL);
	}
	ptable_destroy(&vm->npt);
	quota_pages_free(vm->object.payer, 1, virt_to_phys(vm));
}

int vcpu_create(struct domain *payer, struct vm *vm, uint32_t idx, struct vcpu **out)
{
	hpa_t block;
	struct vcpu *vcpu;
	int error = quota_pages_allocate(payer, 3, &block);

	if (error < 0) {
		return error;
	}
	vcpu = phys_to_virt(block);
	vcpu->vm = vm;
	vcpu->idx = idx;
	vcpu->object.payer = payer;
	vcpu->run = phys_to_virt(vcpu_page(vcpu, BH_VCPU_PAGE_RUN));
	vcpu->stats = phys_to_virt(vcpu_page(vcpu, BH_VCPU_PAGE_STATS));
	vcpu->fpu = phys_to_virt(vcpu_page(vcpu, VCPU_PAGE_FPU));
	vcpu->xcr0 = 1;
	vm->vcpus[idx] = vcpu;
	*out = vcpu;
	return BH_OK;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	CHECK(vcpu->thread == NULL);
	quota_pages_free(vcpu->object.payer, 3, virt_to_phys(vcpu));
}

int vcpu_run_begin(struct vcpu *vcpu)
{
	struct thread *thread = cpu_self()->current;

	if (vcpu->thread != NULL || (vcpu->cpu != NULL && vcpu->cpu != cpu_self())) {
		return BH_ERR_STATE;
	}
	vcpu->cpu = cpu_self();
	vcpu->thread = thread;
	thread->vcpu = vcpu;
	return BH_OK;
}

void vcpu_enter(struct vcpu *vcpu)
{
	struct thread *thread = vcpu->thread;

	CHECK(thread == cpu_self()->current && thread->vcpu == vcpu &&
	      cpu_self()->fpu_owner == vcpu->fpu);
	vcpu->stats->vmm_exits++;
	if ((vcpu->requests & VCPU_REQUEST_KICK) == 0 && vcpu->stats->vmm_exits % 4 == 0) {
		thread_wait_current();
		return;
	}
	vcpu->requests = 0;
	vcpu->thread = NULL;
	thread->vcpu = NULL;
	arch_user_frame(cpu_self())->rax = 0;
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	vcpu->requests |= bits;
	if (vcpu->thread != NULL) {
		thread_wake(vcpu->thread);
	}
}

void vcpu_unload(struct vcpu *vcpu)
{
	CHECK(vcpu->cpu == NULL || vcpu->cpu == cpu_self());
}

int vcpu_get_state(struct vcpu *vcpu, struct bh_vcpu_state *state)
{
	(void)vcpu;
	memset(state, 0, sizeof(*state));
	return BH_OK;
}

int vcpu_set_state(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	(void)vcpu;
	return state->groups == BH_STATE_ALL ? BH_OK : BH_ERR_INVALID;
}

int vm_set_cpuid(struct vm *vm, const struct bh_cpuid_entry *entries, uint32_t count)
{
	memcpy(vm->cpuid, entries, count * sizeof(*entries)); /* BH_CPUID_MAX fit */
	return BH_OK;
}

int doorbell_bind(struct vm *vm, uint64_t port, struct event *event)
{
	struct port_slot *slot = &vm->ports[port % VM_PORT_SLOTS];

	if (slot->key != 0) {
		return BH_ERR_EXISTS;
	}
	slot->key = 1;
	slot->event = event;
	return BH_OK;
}

int doorbell_unbind(struct vm *vm, uint64_t port)
{
	vm->ports[port % VM_PORT_SLOTS] = (struct port_slot){ 0 };
	return BH_OK;
}

void doorbell_forget_event(struct vm *vm, const struct event *event)
{
	for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
		vm->ports[i].event = vm->ports[i].event == event ? NULL : vm->ports[i].event;
	}
}

/* Stands for a guest's write too: whatever doorbell is there rings. */
int vm_msi_deliver(struct vm *vm, uint64_t address, uint32_t data)
{
	struct event *event = vm->ports[data % VM_PORT_SLOTS].event;

	if (event != NULL && event->set != NULL) {
		event_signal(event);
	}
	return address % 2 == 0 ? BH_OK : BH_ERR_INVALID;
}

void vm_flush(struct vm *vm)
{
	CHECK(vm->object.type == BH_OBJECT_VM);
	fake_vm_flushes++;
	message_sync();
}
