/* SPDX-License-Identifier: Apache-2.0 */
/* What gcc's -fstack-protector wants: the guard value and the end of a domain whose stack was overwritten. */
#include "lib/threads.h"
#include "lib/time.h"

extern uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);
void domain_guard_init(void);

uintptr_t __stack_chk_guard = 0x5be1b7a30dull << 8;

/* Called once, before anything that returns through a guarded frame. The low byte stays 0, which ends an overflowing string. */
__attribute__((no_stack_protector)) void domain_guard_init(void)
{
	__stack_chk_guard = (bh_tsc() * 0x9e3779b97f4a7c15ull) & ~0xffull;
}

_Noreturn void __stack_chk_fail(void)
{
	domain_fail("stack overwritten in this domain");
}
