/* SPDX-License-Identifier: Apache-2.0 */
/* Traps: the C end of the entry code, and the dump that panic and unexpected traps print. */
#pragma once

#include "arch/x86/arch.h"

/* Called by entry.S with every trap and interrupt. */
void trap_handle(struct arch_frame *frame);
/* Print a frame's registers, control registers, and the words on the kernel stack from `stack` up. `frame` may be NULL. */
void trap_dump(const struct arch_frame *frame, uint64_t stack);
