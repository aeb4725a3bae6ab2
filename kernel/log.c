/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log ring and the last words (see log.h). One spin lock keeps lines whole; panic() does not wait for it.
 * Must work before anything else does: it starts with a small buffer of its own.
 */
#include "kernel/log.h"

#include "kernel/domain.h"
#include "kernel/lock.h"
#include "kernel/memory.h"
#include "kernel/message.h"
#include "kernel/string.h"

#define LINE_MAX           200u
#define EARLY_BYTES        8192u
#define LOCK_TRIES         50000000u
#define LIMITED_PER_SECOND 8u
#define PANIC_STACK_BYTES  512u

static struct spinlock log_lock;
static char early_text[EARLY_BYTES];
static uint32_t early_length;
static struct bh_log *ring;
static bool is_panicking;

static void ring_append(const char *text, size_t length)
{
	if (ring == NULL) {
		size_t room = EARLY_BYTES - early_length;

		length = length < room ? length : room;
		memcpy(&early_text[early_length], text, length);
		early_length += (uint32_t)length;
		return;
	}
	uint64_t head = ring->head;

	for (size_t i = 0; i < length; i++) {
		ring->text[(head + i) % BH_LOG_BYTES] = text[i];
	}
	__atomic_store_n(&ring->head, head + length, __ATOMIC_RELEASE);
}

int log_init(void)
{
	hpa_t pa;
	int error = memory_allocate(sizeof(struct bh_log), PAGE_SIZE, MEMORY_OWNER_KERNEL, &pa);

	if (error < 0) {
		return error;
	}
	memset(phys_to_virt(pa), 0, sizeof(struct bh_log));
	spinlock_take(&log_lock);
	ring = phys_to_virt(pa);
	ring_append(early_text, early_length);
	spinlock_drop(&log_lock);
	return BH_OK;
}

hpa_t log_pages(void)
{
	return virt_to_phys(ring);
}

size_t log_format(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	size_t length = format_text(buffer, size, format, arguments);
	va_end(arguments);
	return length;
}

/*
 * An NMI or a fault may have come while this very pCPU held the lock: its report goes out unlocked
 * after a while rather than never.
 */
static bool lock_try(void)
{
	for (uint32_t i = 0; i < LOCK_TRIES && !is_panicking; i++) {
		if (spinlock_try(&log_lock)) {
			return true;
		}
		__builtin_ia32_pause();
	}
	return false;
}

/* Put time before it and a newline behind it. */
static void line_write(const char *text)
{
	char line[LINE_MAX + 32];
	uint64_t us = arch_tsc_hz >= 1000000 ? arch_tsc_read() / (arch_tsc_hz / 1000000) : 0;
	size_t length = log_format(line, sizeof(line), "[%5lu.%06lu] %s\n", us / 1000000,
	                           us % 1000000, text);

	bool is_held = lock_try();

	ring_append(line, length);
	arch_console_write(line, length); /* the screen always, the port until it is claimed */
	if (is_held) {
		spinlock_drop(&log_lock);
	}
}

void log_print(const char *format, ...)
{
	char text[LINE_MAX + 1];
	va_list arguments;

	va_start(arguments, format);
	format_text(text, sizeof(text), format, arguments);
	va_end(arguments);
	line_write(text);
}

/* At most LIMITED_PER_SECOND in any second; exact only on one pCPU, which is enough. */
void log_print_limited(const char *format, ...)
{
	static uint64_t second_start_tsc;
	static uint32_t used, dropped;
	char text[LINE_MAX + 1];
	uint64_t now = arch_tsc_read();
	va_list arguments;

	if (now - second_start_tsc >= arch_tsc_hz) {
		second_start_tsc = now;
		used = 0;
		if (dropped != 0) {
			log_print("(%u more messages were left out)", dropped);
			dropped = 0;
		}
	}
	if (++used > LIMITED_PER_SECOND) {
		dropped++;
		return;
	}
	va_start(arguments, format);
	format_text(text, sizeof(text), format, arguments);
	va_end(arguments);
	line_write(text);
}

void log_write_domain(uint32_t domain_id, const char *name, const char *text, size_t length)
{
	char line[LINE_MAX + 1];
	size_t at = log_format(line, sizeof(line), "%u %s: ", domain_id, name);

	for (size_t i = 0; i < length && at < LINE_MAX; i++) {
		bool is_text = text[i] >= ' ' && text[i] <= '~';

		if (!is_text && i + 1 == length) {
			break; /* a newline of the caller's own */
		}
		line[at++] = is_text ? text[i] : '.';
	}
	line[at] = '\0';
	line_write(line);
}

static void panic_dump(const struct cpu *cpu)
{
	const struct thread *thread = cpu->current;
	const uint64_t *word = __builtin_frame_address(0);
	uint64_t end = (uint64_t)word + PANIC_STACK_BYTES;

	end = end < cpu->kernel_stack_top ? end : cpu->kernel_stack_top;

	log_print("pCPU %u, thread %p of domain %u (%s), work %x", cpu->idx, (const void *)thread,
	          thread != NULL ? thread->domain->id : 0,
	          thread != NULL ? thread->domain->name : "idle", cpu->work);
	for (; (uint64_t)(word + 4) <= end; word += 4) {
		log_print("  stack %lx %lx %lx %lx", word[0], word[1], word[2], word[3]);
	}
}

void panic(const char *format, ...)
{
	char text[LINE_MAX + 1];
	struct cpu *self = cpu_self();
	va_list arguments;

	if (__atomic_exchange_n(&is_panicking, true, __ATOMIC_SEQ_CST)) {
		arch_cpu_stop(); /* another pCPU, or the dump itself, broke first */
	}
	arch_console_claimed = false;
	va_start(arguments, format);
	format_text(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_print("PANIC: %s", text);
	if (cpus_count != 0 && self != NULL && self->self == self) {
		arch_cpus_stop_others();
		panic_dump(self);
	}
	log_print("The machine is stopped.");
	arch_cpu_stop();
}
