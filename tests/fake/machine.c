/* SPDX-License-Identifier: Apache-2.0 */
/* The fake machine (see machine.h): memory, pCPUs, time, copies from ring 3. One host thread plays all pCPUs in turn. */
#include "tests/fake/machine.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulkhead/root_image.h"
#include "kernel/domain.h"
#include "kernel/thread.h"
#include "tests/unit/ptable_lookup.h"

#define STACK_BYTES 4096u
#define MODULE_BASE 0x100000u
#define FREE_BASE   0x200000u

char *fake_ram;
struct cpu *fake_cpu;
uint64_t fake_tsc;
struct cpu fake_cpus[FAKE_CPUS];
bool fake_has_message;
uint64_t fake_message_tsc;
uint32_t fake_notified;

struct cpu *cpus[BH_MAX_CPUS];
uint32_t cpus_count;
hpa_t kernel_pml4;
bool arch_has_1g_pages;
uint64_t arch_tsc_hz = FAKE_TSC_HZ;
uint32_t arch_fpu_size = 1024;
uint64_t arch_xcr0_supported = 7;
bool arch_console_claimed;

static _Alignas(64) char stacks[FAKE_CPUS][STACK_BYTES];
static uint64_t timer_tsc[FAKE_CPUS];
static jmp_buf idle_jump;
static bool is_idle;

void fake_machine_init(uint32_t count)
{
	if (fake_ram == NULL) {
		fake_ram = aligned_alloc(PAGE_SIZE, FAKE_RAM_BYTES);
	}
	fake_tsc = FAKE_TSC_HZ;
	memset(fake_cpus, 0, sizeof(fake_cpus));
	cpus_count = count;
	for (uint32_t i = 0; i < count; i++) {
		fake_cpus[i].self = &fake_cpus[i];
		fake_cpus[i].idx = i;
		fake_cpus[i].apic_id = i;
		fake_cpus[i].is_online = true;
		fake_cpus[i].kernel_stack_top = (uint64_t)(stacks[i] + STACK_BYTES);
		timer_tsc[i] = BH_FOREVER;
		cpus[i] = &fake_cpus[i];
	}
	fake_cpu = &fake_cpus[0];
	kernel_pml4 = HPA(0x1000);
	memset(fake_ram, 0, PAGE_SIZE * 2);
}

void arch_timer_set(uint64_t tsc)
{
	timer_tsc[fake_cpu->idx] = tsc;
}

/* The other pCPU is in ring 3 or idle: it takes the interrupt at once. */
void arch_cpu_notify(struct cpu *cpu)
{
	struct cpu *self = fake_cpu;

	if (is_idle) {
		fake_notified++;
	} else if (cpu != self && (cpu->work & CPU_WORK_MESSAGE) != 0) {
		fake_cpu = cpu;
		cpu->work &= ~CPU_WORK_MESSAGE;
		message_poll(cpu);
		fake_cpu = self;
	}
}

static void message_arrive(void)
{
	struct cpu *cpu = fake_cpu;

	if (fake_message_tsc == 0 || fake_tsc < fake_message_tsc) {
		return;
	}
	fake_message_tsc = 0;
	is_idle = true;
	fake_cpu = &fake_cpus[0];
	message_send(cpu, CPU_WORK_MESSAGE);
	fake_cpu = cpu;
	is_idle = false;
}

void arch_cpu_idle(void)
{
	uint64_t next = timer_tsc[fake_cpu->idx];

	if (fake_cpu->work != 0) {
		return;
	}
	if (fake_message_tsc != 0 && fake_message_tsc < next) {
		fake_tsc = fake_message_tsc > fake_tsc ? fake_message_tsc : fake_tsc;
		message_arrive();
		return;
	}
	if (next == BH_FOREVER) {
		longjmp(idle_jump, 1);
	}
	timer_tsc[fake_cpu->idx] = BH_FOREVER;
	fake_tsc = next > fake_tsc ? next : fake_tsc;
	fake_cpu->work |= CPU_WORK_TIMER;
}

