// SPDX-License-Identifier: Apache-2.0
/*
 * The emulator against the CPU that runs the test: the same instruction, registers, flags and
 * memory on both sides, with the operand once in RAM and once behind the device callbacks.
 *
 * A stub of machine code loads the registers from a record below 4 GiB, runs one instruction, and
 * stores them again. The emulator works with paging off, so that guest addresses are the addresses
 * of this process.
 */
// sources: vmm/emulate.c vmm/emulate_memory.c vmm/emulate_arithmetic.c vmm/emulate_string.c vmm/decode.c vmm/walk.c vmm/guest_memory.c
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate.h"

#define BUFFER_BYTES 8192u
#define ALL_FLAGS                                                                        \
	(CPU_RFLAGS_CF | CPU_RFLAGS_PF | CPU_RFLAGS_AF | CPU_RFLAGS_ZF | CPU_RFLAGS_SF | \
	 CPU_RFLAGS_OF | CPU_RFLAGS_DF)
#define ROUNDS 40

/* Lies below 4 GiB, so that the stub reaches it with 32-bit absolute addresses. */
struct arena {
	uint64_t in[BH_GPR_COUNT];
	uint64_t out[BH_GPR_COUNT];
	uint64_t flags_in;
	uint64_t flags_out;
	uint64_t saved_rsp;
	uint8_t xmm[16][16];
	uint8_t padding[4096 - (2 * 16 + 3) * 8 - 256];
	uint8_t buffer[BUFFER_BYTES];
};

static struct arena *arena;
static uint8_t *code;
static uint8_t before[BUFFER_BYTES];
static uint8_t native_after[BUFFER_BYTES];
static uint8_t device[BUFFER_BYTES];
static uint64_t random_state = 0x853c49e6748fea9bull;
static uint32_t runs;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Values at which carries and signs change, as often as random ones. */
static uint64_t random_value(void)
{
	static const uint64_t corners[] = { 0,
		                            1,
		                            0x7f,
		                            0x80,
		                            0xff,
		                            0x7fff,
		                            0x8000,
		                            0xffff,
		                            0x7fffffff,
		                            0x80000000,
		                            0xffffffff,
		                            0x7fffffffffffffff,
		                            0x8000000000000000,
		                            UINT64_MAX };

	return (random_next() & 1) != 0 ? random_next() : corners[random_next() % 14];
}

static uint32_t low_address(const void *at)
{
	return (uint32_t)(uintptr_t)at;
}

static uint8_t *emit_absolute(uint8_t *at, uint8_t rex, uint8_t opcode, uint8_t reg,
                              const void *where)
{
	uint32_t address = low_address(where);

	*at++ = rex | (uint8_t)(reg >= 8 ? 4 : 0);
	*at++ = opcode;
	*at++ = (uint8_t)((reg & 7) << 3 | 4);
	*at++ = 0x25;
	memcpy(at, &address, 4);
	return at + 4;
}

static uint8_t *emit_bytes(uint8_t *at, const char *bytes, size_t count)
{
	memcpy(at, bytes, count);
	return at + count;
}

