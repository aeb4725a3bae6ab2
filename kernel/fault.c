/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions in ring 3: #NM is the lazy FPU switch; any other ends the domain with a dump in the log. The kernel goes on.
 */
#include "kernel/domain.h"
#include "kernel/fpu.h"
#include "kernel/thread.h"
#include "kernel/quota.h"

#define VECTOR_NM 7u

void fault_print(void (*print)(const char *format, ...), const struct arch_frame *f)
{
	print("  rip %lx cs %lx rflags %lx rsp %lx ss %lx error %lx", f->rip, f->cs, f->rflags,
	      f->rsp, f->ss, f->error_code);
	print("  rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx", f->rax, f->rbx, f->rcx,
	      f->rdx, f->rsi, f->rdi, f->rbp);
	print("  r8 %lx r9 %lx r10 %lx r11 %lx r12 %lx r13 %lx r14 %lx r15 %lx", f->r8, f->r9,
	      f->r10, f->r11, f->r12, f->r13, f->r14, f->r15);
}

void fault_handle(struct arch_frame *frame, uint64_t fault_address)
{
	struct cpu *cpu = cpu_self();
	struct domain *domain;

	CHECK(cpu->current != NULL);
	if (frame->vector == VECTOR_NM) {
		fpu_trap(cpu);
		return;
	}
	kernel_lock_take();
	domain = cpu->current->domain;
	if (!domain->object.is_dying) {
		domain->fault_vector = (uint32_t)frame->vector;
		domain->fault_rip = frame->rip;
		domain->fault_address = fault_address;
		log_print_limited("domain %u (%s) died: exception %lu, address %lx", domain->id,
		                  domain->name, frame->vector, fault_address);
		fault_print(log_print_limited, frame);
	}
	domain_kill(domain, BH_DOMAIN_FAULTED);
	limbo_flush();
	kernel_lock_drop();
}
