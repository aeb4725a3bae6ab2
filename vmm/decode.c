// SPDX-License-Identifier: Apache-2.0
/*
 * The instruction decoder: prefixes, opcode, ModRM, SIB, displacement, immediate, in this order.
 *
 * Must never: read past the bytes that it was given, or accept an encoding that a CPU would refuse.
 * Manuals: SDM 2A 2.1 and 2.2, SDM 2D A.3 and A.4. tests/unit/test_decode.c compares all of it
 * with Zydis.
 */
#include "vmm/decode.h"

#include <string.h>

#include "bulkhead/errors.h"

#define DECODE_REX_B        0x1u
#define DECODE_REX_X        0x2u
#define DECODE_REX_R        0x4u
#define DECODE_REX_W        0x8u

#define DECODE_PREFIX_REPNE 0xf2u
#define DECODE_PREFIX_REP   0xf3u

/* What decoding knows beside the record that it fills. */
struct decode_cursor {
	const uint8_t *bytes;
	uint32_t count;
	uint32_t at;
	enum decode_mode mode;
	bool has_operand_prefix;
	bool has_address_prefix;
	bool is_cut_short;
	uint8_t repeat; /* the last of F2 and F3, or 0 */
	uint8_t rex;    /* low four bits */
	bool has_rex;
	uint8_t segment; /* override, or DECODE_NO_REGISTER */
	uint8_t modrm;
};

static uint8_t decode_next(struct decode_cursor *cursor)
{
	if (cursor->at >= cursor->count || cursor->at >= DECODE_LENGTH_MAX) {
		cursor->is_cut_short = true;
		return 0;
	}
	return cursor->bytes[cursor->at++];
}

/* A little-endian number of 1, 2, 4 or 8 bytes, sign-extended. */
static int64_t decode_next_signed(struct decode_cursor *cursor, uint32_t bytes)
{
	uint64_t value = 0;
	uint32_t shift = (64 - 8 * bytes) & 63;

	for (uint32_t i = 0; i < bytes; i++) {
		value |= (uint64_t)decode_next(cursor) << (8 * i);
	}
	return (int64_t)(value << shift) >> shift;
}

/* True if the byte is a legacy prefix; a REX before it has no effect then (SDM 2A 2.2.1). */
static bool decode_legacy_prefix(struct decode_cursor *cursor, uint8_t byte)
{
	bool is_64 = cursor->mode == DECODE_MODE_64;

	switch (byte) {
	case 0x26: /* ES */
	case 0x2e: /* CS */
	case 0x36: /* SS */
	case 0x3e: /* DS */
		if (!is_64) {
			cursor->segment = (byte >> 3) & 3;
		}
		return true;
	case 0x64:
		cursor->segment = BH_SEG_FS;
		return true;
	case 0x65:
		cursor->segment = BH_SEG_GS;
		return true;
	case 0x66:
		cursor->has_operand_prefix = true;
		return true;
	case 0x67:
		cursor->has_address_prefix = true;
		return true;
	case DECODE_PREFIX_REPNE:
	case DECODE_PREFIX_REP:
		cursor->repeat = byte;
		return true;
	default:
		return false;
	}
}

/* Takes all prefixes and returns the first opcode byte. */
static uint8_t decode_prefixes(struct decode_cursor *cursor, struct decode_instruction *out)
{
	for (;;) {
		uint8_t byte = decode_next(cursor);

		if (byte == 0xf0) {
			out->is_locked = true;
		} else if (cursor->mode == DECODE_MODE_64 && (byte & 0xf0) == 0x40) {
			cursor->has_rex = true;
			cursor->rex = byte & 0xf;
			continue;
		} else if (!decode_legacy_prefix(cursor, byte)) {
			return byte;
		}
		cursor->has_rex = false;
		cursor->rex = 0;
		if (cursor->is_cut_short) {
			return byte;
		}
	}
}

