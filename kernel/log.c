/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log ring and the last words (see log.h). One spin lock keeps lines whole; panic() does not wait for it.
 * Must work before anything else does, so the ring is a part of the image.
 */
#include "kernel/log.h"

#include "kernel/call.h"
#include "kernel/lock.h"

#define LINE_MAX           320u
#define TEXT_MAX           256u /* of a domain */
#define LOCK_TRIES         50000000u
#define LIMITED_PER_SECOND 8u
#define PANIC_STACK_LINES  32u

struct bh_log log_ring __attribute__((aligned(4096)));

static struct spinlock log_lock;
static bool is_panicking;

static size_t __attribute__((format(printf, 3, 4)))
log_format(char *buffer, size_t size, const char *format, ...)
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

/* One line, with the time before it. */
static void line_write(const char *format, va_list arguments)
{
	char line[LINE_MAX];
	uint64_t us = arch_tsc_hz >= 1000000 ? arch_tsc_read() / (arch_tsc_hz / 1000000) : 0;
	size_t length = log_format(line, sizeof(line), "[%5lu.%06lu] ", us / 1000000, us % 1000000);

	length += format_text(line + length, sizeof(line) - length, format, arguments);
	line[length++] = '\n'; /* in place of the NUL */
	bool is_held = lock_try();
	uint64_t head = log_ring.head;

	for (size_t i = 0; i < length; i++) {
		log_ring.text[(head + i) % BH_LOG_BYTES] = line[i];
	}
	__atomic_store_n(&log_ring.head, head + length, __ATOMIC_RELEASE);
	arch_console_write(line, length); /* until the port is claimed */
	if (is_held) {
		spinlock_drop(&log_lock);
	}
}

void log_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	line_write(format, arguments);
	va_end(arguments);
}

/* At most LIMITED_PER_SECOND in any second; exact only on one pCPU, which is enough. */
void log_print_limited(const char *format, ...)
{
	static uint64_t second_start_tsc;
	static uint32_t used, dropped;
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
	line_write(format, arguments);
	va_end(arguments);
}

/* Bytes that are no text are replaced; the caller's own newline goes. */
int64_t call_log_write(struct call *call)
{
	char text[TEXT_MAX + 1];
	uint64_t length = call->arg[1];
	int error = length <= TEXT_MAX ? arch_copy_from_user(text, HVA(call->arg[0]), length)
	                               : BH_ERR_INVALID;

	if (error < 0) {
		return error;
	}
	length -= length > 0 && text[length - 1] == '\n' ? 1 : 0;
	for (uint64_t i = 0; i < length; i++) {
		text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '.';
	}
	text[length] = '\0';
	log_print("%u %s: %s", call->caller->id, call->caller->name, text);
	return BH_OK;
}

static void panic_dump(const struct cpu *cpu)
{
	const uint64_t *word = __builtin_frame_address(0);

	log_print("pCPU %u, thread %lx, work %x", cpu->idx, (uint64_t)cpu->current, cpu->work);
	for (uint32_t i = 0; i < PANIC_STACK_LINES && (uint64_t)(word + 4) <= cpu->kernel_stack_top;
	     i++) {
		log_print("  stack %lx %lx %lx %lx", word[0], word[1], word[2], word[3]);
		word += 4;
	}
}

void panic(const char *format, ...)
{
	struct cpu *self = cpu_self();
	va_list arguments;

	if (__atomic_exchange_n(&is_panicking, true, __ATOMIC_SEQ_CST)) {
		arch_cpu_stop(); /* another pCPU, or the dump itself, broke first */
	}
	arch_console_claimed = false;
	log_print("PANIC, the machine is stopped:");
	va_start(arguments, format);
	line_write(format, arguments);
	va_end(arguments);
	if (cpus_count != 0 && self != NULL && self->self == self) {
		arch_cpus_stop_others();
		panic_dump(self);
	}
	arch_cpu_stop();
}
