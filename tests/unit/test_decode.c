// SPDX-License-Identifier: Apache-2.0
/*
 * The MMIO decoder against Zydis: every opcode of the maps that kernels use, with every ModRM
 * byte, under many prefixes, in all three modes; then random bytes. Length, sizes, operands,
 * address and immediates must be the same, and what the decoder does not list must be reported as
 * unsupported.
 */
// sources: vmm/decode.c
// libraries: -lZydis
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "bulkhead/errors.h"
#include "vmm/decode.h"

#define RIP 0x123456789000ull

static uint64_t gpr[BH_GPR_COUNT];
static uint64_t random_state = 0x9e3779b97f4a7c15ull;
static uint32_t compared;
static ZydisDecoder decoders[3];
static const enum decode_mode modes[3] = { DECODE_MODE_16, DECODE_MODE_32, DECODE_MODE_64 };

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

struct reference {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *memory; /* the explicit one, or for strings the first */
	enum decode_operation operation;
	bool is_string;
};

static enum decode_operation find_vector_operation(const struct reference *ref)
{
	bool has_xmm = false;

	for (int i = 0; i < ref->in.operand_count_visible; i++) {
		has_xmm |= ref->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		           ZydisRegisterGetClass(ref->operands[i].reg.value) == ZYDIS_REGCLASS_XMM;
	}
	if (!has_xmm) {
		return DECODE_NONE;
	}
	switch ((int)ref->in.mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_MOVQ:
		return DECODE_VECTOR;
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_MOVNTDQ:
		return DECODE_VECTOR_ALIGNED;
	default:
		return DECODE_NONE;
	}
}

static enum decode_operation find_string_operation(ZydisMnemonic mnemonic)
{
	switch ((int)mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return DECODE_MOVS;
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
		return DECODE_CMPS;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return DECODE_STOS;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		return DECODE_LODS;
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		return DECODE_SCAS;
	case ZYDIS_MNEMONIC_INSB:
	case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_INSD:
		return DECODE_INS;
	case ZYDIS_MNEMONIC_OUTSB:
	case ZYDIS_MNEMONIC_OUTSW:
	case ZYDIS_MNEMONIC_OUTSD:
		return DECODE_OUTS;
	default:
		return DECODE_NONE;
	}
}

static enum decode_operation find_plain_operation(ZydisMnemonic mnemonic)
{
	static const struct {
		ZydisMnemonic mnemonic;
		enum decode_operation operation;
	} table[] = {
		{ ZYDIS_MNEMONIC_ADD, DECODE_ADD },
		{ ZYDIS_MNEMONIC_OR, DECODE_OR },
		{ ZYDIS_MNEMONIC_ADC, DECODE_ADC },
		{ ZYDIS_MNEMONIC_SBB, DECODE_SBB },
		{ ZYDIS_MNEMONIC_AND, DECODE_AND },
		{ ZYDIS_MNEMONIC_SUB, DECODE_SUB },
		{ ZYDIS_MNEMONIC_XOR, DECODE_XOR },
		{ ZYDIS_MNEMONIC_CMP, DECODE_CMP },
		{ ZYDIS_MNEMONIC_TEST, DECODE_TEST },
		{ ZYDIS_MNEMONIC_NOT, DECODE_NOT },
		{ ZYDIS_MNEMONIC_NEG, DECODE_NEG },
		{ ZYDIS_MNEMONIC_INC, DECODE_INC },
		{ ZYDIS_MNEMONIC_DEC, DECODE_DEC },
		{ ZYDIS_MNEMONIC_MOV, DECODE_MOV },
		{ ZYDIS_MNEMONIC_MOVNTI, DECODE_MOV },
		{ ZYDIS_MNEMONIC_MOVZX, DECODE_MOVZX },
		{ ZYDIS_MNEMONIC_MOVSX, DECODE_MOVSX },
		{ ZYDIS_MNEMONIC_MOVSXD, DECODE_MOVSX },
		{ ZYDIS_MNEMONIC_MOVBE, DECODE_MOVBE },
		{ ZYDIS_MNEMONIC_BT, DECODE_BT },
		{ ZYDIS_MNEMONIC_BTS, DECODE_BTS },
		{ ZYDIS_MNEMONIC_BTR, DECODE_BTR },
		{ ZYDIS_MNEMONIC_BTC, DECODE_BTC },
		{ ZYDIS_MNEMONIC_XCHG, DECODE_XCHG },
		{ ZYDIS_MNEMONIC_XADD, DECODE_XADD },
		{ ZYDIS_MNEMONIC_CMPXCHG, DECODE_CMPXCHG },
		{ ZYDIS_MNEMONIC_CMPXCHG8B, DECODE_CMPXCHG_PAIR },
		{ ZYDIS_MNEMONIC_CMPXCHG16B, DECODE_CMPXCHG_PAIR },
		{ ZYDIS_MNEMONIC_PUSH, DECODE_PUSH },
		{ ZYDIS_MNEMONIC_POP, DECODE_POP },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].mnemonic == mnemonic) {
			return table[i].operation;
		}
	}
	return DECODE_NONE;
}