/* RSP is not loaded: forms that use it are left to the other tests. */
static void build_stub(const uint8_t *instruction, uint32_t length)
{
	uint8_t *at = code;

	at = emit_bytes(at, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57\x9c", 11);
	at = emit_absolute(at, 0x48, 0x89, BH_GPR_RSP, &arena->saved_rsp);
	at = emit_absolute(at, 0x48, 0xff, 6, &arena->flags_in); /* PUSH */
	*at++ = 0x9d;                                            /* POPF */
	for (uint8_t i = 0; i < BH_GPR_COUNT; i++) {
		at = i == BH_GPR_RSP ? at : emit_absolute(at, 0x48, 0x8b, i, &arena->in[i]);
	}
	at = emit_bytes(at, (const char *)instruction, length);
	for (uint8_t i = 0; i < BH_GPR_COUNT; i++) {
		at = i == BH_GPR_RSP ? at : emit_absolute(at, 0x48, 0x89, i, &arena->out[i]);
	}
	*at++ = 0x9c;
	at = emit_absolute(at, 0x48, 0x8f, 0, &arena->flags_out); /* POP */
	at = emit_bytes(at, "\x9d\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 12);
	__builtin___clear_cache((char *)code, (char *)at);
}

static void run_native(const uint8_t *instruction, uint32_t length)
{
	memcpy(arena->buffer, before, sizeof(before));
	build_stub(instruction, length);
	((void (*)(void))(uintptr_t)code)();
	memcpy(native_after, arena->buffer, sizeof(before));
}

static int device_read(void *context, uint64_t gpa, uint32_t size, uint64_t *value)
{
	uint64_t offset = gpa - low_address(arena->buffer);

	assert_true(offset <= BUFFER_BYTES - size);
	assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	memcpy(value, device + offset, size);
	return BH_OK;
}

static int device_write(void *context, uint64_t gpa, uint32_t size, uint64_t value)
{
	uint64_t offset = gpa - low_address(arena->buffer);

	assert_true(offset <= BUFFER_BYTES - size);
	memcpy(device + offset, &value, size);
	return BH_OK;
}

static const struct emulate_bus bus = { .mmio_read = device_read, .mmio_write = device_write };

static void report(const char *what, const uint8_t *instruction, uint32_t length)
{
	print_error("%s:", what);
	for (uint32_t i = 0; i < length; i++) {
		print_error(" %02x", instruction[i]);
	}
	print_error("\n");
	for (int i = 0; i < BH_GPR_COUNT; i++) {
		print_error("  gpr %d in %016llx cpu %016llx\n", i,
		            (unsigned long long)arena->in[i], (unsigned long long)arena->out[i]);
	}
	print_error("  flags in %llx cpu %llx\n", (unsigned long long)arena->flags_in,
	            (unsigned long long)arena->flags_out);
	fail();
}

/* Emulates with the buffer as RAM or as a device, and compares with what the CPU did. */
static void run_emulated(const uint8_t *instruction, uint32_t length, uint64_t flags_mask,
                         bool is_ram)
{
	struct bh_cpu_state cpu = { .efer = CPU_EFER_LMA, .cr0 = CPU_CR0_PE, .rip = 0x1000 };
	struct guest_memory memory = { .slots_count = is_ram ? 1 : 0 };
	struct emulate emulate = {
		.cpu = &cpu, .memory = &memory, .bus = &bus, .repeat_max = 3, .xmm = arena->xmm
	};
	enum emulate_result result;

	memory.slots[0].gpa = low_address(arena->buffer);
	memory.slots[0].size = BUFFER_BYTES;
	memory.slots[0].host = arena->buffer;
	cpu.segments[BH_SEG_CS].attributes = 0xa9b;
	memcpy(cpu.gpr, arena->in, sizeof(cpu.gpr));
	cpu.rflags = arena->flags_in;
	memcpy(device, before, sizeof(before));
	memcpy(arena->buffer, before, sizeof(before));
	do {
		result = emulate_step(&emulate, instruction, length);
	} while (result == EMULATE_AGAIN);
	if (result != EMULATE_DONE) {
		report("not done", instruction, length);
	}
	arena->out[BH_GPR_RSP] = arena->in[BH_GPR_RSP];
	if (cpu.rip != 0x1000 + length || memcmp(cpu.gpr, arena->out, sizeof(cpu.gpr)) != 0) {
		report("registers differ", instruction, length);
	}
	if (((cpu.rflags ^ arena->flags_out) & flags_mask) != 0) {
		print_error("  flags emulated %llx\n", (unsigned long long)cpu.rflags);
		report("flags differ", instruction, length);
	}
	if (memcmp(is_ram ? arena->buffer : device, native_after, BUFFER_BYTES) != 0) {
		report("memory differs", instruction, length);
	}
}

static void compare(const uint8_t *instruction, uint32_t length, uint64_t flags_mask)
{
	runs++;
	run_native(instruction, length);
	run_emulated(instruction, length, flags_mask, true);
	run_emulated(instruction, length, flags_mask, false);
}

/* Random registers and memory; RBX points into the buffer, often just before its page boundary. */
static void randomize(void)
{
	for (int i = 0; i < BH_GPR_COUNT; i++) {
		arena->in[i] = random_value();
	}
	for (size_t i = 0; i < BUFFER_BYTES; i += 8) {
		uint64_t value = random_value();

		memcpy(before + i, &value, 8);
	}
	arena->in[BH_GPR_RBX] = low_address(arena->buffer) + 4096 - 16 * (random_next() & 1) +
	                        (random_next() & 15);
	arena->flags_in = 0x202 | (random_next() & (ALL_FLAGS & ~CPU_RFLAGS_DF));
}

/* An instruction form with ModRM: [RBX + disp8]. */
struct form {
	const char *opcode; /* up to three bytes */
	uint8_t opcode_bytes;
	int8_t digit;      /* ModRM reg field, or -1 for any register */
	uint8_t immediate; /* bytes; 9: the operand's, at most 4 */
	bool is_byte;
	uint64_t flags_mask;
};

#define ARITHMETIC ALL_FLAGS
#define LOGIC      (ALL_FLAGS & ~CPU_RFLAGS_AF)
#define BIT_TEST   (CPU_RFLAGS_CF | CPU_RFLAGS_ZF)

static const struct form forms[] = {
	{ "\x00", 1, -1, 0, true, ARITHMETIC },
	{ "\x01", 1, -1, 0, false, ARITHMETIC },
	{ "\x02", 1, -1, 0, true, ARITHMETIC },
	{ "\x03", 1, -1, 0, false, ARITHMETIC },
	{ "\x08", 1, -1, 0, true, LOGIC },
	{ "\x0b", 1, -1, 0, false, LOGIC },
	{ "\x10", 1, -1, 0, true, ARITHMETIC },
	{ "\x13", 1, -1, 0, false, ARITHMETIC },
	{ "\x11", 1, -1, 0, false, ARITHMETIC },
	{ "\x18", 1, -1, 0, true, ARITHMETIC },
	{ "\x19", 1, -1, 0, false, ARITHMETIC },
	{ "\x1b", 1, -1, 0, false, ARITHMETIC },
	{ "\x20", 1, -1, 0, true, LOGIC },
	{ "\x23", 1, -1, 0, false, LOGIC },
	{ "\x28", 1, -1, 0, true, ARITHMETIC },
	{ "\x29", 1, -1, 0, false, ARITHMETIC },
	{ "\x2b", 1, -1, 0, false, ARITHMETIC },
	{ "\x30", 1, -1, 0, true, LOGIC },
	{ "\x31", 1, -1, 0, false, LOGIC },
	{ "\x38", 1, -1, 0, true, ARITHMETIC },
	{ "\x39", 1, -1, 0, false, ARITHMETIC },
	{ "\x3a", 1, -1, 0, true, ARITHMETIC },
	{ "\x3b", 1, -1, 0, false, ARITHMETIC },
	{ "\x84", 1, -1, 0, true, LOGIC },
	{ "\x85", 1, -1, 0, false, LOGIC },
	{ "\x86", 1, -1, 0, true, ALL_FLAGS },
	{ "\x87", 1, -1, 0, false, ALL_FLAGS },
	{ "\x88", 1, -1, 0, true, ALL_FLAGS },
	{ "\x89", 1, -1, 0, false, ALL_FLAGS },
	{ "\x8a", 1, -1, 0, true, ALL_FLAGS },
	{ "\x8b", 1, -1, 0, false, ALL_FLAGS },
	{ "\x63", 1, -1, 0, false, ALL_FLAGS },
	{ "\x80", 1, 0, 1, true, ARITHMETIC },
	{ "\x81", 1, 2, 9, false, ARITHMETIC },
	{ "\x83", 1, 3, 1, false, ARITHMETIC },
	{ "\x81", 1, 4, 9, false, LOGIC },
	{ "\x83", 1, 5, 1, false, ARITHMETIC },
	{ "\x80", 1, 6, 1, true, LOGIC },
	{ "\x81", 1, 7, 9, false, ARITHMETIC },
	{ "\x83", 1, 1, 1, false, LOGIC },
	{ "\xc6", 1, 0, 1, true, ALL_FLAGS },
	{ "\xc7", 1, 0, 9, false, ALL_FLAGS },
	{ "\xf6", 1, 0, 1, true, LOGIC },
	{ "\xf7", 1, 0, 9, false, LOGIC },
	{ "\xf6", 1, 2, 0, true, ALL_FLAGS },
	{ "\xf7", 1, 2, 0, false, ALL_FLAGS },
	{ "\xf6", 1, 3, 0, true, ARITHMETIC },
	{ "\xf7", 1, 3, 0, false, ARITHMETIC },
	{ "\xfe", 1, 0, 0, true, ARITHMETIC },
	{ "\xff", 1, 0, 0, false, ARITHMETIC },
	{ "\xfe", 1, 1, 0, true, ARITHMETIC },
	{ "\xff", 1, 1, 0, false, ARITHMETIC },
	{ "\x0f\xb6", 2, -1, 0, false, ALL_FLAGS },
	{ "\x0f\xb7", 2, -1, 0, false, ALL_FLAGS },
	{ "\x0f\xbe", 2, -1, 0, false, ALL_FLAGS },
	{ "\x0f\xbf", 2, -1, 0, false, ALL_FLAGS },
	{ "\x0f\xb0", 2, -1, 0, true, ARITHMETIC },
	{ "\x0f\xb1", 2, -1, 0, false, ARITHMETIC },
	{ "\x0f\xc0", 2, -1, 0, true, ARITHMETIC },
	{ "\x0f\xc1", 2, -1, 0, false, ARITHMETIC },
	{ "\x0f\xba", 2, 4, 1, false, BIT_TEST },
	{ "\x0f\xba", 2, 5, 1, false, BIT_TEST },
	{ "\x0f\xba", 2, 6, 1, false, BIT_TEST },
	{ "\x0f\xba", 2, 7, 1, false, BIT_TEST },
	{ "\x0f\x38\xf0", 3, -1, 0, false, ALL_FLAGS },
	{ "\x0f\x38\xf1", 3, -1, 0, false, ALL_FLAGS },
};

static uint32_t build_form(const struct form *form, uint32_t width, uint8_t *out)
{
	uint8_t rex = 0x40 | (uint8_t)(random_next() & 4);
	uint8_t reg = (uint8_t)(random_next() & 7);
	uint32_t immediate = form->immediate;
	uint32_t at = 0;
	uint64_t value = random_value();

	if (form->digit >= 0) {
		rex = 0x40;
		reg = (uint8_t)form->digit;
	}
	if (width == 2) {
		out[at++] = 0x66;
	}
	if (width == 8) {
		rex |= 8;
	}
	if (form->is_byte && rex == 0x40 && (random_next() & 1) != 0) {
		rex = 0; /* AH, CH, DH, BH */
	}
	if (form->digit < 0 && reg == 4 && rex != 0 && (rex & 4) == 0) {
		reg = 6; /* not RSP */
	}
	if (rex != 0) {
		out[at++] = rex;
	}
	memcpy(out + at, form->opcode, form->opcode_bytes);
	at += form->opcode_bytes;
	out[at++] = (uint8_t)(0x40 | reg << 3 | BH_GPR_RBX);
	out[at++] = (uint8_t)(random_next() & 0x1f);
	if (immediate == 9) {
		immediate = width < 4 ? width : 4;
	}
	memcpy(out + at, &value, immediate);
	return at + immediate;
}

static void test_forms(void **state)
{
	static const uint32_t widths[] = { 2, 4, 8 };
	unsigned int eax, ebx, ecx = 0, edx;
	bool has_movbe = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_MOVBE) != 0;

	(void)state;
	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		if (forms[f].opcode_bytes == 3 && !has_movbe) {
			continue;
		}
		for (size_t w = 0; w < (forms[f].is_byte ? 1 : 3); w++) {
			for (int round = 0; round < ROUNDS; round++) {
				uint8_t bytes[16];
				uint32_t length;

				randomize();
				length = build_form(&forms[f], forms[f].is_byte ? 1 : widths[w],
				                    bytes);
				if ((round & 3) == 0) { /* let CMPXCHG succeed sometimes */
					memcpy(&arena->in[BH_GPR_RAX],
					       before + (arena->in[BH_GPR_RBX] -
					                 low_address(arena->buffer) +
					                 bytes[length - 1]),
					       8);
				}
				compare(bytes, length, forms[f].flags_mask);
			}
		}
	}
}