/* The size of "v" operands: SDM 2D A.2.2. */
static uint8_t decode_operand_bytes(const struct decode_cursor *cursor)
{
	if ((cursor->rex & DECODE_REX_W) != 0) {
		return 8;
	}
	if (cursor->mode == DECODE_MODE_16) {
		return cursor->has_operand_prefix ? 4 : 2;
	}
	return cursor->has_operand_prefix ? 2 : 4;
}

static uint8_t decode_address_bytes(const struct decode_cursor *cursor)
{
	switch (cursor->mode) {
	case DECODE_MODE_16:
		return cursor->has_address_prefix ? 4 : 2;
	case DECODE_MODE_32:
		return cursor->has_address_prefix ? 2 : 4;
	case DECODE_MODE_64:
		break;
	}
	return cursor->has_address_prefix ? 4 : 8;
}

/* SDM 2A table 2-1: 16-bit addressing forms. */
static void decode_memory_16(struct decode_cursor *cursor, struct decode_memory *memory)
{
	static const uint8_t bases[8] = { BH_GPR_RBX, BH_GPR_RBX, BH_GPR_RBP, BH_GPR_RBP,
		                          BH_GPR_RSI, BH_GPR_RDI, BH_GPR_RBP, BH_GPR_RBX };
	static const uint8_t indexes[4] = { BH_GPR_RSI, BH_GPR_RDI, BH_GPR_RSI, BH_GPR_RDI };
	uint8_t mod = cursor->modrm >> 6;
	uint8_t rm = cursor->modrm & 7;

	if (mod == 0 && rm == 6) {
		memory->displacement = decode_next_signed(cursor, 2);
		return;
	}
	memory->base = bases[rm];
	if (rm < 4) {
		memory->index = indexes[rm];
		memory->scale = 1;
	}
	if (mod != 0) {
		memory->displacement = decode_next_signed(cursor, mod);
	}
}

/* SDM 2A tables 2-2 and 2-3: 32-bit forms, and with REX 64-bit ones. */
static void decode_memory_32(struct decode_cursor *cursor, struct decode_memory *memory)
{
	uint8_t mod = cursor->modrm >> 6;
	uint8_t rm = cursor->modrm & 7;
	uint8_t high_base = (cursor->rex & DECODE_REX_B) != 0 ? 8 : 0;
	uint8_t high_index = (cursor->rex & DECODE_REX_X) != 0 ? 8 : 0;

	if (rm == 4) {
		uint8_t sib = decode_next(cursor);
		uint8_t index = (uint8_t)(((sib >> 3) & 7) | high_index);

		if (index != BH_GPR_RSP) {
			memory->index = index;
			memory->scale = (uint8_t)(1u << (sib >> 6));
		}
		rm = sib & 7;
		if (mod == 0 && rm == 5) {
			memory->displacement = decode_next_signed(cursor, 4);
			return;
		}
	} else if (mod == 0 && rm == 5) {
		memory->is_rip_relative = cursor->mode == DECODE_MODE_64;
		memory->displacement = decode_next_signed(cursor, 4);
		return;
	}
	memory->base = rm | high_base;
	if (mod != 0) {
		memory->displacement = decode_next_signed(cursor, mod == 1 ? 1 : 4);
	}
}

/* Takes ModRM and what belongs to it. False: it names a register in place of memory. */
static bool decode_modrm(struct decode_cursor *cursor, struct decode_instruction *out)
{
	struct decode_memory *memory = &out->memory;

	cursor->modrm = decode_next(cursor);
	if (cursor->modrm >> 6 == 3) {
		return false;
	}
	out->reg = (uint8_t)(((cursor->modrm >> 3) & 7) |
	                     ((cursor->rex & DECODE_REX_R) != 0 ? 8 : 0));
	if (out->address_bytes == 2) {
		decode_memory_16(cursor, memory);
	} else {
		decode_memory_32(cursor, memory);
	}
	memory->segment = BH_SEG_DS;
	if (memory->base == BH_GPR_RSP || memory->base == BH_GPR_RBP) {
		memory->segment = BH_SEG_SS;
	}
	if (cursor->segment != DECODE_NO_REGISTER) {
		memory->segment = cursor->segment;
	}
	return true;
}

