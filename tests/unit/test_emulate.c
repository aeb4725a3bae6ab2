// SPDX-License-Identifier: Apache-2.0
/*
 * The emulator where no host CPU can be the judge: faults, page boundaries, segments of 16- and
 * 32-bit code, bounded REP, ports, the stack, SSE, and instruction fetch.
 */
// sources: vmm/emulate.c vmm/emulate_memory.c vmm/emulate_arithmetic.c vmm/emulate_string.c vmm/decode.c vmm/walk.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate.h"

#define RAM_BYTES 0x20000u
#define DEVICE    0xfee00000ull

static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
static const struct guest_memory memory = { .slots = { { 0, RAM_BYTES, ram } }, .slots_count = 1 };
static struct bh_cpu_state cpu;
static struct emulate emulate;
static uint8_t xmm[16][16];

/* What reached the bus, as text. Reads give the low bytes of `answer`. */
static char log_text[512];
static uint64_t answer;
static int bus_error;

static void note(const char *what, uint64_t where, uint32_t size, uint64_t value)
{
	size_t used = strlen(log_text);

	snprintf(log_text + used, sizeof(log_text) - used, "%s%llx/%u=%llx ", what,
	         (unsigned long long)where, (unsigned int)size, (unsigned long long)value);
}

static int mmio_read(void *context, uint64_t gpa, uint32_t size, uint64_t *value)
{
	*value = answer;
	note("r", gpa, size, 0);
	return bus_error;
}

static int mmio_write(void *context, uint64_t gpa, uint32_t size, uint64_t value)
{
	note("w", gpa, size, value);
	return bus_error;
}

static int port_in(void *context, uint16_t port, uint32_t size, uint32_t *value)
{
	*value = (uint32_t)answer++;
	note("i", port, size, 0);
	return bus_error;
}

static int port_out(void *context, uint16_t port, uint32_t size, uint32_t value)
{
	note("o", port, size, value);
	return bus_error;
}

static const struct emulate_bus bus = {
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.port_in = port_in,
	.port_out = port_out,
};

static void put(uint64_t table, uint32_t index, uint64_t value)
{
	memcpy(ram + table + index * 8ul, &value, 8);
}

/*
 * Long mode, CPL 0. Linear 0x0-0x7fff is RAM one to one, 0x8000 the device, 0x9000 RAM at 0x9000,
 * 0xa000 RAM read-only, 0xb000 not mapped, 0xc000 a user page, 0xd000 the device's second page.
 */
static int set_up(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memset(&cpu, 0, sizeof(cpu));
	memset(log_text, 0, sizeof(log_text));
	answer = 0x8877665544332211;
	bus_error = BH_OK;
	emulate = (struct emulate){
		.cpu = &cpu,
		.memory = &memory,
		.bus = &bus,
		.repeat_max = 4,
		.xmm = xmm,
	};
	put(0x10000, 0, 0x11000 | 7);
	put(0x11000, 0, 0x12000 | 7);
	put(0x12000, 0, 0x13000 | 7);
	for (uint32_t i = 0; i < 10; i++) {
		put(0x13000, i, i * 0x1000ull | 3);
	}
	put(0x13000, 8, DEVICE | 3);
	put(0x13000, 10, 0xa000 | 1);
	put(0x13000, 12, 0xc000 | 7);
	put(0x13000, 13, (DEVICE + 0x1000) | 7);
	cpu.cr0 = CPU_CR0_PG | CPU_CR0_PE | CPU_CR0_WP;
	cpu.cr3 = 0x10000;
	cpu.cr4 = CPU_CR4_PAE;
	cpu.efer = CPU_EFER_LMA | CPU_EFER_LME;
	cpu.rflags = CPU_RFLAGS_FIXED;
	cpu.rip = 0x1000;
	for (int i = 0; i < BH_SEG_COUNT; i++) {
		cpu.segments[i] = (struct bh_segment_state){ .limit = 0xffffffff,
			                                     .attributes = 0xc93 };
	}
	cpu.segments[BH_SEG_CS].attributes = 0xa9b;
	return 0;
}

static void set_protected(uint16_t code_attributes)
{
	cpu.cr0 = CPU_CR0_PE;
	cpu.cr4 = 0;
	cpu.efer = 0;
	cpu.segments[BH_SEG_CS].attributes = code_attributes;
}

#define STEP(text) emulate_step(&emulate, (const uint8_t *)(text), sizeof(text) - 1)