/* BT and its kin with a register reach up to 256 bytes before and after. */
static void test_bit_strings(void **state)
{
	static const uint8_t opcodes[] = { 0xa3, 0xab, 0xb3, 0xbb };

	(void)state;
	for (int round = 0; round < 400; round++) {
		uint8_t bytes[] = { 0x66, 0x48, 0x0f, opcodes[round & 3], 0x13 };
		uint32_t skip = (uint32_t)(round >> 2) % 3;

		randomize();
		arena->in[BH_GPR_RDX] = (uint64_t)((int64_t)(random_next() & 0xfff) - 2048);
		if (skip == 0) { /* 16 bits: prefix 66 alone */
			bytes[1] = 0x66;
		} else if (skip == 1) {
			bytes[1] = 0x40;
			bytes[0] = 0x3e;
		} else {
			bytes[0] = 0x3e;
		}
		compare(bytes, sizeof(bytes), BIT_TEST);
	}
}

static void test_strings(void **state)
{
	static const uint8_t opcodes[] = { 0xa4, 0xa6, 0xaa, 0xac, 0xae };
	static const uint8_t repeats[] = { 0x3e, 0xf3, 0xf2 };

	(void)state;
	for (int round = 0; round < 1500; round++) {
		uint8_t repeat = repeats[round % 3];
		uint8_t base = opcodes[(round / 3) % 5];
		uint8_t width = (uint8_t)(round / 15 % 4);
		uint8_t bytes[4] = { repeat, width == 1 ? 0x66 : 0x3e, width == 3 ? 0x48 : 0x40,
			             (uint8_t)(base | (width != 0 ? 1 : 0)) };

		randomize();
		if (repeat == 0xf2 && base != 0xa6 && base != 0xae) {
			bytes[0] = 0xf3; /* REPNE is defined for CMPS and SCAS only */
		}
		for (int i = 0; i < 64; i++) {
			before[2048 + i] = before[6144 + i] = (uint8_t)(i % 16 < 15 ? 0xcc : i);
		}
		arena->in[BH_GPR_RAX] = 0xcccccccccccccccc;
		arena->in[BH_GPR_RSI] = low_address(arena->buffer) + 2048 + (random_next() & 15);
		arena->in[BH_GPR_RDI] = low_address(arena->buffer) + 6144 + (random_next() & 15);
		arena->in[BH_GPR_RCX] = random_next() & 15;
		arena->flags_in |= random_next() & CPU_RFLAGS_DF;
		compare(bytes, sizeof(bytes), ALL_FLAGS);
	}
}