static void decode_set_bytes(struct decode_instruction *out, uint8_t bytes)
{
	out->operand_bytes = bytes;
	out->memory_bytes = bytes;
}

/* "b" for an even opcode, "v" for an odd one: how most of the map is laid out. */
static void decode_set_byte_or_full(const struct decode_cursor *cursor, uint8_t opcode,
                                    struct decode_instruction *out)
{
	decode_set_bytes(out, (opcode & 1) != 0 ? decode_operand_bytes(cursor) : 1);
}

/* Without REX, byte registers 4 to 7 are AH, CH, DH, BH (SDM 2A table 2-2, r8). */
static void decode_fix_byte_register(const struct decode_cursor *cursor,
                                     struct decode_instruction *out)
{
	if (out->operand_bytes == 1 && !cursor->has_rex && out->reg >= 4) {
		out->reg -= 4;
		out->is_reg_high = true;
	}
}

/* ModRM with a register and memory. */
static int decode_register_form(struct decode_cursor *cursor, struct decode_instruction *out,
                                bool is_load)
{
	if (!decode_modrm(cursor, out)) {
		return BH_ERR_UNSUPPORTED;
	}
	decode_fix_byte_register(cursor, out);
	out->destination = is_load ? DECODE_PLACE_REGISTER : DECODE_PLACE_MEMORY;
	out->source = is_load ? DECODE_PLACE_MEMORY : DECODE_PLACE_REGISTER;
	return BH_OK;
}

/* Takes an immediate for the operation's size; 64-bit operations have 32 bits of it. */
static void decode_immediate(struct decode_cursor *cursor, struct decode_instruction *out,
                             bool is_byte)
{
	uint32_t bytes = out->operand_bytes < 4 ? out->operand_bytes : 4;

	out->source = DECODE_PLACE_IMMEDIATE;
	out->immediate = decode_next_signed(cursor, is_byte ? 1 : bytes);
}

/* Groups: the reg field of ModRM says which operation. Only the memory operand is left. */
static int decode_group_form(struct decode_cursor *cursor, struct decode_instruction *out)
{
	if (!decode_modrm(cursor, out)) {
		return BH_ERR_UNSUPPORTED;
	}
	out->reg = DECODE_NO_REGISTER;
	out->destination = DECODE_PLACE_MEMORY;
	return BH_OK;
}

static int decode_group_1(struct decode_cursor *cursor, uint8_t opcode,
                          struct decode_instruction *out)
{
	decode_set_byte_or_full(cursor, opcode, out);
	if (decode_group_form(cursor, out) != BH_OK) {
		return BH_ERR_UNSUPPORTED;
	}
	out->operation = (enum decode_operation)(DECODE_ADD + ((cursor->modrm >> 3) & 7));
	decode_immediate(cursor, out, opcode == 0x83);
	return BH_OK;
}

static int decode_group_3(struct decode_cursor *cursor, uint8_t opcode,
                          struct decode_instruction *out)
{
	static const enum decode_operation operations[8] = { DECODE_TEST, DECODE_TEST, DECODE_NOT,
		                                             DECODE_NEG };

	decode_set_byte_or_full(cursor, opcode, out);
	if (decode_group_form(cursor, out) != BH_OK) {
		return BH_ERR_UNSUPPORTED;
	}
	out->operation = operations[(cursor->modrm >> 3) & 7];
	if (out->operation == DECODE_TEST) {
		decode_immediate(cursor, out, false);
	}
	return BH_OK;
}

