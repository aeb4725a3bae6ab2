/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selectors of every pCPU's GDT. Order is fixed by SYSCALL and SYSRET (APM 2 6.1.1): kernel code, kernel data; base, user data, user code.
 * Usable from assembly.
 */
#pragma once

#define SELECTOR_KERNEL_CS 0x08
#define SELECTOR_KERNEL_DS 0x10
/* SYSRET takes +8 as SS and +16 as CS; the slot itself (32-bit code) stays empty */
#define SELECTOR_USER_BASE 0x1b
#define SELECTOR_USER_DS   0x23
#define SELECTOR_USER_CS   0x2b
#define SELECTOR_TSS       0x30

#define GDT_KERNEL_CS      0x00af9b000000ffff
#define GDT_KERNEL_DS      0x00cf93000000ffff
#define GDT_USER_DS        0x00cff3000000ffff
#define GDT_USER_CS        0x00affb000000ffff
#define GDT_BOOT_CS32      0x00cf9b000000ffff /* boot GDT only */
#define SELECTOR_BOOT_CS32 0x18
#define GDT_TSS_TYPE       0x0000890000000000

/* Interrupt stack table entries (SDM 3A 6.14.5). */
#define IST_NMI           1
#define IST_DOUBLE_FAULT  2
#define IST_MACHINE_CHECK 3
