/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC as an xAPIC, and the start of other processors (SDM 3A 9.4.4.1, 11.4, 11.6). */
#include "guests/lib/guest.h"

#define TRAMPOLINE        0x8000ull
#define CPUID_PARAVIRTUAL 0x40000000u
#define KVM_EBX           0x4b4d564bu /* "KVMK" */
#define KVM_PV_EOI        (1u << 6)
#define MSR_PV_EOI        0x4b564d04u
#define PV_EOI_ON         1u

void ap_start(void);
void trap_load(void);

extern const uint8_t ap_trampoline[], ap_trampoline_end[];

static uint32_t started_count;

void apic_enable(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	wrmsr(0x1b, rdmsr(0x1b) | (1u << 11));
	apic_write(APIC_SPURIOUS, 0x1ff);
}

void apic_send(uint32_t destination_apic_id, uint32_t icr_low)
{
	apic_write(APIC_ICR_HIGH, destination_apic_id << 24);
	apic_write(APIC_ICR_LOW, icr_low);
	while ((apic_read(APIC_ICR_LOW) & (1u << 12)) != 0) {
		__asm__ volatile("pause");
	}
}

volatile uint32_t guest_eoi_word __attribute__((aligned(4)));

bool guest_eoi_word_use(bool is_wanted)
{
	uint32_t registers[4];

	cpuid(1, 0, registers);
	if ((registers[2] >> 31) == 0) {
		return false; /* no hypervisor */
	}
	cpuid(CPUID_PARAVIRTUAL, 0, registers);
	if (registers[1] != KVM_EBX) {
		return false;
	}
	cpuid(CPUID_PARAVIRTUAL + 1, 0, registers);
	if ((registers[0] & KVM_PV_EOI) == 0) {
		return false;
	}
	guest_eoi_word = 0;
	wrmsr(MSR_PV_EOI, is_wanted ? (uint64_t)&guest_eoi_word | PV_EOI_ON : 0);
	return true;
}

void ap_start(void)
{
	trap_load();
	apic_enable();
	uint32_t id = apic_read(APIC_ID) >> 24;

	__atomic_fetch_add(&started_count, 1, __ATOMIC_RELEASE);
	ap_main(id);
	for (;;) {
		__asm__ volatile("cli; hlt");
	}
}

__attribute__((weak)) void ap_main(uint32_t apic_id)
{
	(void)apic_id;
}

static void pause_loops(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		__asm__ volatile("pause");
	}
}

uint32_t smp_start(uint32_t expected_count, uint64_t wait_loops)
{
	for (uint64_t i = 0; i < (uint64_t)(ap_trampoline_end - ap_trampoline); i++) {
		((volatile uint8_t *)TRAMPOLINE)[i] = ap_trampoline[i];
	}
	apic_send(0, 0x000c4500); /* INIT to all but self */
	pause_loops(10000);
	apic_send(0, 0x000c4600 | (TRAMPOLINE >> 12)); /* SIPI */
	pause_loops(10000);
	apic_send(0, 0x000c4600 | (TRAMPOLINE >> 12)); /* and once more, as the manual has it */
	for (uint64_t i = 0; i < wait_loops; i++) {
		if (__atomic_load_n(&started_count, __ATOMIC_ACQUIRE) >= expected_count) {
			break;
		}
		__asm__ volatile("pause");
	}
	return __atomic_load_n(&started_count, __ATOMIC_ACQUIRE);
}
