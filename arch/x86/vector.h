/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt vectors of the machine. One list: every pCPU's IDT is the same. */
#pragma once

#define VECTOR_NMI           2u
#define VECTOR_DOUBLE_FAULT  8u
#define VECTOR_PROTECTION    13u
#define VECTOR_PAGE_FAULT    14u
#define VECTOR_MACHINE_CHECK 18u
#define VECTOR_PIC           0x20u /* 16 of them: the masked 8259s' spurious interrupts */
#define VECTOR_GSI_FIRST     0x30u /* machine interrupts, given out upwards */
#define VECTOR_GSI_LAST      0xdfu
#define VECTOR_NET           0xe0u /* QEMU's lost interrupts: see apic.c */
#define VECTOR_TIMER         0xf0u
#define VECTOR_NOTIFY        0xf1u
#define VECTOR_ERROR         0xf2u
#define VECTOR_SPURIOUS      0xffu