/* Groups 4 and 5 (FE, FF): INC, DEC, PUSH; group 1A (8F): POP. */
static int decode_group_5(struct decode_cursor *cursor, uint8_t opcode,
                          struct decode_instruction *out)
{
	uint8_t which;

	decode_set_byte_or_full(cursor, opcode, out);
	if (decode_group_form(cursor, out) != BH_OK) {
		return BH_ERR_UNSUPPORTED;
	}
	which = (cursor->modrm >> 3) & 7;
	if (opcode == 0x8f && which == 0) {
		out->operation = DECODE_POP;
	} else if (opcode == 0xff && which == 6) {
		out->operation = DECODE_PUSH;
		out->source = DECODE_PLACE_MEMORY;
		out->destination = DECODE_PLACE_NONE;
	} else if (opcode != 0x8f && which < 2) {
		out->operation = which == 0 ? DECODE_INC : DECODE_DEC;
	}
	if ((out->operation == DECODE_POP || out->operation == DECODE_PUSH) &&
	    cursor->mode == DECODE_MODE_64 && out->operand_bytes == 4) {
		decode_set_bytes(out, 8);
	}
	return BH_OK;
}

/* A0-A3: AL/rAX and an absolute offset of the address size. */
static int decode_mov_offset(struct decode_cursor *cursor, uint8_t opcode,
                             struct decode_instruction *out)
{
	bool is_load = opcode < 0xa2;

	decode_set_byte_or_full(cursor, opcode, out);
	out->operation = DECODE_MOV;
	out->reg = BH_GPR_RAX;
	out->destination = is_load ? DECODE_PLACE_REGISTER : DECODE_PLACE_MEMORY;
	out->source = is_load ? DECODE_PLACE_MEMORY : DECODE_PLACE_REGISTER;
	out->memory.segment = cursor->segment != DECODE_NO_REGISTER ? cursor->segment : BH_SEG_DS;
	out->memory.displacement = decode_next_signed(cursor, out->address_bytes);
	return BH_OK;
}

static enum decode_operation decode_string_operation(uint8_t opcode)
{
	switch (opcode & 0xfe) {
	case 0x6c:
		return DECODE_INS;
	case 0x6e:
		return DECODE_OUTS;
	case 0xa4:
		return DECODE_MOVS;
	case 0xa6:
		return DECODE_CMPS;
	case 0xaa:
		return DECODE_STOS;
	case 0xac:
		return DECODE_LODS;
	default: /* 0xae */
		return DECODE_SCAS;
	}
}

static int decode_string(struct decode_cursor *cursor, uint8_t opcode,
                         struct decode_instruction *out)
{
	bool is_at_rdi;

	decode_set_byte_or_full(cursor, opcode, out);
	out->operation = decode_string_operation(opcode);
	is_at_rdi = out->operation == DECODE_INS || out->operation == DECODE_STOS ||
	            out->operation == DECODE_SCAS;
	if (opcode < 0x70 && out->operand_bytes == 8) {
		decode_set_bytes(out, 4); /* ports have no 64-bit form */
	}
	out->memory.base = is_at_rdi ? BH_GPR_RDI : BH_GPR_RSI;
	out->memory.segment = BH_SEG_DS;
	if (is_at_rdi) {
		out->memory.segment = BH_SEG_ES;
	} else if (cursor->segment != DECODE_NO_REGISTER) {
		out->memory.segment = cursor->segment;
	}
	out->has_repeat = cursor->repeat != 0;
	out->repeat_is_ne = cursor->repeat == DECODE_PREFIX_REPNE;
	return BH_OK;
}