/*
 * Zydis 4.0.0 takes R13D for a base where SDM 2A table 2-5 has none (REX.B, 32-bit addresses, SIB
 * base 5, mod 0), and lets a 16-bit MOVSXD read 4 bytes where the SDM has r/m16. binutils agrees
 * with the SDM.
 */
static void reference_correct(struct reference *ref)
{
	static ZydisDecodedOperand corrected;

	if (ref->memory == NULL) {
		return;
	}
	corrected = *ref->memory;
	if (corrected.mem.base == ZYDIS_REGISTER_R13D && ref->in.raw.modrm.mod == 0) {
		corrected.mem.base = ZYDIS_REGISTER_NONE;
		corrected.mem.disp.has_displacement = true;
		corrected.mem.disp.value = ref->in.raw.disp.value;
		corrected.mem.segment = corrected.mem.segment == ZYDIS_REGISTER_SS
		                                ? ZYDIS_REGISTER_DS
		                                : corrected.mem.segment;
	}
	if (ref->in.mnemonic == ZYDIS_MNEMONIC_MOVSXD && ref->in.operand_width == 16) {
		corrected.size = 16;
	}
	ref->memory = &corrected;
}

/* What Zydis says; operation stays DECODE_NONE if it is not one of the listed ones with memory. */
static void reference_decode(int which, const uint8_t *bytes, uint32_t count, struct reference *ref)
{
	memset(ref, 0, sizeof(*ref));
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[which], bytes, count, &ref->in,
	                                         ref->operands))) {
		return;
	}
	if (ref->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
		return;
	}
	for (int i = 0; i < ref->in.operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &ref->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(operand->reg.value) == ZYDIS_REGCLASS_SEGMENT) {
			return;
		}
		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			ref->memory = operand;
		}
	}
	if (ref->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
		ref->operation = find_string_operation(ref->in.mnemonic);
		ref->is_string = ref->operation != DECODE_NONE;
	}
	if (ref->is_string) {
		int at = ref->operation == DECODE_MOVS || ref->operation == DECODE_LODS ||
		         ref->operation == DECODE_OUTS;

		for (int i = 0, seen = 0; i < ref->in.operand_count && seen < 1 + at; i++) {
			if (ref->operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY) {
				continue;
			}
			ref->memory = &ref->operands[i];
			seen++;
		}
	} else if (ref->memory != NULL) {
		ref->operation = find_plain_operation(ref->in.mnemonic);
		if (ref->operation == DECODE_NONE) {
			ref->operation = find_vector_operation(ref);
		}
	}
	reference_correct(ref);
}

static int register_number(ZydisRegister value)
{
	return value == ZYDIS_REGISTER_NONE ? DECODE_NO_REGISTER : ZydisRegisterGetId(value);
}

static uint64_t reference_offset(const struct reference *ref)
{
	const ZydisDecodedOperandMem *mem = &ref->memory->mem;
	uint64_t offset = mem->disp.has_displacement ? (uint64_t)mem->disp.value : 0;

	if (mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP) {
		offset += RIP + ref->in.length;
	} else if (mem->base != ZYDIS_REGISTER_NONE) {
		offset += gpr[register_number(mem->base)];
	}
	if (mem->index != ZYDIS_REGISTER_NONE) {
		offset += gpr[register_number(mem->index)] * mem->scale;
	}
	if (ref->in.address_width < 64) {
		offset &= (1ull << ref->in.address_width) - 1;
	}
	return offset;
}

