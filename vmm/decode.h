// SPDX-License-Identifier: Apache-2.0
/*
 * Decoder for the instructions that reach memory-mapped registers or do string port I/O.
 *
 * Owns: turning up to 15 bytes into a record. It is pure: no guest memory, no registers, no state.
 * Must never: guess. What it does not know for certain is BH_ERR_UNSUPPORTED.
 * Manuals: SDM 2A chapter 2 (formats), 2A-2D chapters 3-5, 2D appendix A (opcode map).
 *
 * Known: MOV (88-8B, A0-A3, C6, C7), MOVZX, MOVSX, MOVSXD, MOVBE, MOVNTI, ADD OR ADC SBB AND SUB
 * XOR CMP TEST, NOT NEG INC DEC, BT BTS BTR BTC, XCHG, XADD, CMPXCHG, CMPXCHG8B/16B, PUSH and POP
 * of memory, MOVS CMPS STOS LODS SCAS INS OUTS with REP, and the plain SSE moves. Only forms with
 * a memory operand: with a register in its place an instruction cannot touch a device.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/cpu_state.h"

#define DECODE_LENGTH_MAX 15 /* SDM 2A 2.3.11 */

/* Width of code: see decode_mode_of(). */
enum decode_mode {
	DECODE_MODE_16 = 16,
	DECODE_MODE_32 = 32,
	DECODE_MODE_64 = 64,
};

/* What the instruction does. ADD to CMP are in the order of the opcode map. */
enum decode_operation {
	DECODE_NONE = 0,
	DECODE_ADD,
	DECODE_OR,
	DECODE_ADC,
	DECODE_SBB,
	DECODE_AND,
	DECODE_SUB,
	DECODE_XOR,
	DECODE_CMP,
	DECODE_TEST,
	DECODE_NOT,
	DECODE_NEG,
	DECODE_INC,
	DECODE_DEC,
	DECODE_MOV,
	DECODE_MOVZX,
	DECODE_MOVSX, /* MOVSXD too */
	DECODE_MOVBE,
	DECODE_BT,
	DECODE_BTS,
	DECODE_BTR,
	DECODE_BTC,
	DECODE_XCHG,
	DECODE_XADD,
	DECODE_CMPXCHG,
	DECODE_CMPXCHG_PAIR, /* CMPXCHG8B, CMPXCHG16B */
	DECODE_PUSH,
	DECODE_POP,
	DECODE_MOVS,
	DECODE_CMPS,
	DECODE_STOS,
	DECODE_LODS,
	DECODE_SCAS,
	DECODE_INS,
	DECODE_OUTS,
	DECODE_VECTOR, /* a move between memory and an XMM register, the rest of it zeroed */
	DECODE_VECTOR_ALIGNED, /* the same, #GP(0) unless the address is a multiple of 16 */
};

/* Where an operand is. */
enum decode_place {
	DECODE_PLACE_NONE = 0,
	DECODE_PLACE_REGISTER, /* `reg`, `is_reg_high` */
	DECODE_PLACE_MEMORY,   /* `memory` */
	DECODE_PLACE_IMMEDIATE,
	DECODE_PLACE_VECTOR, /* XMM number `reg` */
};

#define DECODE_NO_REGISTER 0xffu

/* The address of the memory operand: segment : base + index * scale + displacement. */
struct decode_memory {
	uint8_t base;         /* enum bh_gpr or DECODE_NO_REGISTER */
	uint8_t index;        /* the same */
	uint8_t scale;        /* 1, 2, 4 or 8; 0 without an index */
	uint8_t segment;      /* enum bh_segment, override applied */
	bool is_rip_relative; /* to the end of the instruction */
	int64_t displacement;
};

/*
 * One instruction. For MOVS and CMPS `memory` is the source at rSI, and the other operand is
 * ES:rDI; for STOS, SCAS and INS it is ES:rDI, for LODS and OUTS the source at rSI.
 */
struct decode_instruction {
	enum decode_operation operation;
	enum decode_mode mode;
	uint8_t length;
	uint8_t operand_bytes; /* of the operation: what a register gets or gives */
	uint8_t memory_bytes;  /* of the access to `memory` */
	uint8_t address_bytes; /* 2, 4 or 8: offsets wrap at this width */
	uint8_t reg;
	bool is_reg_high;  /* AH, CH, DH or BH: bits 15:8 of gpr[reg] */
	bool has_repeat;   /* a string instruction with REP, REPE or REPNE */
	bool repeat_is_ne; /* REPNE: CMPS and SCAS go on while ZF is 0 */
	bool is_locked;
	enum decode_place destination;
	enum decode_place source;
	struct decode_memory memory;
	int64_t immediate; /* sign-extended from its encoding */
};

/*
 * Decodes the instruction at bytes[0 .. count). More bytes than it has may be given. BH_OK;
 * BH_ERR_FORMAT if it goes on past `count` or past 15 bytes; BH_ERR_UNSUPPORTED for all that is
 * not in the list above. *out is defined only for BH_OK.
 */
int decode_instruction(const uint8_t *bytes, uint32_t count, enum decode_mode mode,
                       struct decode_instruction *out);

/*
 * The mode that a CPU with this EFER and CS decodes in (SDM 3A 3.4.5, 5.2.1). CS.D counts in real
 * mode too: code that has just cleared CR0.PE goes on with its old width.
 */
enum decode_mode decode_mode_of(uint64_t efer, const struct bh_segment_state *cs);

/*
 * Offset of the memory operand in its segment, wrapped to the address size. `gpr` is in enum bh_gpr
 * order; `rip` is that of the instruction itself.
 */
uint64_t decode_memory_offset(const struct decode_instruction *in, const uint64_t gpr[BH_GPR_COUNT],
                              uint64_t rip);
