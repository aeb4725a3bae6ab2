/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What our guests share: port I/O, text on COM1, a verdict, faults that can be expected, the local APIC, other processors.
 * A guest supplies guest_main(). It ends by guest_exit(); every check that failed makes the verdict FAIL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
};

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, modules_count, modules_address;
	uint32_t symbols[4];
	uint32_t memory_map_length, memory_map_address;
};

void guest_main(const struct multiboot_info *info);

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return ((uint64_t)high << 32) | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return ((uint64_t)high << 32) | low;
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t registers[4])
{
	__asm__ volatile("cpuid"
	                 : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]),
	                   "=d"(registers[3])
	                 : "a"(leaf), "c"(subleaf));
}

/* Text on COM1. Formats: %s %d %u %x %lu %lx %c. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Text goes to this port too, unless it is 0. */
extern uint16_t guest_debug_port;

/* Note one check; prints it when it fails. Safe on all processors. */
void check(bool is_ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print the verdict line (`NAME: PASS, n checks` or `NAME: FAIL, k of n checks`), write 0 or 1 to port 0xf4, power off, halt. */
_Noreturn void guest_exit(const char *name);

/* Run `function(argument)`; returns the vector of the fault that ended it, or -1. `fault`, if not NULL, gets the frame. */
int guest_catch(void (*function)(void *), void *argument, struct trap_frame *fault);

/* Handlers of interrupts (vectors 32..255); they must end the interrupt themselves. */
extern void (*guest_irq[256])(struct trap_frame *frame);

/* ---- local APIC: xAPIC at 0xfee00000 ---- */
static inline uint32_t apic_read(uint32_t offset)
{
	return *(volatile uint32_t *)(0xfee00000ull + offset);
}

static inline void apic_write(uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(0xfee00000ull + offset) = value;
}

#define APIC_ID            0x20u
#define APIC_EOI           0xb0u
#define APIC_SPURIOUS      0xf0u
#define APIC_ICR_LOW       0x300u
#define APIC_ICR_HIGH      0x310u
#define APIC_LVT_TIMER     0x320u
#define APIC_TIMER_INITIAL 0x380u
#define APIC_TIMER_CURRENT 0x390u
#define APIC_TIMER_DIVIDE  0x3e0u

/* Enable this processor's local APIC, spurious vector 255; the 8259s are masked. */
void apic_enable(void);
/* Send an interprocessor interrupt (SDM 3A 11.6.1) and wait until it is accepted. */
void apic_send(uint32_t destination_apic_id, uint32_t icr_low);

/*
 * The end of an interrupt without an exit, where the hypervisor has KVM's leaves and offers that (Linux Documentation/virt/kvm/x86/msr.rst):
 * true, and bit 0 of the word says whether the interrupt that a handler is at ends with the clearing of that bit alone. Of this processor.
 */
extern volatile uint32_t guest_eoi_word;
bool guest_eoi_word_use(bool is_wanted);

/* Clears the bit; one instruction, so that no interrupt comes in between. False: the local APIC must be told. */
static inline bool guest_eoi_by_word(void)
{
	bool was_set;

	__asm__ volatile("btrl $0, %0" : "+m"(guest_eoi_word), "=@ccc"(was_set) : : "memory");
	return was_set;
}

/* Start all other processors, which run ap_main(apic id); returns how many came up within `wait_loops` of pausing. */
uint32_t smp_start(uint32_t expected_count, uint64_t wait_loops);
void ap_main(uint32_t apic_id);