void arch_interrupts_poll(void)
{
	uint64_t *timer = &timer_tsc[fake_cpu->idx];

	fake_tsc += FAKE_TSC_HZ / 1000000;
	if (*timer <= fake_tsc) {
		*timer = BH_FOREVER;
		fake_cpu->work |= CPU_WORK_TIMER;
	}
	message_arrive();
}

void arch_cpu_stop(void)
{
	abort();
}

int arch_cpu_start(uint32_t apic_id)
{
	(void)apic_id;
	return BH_ERR_UNSUPPORTED;
}

int arch_ioapic_add(uint64_t base, uint32_t gsi_base)
{
	(void)base;
	(void)gsi_base;
	return BH_ERR_INVALID;
}

void arch_console_open(uint64_t port, uint64_t baud)
{
	(void)port;
	(void)baud;
}

void arch_cpus_stop_others(void)
{
}

void arch_leave(void)
{
	abort();
}

void arch_frame_init(struct arch_frame *frame, uint64_t entry, uint64_t stack, uint64_t argument)
{
	*frame = (struct arch_frame){ .rip = entry, .rsp = stack, .rdi = argument };
}

void arch_thread_load(hpa_t pml4, uint64_t fs_base)
{
	(void)pml4;
	(void)fs_base;
}

void arch_fpu_init_area(void *area)
{
	memset(area, 0, arch_fpu_size);
}

void arch_fpu_swap(void *save, const void *restore)
{
	if (save != NULL) {
		memset(save, 1, arch_fpu_size);
	}
	(void)((const volatile char *)restore)[arch_fpu_size - 1];
}

void arch_fpu_set_trap(bool is_on)
{
	(void)is_on;
}

void arch_xcr0_load(uint64_t xcr0)
{
	fake_cpu->xcr0 = xcr0;
}

static bool user_copy(uint64_t va, void *data, size_t size, bool is_write)
{
	const struct ptable *table = &fake_cpu->current->domain->space;
	char *at = data;
	uint32_t flags;
	uint64_t left;
	hpa_t pa;

	while (size > 0) {
		if (!ptable_lookup(table, va, &pa, &flags, &left) ||
		    (is_write && (flags & PTABLE_WRITE) == 0)) {
			return false;
		}
		size_t part = size < left ? size : left;

		if (pa.raw + part > FAKE_RAM_BYTES) {
			return false; /* device memory */
		}
		if (is_write) {
			memcpy(fake_ram + pa.raw, at, part);
		} else {
			memcpy(at, fake_ram + pa.raw, part);
		}
		at += part;
		va += part;
		size -= part;
	}
	return true;
}

int arch_copy_from_user(void *to, hva_t from, size_t size)
{
	return user_copy(from.raw, to, size, false) ? BH_OK : BH_ERR_ADDRESS;
}

int arch_copy_to_user(hva_t to, const void *from, size_t size)
{
	return user_copy(to.raw, (void *)(uintptr_t)from, size, true) ? BH_OK : BH_ERR_ADDRESS;
}

int arch_user_exchange(hva_t at, uint8_t value)
{
	uint8_t old;

	return user_copy(at.raw, &old, 1, false) && user_copy(at.raw, &value, 1, true)
	               ? old
	               : BH_ERR_ADDRESS;
}

bool fake_user_write(uint64_t va, const void *data, size_t size)
{
	return user_copy(va, (void *)(uintptr_t)data, size, true);
}

bool fake_user_read(uint64_t va, void *data, size_t size)
{
	return user_copy(va, data, size, false);
}

int arch_gsi_route(uint32_t gsi, bool is_level, bool is_low, struct cpu *target)
{
	(void)is_level;
	(void)is_low;
	(void)target;
	return gsi < 24 ? BH_OK : BH_ERR_UNSUPPORTED;
}