static int decode_one_byte_map(struct decode_cursor *cursor, uint8_t opcode,
                               struct decode_instruction *out)
{
	decode_set_byte_or_full(cursor, opcode, out);
	if (opcode < 0x40 && (opcode & 7) < 4) {
		out->operation = (enum decode_operation)(DECODE_ADD + (opcode >> 3));
		return decode_register_form(cursor, out, (opcode & 2) != 0);
	}
	switch (opcode) {
	case 0x63:
		if (cursor->mode != DECODE_MODE_64) {
			return BH_ERR_UNSUPPORTED; /* ARPL */
		}
		out->operation = DECODE_MOVSX;
		out->memory_bytes = out->operand_bytes == 2 ? 2 : 4;
		return decode_register_form(cursor, out, true);
	case 0x6c ... 0x6f:
	case 0xa4 ... 0xa7:
	case 0xaa ... 0xaf:
		return decode_string(cursor, opcode, out);
	case 0x82:
		if (cursor->mode == DECODE_MODE_64) {
			return BH_ERR_UNSUPPORTED;
		}
		return decode_group_1(cursor, opcode, out);
	case 0x80:
	case 0x81:
	case 0x83:
		return decode_group_1(cursor, opcode, out);
	case 0x84:
	case 0x85:
		out->operation = DECODE_TEST;
		return decode_register_form(cursor, out, false);
	case 0x86:
	case 0x87:
		out->operation = DECODE_XCHG;
		return decode_register_form(cursor, out, false);
	case 0x88 ... 0x8b:
		out->operation = DECODE_MOV;
		return decode_register_form(cursor, out, opcode >= 0x8a);
	case 0xa0 ... 0xa3:
		return decode_mov_offset(cursor, opcode, out);
	case 0xc6:
	case 0xc7:
		if (decode_group_form(cursor, out) != BH_OK || (cursor->modrm & 0x38) != 0) {
			return BH_ERR_UNSUPPORTED;
		}
		out->operation = DECODE_MOV;
		decode_immediate(cursor, out, false);
		return BH_OK;
	case 0xf6:
	case 0xf7:
		return decode_group_3(cursor, opcode, out);
	case 0x8f:
	case 0xfe:
	case 0xff:
		return decode_group_5(cursor, opcode, out);
	default:
		return BH_ERR_UNSUPPORTED;
	}
}

/* The mandatory prefix of an SSE instruction: F2 and F3 count before 66 (SDM 2A 2.1.2). */
static uint8_t decode_mandatory_prefix(const struct decode_cursor *cursor)
{
	if (cursor->repeat != 0) {
		return cursor->repeat;
	}
	return cursor->has_operand_prefix ? 0x66 : 0;
}

/*
 * Which bytes an SSE move takes, 0 if this opcode with this prefix is none; *is_aligned, *is_load
 * likewise.
 */
static uint8_t decode_vector_bytes(const struct decode_cursor *cursor, uint8_t opcode,
                                   bool *is_aligned, bool *is_load)
{
	uint8_t prefix = decode_mandatory_prefix(cursor);
	uint8_t general = (cursor->rex & DECODE_REX_W) != 0 ? 8 : 4;

	*is_aligned = false;
	*is_load = opcode == 0x10 || opcode == 0x28 || opcode == 0x6e || opcode == 0x6f ||
	           (opcode == 0x7e && prefix == DECODE_PREFIX_REP);
	switch (opcode) {
	case 0x10: /* MOVUPS, MOVUPD, MOVSS, MOVSD */
	case 0x11:
		return prefix == DECODE_PREFIX_REP ? 4 : prefix == DECODE_PREFIX_REPNE ? 8 : 16;
	case 0x28: /* MOVAPS, MOVAPD */
	case 0x29:
	case 0x2b: /* MOVNTPS, MOVNTPD */
		*is_aligned = true;
		return cursor->repeat == 0 ? 16 : 0;
	case 0x6e: /* MOVD, MOVQ */
		return prefix == 0x66 ? general : 0;
	case 0x6f: /* MOVDQA, MOVDQU */
	case 0x7f:
		*is_aligned = prefix == 0x66;
		return prefix == 0x66 || prefix == DECODE_PREFIX_REP ? 16 : 0;
	case 0x7e: /* MOVD and MOVQ store, MOVQ load */
		return prefix == 0x66 ? general : prefix == DECODE_PREFIX_REP ? 8 : 0;
	case 0xd6: /* MOVQ store */
		return prefix == 0x66 ? 8 : 0;
	case 0xe7: /* MOVNTDQ */
		*is_aligned = true;
		return prefix == 0x66 ? 16 : 0;
	default:
		return 0;
	}
}