static void check_fault(uint8_t vector, uint32_t error_code)
{
	assert_int_equal(emulate.fault.vector, vector);
	assert_int_equal(emulate.fault.error_code, error_code);
	assert_int_equal(cpu.rip, 0x1000);
	assert_string_equal(log_text, "");
}

static void test_mov(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RBX] = 0x8020;
	cpu.gpr[BH_GPR_RAX] = UINT64_MAX;
	assert_int_equal(STEP("\x8b\x03"), EMULATE_DONE); /* mov eax, [rbx] */
	assert_int_equal(cpu.gpr[BH_GPR_RAX], 0x44332211);
	assert_int_equal(cpu.rip, 0x1002);
	assert_int_equal(STEP("\x66\xc7\x43\x04\x34\x12"),
	                 EMULATE_DONE); /* mov word [rbx+4], 0x1234 */
	assert_string_equal(log_text, "rfee00020/4=0 wfee00024/2=1234 ");
	/* SVM and VMX both give RIP as it was: RF is cleared, as by a completed instruction. */
	cpu.rflags |= CPU_RFLAGS_RF;
	assert_int_equal(STEP("\x88\x23"), EMULATE_DONE); /* mov [rbx], ah */
	assert_int_equal(cpu.rflags & CPU_RFLAGS_RF, 0);
	assert_non_null(strstr(log_text, "wfee00020/1=22"));
}

static void test_page_crossing(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RBX] = 0x8ffd; /* 3 bytes of the device, 5 of RAM */
	ram[0x9000] = 0xaa;
	assert_int_equal(STEP("\x48\x8b\x03"), EMULATE_DONE);
	assert_string_equal(log_text, "rfee00ffd/2=0 rfee00fff/1=0 ");
	assert_int_equal(cpu.gpr[BH_GPR_RAX], 0xaa112211);
	cpu.gpr[BH_GPR_RAX] = 0x1122334455667788;
	assert_int_equal(STEP("\x48\x89\x03"), EMULATE_DONE);
	assert_non_null(strstr(log_text, "wfee00ffd/2=7788 wfee00fff/1=66 "));
	assert_memory_equal(ram + 0x9000, "\x55\x44\x33\x22\x11\x00", 6);
	/* The second page faults: nothing at all may have been written. */
	set_up(NULL);
	cpu.gpr[BH_GPR_RBX] = 0x9ffe;
	assert_int_equal(STEP("\x48\x89\x03"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_PF, 3);
	assert_int_equal(emulate.fault.cr2, 0xa000);
	assert_int_equal(ram[0x9ffe], 0);
}

