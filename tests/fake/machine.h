/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that runs on a PC: what arch.h, hvm.h and vcpu.h ask for, as plain memory, so that all of kernel/ can be tested under
 * sanitizers. Programs of the domains are the test itself: between fake_enter() and fake_leave() it is "in ring 3".
 */
#pragma once

#include "arch/x86/arch.h"
#include "boot/boot_info.h"

#define FAKE_RAM_BYTES (16ull << 20)
#define FAKE_CPUS      2u
#define FAKE_TSC_HZ    1000000000ull

extern struct cpu fake_cpus[FAKE_CPUS];
extern bool fake_has_message;     /* print the kernel's log */
extern uint64_t fake_message_tsc; /* when another pCPU sends the idle one a message; 0 = never */
extern uint32_t fake_notified;    /* interrupts that an idle one got for it */
extern uint32_t fake_vm_flushes;  /* how often a guest's translations were flushed */

/* RAM, pCPUs; nothing of the kernel yet. */
void fake_machine_init(uint32_t cpus);
/* All of kernel/, started with a root domain whose image has one text page and `bss` pages. */
void fake_kernel_start(uint32_t bss_pages);
/* Run the kernel's exit path on this pCPU. True: a thread of a domain runs now; false: the pCPU would idle for ever. */
bool fake_leave(uint32_t cpu_idx);
/* The running thread makes a call; the result, or INT64_MIN when the thread is not the running one afterwards. */
int64_t fake_call(uint32_t cpu_idx, uint64_t number, const uint64_t arguments[4]);
/* Access to the running domain's memory, as its program would have. */
bool fake_user_write(uint64_t va, const void *data, size_t size);
bool fake_user_read(uint64_t va, void *data, size_t size);
