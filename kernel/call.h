/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of bulkhead/abi.h. call.c has the table that says of each what its first argument must name, with which rights, whether it
 * makes a handle, and whether it runs without kernel_lock; it decodes that much, and the call's own function the rest.
 * A function checks everything (decode) before it changes anything (do). Its result goes into RAX.
 */
#pragma once

#include "kernel/domain.h"
#include "kernel/handle.h"

struct call {
	struct domain *caller;
	const struct arch_frame *frame; /* arguments: RDI, RSI, RDX, R10 */
	struct object *object;          /* what RDI names, where the table asks for it */
	struct handle *handle;          /* its entry; not without kernel_lock */
	int number; /* a free handle of the caller's, where the table asks for it */
};

/* Records in and out of the caller's memory; INVALID ranges and faults give ADDRESS. */
int call_copy_in(void *record, uint64_t address, size_t size) must_check;
int call_copy_out(uint64_t address, const void *record, size_t size) must_check;
/* The domain that an argument names: SELF, or a handle with CONTROL. NULL and *error. */
struct domain *call_target_domain(const struct call *call, uint64_t number, int *error);
/* An event that may be signalled; number 0 gives NULL and OK. */
int call_event_argument(const struct call *call, uint64_t number, struct event **event) must_check;

int64_t call_log_write(struct call *call);
int64_t call_domain_create(struct call *call);
int64_t call_domain_destroy(struct call *call);
int64_t call_domain_info(struct call *call);
int64_t call_thread_create(struct call *call);
int64_t call_thread_set_share(struct call *call);
int64_t call_region_allocate(struct call *call);
int64_t call_region_zero(struct call *call);
int64_t call_region_split(struct call *call);
int64_t call_region_map(struct call *call);
int64_t call_region_unmap(struct call *call);
int64_t call_region_map_guest(struct call *call);
int64_t call_region_unmap_guest(struct call *call);
int64_t call_region_info(struct call *call);
int64_t call_region_device(struct call *call);
int64_t call_event_set_create(struct call *call);
int64_t call_event_create(struct call *call);
int64_t call_vm_create(struct call *call);
int64_t call_vm_set_cpuid(struct call *call);
int64_t call_vm_msi(struct call *call);
int64_t call_vcpu_create(struct call *call);
int64_t call_vcpu_page(struct call *call);
int64_t call_vcpu_get_state(struct call *call);
int64_t call_vcpu_set_state(struct call *call);
int64_t call_vcpu_kick(struct call *call);
int64_t call_vcpu_extint(struct call *call);
int64_t call_vcpu_stats(struct call *call);
int64_t call_doorbell_bind(struct call *call);
int64_t call_doorbell_unbind(struct call *call);
int64_t call_guest_interrupt_bind(struct call *call);
int64_t call_ports_create(struct call *call);
int64_t call_port_read(struct call *call);
int64_t call_port_write(struct call *call);
int64_t call_interrupt_bind(struct call *call);
int64_t call_interrupt_ack(struct call *call);
int64_t call_host_info(struct call *call);
int64_t call_host_control(struct call *call);
int64_t call_handle_give(struct call *call);
int64_t call_handle_narrow(struct call *call);
int64_t call_handle_revoke(struct call *call);
int64_t call_handle_close(struct call *call);

/* The machine itself, named by BH_HANDLE_HOST. */
extern struct object host_object;
/* All VMs, by vm->node: an event that ends must leave their doorbells. */
extern struct list vms;
void call_vm_forget_event(const struct event *event);
