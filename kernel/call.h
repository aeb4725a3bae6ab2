/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of bulkhead/abi.h. call.c has the table that says of each what its first argument must name, with which rights, which record
 * goes in or out, whether it makes a handle, and whether it runs without kernel_lock; it does that much, and the call's own function,
 * beside the object that it is about, the rest: it checks everything (decode) before it changes anything (do).
 */
#pragma once

#include "kernel/domain.h"
#include "kernel/handle.h"

struct call {
	struct domain *caller;
	uint64_t arg[4];       /* RDI, RSI, RDX, R10 */
	struct object *object; /* what arg[0] names, where the table asks for it */
	struct handle *handle; /* its entry, NULL for SELF; not without kernel_lock */
	struct object *made;   /* the new object, where the table says so; NULL = no quota */
	uint32_t rights;       /* of the handle to that; all at first */
};

/* The record of the call under way, in or out; under kernel_lock. */
extern union call_record {
	struct bh_domain_params domain;
	struct bh_domain_info domain_info;
	struct bh_thread_params thread;
	struct bh_map map;
	struct bh_region_info region_info;
	struct bh_vm_params vm;
	struct bh_vcpu_state vcpu_state;
	struct bh_vcpu_stats vcpu_stats;
	struct bh_cpuid_entry cpuid[BH_CPUID_MAX];
	struct bh_host_info host_info;
} call_record;

/* What an argument names. SELF is the caller, with all rights. HANDLE, RIGHTS. */
int call_object(const struct call *call, uint64_t number, uint32_t type, uint32_t rights,
                struct object **object) must_check;
/* An event that may be signalled; number 0 gives NULL and OK. */
int call_event_argument(const struct call *call, uint64_t number, struct event **event) must_check;

typedef int64_t call_function(struct call *call);

call_function call_log_write, call_domain_create, call_domain_info, call_thread_create,
	call_thread_exit, call_thread_yield, call_thread_set_share, call_region_allocate,
	call_region_zero, call_region_map, call_region_unmap, call_region_info, call_region_device,
	call_event_set_create, call_event_create, call_event_signal, call_vm_create,
	call_vm_set_cpuid, call_vm_msi, call_vcpu_create, call_vcpu_page, call_vcpu_get_state,
	call_vcpu_set_state, call_vcpu_kick, call_vcpu_extint, call_vcpu_stats, call_doorbell_bind,
	call_doorbell_unbind, call_port, call_interrupt_bind, call_interrupt_ack, call_trace,
	call_host_info, call_host_control, call_handle_give, call_handle_revoke, call_handle_close;

/* The machine itself, named by BH_HANDLE_HOST. */
extern struct object host_object;
/* All VMs, by vm->node: an event that ends must leave their doorbells. */
extern struct list vms;
void call_vm_forget_event(const struct event *event);