void arch_gsi_mask(uint32_t gsi, bool is_masked)
{
	(void)gsi;
	(void)is_masked;
}

hpa_t arch_early_pages(uint32_t count)
{
	(void)count;
	abort(); /* the kernel's own tables are not made here */
}

uint32_t arch_port_read(uint16_t port, uint32_t width_bytes)
{
	return port * width_bytes;
}

void arch_port_write(uint16_t port, uint32_t width_bytes, uint32_t value)
{
	(void)port;
	(void)width_bytes;
	(void)value;
}

void arch_console_write(const char *text, size_t length)
{
	if (fake_has_message) {
		fwrite(text, 1, length, stderr);
	}
}

void arch_info_fill(struct bh_info *info)
{
	info->tsc_hz = arch_tsc_hz;
	info->physical_address_bits = 40;
}

void arch_host_info_fill(struct bh_host_info *info)
{
	info->console_port = 0x3f8;
}

void arch_reset(void)
{
	longjmp(idle_jump, 1);
}

void arch_tlb_flush(void)
{
}

bool fake_leave(uint32_t cpu_idx)
{
	fake_cpu = &fake_cpus[cpu_idx];
	if (setjmp(idle_jump) != 0) {
		return false;
	}
	if (timer_tsc[cpu_idx] <= fake_tsc) {
		timer_tsc[cpu_idx] = BH_FOREVER;
		fake_cpu->work |= CPU_WORK_TIMER;
	}
	kernel_leave();
	return true;
}

int64_t fake_call(uint32_t cpu_idx, uint64_t number, const uint64_t arguments[4])
{
	struct arch_frame *frame = arch_user_frame(&fake_cpus[cpu_idx]);
	struct thread *thread = fake_cpus[cpu_idx].current;

	fake_cpu = &fake_cpus[cpu_idx];
	frame->rax = number;
	frame->rdi = arguments[0];
	frame->rsi = arguments[1];
	frame->rdx = arguments[2];
	frame->r10 = arguments[3];
	if (setjmp(idle_jump) != 0) {
		return INT64_MIN; /* the machine was reset */
	}
	call_handle(frame);
	return fake_leave(cpu_idx) && fake_cpu->current == thread ? (int64_t)frame->rax : INT64_MIN;
}

void fake_kernel_start(uint32_t bss_pages)
{
	static struct boot_info info;
	const struct bh_root_image image = {
		.magic = BH_ROOT_IMAGE_MAGIC,
		.entry = BH_VA_IMAGE + sizeof(image),
		.text_bytes = PAGE_SIZE,
		.bss_bytes = bss_pages * PAGE_SIZE,
		.stack_top = BH_VA_IMAGE + (1 + bss_pages) * PAGE_SIZE,
	};

	memset(&info, 0, sizeof(info));
	memset(fake_ram + MODULE_BASE, 0, 4 * PAGE_SIZE);
	memcpy(fake_ram + MODULE_BASE, &image, sizeof(image));
	info.memory_count = 2;
	info.memory[0] = (struct boot_memory){ MODULE_BASE, 4 * PAGE_SIZE, BOOT_MEMORY_BOOT, 0 };
	info.memory[1] = (struct boot_memory){ FREE_BASE, FAKE_RAM_BYTES - FREE_BASE,
		                               BOOT_MEMORY_FREE, 0 };
	info.modules_count = 2;
	info.modules[0] = (struct boot_module){ MODULE_BASE, PAGE_SIZE, "root", 0, 0 };
	info.modules[1] = (struct boot_module){ MODULE_BASE + PAGE_SIZE, 2 * PAGE_SIZE + 5, "file",
		                                0, 0 };
	for (uint32_t i = 0; i < cpus_count; i++) {
		sched_cpu_init(&fake_cpus[i]);
	}
	kernel_start(&info);
	fake_cpu = &fake_cpus[0];
}