static bool compare_register(const struct reference *ref, const struct decode_instruction *out)
{
	for (int i = 0; i < ref->in.operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &ref->operands[i];
		ZydisRegister value;
		int number;

		if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER) {
			continue;
		}
		value = operand->reg.value;
		number = ZydisRegisterGetId(value);
		if (value >= ZYDIS_REGISTER_AH && value <= ZYDIS_REGISTER_BH) {
			number = value - ZYDIS_REGISTER_AH;
			if (!out->is_reg_high) {
				return false;
			}
		} else if (out->is_reg_high) {
			return false;
		} else if (ZydisRegisterGetClass(value) == ZYDIS_REGCLASS_GPR8 && number >= 4) {
			number = value >= ZYDIS_REGISTER_SPL ? value - ZYDIS_REGISTER_SPL + 4
			                                     : number;
		}
		if (number != out->reg || (i == 0) != (out->destination == DECODE_PLACE_REGISTER ||
		                                       out->destination == DECODE_PLACE_VECTOR)) {
			return false;
		}
		if (ZydisRegisterGetClass(value) != ZYDIS_REGCLASS_XMM &&
		    operand->size != out->operand_bytes * 8u) {
			return false;
		}
	}
	return true;
}

static bool compare_immediate(const struct reference *ref, const struct decode_instruction *out)
{
	for (int i = 0; i < ref->in.operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &ref->operands[i];
		uint64_t mask = out->operand_bytes >= 8 ? UINT64_MAX
		                                        : (1ull << out->operand_bytes * 8) - 1;

		if (operand->type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			continue;
		}
		if (operand->imm.is_signed) {
			return out->source == DECODE_PLACE_IMMEDIATE &&
			       operand->imm.value.s == out->immediate;
		}
		if (ref->in.mnemonic >= ZYDIS_MNEMONIC_BT &&
		    ref->in.mnemonic <= ZYDIS_MNEMONIC_BTS) {
			mask = 0xff;
		}
		return out->source == DECODE_PLACE_IMMEDIATE &&
		       ((operand->imm.value.u ^ (uint64_t)out->immediate) & mask) == 0;
	}
	return out->source != DECODE_PLACE_IMMEDIATE;
}

static const char *compare(const struct reference *ref, const struct decode_instruction *out)
{
	static const ZydisRegister segments[6] = { ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS,
		                                   ZYDIS_REGISTER_SS, ZYDIS_REGISTER_DS,
		                                   ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS };
	bool is_repeated = (ref->in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
	                                          ZYDIS_ATTRIB_HAS_REPNE)) != 0;

	if (ref->operation != out->operation) {
		return "operation";
	}
	if (ref->in.length != out->length) {
		return "length";
	}
	if (ref->memory->size != out->memory_bytes * 8u) {
		return "memory size";
	}
	if (ref->in.address_width != out->address_bytes * 8u) {
		return "address size";
	}
	if (ref->memory->mem.segment != segments[out->memory.segment]) {
		return "segment";
	}
	if (reference_offset(ref) != decode_memory_offset(out, gpr, RIP)) {
		return "address";
	}
	if (ref->is_string) {
		if (out->operand_bytes != out->memory_bytes || is_repeated != out->has_repeat) {
			return "repetition";
		}
		return NULL;
	}
	if (!compare_register(ref, out)) {
		return "register";
	}
	if (!compare_immediate(ref, out)) {
		return "immediate";
	}
	if (((ref->in.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0) != out->is_locked) {
		return "lock";
	}
	return NULL;
}

static void check(int which, const uint8_t *bytes, uint32_t count)
{
	struct decode_instruction out;
	struct reference ref;
	const char *difference = NULL;
	int error = decode_instruction(bytes, count, modes[which], &out);

	reference_decode(which, bytes, count, &ref);
	if ((ref.operation != DECODE_NONE) != (error == BH_OK)) {
		difference = "supported";
	} else if (error == BH_OK) {
		difference = compare(&ref, &out);
		compared++;
	}
	if (difference == NULL) {
		return;
	}
	print_error("mode %u, %s, theirs %s %d, ours %d %d:", (unsigned int)modes[which],
	            difference,
	            ref.in.mnemonic != 0 ? ZydisMnemonicGetString(ref.in.mnemonic) : "-",
	            (int)ref.operation, error, (int)out.operation);
	for (uint32_t i = 0; i < count; i++) {
		print_error(" %02x", bytes[i]);
	}
	print_error("\n");
	fail();
}

