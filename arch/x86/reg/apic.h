/* SPDX-License-Identifier: Apache-2.0 */
/* Local APIC registers by their xAPIC offset (SDM 3A table 11-1; the x2APIC MSR is 800h + offset / 16), and the I/O APIC (82093AA). */
#pragma once

#define APIC_ID                       0x020u
#define APIC_VERSION                  0x030u
#define APIC_TPR                      0x080u
#define APIC_PPR                      0x0a0u
#define APIC_EOI                      0x0b0u
#define APIC_LDR                      0x0d0u
#define APIC_DFR                      0x0e0u
#define APIC_SVR                      0x0f0u
#define APIC_SVR_ENABLE               0x100u
#define APIC_ISR                      0x100u /* eight registers, 16 bytes apart */
#define APIC_TMR                      0x180u
#define APIC_IRR                      0x200u
#define APIC_ESR                      0x280u
#define APIC_ICR                      0x300u /* x2APIC: the 64-bit register */
#define APIC_IPI_FIXED                0x000u
#define APIC_IPI_NMI                  0x400u
#define APIC_IPI_INIT                 0x500u
#define APIC_IPI_STARTUP              0x600u
#define APIC_IPI_PENDING              0x1000u
#define APIC_IPI_ASSERT               0x4000u
#define APIC_IPI_LEVEL                0x8000u
#define APIC_IPI_OTHERS               0xc0000u /* destination shorthand: all but self */
#define APIC_ICR_HIGH                 0x310u
#define APIC_LVT_TIMER                0x320u
#define APIC_LVT_TIMER_ONE_SHOT       0x00000u
#define APIC_LVT_TIMER_DEADLINE       0x40000u
#define APIC_LVT_LINT0                0x350u
#define APIC_LVT_LINT1                0x360u
#define APIC_LVT_ERROR                0x370u
#define APIC_LVT_NMI                  0x400u
#define APIC_LVT_MASKED               0x10000u
#define APIC_TIMER_INITIAL            0x380u
#define APIC_TIMER_CURRENT            0x390u
#define APIC_TIMER_DIVIDE             0x3e0u
#define APIC_TIMER_DIVIDE_1           0xbu
#define APIC_SELF_IPI                 0x3f0u

#define IOAPIC_SELECT                 0x00 /* byte offsets of the window */
#define IOAPIC_DATA                   0x10
#define IOAPIC_REG_VERSION            0x01
#define IOAPIC_VERSION_LAST_PIN_SHIFT 16
#define IOAPIC_REG_ENTRY              0x10 /* + 2 * pin; low, then high */
#define IOAPIC_ENTRY_LOW_ACTIVE       0x2000u
#define IOAPIC_ENTRY_LEVEL            0x8000u
#define IOAPIC_ENTRY_MASKED           0x10000u
