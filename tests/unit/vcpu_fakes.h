/* SPDX-License-Identifier: Apache-2.0 */
/* A VM with a few vCPUs on the host, for the tests of kernel/vlapic*, msr, cpuid, doorbell: a vendor that keeps values in an array. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/hvm.h"
#include "kernel/vcpu.h"

#define FAKE_VCPUS       10u
#define FAKE_BAD_ADDRESS 8u /* of ring 3: nothing is mapped there */

struct fake_vcpu {
	struct vcpu vcpu;
	uint32_t regs[1024];
	struct bh_vcpu_stats stats;
	struct bh_run run;
	uint64_t registers[HVM_REGISTER_COUNT];
	uint32_t offered;         /* by offer_interrupt */
	uint32_t requests_count;  /* calls of vcpu_request */
	uint32_t remote_at_first; /* irr_remote_words at the first of them */
};

extern struct vm *fake_vm;
extern struct fake_vcpu fake_vcpus[FAKE_VCPUS];
extern struct timer *fake_armed; /* last armed timer, NULL after a cancel */

/* A fresh VM: APICs in reset state but enabled by software, TSC offset 0. */
int fake_setup(void **state);
int fake_teardown(void **state);
static inline struct vcpu *fake(uint32_t idx)
{
	return &fake_vcpus[idx].vcpu;
}
/* All vectors that wait at this vCPU, taken: count, and the highest in *vector. */
uint32_t fake_take_irr(uint32_t idx, uint32_t *vector);