static const char *const prefixes[] = {
	"",         "\x66",     "\x67",     "\x66\x67",     "\xf0",     "\xf2",     "\xf3",
	"\x66\xf3", "\xf2\x66", "\xf3\xf2", "\x26",         "\x2e",     "\x36",     "\x3e",
	"\x64",     "\x65",     "\x65\x2e", "\xf0\x66",     "\x40",     "\x41",     "\x42",
	"\x44",     "\x48",     "\x4f",     "\x66\x48",     "\x48\x66", "\x67\x47", "\xf3\x4d",
	"\x66\x44", "\x40\x41", "\xf0\x4c", "\x64\x67\x4a",
};

/* Every opcode of a map with every ModRM, once for each set of prefixes. */
static void check_map(const char *escape)
{
	uint8_t bytes[32];

	for (int which = 0; which < 3; which++) {
		for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
			size_t head = strlen(prefixes[p]);

			memcpy(bytes, prefixes[p], head);
			memcpy(bytes + head, escape, strlen(escape));
			head += strlen(escape);
			for (uint32_t at = 0; at < 0x10000; at++) {
				uint64_t tail[2] = { random_next(), random_next() };

				bytes[head] = (uint8_t)(at >> 8);
				bytes[head + 1] = (uint8_t)at;
				memcpy(bytes + head + 2, tail, sizeof(tail));
				check(which, bytes, DECODE_LENGTH_MAX);
			}
		}
	}
}

static void test_one_byte_map(void **state)
{
	(void)state;
	check_map("");
}

static void test_two_byte_map(void **state)
{
	(void)state;
	check_map("\x0f");
}

static void test_three_byte_maps(void **state)
{
	(void)state;
	check_map("\x0f\x38");
}

static void test_random_bytes(void **state)
{
	uint8_t bytes[16];

	(void)state;
	for (uint32_t i = 0; i < 1000000; i++) {
		uint64_t random[2] = { random_next(), random_next() };

		memcpy(bytes, random, sizeof(bytes));
		/* Pile up prefixes now and then, so that the limit of 15 bytes is met. */
		for (uint32_t n = 0; n < (i & 15); n++) {
			bytes[n] = (uint8_t)prefixes[1 + (random_next() % 17)][0];
		}
		check((int)(i % 3), bytes, DECODE_LENGTH_MAX);
	}
}

/*
 * Every cut-off start of a good instruction is reported as such, and nothing behind it is read
 * (ASan).
 */
static void test_cut_short(void **state)
{
	static const uint8_t bytes[] = { 0x66, 0x41, 0x81, 0x84, 0xc8, 1, 2, 3, 4, 5, 6 };
	struct decode_instruction out;

	(void)state;
	for (uint32_t count = 0; count < sizeof(bytes); count++) {
		assert_int_equal(decode_instruction(bytes, count, DECODE_MODE_64, &out),
		                 BH_ERR_FORMAT);
	}
	assert_int_equal(decode_instruction(bytes, sizeof(bytes), DECODE_MODE_64, &out), BH_OK);
	assert_int_equal(out.length, sizeof(bytes));
}

static void test_mode(void **state)
{
	struct bh_segment_state cs = { .attributes = 0xa9b };

	(void)state;
	assert_int_equal(decode_mode_of(CPU_EFER_LMA, &cs), DECODE_MODE_64);
	cs.attributes = 0xc9b;
	assert_int_equal(decode_mode_of(CPU_EFER_LMA, &cs), DECODE_MODE_32);
	assert_int_equal(decode_mode_of(0, &cs), DECODE_MODE_32);
	cs.attributes = 0x09b;
	assert_int_equal(decode_mode_of(0, &cs), DECODE_MODE_16);
}

static int set_up(void **state)
{
	(void)state;
	ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (int i = 0; i < BH_GPR_COUNT; i++) {
		gpr[i] = random_next();
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	print_message("%u instructions compared in full\n", compared);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_byte_map),    cmocka_unit_test(test_two_byte_map),
		cmocka_unit_test(test_three_byte_maps), cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_cut_short),       cmocka_unit_test(test_mode),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
