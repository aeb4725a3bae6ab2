/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of bulkhead/abi.h. Each takes the caller's domain and its registers and returns the value for RAX. Every one checks all
 * (decode) before it changes anything (do). All but those in call.c run under kernel_lock.
 */
#pragma once

#include "kernel/domain.h"
#include "kernel/handle.h"

/* Records in and out of the caller's memory; INVALID ranges and faults give ADDRESS. */
int call_copy_in(void *record, uint64_t address, size_t size) must_check;
int call_copy_out(uint64_t address, const void *record, size_t size) must_check;
/* The domain that an argument names: SELF, or a handle with CONTROL. NULL and *error. */
struct domain *call_target_domain(struct domain *caller, uint64_t number, int *error);
/* Entry of a handle of that type with these rights. NULL and *error. */
struct handle *call_handle_entry(struct domain *caller, uint64_t number, uint32_t type,
                                 uint32_t rights, int *error);

int64_t call_domain(struct domain *caller, uint64_t number, const struct arch_frame *frame);
int64_t call_region(struct domain *caller, uint64_t number, const struct arch_frame *frame);
int64_t call_event(struct domain *caller, uint64_t number, const struct arch_frame *frame);
int64_t call_vm(struct domain *caller, uint64_t number, const struct arch_frame *frame);
int64_t call_host(struct domain *caller, uint64_t number, const struct arch_frame *frame);
int64_t call_handles(struct domain *caller, uint64_t number, const struct arch_frame *frame);

/* The machine itself, named by BH_HANDLE_HOST. */
extern struct object host_object;
/* All VMs, by vm->node: an event that ends must leave their doorbells. */
extern struct list vms;
void call_vm_forget_event(const struct event *event);
