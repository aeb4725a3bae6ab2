/* SPDX-License-Identifier: Apache-2.0 */
/* What the start of the kernel leaves behind for the rest of it. kernel_start() stands in arch/x86/arch.h. */
#pragma once

#include "kernel/domain.h"

struct boot_info;

extern struct bh_info info_page; /* one page, mapped into every domain */
/* Make the root domain out of the modules. Panics when it cannot. (kernel/root.c) */
void root_create(const struct boot_info *info);
