/* SPDX-License-Identifier: Apache-2.0 */
/* Start, text output, verdict, traps. See guest.h. */
#include "guests/lib/guest.h"

#include <stdarg.h>

#define COM1 0x3f8

void guest_start(uint32_t magic, const struct multiboot_info *info);
void trap_handle(struct trap_frame *frame);
void trap_load(void);

extern const uint8_t trap_stubs[];
extern uint64_t gdt[];

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate idt[256];
static uint8_t tss[104] __attribute__((aligned(16)));
static uint8_t trap_stack[8192] __attribute__((aligned(16)));
static uint32_t checks_count, failures_count, print_lock;

void (*guest_irq[256])(struct trap_frame *frame);
uint16_t guest_debug_port;

/* ---- text ---- */

static void put(char c)
{
	while ((in8(COM1 + 5) & 0x20) == 0) {
	}
	out8(COM1, (uint8_t)c);
	if (guest_debug_port != 0) {
		out8(guest_debug_port, (uint8_t)c);
	}
}

static void put_number(uint64_t value, uint32_t base)
{
	char digits[24];
	uint32_t count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (count > 0) {
		put(digits[--count]);
	}
}

static void put_signed(int64_t value)
{
	if (value < 0) {
		put('-');
		value = -value;
	}
	put_number((uint64_t)value, 10);
}

static void put_string(const char *text)
{
	for (; *text != '\0'; text++) {
		put(*text);
	}
}

static void print_arguments(const char *format, va_list *arguments)
{
	for (; *format != '\0'; format++) {
		bool is_long = false;

		if (*format != '%') {
			if (*format == '\n') {
				put('\r');
			}
			put(*format);
			continue;
		}
		format++;
		if (*format == 'l') {
			is_long = true;
			format++;
		}
		switch (*format) {
		case 's':
			put_string(va_arg(*arguments, const char *));
			break;
		case 'c':
			put((char)va_arg(*arguments, int));
			break;
		case 'd':
			put_signed(is_long ? va_arg(*arguments, int64_t) : va_arg(*arguments, int));
			break;
		default:
			put_number(is_long ? va_arg(*arguments, uint64_t)
			                   : va_arg(*arguments, uint32_t),
			           *format == 'x' ? 16 : 10);
			break;
		}
	}
}

static void print_locked(const char *prefix, const char *format, va_list *arguments,
                         const char *end)
{
	while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE) != 0) {
		__asm__ volatile("pause");
	}
	put_string(prefix);
	print_arguments(format, arguments);
	put_string(end);
	__atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
}

void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_locked("", format, &arguments, "");
	va_end(arguments);
}

/* ---- verdict ---- */

void check(bool is_ok, const char *format, ...)
{
	va_list arguments;

	__atomic_fetch_add(&checks_count, 1, __ATOMIC_RELAXED);
	if (is_ok) {
		return;
	}
	__atomic_fetch_add(&failures_count, 1, __ATOMIC_RELAXED);
	va_start(arguments, format);
	print_locked("FAILED: ", format, &arguments, "\r\n");
	va_end(arguments);
}

_Noreturn void guest_exit(const char *name)
{
	if (failures_count == 0 && checks_count > 0) {
		print("%s: PASS, %u checks\n", name, checks_count);
	} else {
		print("%s: FAIL, %u of %u checks\n", name, failures_count, checks_count);
	}
	out8(0xf4, failures_count == 0 && checks_count > 0 ? 0 : 1);
	out16(0x604, 0x2000); /* q35's ACPI power-off, for a run without the debug port */
	for (;;) {
		__asm__ volatile("cli; hlt");
	}
}

/* ---- traps ---- */

static void *catch_context[5];
static bool catch_is_on;
static struct trap_frame catch_frame;

int guest_catch(void (*function)(void *), void *argument, struct trap_frame *fault)
{
	if (__builtin_setjmp(catch_context) != 0) {
		/* out of the handler: on the catcher's stack again, in ring 0, interrupts still off */
		__asm__ volatile("mov %0, %%ss; mov %0, %%ds; mov %0, %%es" : : "r"(0x10));
		if (fault != NULL) {
			*fault = catch_frame;
		}
		return (int)catch_frame.vector;
	}
	catch_is_on = true;
	function(argument);
	catch_is_on = false;
	return -1;
}

void trap_handle(struct trap_frame *frame)
{
	if (frame->vector >= 32 || (frame->vector == 2 && guest_irq[2] != NULL)) {
		if (guest_irq[frame->vector] != NULL) {
			guest_irq[frame->vector](frame);
			return;
		}
		check(false, "interrupt %lu has no handler", frame->vector);
		return;
	}
	if (catch_is_on) {
		catch_is_on = false;
		catch_frame = *frame;
		__builtin_longjmp(catch_context, 1);
	}
	uint64_t cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	check(false, "fault %lu, error %lx, rip %lx, cr2 %lx", frame->vector, frame->error_code,
	      frame->rip, cr2);
	guest_exit("guest");
}

/* Load the IDT that all processors share. */
void trap_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static void trap_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint64_t stub = (uint64_t)(trap_stubs + i * 16);

		idt[i].offset_low = (uint16_t)stub;
		idt[i].offset_middle = (uint16_t)(stub >> 16);
		idt[i].offset_high = (uint32_t)(stub >> 32);
		idt[i].selector = 0x08;
		idt[i].type = i == 3 || i == 0x80 ? 0xee : 0x8e;
	}
	uint64_t base = (uint64_t)tss;

	*(uint64_t *)(void *)(tss + 4) = (uint64_t)(trap_stack + sizeof(trap_stack));
	*(uint16_t *)(void *)(tss + 102) = sizeof(tss); /* no I/O permission map */
	gdt[6] = (sizeof(tss) - 1) | ((base & 0xffffff) << 16) | (0x89ull << 40) |
	         ((base >> 24 & 0xff) << 56);
	gdt[7] = base >> 32;
	trap_load();
	__asm__ volatile("ltr %0" : : "r"((uint16_t)0x30));
}

void guest_start(uint32_t magic, const struct multiboot_info *info)
{
	trap_init();
	check(magic == 0x2badb002, "multiboot magic is %x", magic);
	guest_main(info);
	guest_exit("guest");
}