static int decode_vector(struct decode_cursor *cursor, uint8_t opcode,
                         struct decode_instruction *out)
{
	bool is_aligned;
	bool is_load;
	uint8_t bytes = decode_vector_bytes(cursor, opcode, &is_aligned, &is_load);

	if (bytes == 0 || !decode_modrm(cursor, out)) {
		return BH_ERR_UNSUPPORTED;
	}
	decode_set_bytes(out, bytes);
	out->operation = is_aligned ? DECODE_VECTOR_ALIGNED : DECODE_VECTOR;
	out->destination = is_load ? DECODE_PLACE_VECTOR : DECODE_PLACE_MEMORY;
	out->source = is_load ? DECODE_PLACE_MEMORY : DECODE_PLACE_VECTOR;
	return BH_OK;
}

/* Group 8 (0F BA): BT, BTS, BTR, BTC with an immediate bit number. */
static int decode_group_8(struct decode_cursor *cursor, struct decode_instruction *out)
{
	uint8_t which;

	if (decode_group_form(cursor, out) != BH_OK) {
		return BH_ERR_UNSUPPORTED;
	}
	which = (cursor->modrm >> 3) & 7;
	if (which < 4) {
		return BH_ERR_UNSUPPORTED;
	}
	out->operation = (enum decode_operation)(DECODE_BT + (which - 4));
	decode_immediate(cursor, out, true);
	return BH_OK;
}

/* Group 9 (0F C7), of which only /1 is a plain access to memory. */
static int decode_group_9(struct decode_cursor *cursor, struct decode_instruction *out)
{
	bool is_wide = (cursor->rex & DECODE_REX_W) != 0;

	if (decode_group_form(cursor, out) != BH_OK || (cursor->modrm & 0x38) != 0x08) {
		return BH_ERR_UNSUPPORTED;
	}
	out->operation = DECODE_CMPXCHG_PAIR;
	out->operand_bytes = is_wide ? 8 : 4;
	out->memory_bytes = is_wide ? 16 : 8;
	return BH_OK;
}

/* MOVBE, 0F 38 F0 and F1. With F2 the same opcodes are CRC32. */
static int decode_three_byte_map(struct decode_cursor *cursor, struct decode_instruction *out)
{
	uint8_t opcode = decode_next(cursor);

	if ((opcode & 0xfe) != 0xf0 || cursor->repeat != 0) {
		return BH_ERR_UNSUPPORTED;
	}
	decode_set_bytes(out, decode_operand_bytes(cursor));
	out->operation = DECODE_MOVBE;
	return decode_register_form(cursor, out, opcode == 0xf0);
}