static void test_pair(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		uint8_t bytes[] = { 0xf0, (uint8_t)((round & 1) != 0 ? 0x48 : 0x40), 0x0f, 0xc7,
			            0x0e };
		uint32_t at = 1024 + (uint32_t)(random_next() & 0x7f0);

		randomize();
		arena->in[BH_GPR_RSI] = low_address(arena->buffer) + at;
		if ((round & 2) != 0) {
			arena->in[BH_GPR_RAX] = arena->in[BH_GPR_RDX] = 0;
			memcpy(&arena->in[BH_GPR_RAX], before + at, (round & 1) != 0 ? 8 : 4);
			memcpy(&arena->in[BH_GPR_RDX], before + at + ((round & 1) != 0 ? 8 : 4),
			       (round & 1) != 0 ? 8 : 4);
		}
		compare(bytes, sizeof(bytes), ALL_FLAGS);
	}
}

/* RIP-relative, index, and absolute addresses, through MOV. */
static void test_addresses(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		uint8_t index[] = { 0x4a, 0x8b, 0x84, 0xe3, 0x20, 0, 0, 0 }; /* [rbx+r12*8+32] */
		uint8_t narrow[] = { 0x67, 0x42, 0x89, 0x44, 0x63, 0xf0 };   /* [ebx+r12d*2-16] */
		uint8_t offset[] = { 0x48, 0xa3, 0, 0, 0, 0, 0, 0, 0, 0 };   /* moffs64 */
		uint64_t address = low_address(arena->buffer) + (random_next() & 0xfff);

		randomize();
		arena->in[BH_GPR_R12] = (uint64_t)((int64_t)(random_next() & 0x7f) - 64);
		compare(index, sizeof(index), ALL_FLAGS);
		compare(narrow, sizeof(narrow), ALL_FLAGS);
		memcpy(offset + 2, &address, 8);
		compare(offset, sizeof(offset), ALL_FLAGS);
	}
}

static int set_up(void **state)
{
	(void)state;
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	            0);
	return arena == MAP_FAILED || code == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	print_message("%u instructions compared with this CPU\n", runs);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),     cmocka_unit_test(test_bit_strings),
		cmocka_unit_test(test_strings),   cmocka_unit_test(test_pair),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