static void test_faults(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RBX] = 0xb008;
	assert_int_equal(STEP("\x83\x0b\x01"), EMULATE_FAULT); /* or dword [rbx], 1 */
	check_fault(CPU_VECTOR_PF, 2);
	assert_true(emulate.fault.has_error_code);
	assert_int_equal(emulate.fault.cr2, 0xb008);
	cpu.segments[BH_SEG_SS].attributes |= 3 << 5; /* CPL 3 */
	cpu.gpr[BH_GPR_RBX] = 0x8000;
	assert_int_equal(STEP("\x8b\x03"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_PF, 5);
	cpu.gpr[BH_GPR_RBX] = 0x800000000000;
	assert_int_equal(STEP("\x8b\x03"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_GP, 0);
	cpu.gpr[BH_GPR_RBP] = 0x7ffffffffffe; /* ends beyond */
	assert_int_equal(STEP("\x8b\x45\x00"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_SS, 0);
	assert_int_equal(STEP("\x0f\xa2"), EMULATE_UNSUPPORTED); /* cpuid */
	bus_error = BH_ERR_STATE;
	cpu.gpr[BH_GPR_RBX] = 0xd000;
	assert_int_equal(STEP("\x8b\x03"), EMULATE_FAILED);
	assert_int_equal(cpu.rip, 0x1000);
}

static void test_segments(void **state)
{
	(void)state;
	set_protected(0xc9b);
	cpu.segments[BH_SEG_DS].base = 0x1000;
	cpu.segments[BH_SEG_DS].limit = 0xfff;
	assert_int_equal(STEP("\xa1\xfc\x0f\x00\x00"), EMULATE_DONE);
	cpu.rip = 0x1000;
	assert_int_equal(STEP("\xa1\xfd\x0f\x00\x00"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_GP, 0);
	cpu.segments[BH_SEG_DS].attributes = 0xc91; /* read-only */
	assert_int_equal(STEP("\xa3\x00\x00\x00\x00"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_GP, 0);
	assert_int_equal(STEP("\xa1\x00\x00\x00\x00"), EMULATE_DONE);
	cpu.rip = 0x1000;
	cpu.segments[BH_SEG_DS].attributes = 0xc97; /* expands down: only above the limit */
	assert_int_equal(STEP("\xa1\xff\x0f\x00\x00"), EMULATE_FAULT);
	assert_int_equal(STEP("\xa1\x00\x10\x00\x00"), EMULATE_DONE);
	cpu.rip = 0x1000;
	cpu.segments[BH_SEG_DS].attributes = 0;
	assert_int_equal(STEP("\xa1\x00\x00\x00\x00"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_GP, 0);
	cpu.segments[BH_SEG_CS].attributes = 0xc99; /* execute-only: no data, but code */
	assert_int_equal(STEP("\x2e\xa1\x00\x00\x00\x00"), EMULATE_FAULT);
	memcpy(ram + 0x1000, "\x64\xa1\x00\x80\x00\x00", 6);
	assert_int_equal(emulate_step(&emulate, NULL, 0), EMULATE_DONE);
}

static void test_real_mode(void **state)
{
	(void)state;
	set_protected(0x09b);
	cpu.cr0 = 0;
	cpu.segments[BH_SEG_DS].base = 0x9000;
	cpu.segments[BH_SEG_DS].limit = 0xffff;
	cpu.segments[BH_SEG_DS].attributes = 0x093;
	cpu.gpr[BH_GPR_RBX] = 0xfffff0;
	cpu.gpr[BH_GPR_RSI] = 0x20;
	ram[0x9010] = 0x5a;
	assert_int_equal(STEP("\x8a\x00"), EMULATE_DONE); /* mov al, [bx+si]: wraps at 64 KiB */
	assert_int_equal(cpu.gpr[BH_GPR_RAX], 0x5a);
	cpu.rip = 0x1000;
	cpu.gpr[BH_GPR_RSI] = 0x000f;
	assert_int_equal(STEP("\x8b\x00"), EMULATE_FAULT); /* a word at 0xffff */
	check_fault(CPU_VECTOR_GP, 0);
	assert_false(emulate.fault.has_error_code);
	cpu.segments[BH_SEG_DS].limit = 0xffffffff; /* as after a visit to protected mode */
	cpu.gpr[BH_GPR_RBX] = 0xfee00000 - 0x9000;
	assert_int_equal(STEP("\x67\x66\x8b\x03"), EMULATE_DONE);
	assert_string_equal(log_text, "rfee00000/4=0 ");
	cpu.rip = 0xffff;
	assert_int_equal(STEP("\x8a\x00"), EMULATE_DONE);
	assert_int_equal(cpu.rip, 1);
}

static void test_repeat(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RCX] = 6;
	cpu.gpr[BH_GPR_RDI] = 0x8000;
	cpu.gpr[BH_GPR_RAX] = 0xabcd;
	assert_int_equal(STEP("\xf3\x66\xab"),
	                 EMULATE_AGAIN); /* rep stosw, 4 iterations at a time */
	assert_int_equal(cpu.rip, 0x1000);
	assert_int_equal(cpu.gpr[BH_GPR_RCX], 2);
	assert_int_equal(cpu.gpr[BH_GPR_RDI], 0x8008);
	assert_int_equal(STEP("\xf3\x66\xab"), EMULATE_DONE);
	assert_int_equal(cpu.rip, 0x1003);
	assert_int_equal(cpu.gpr[BH_GPR_RDI], 0x800c);
	/* A fault in the third iteration leaves the first two done. */
	cpu.rip = 0x1000;
	cpu.gpr[BH_GPR_RCX] = 4;
	cpu.gpr[BH_GPR_RSI] = 0x8000;
	cpu.gpr[BH_GPR_RDI] = 0x9ff8;
	assert_int_equal(STEP("\xf3\xa5"), EMULATE_FAULT);
	assert_int_equal(emulate.fault.vector, CPU_VECTOR_PF);
	assert_int_equal(emulate.fault.cr2, 0xa000);
	assert_int_equal(cpu.gpr[BH_GPR_RCX], 2);
	assert_int_equal(cpu.gpr[BH_GPR_RSI], 0x8008);
	assert_int_equal(cpu.rip, 0x1000);
	cpu.gpr[BH_GPR_RCX] = 0;
	assert_int_equal(STEP("\xf3\xa5"), EMULATE_DONE);
	assert_int_equal(cpu.gpr[BH_GPR_RSI], 0x8008);
}

static void test_ports(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RDX] = 0x103f8;
	cpu.gpr[BH_GPR_RCX] = 3;
	cpu.gpr[BH_GPR_RSI] = 0x2000;
	memcpy(ram + 0x2000, "abc", 3);
	assert_int_equal(STEP("\xf3\x6e"), EMULATE_DONE); /* rep outsb */
	assert_string_equal(log_text, "o3f8/1=61 o3f8/1=62 o3f8/1=63 ");
	log_text[0] = '\0';
	cpu.gpr[BH_GPR_RDI] = 0x3002;
	cpu.rflags |= CPU_RFLAGS_DF;
	assert_int_equal(STEP("\x66\x6d"), EMULATE_DONE); /* insw, downwards */
	assert_string_equal(log_text, "i3f8/2=0 ");
	assert_int_equal(cpu.gpr[BH_GPR_RDI], 0x3000);
	assert_memory_equal(ram + 0x3002, "\x11\x22", 2);
	/* The port is not read for a target that cannot be written. */
	set_up(NULL);
	cpu.gpr[BH_GPR_RDI] = 0xa000;
	assert_int_equal(STEP("\x6c"), EMULATE_FAULT);
	check_fault(CPU_VECTOR_PF, 3);
}

static void test_stack(void **state)
{
	uint64_t value = 0x1122334455667788;

	(void)state;
	cpu.gpr[BH_GPR_RSP] = 0x3000;
	cpu.gpr[BH_GPR_RBX] = 0x8000;
	assert_int_equal(STEP("\xff\x33"), EMULATE_DONE); /* push qword [rbx] */
	assert_string_equal(log_text, "rfee00000/8=0 ");
	assert_int_equal(cpu.gpr[BH_GPR_RSP], 0x2ff8);
	assert_memory_equal(ram + 0x2ff8, &answer, 8);
	memcpy(ram + 0x2ff8, &value, 8);
	/* pop qword [rsp + 0x5000]: the address is that of the moved stack pointer. */
	assert_int_equal(STEP("\x8f\x84\x24\x00\x50\x00\x00"), EMULATE_DONE);
	assert_int_equal(cpu.gpr[BH_GPR_RSP], 0x3000);
	assert_non_null(strstr(log_text, "wfee00000/8=1122334455667788"));
	set_up(NULL);
	cpu.gpr[BH_GPR_RSP] = 0x2ff8;
	assert_int_equal(STEP("\x8f\x84\x24\x00\x80\x00\x00"), EMULATE_FAULT); /* into 0xb000 */
	check_fault(CPU_VECTOR_PF, 2);
	assert_int_equal(cpu.gpr[BH_GPR_RSP], 0x2ff8);
	set_up(NULL);
	set_protected(0xc9b);
	cpu.segments[BH_SEG_SS].attributes = 0x093; /* a 16-bit stack under 32-bit code */
	cpu.gpr[BH_GPR_RSP] = 0x12340002;
	assert_int_equal(STEP("\xff\x35\x00\x20\x00\x00"), EMULATE_DONE);
	assert_int_equal(cpu.gpr[BH_GPR_RSP], 0x1234fffe);
}

static void test_vectors(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RBX] = 0x8010;
	memset(xmm, 0xee, sizeof(xmm));
	assert_int_equal(STEP("\x0f\x28\x0b"), EMULATE_DONE); /* movaps xmm1, [rbx] */
	assert_string_equal(log_text, "rfee00010/8=0 rfee00018/8=0 ");
	assert_memory_equal(xmm[1], "\x11\x22\x33\x44\x55\x66\x77\x88\x11", 9);
	assert_int_equal(STEP("\x66\x0f\x6e\x13"), EMULATE_DONE); /* movd xmm2, [rbx] */
	assert_memory_equal(xmm[2], "\x11\x22\x33\x44\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	cpu.gpr[BH_GPR_RBX] = 0x3000;
	assert_int_equal(STEP("\x0f\x11\x4b\x01"), EMULATE_DONE); /* movups [rbx+1], xmm1 */
	assert_memory_equal(ram + 0x3001, xmm[1], 16);
	cpu.rip = 0x1000;
	assert_int_equal(STEP("\x0f\x29\x4b\x01"), EMULATE_FAULT);
	assert_int_equal(emulate.fault.vector, CPU_VECTOR_GP);
	emulate.xmm = NULL;
	assert_int_equal(STEP("\x0f\x11\x0b"), EMULATE_UNSUPPORTED);
}

static void test_fetch(void **state)
{
	(void)state;
	cpu.gpr[BH_GPR_RBX] = 0x8000;
	memcpy(ram + 0x5ffe, "\xc7\x03\x78\x56\x34\x12", 6);
	cpu.rip = 0x5ffe;
	assert_int_equal(emulate_step(&emulate, NULL, 0), EMULATE_DONE);
	assert_string_equal(log_text, "wfee00000/4=12345678 ");
	assert_int_equal(cpu.rip, 0x6004);
	/* Half of it was saved by the CPU: the rest is fetched. */
	cpu.rip = 0x5ffe;
	assert_int_equal(emulate_step(&emulate, ram + 0x5ffe, 2), EMULATE_DONE);
	/* It goes on into a page that is not there. */
	log_text[0] = '\0';
	memcpy(ram + 0xaffe, "\xc7\x03", 2);
	cpu.rip = 0xaffe;
	assert_int_equal(emulate_step(&emulate, NULL, 0), EMULATE_FAULT);
	assert_int_equal(emulate.fault.vector, CPU_VECTOR_PF);
	assert_int_equal(emulate.fault.cr2, 0xb000);
	/* Short ones need nothing of the next page. */
	memcpy(ram + 0xaffe, "\x89\x03", 2);
	assert_int_equal(emulate_step(&emulate, NULL, 0), EMULATE_DONE);
	/* Code in a device, and prefixes without an end. */
	cpu.rip = 0x8000;
	assert_int_equal(emulate_step(&emulate, NULL, 0), EMULATE_UNSUPPORTED);
	memset(ram + 0x1000, 0x66, 16);
	cpu.rip = 0x1000;
	assert_int_equal(emulate_step(&emulate, NULL, 0), EMULATE_FAULT);
	assert_int_equal(emulate.fault.vector, CPU_VECTOR_GP);
}

/* ---- memory in chunks of 16 KiB ---- */

#define CHUNK 0x4000ull

static struct bh_chunks chunks;
static uint64_t lent[BH_CHUNKS_MAX / 64];
static uint64_t absent;
static struct guest_memory chunked;

static void set_chunked(void)
{
	chunks = (struct bh_chunks){ .chunk_bytes = CHUNK, .count = RAM_BYTES / CHUNK };
	for (uint32_t i = 0; i < chunks.count; i++) {
		chunks.handles[i] = 9;
	}
	memset(lent, 0, sizeof(lent));
	absent = EMULATE_ABSENT_NONE;
	chunked = memory;
	chunked.chunks = &chunks;
	chunked.lent = lent;
	chunked.absent = &absent;
	emulate.memory = &chunked;
}

/* An operand is away: nothing is done, and it is said what to wait for. */
static void test_absent_operands(void **state)
{
	(void)state;
	set_chunked();
	chunks.handles[1] = 0;
	cpu.gpr[BH_GPR_RBX] = 0x5008;
	assert_int_equal(STEP("\x8b\x03"), EMULATE_ABSENT); /* mov eax, [rbx] */
	assert_int_equal(absent, 0x5008);
	assert_int_equal(cpu.gpr[BH_GPR_RAX], 0);
	assert_int_equal(cpu.rip, 0x1000);
	/* From the device to it: the device is not read. */
	absent = EMULATE_ABSENT_NONE;
	cpu.gpr[BH_GPR_RSI] = 0x8020;
	cpu.gpr[BH_GPR_RDI] = 0x3fff;                   /* its last bytes are in the next chunk */
	assert_int_equal(STEP("\xa5"), EMULATE_ABSENT); /* movsd */
	assert_int_equal(absent, 0x4000);
	assert_string_equal(log_text, "");
	assert_int_equal(cpu.gpr[BH_GPR_RDI], 0x3fff);
	chunks.handles[1] = 9;
	absent = EMULATE_ABSENT_NONE;
	assert_int_equal(STEP("\xa5"), EMULATE_DONE);
	assert_int_equal(absent, EMULATE_ABSENT_NONE);
	assert_memory_equal(ram + 0x3fff, "\x11\x22\x33\x44", 4);
}

/* Of a repeated one the finished iterations stay done. */
static void test_absent_in_a_repetition(void **state)
{
	(void)state;
	set_chunked();
	chunks.handles[1] = 0;
	cpu.gpr[BH_GPR_RCX] = 4;
	cpu.gpr[BH_GPR_RAX] = 0x77;
	cpu.gpr[BH_GPR_RDI] = 0x3ffe;
	assert_int_equal(STEP("\xf3\xaa"), EMULATE_ABSENT); /* rep stosb */
	assert_int_equal(absent, 0x4000);
	assert_int_equal(cpu.gpr[BH_GPR_RCX], 2);
	assert_int_equal(cpu.gpr[BH_GPR_RDI], 0x4000);
	assert_int_equal(cpu.rip, 0x1000);
	chunks.handles[1] = 9;
	absent = EMULATE_ABSENT_NONE;
	assert_int_equal(STEP("\xf3\xaa"), EMULATE_DONE);
	assert_memory_equal(ram + 0x3ffe, "\x77\x77\x77\x77\x00", 5);
}

/* Its page tables and its code: whatever comes of that, it is said what to wait for. */
static void test_absent_tables_and_code(void **state)
{
	(void)state;
	set_chunked();
	chunks.handles[4] = 0;
	cpu.gpr[BH_GPR_RBX] = 0x5008;
	assert_int_not_equal(STEP("\x8b\x03"), EMULATE_DONE);
	assert_int_equal(absent / CHUNK, 4);
	assert_int_equal(cpu.rip, 0x1000);
	set_chunked();
	chunks.handles[0] = 0;
	assert_int_not_equal(emulate_step(&emulate, NULL, 0), EMULATE_DONE);
	assert_int_equal(absent / CHUNK, 0);
}

/* What is in the balloon is like memory that does not exist. */
static void test_lent_operands(void **state)
{
	(void)state;
	set_chunked();
	chunks.handles[1] = 0;
	lent[0] = 1u << 1;
	cpu.gpr[BH_GPR_RBX] = 0x5008;
	assert_int_equal(STEP("\x8b\x03"), EMULATE_DONE);
	assert_string_equal(log_text, "r5008/4=0 ");
	assert_int_equal(absent, EMULATE_ABSENT_NONE);
}

static void test_chunks_of_addresses(void **state)
{
	(void)state;
	set_chunked();
	chunked.slots[1] = (struct guest_memory_slot){ GUEST_HIGH_BASE, CHUNK, ram };
	chunked.slots_count = 2;
	chunked.low_bytes = RAM_BYTES;
	chunked.absent = NULL;
	assert_int_equal(guest_memory_chunk(&chunked, 0x4000), 1);
	assert_int_equal(guest_memory_chunk(&chunked, GUEST_HIGH_BASE + 5), RAM_BYTES / CHUNK);
	assert_int_equal(guest_memory_chunk(&chunked, RAM_BYTES), 0);
	assert_int_equal(guest_memory_chunk(&memory, 0x4000), 0);
	chunks.handles[2] = 0;
	assert_non_null(guest_memory_at(&chunked, 0x7ff8, 8));
	assert_null(guest_memory_at(&chunked, 0x7ff9, 8));
	assert_null(guest_memory_at(&chunked, 0x7fff, 2 * CHUNK));
	assert_true(guest_memory_has(&chunked, 0x7ff9, 8));
	assert_int_equal(guest_memory_write(&chunked, 0x8000, "x", 1), BH_ERR_ADDRESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_mov, set_up),
		cmocka_unit_test_setup(test_page_crossing, set_up),
		cmocka_unit_test_setup(test_faults, set_up),
		cmocka_unit_test_setup(test_segments, set_up),
		cmocka_unit_test_setup(test_real_mode, set_up),
		cmocka_unit_test_setup(test_repeat, set_up),
		cmocka_unit_test_setup(test_ports, set_up),
		cmocka_unit_test_setup(test_stack, set_up),
		cmocka_unit_test_setup(test_vectors, set_up),
		cmocka_unit_test_setup(test_fetch, set_up),
		cmocka_unit_test_setup(test_absent_operands, set_up),
		cmocka_unit_test_setup(test_absent_in_a_repetition, set_up),
		cmocka_unit_test_setup(test_absent_tables_and_code, set_up),
		cmocka_unit_test_setup(test_lent_operands, set_up),
		cmocka_unit_test_setup(test_chunks_of_addresses, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