static int decode_two_byte_map(struct decode_cursor *cursor, struct decode_instruction *out)
{
	uint8_t opcode = decode_next(cursor);

	decode_set_bytes(out, decode_operand_bytes(cursor));
	switch (opcode) {
	case 0x38:
		return decode_three_byte_map(cursor, out);
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
		out->operation = (enum decode_operation)(DECODE_BT + ((opcode - 0xa3) >> 3));
		return decode_register_form(cursor, out, false);
	case 0xb0:
	case 0xb1:
		decode_set_byte_or_full(cursor, opcode, out);
		out->operation = DECODE_CMPXCHG;
		return decode_register_form(cursor, out, false);
	case 0xb6:
	case 0xb7:
	case 0xbe:
	case 0xbf:
		out->operation = opcode < 0xb8 ? DECODE_MOVZX : DECODE_MOVSX;
		out->memory_bytes = (opcode & 1) != 0 ? 2 : 1;
		return decode_register_form(cursor, out, true);
	case 0xba:
		return decode_group_8(cursor, out);
	case 0xc0:
	case 0xc1:
		decode_set_byte_or_full(cursor, opcode, out);
		out->operation = DECODE_XADD;
		return decode_register_form(cursor, out, false);
	case 0xc3:
		if (decode_mandatory_prefix(cursor) != 0) {
			return BH_ERR_UNSUPPORTED;
		}
		decode_set_bytes(out, (cursor->rex & DECODE_REX_W) != 0 ? 8 : 4);
		out->operation = DECODE_MOV; /* MOVNTI: order matters to no device of ours */
		return decode_register_form(cursor, out, false);
	case 0xc7:
		return decode_group_9(cursor, out);
	default:
		return decode_vector(cursor, opcode, out);
	}
}

/* LOCK is #UD with anything but these, and with these unless they write memory (SDM 2A, LOCK). */
static bool decode_lock_is_valid(const struct decode_instruction *out)
{
	if (!out->is_locked) {
		return true;
	}
	if (out->destination != DECODE_PLACE_MEMORY) {
		return false;
	}
	switch ((int)out->operation) {
	case DECODE_ADD ... DECODE_XOR:
	case DECODE_NOT ... DECODE_DEC:
	case DECODE_BTS ... DECODE_CMPXCHG_PAIR:
		return true;
	default:
		return false;
	}
}

int decode_instruction(const uint8_t *bytes, uint32_t count, enum decode_mode mode,
                       struct decode_instruction *out)
{
	struct decode_cursor cursor = {
		.bytes = bytes,
		.count = count,
		.mode = mode,
		.segment = DECODE_NO_REGISTER,
	};
	uint8_t opcode;
	int error;

	memset(out, 0, sizeof(*out));
	out->mode = mode;
	out->reg = DECODE_NO_REGISTER;
	out->memory.base = DECODE_NO_REGISTER;
	out->memory.index = DECODE_NO_REGISTER;
	opcode = decode_prefixes(&cursor, out);
	out->address_bytes = decode_address_bytes(&cursor);
	if (cursor.is_cut_short) {
		return BH_ERR_FORMAT;
	}
	error = opcode == 0x0f ? decode_two_byte_map(&cursor, out)
	                       : decode_one_byte_map(&cursor, opcode, out);
	if (cursor.is_cut_short) {
		return BH_ERR_FORMAT;
	}
	if (error != BH_OK || out->operation == DECODE_NONE || !decode_lock_is_valid(out)) {
		return BH_ERR_UNSUPPORTED;
	}
	out->length = (uint8_t)cursor.at;
	return BH_OK;
}

enum decode_mode decode_mode_of(uint64_t efer, const struct bh_segment_state *cs)
{
	if ((efer & CPU_EFER_LMA) != 0 && (cs->attributes & CPU_SEGMENT_LONG) != 0) {
		return DECODE_MODE_64;
	}
	return (cs->attributes & CPU_SEGMENT_BIG) != 0 ? DECODE_MODE_32 : DECODE_MODE_16;
}

uint64_t decode_memory_offset(const struct decode_instruction *in, const uint64_t gpr[BH_GPR_COUNT],
                              uint64_t rip)
{
	uint64_t offset = (uint64_t)in->memory.displacement;

	if (in->memory.base != DECODE_NO_REGISTER) {
		offset += gpr[in->memory.base];
	}
	if (in->memory.index != DECODE_NO_REGISTER) {
		offset += gpr[in->memory.index] * in->memory.scale;
	}
	if (in->memory.is_rip_relative) {
		offset += rip + in->length;
	}
	if (in->address_bytes == 8) {
		return offset;
	}
	return offset & ((1ull << (8 * in->address_bytes)) - 1);
}
