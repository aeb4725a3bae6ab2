/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Linux figures of scripts/bench are measured with, in place of an init: prints the TSC, does some workloads and prints how
 * many ticks each took, and powers off. Static, without a C library (Linux system calls).
 *     prompt tsc N
 *     workload NAME N
 */
#include <stdint.h>

#define SYS_READ              0
#define SYS_WRITE             1
#define SYS_OPEN              2
#define SYS_CLOSE             3
#define SYS_MMAP              9
#define SYS_MUNMAP            11
#define SYS_PIPE              22
#define SYS_GETPPID           110
#define SYS_FORK              57
#define SYS_EXECVE            59
#define SYS_EXIT              60
#define SYS_WAIT4             61
#define SYS_REBOOT            169

#define O_CREATE              0x241 /* O_WRONLY | O_CREAT | O_TRUNC */
#define PROT_RW               3
#define MAP_PRIVATE_ANONYMOUS 0x22

#define FORKS                 200
#define PINGS                 5000
#define CALLS                 100000
#define TOUCH_ROUNDS          4
#define TOUCH_BYTES           (64l << 20)
#define SUM_BYTES             (16l << 20)
#define SUM_FILE              "/tmp/sum"

__attribute__((naked)) _Noreturn void _start(void);
_Noreturn void start(const long *stack);

static long call(long number, long a, long b, long c)
{
	register long r10 __asm__(
		"r10") = MAP_PRIVATE_ANONYMOUS; /* only mmap and wait4 have more than three */
	register long r8 __asm__("r8") = -1;
	register long r9 __asm__("r9") = 0;
	long result;

	if (number == SYS_WAIT4) {
		r10 = 0;
	}
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return ((uint64_t)high << 32) | low;
}

static char *put(char *at, const char *text)
{
	while (*text != '\0') {
		*at++ = *text++;
	}
	return at;
}

static void print(const char *what, const char *name, uint64_t value)
{
	char text[96], digits[24];
	char *at = put(put(text, what), name);
	int count = 0;

	*at++ = ' ';
	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (count > 0) {
		*at++ = digits[--count];
	}
	*at++ = '\n';
	call(SYS_WRITE, 1, (long)text, at - text);
}

/* In a child: another program with standard output thrown away. */
static _Noreturn void become(const char *path, const char *const *arguments)
{
	static const char *const environment[] = { (const char *)0 };

	call(SYS_CLOSE, 1, 0, 0);
	call(SYS_OPEN, (long)"/dev/null", 2, 0);
	call(SYS_EXECVE, (long)path, (long)arguments, (long)environment);
	for (;;) {
		call(SYS_EXIT, 127, 0, 0);
	}
}

/* The child's exit code as it is in the status. */
static int wait_for(long child)
{
	int status = -1;

	call(SYS_WAIT4, child, (long)&status, 0);
	return status;
}

static int fork_and_exec(void)
{
	static const char *const arguments[] = { "workload", "end", (const char *)0 };
	int bad = 0;

	for (int i = 0; i < FORKS; i++) {
		long child = call(SYS_FORK, 0, 0, 0);

		if (child == 0) {
			become("/bin/workload", arguments);
		}
		bad |= wait_for(child);
	}
	return bad;
}

static int pipe_ping_pong(void)
{
	int there[2], back[2];
	char byte = 1;
	long child;

	call(SYS_PIPE, (long)there, 0, 0);
	call(SYS_PIPE, (long)back, 0, 0);
	child = call(SYS_FORK, 0, 0, 0);
	if (child == 0) {
		for (int i = 0; i < PINGS; i++) {
			call(SYS_READ, there[0], (long)&byte, 1);
			call(SYS_WRITE, back[1], (long)&byte, 1);
		}
		call(SYS_EXIT, 0, 0, 0);
	}
	for (int i = 0; i < PINGS; i++) {
		call(SYS_WRITE, there[1], (long)&byte, 1);
		call(SYS_READ, back[0], (long)&byte, 1);
	}
	return wait_for(child);
}

static int page_touch(void)
{
	for (int round = 0; round < TOUCH_ROUNDS; round++) {
		long at = call(SYS_MMAP, 0, TOUCH_BYTES, PROT_RW);

		if (at < 0) {
			return 1;
		}
		for (long offset = 0; offset < TOUCH_BYTES; offset += 4096) {
			*(volatile char *)(at + offset) = 1;
		}
		call(SYS_MUNMAP, at, TOUCH_BYTES, 0);
	}
	return 0;
}

static int system_calls(void)
{
	for (int i = 0; i < CALLS; i++) {
		call(SYS_GETPPID, 0, 0, 0);
	}
	return 0;
}

static int sha256sum(void)
{
	static const char *const arguments[] = { "sha256sum", SUM_FILE, (const char *)0 };
	long child = call(SYS_FORK, 0, 0, 0);

	if (child == 0) {
		become("/bin/busybox", arguments);
	}
	return wait_for(child);
}

/* A loop of the shell with arithmetic, variables and a built-in test: an interpreter at work. */
static int shell_loop(void)
{
	static const char *const arguments[] = {
		"sh", "-c",
		"i=0; s=; while [ $i -lt 20000 ]; do i=$((i + 1)); "
		"s=${s#?????}x$i; done",
		(const char *)0
	};
	long child = call(SYS_FORK, 0, 0, 0);

	if (child == 0) {
		become("/bin/busybox", arguments);
	}
	return wait_for(child);
}

static void make_file(void)
{
	static char block[65536];
	long file = call(SYS_OPEN, (long)SUM_FILE, O_CREATE, 0644);

	for (unsigned int i = 0; i < sizeof(block); i++) {
		block[i] = (char)(i * 7);
	}
	for (long done = 0; done < SUM_BYTES; done += (long)sizeof(block)) {
		call(SYS_WRITE, file, (long)block, sizeof(block));
	}
	call(SYS_CLOSE, file, 0, 0);
}

static void measure(const char *name, int (*run)(void))
{
	uint64_t start = rdtsc();
	int bad = run();
	uint64_t ticks = rdtsc() - start;

	if (bad != 0) {
		print("failed ", name, (unsigned int)bad);
	} else {
		print("workload ", name, ticks);
	}
}

_Noreturn void start(const long *stack)
{
	if (stack[0] > 1) { /* an argument: the program that fork_and_exec() starts */
		call(SYS_EXIT, 0, 0, 0);
	}
	print("prompt ", "tsc", rdtsc());
	make_file();
	measure("fork-exec", fork_and_exec);
	measure("pipe", pipe_ping_pong);
	measure("page-touch", page_touch);
	measure("system-calls", system_calls);
	measure("sha256sum", sha256sum);
	measure("shell-loop", shell_loop);
	print("workloads ", "end", 0);
	for (;;) {
		call(SYS_REBOOT, (long)0xfee1dead, 672274793, 0x4321fedc);
	}
}

void _start(void)
{
	__asm__ volatile("mov %rsp, %rdi; and $-16, %rsp; call start");
}
