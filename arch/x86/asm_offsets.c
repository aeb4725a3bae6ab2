/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of C records for assembly: compiled to text only; the build makes build/gen/asm_offsets.h from it. */
#include "arch/x86/arch.h"

#define OFFSET(name, type, field) \
	__asm__ volatile("\n->" #name " %0" : : "i"(offsetof(struct type, field)))

void asm_offsets(void);
void asm_offsets(void)
{
	OFFSET(CPU_USER_RSP, cpu, user_rsp);
	OFFSET(CPU_KERNEL_STACK_TOP, cpu, kernel_stack_top);
	OFFSET(CPU_WORK, cpu, work);
	OFFSET(FRAME_R15, arch_frame, r15);
	OFFSET(FRAME_R11, arch_frame, r11);
	OFFSET(FRAME_RCX, arch_frame, rcx);
	OFFSET(FRAME_RAX, arch_frame, rax);
	OFFSET(FRAME_VECTOR, arch_frame, vector);
	OFFSET(FRAME_RIP, arch_frame, rip);
	OFFSET(FRAME_CS, arch_frame, cs);
	OFFSET(FRAME_RFLAGS, arch_frame, rflags);
	OFFSET(FRAME_RSP, arch_frame, rsp);
	__asm__ volatile("\n->FRAME_SIZE %0" : : "i"(sizeof(struct arch_frame)));
	__asm__ volatile("\n->CPU_SLOT_BYTES %0" : : "i"(CPU_SLOT_SIZE));
}
