/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler's stack protector: the value between a frame's buffers and its return address (set by the boot entry), and what a wrong one means. */
#include "arch/x86/arch.h"

extern uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);

uintptr_t __stack_chk_guard;

void __stack_chk_fail(void)
{
	panic("a function's stack frame was overwritten (returning to %p)",
	      __builtin_return_address(0));
}
