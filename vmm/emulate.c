// SPDX-License-Identifier: Apache-2.0
/*
 * The emulator: fetches, and executes all but the string instructions.
 *
 * Each executor goes the same way: locate every operand (can fault), read, compute, write, and
 * only then change registers and flags. Must never: take another order, or a fault would leave
 * half an instruction behind. Manual: SDM 2A-2D, the page of each instruction.
 */
#include "vmm/emulate.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate_internal.h"
#include "vmm/walk.h"

enum emulate_result emulate_finish(struct emulate *emulate, const struct decode_instruction *in)
{
	struct bh_cpu_state *cpu = emulate->cpu;

	cpu->rip += in->length;
	if (in->mode == DECODE_MODE_16) {
		cpu->rip &= 0xffff;
	} else if (in->mode == DECODE_MODE_32) {
		cpu->rip &= UINT32_MAX;
	}
	cpu->rflags &= ~CPU_RFLAGS_RF;
	return EMULATE_DONE;
}

/* The value that the instruction brings along: a register or an immediate. */
static uint64_t emulate_other_operand(const struct emulate *emulate,
                                      const struct decode_instruction *in)
{
	if (in->source == DECODE_PLACE_IMMEDIATE) {
		return emulate_truncate((uint64_t)in->immediate, in->operand_bytes);
	}
	if (in->reg == DECODE_NO_REGISTER) {
		return 0;
	}
	return emulate_register_read(emulate->cpu, in);
}

/* ADD to CMP, TEST, NOT, NEG, INC, DEC. */
static enum emulate_result emulate_do_arithmetic(struct emulate *emulate,
                                                 const struct decode_instruction *in)
{
	bool is_compare = in->operation == DECODE_CMP || in->operation == DECODE_TEST;
	bool is_store = in->destination == DECODE_PLACE_MEMORY && !is_compare;
	uint64_t other = emulate_other_operand(emulate, in);
	uint64_t flags = emulate->cpu->rflags;
	struct emulate_operand operand;
	enum emulate_result result;
	uint64_t memory = 0;
	uint64_t value;

	result = emulate_locate_memory(emulate, in, is_store ? WALK_WRITE : 0, &operand);
	if (result == EMULATE_DONE) {
		result = emulate_read(emulate, &operand, &memory);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (in->destination == DECODE_PLACE_REGISTER) {
		value = emulate_arithmetic(in->operation, in->operand_bytes, other, memory, &flags);
	} else {
		value = emulate_arithmetic(in->operation, in->operand_bytes, memory, other, &flags);
	}
	if (is_store) {
		result = emulate_replace(emulate, &operand, memory, value);
		if (result != EMULATE_DONE) {
			return result;
		}
	} else if (!is_compare) {
		emulate_register_write(emulate->cpu, in, value);
	}
	emulate->cpu->rflags = flags;
	return emulate_finish(emulate, in);
}

/* A loaded value as the register gets it. */
static uint64_t emulate_extend(const struct decode_instruction *in, uint64_t value)
{
	uint32_t shift = 64 - 8u * in->memory_bytes;

	if (in->operation == DECODE_MOVSX) {
		return (uint64_t)((int64_t)(value << shift) >> shift);
	}
	if (in->operation == DECODE_MOVBE) {
		return __builtin_bswap64(value) >> shift;
	}
	return value;
}

/* MOV, MOVZX, MOVSX, MOVBE. */
static enum emulate_result emulate_do_move(struct emulate *emulate,
                                           const struct decode_instruction *in)
{
	bool is_store = in->destination == DECODE_PLACE_MEMORY;
	struct emulate_operand operand;
	enum emulate_result result;
	uint64_t value = 0;

	result = emulate_locate_memory(emulate, in, is_store ? WALK_WRITE : 0, &operand);
	if (result != EMULATE_DONE) {
		return result;
	}
	if (is_store) {
		value = emulate_extend(in, emulate_other_operand(emulate, in));
		result = emulate_write(emulate, &operand, &value);
	} else {
		result = emulate_read(emulate, &operand, &value);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (!is_store) {
		emulate_register_write(emulate->cpu, in, emulate_extend(in, value));
	}
	return emulate_finish(emulate, in);
}

/* BT, BTS, BTR, BTC. A bit number in a register reaches beyond the operand, in both directions. */
static enum emulate_result emulate_do_bit(struct emulate *emulate,
                                          const struct decode_instruction *in)
{
	uint32_t bits = 8u * in->operand_bytes;
	uint64_t other = emulate_other_operand(emulate, in);
	uint64_t mask = 1ull << (other & (bits - 1));
	struct decode_instruction shifted = *in;
	struct emulate_operand operand;
	enum emulate_result result;
	uint64_t memory = 0;
	uint64_t value;

	if (in->source == DECODE_PLACE_REGISTER) {
		int64_t bit = (int64_t)(other << (64 - bits)) >> (64 - bits);
		int64_t words = (bit - (bit & (bits - 1))) / (int64_t)bits;

		shifted.memory.displacement += words * in->operand_bytes;
	}
	result = emulate_locate_memory(emulate, &shifted,
	                               in->operation == DECODE_BT ? 0 : WALK_WRITE, &operand);
	if (result == EMULATE_DONE) {
		result = emulate_read(emulate, &operand, &memory);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (in->operation != DECODE_BT) {
		value = in->operation == DECODE_BTS   ? memory | mask
		        : in->operation == DECODE_BTR ? memory & ~mask
		                                      : memory ^ mask;
		result = emulate_replace(emulate, &operand, memory, value);
		if (result != EMULATE_DONE) {
			return result;
		}
	}
	emulate->cpu->rflags &= ~CPU_RFLAGS_CF;
	emulate->cpu->rflags |= (memory & mask) != 0 ? CPU_RFLAGS_CF : 0;
	return emulate_finish(emulate, in);
}

/* XCHG, XADD, CMPXCHG: memory is always written, a failed CMPXCHG puts back what was there. */
static enum emulate_result emulate_do_exchange(struct emulate *emulate,
                                               const struct decode_instruction *in)
{
	struct bh_cpu_state *cpu = emulate->cpu;
	uint64_t other = emulate_register_read(cpu, in);
	uint64_t accumulator = emulate_truncate(cpu->gpr[BH_GPR_RAX], in->operand_bytes);
	uint64_t flags = cpu->rflags;
	struct emulate_operand operand;
	enum emulate_result result;
	uint64_t memory = 0;
	uint64_t value = other;

	result = emulate_locate_memory(emulate, in, WALK_WRITE, &operand);
	if (result == EMULATE_DONE) {
		result = emulate_read(emulate, &operand, &memory);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (in->operation == DECODE_XADD) {
		value = emulate_arithmetic(DECODE_XADD, in->operand_bytes, memory, other, &flags);
	} else if (in->operation == DECODE_CMPXCHG) {
		(void)emulate_arithmetic(DECODE_CMP, in->operand_bytes, accumulator, memory,
		                         &flags);
		value = accumulator == memory ? other : memory;
	}
	result = emulate_replace(emulate, &operand, memory, value);
	if (result != EMULATE_DONE) {
		return result;
	}
	if (in->operation != DECODE_CMPXCHG) {
		emulate_register_write(cpu, in, memory);
	} else if (accumulator != memory) {
		emulate_gpr_write(cpu, BH_GPR_RAX, in->operand_bytes, memory);
	}
	cpu->rflags = flags;
	return emulate_finish(emulate, in);
}

/*
 * CMPXCHG8B and CMPXCHG16B: memory against rDX:rAX, replaced by rCX:rBX. The eight-byte form is
 * atomic in RAM; the sixteen-byte one is not, and comes here only for devices.
 */
static enum emulate_result emulate_do_pair(struct emulate *emulate,
                                           const struct decode_instruction *in)
{
	struct bh_cpu_state *cpu = emulate->cpu;
	uint32_t half = in->operand_bytes;
	uint8_t memory[EMULATE_BYTES_MAX] = { 0 };
	uint8_t expected[EMULATE_BYTES_MAX];
	uint8_t value[EMULATE_BYTES_MAX];
	struct emulate_operand operand;
	enum emulate_result result;
	uint64_t old;
	uint64_t replacement;
	bool is_equal;

	result = emulate_locate_memory(emulate, in, WALK_WRITE, &operand);
	if (result == EMULATE_DONE && in->memory_bytes == 16 && operand.linear % 16 != 0) {
		result = emulate_raise(emulate, CPU_VECTOR_GP, 0);
	}
	if (result == EMULATE_DONE) {
		result = emulate_read(emulate, &operand, memory);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	memcpy(expected, &cpu->gpr[BH_GPR_RAX], half);
	memcpy(expected + half, &cpu->gpr[BH_GPR_RDX], half);
	memcpy(value, &cpu->gpr[BH_GPR_RBX], half);
	memcpy(value + half, &cpu->gpr[BH_GPR_RCX], half);
	is_equal = memcmp(memory, expected, in->memory_bytes) == 0;
	if (!is_equal) {
		memcpy(value, memory, in->memory_bytes);
	}
	memcpy(&old, memory, sizeof(old));
	memcpy(&replacement, value, sizeof(replacement));
	result = in->memory_bytes == 8 ? emulate_replace(emulate, &operand, old, replacement)
	                               : emulate_write(emulate, &operand, value);
	if (result != EMULATE_DONE) {
		return result;
	}
	cpu->rflags &= ~CPU_RFLAGS_ZF;
	cpu->rflags |= is_equal ? CPU_RFLAGS_ZF : 0;
	if (!is_equal) {
		uint64_t low = 0;
		uint64_t high = 0;

		memcpy(&low, memory, half);
		memcpy(&high, memory + half, half);
		emulate_gpr_write(cpu, BH_GPR_RAX, half, low);
		emulate_gpr_write(cpu, BH_GPR_RDX, half, high);
	}
	return emulate_finish(emulate, in);
}

/* Width of the stack pointer in bytes (SDM 1 6.2.3). */
static uint32_t emulate_stack_bytes(const struct emulate *emulate,
                                    const struct decode_instruction *in)
{
	if (in->mode == DECODE_MODE_64) {
		return 8;
	}
	return (emulate->cpu->segments[BH_SEG_SS].attributes & CPU_SEGMENT_BIG) != 0 ? 4 : 2;
}

static enum emulate_result emulate_locate_stack(struct emulate *emulate,
                                                const struct decode_instruction *in, uint64_t rsp,
                                                uint32_t access, struct emulate_operand *out)
{
	const struct emulate_reference reference = {
		.mode = in->mode,
		.segment = BH_SEG_SS,
		.offset = emulate_truncate(rsp, emulate_stack_bytes(emulate, in)),
		.bytes = in->operand_bytes,
		.access = access,
	};

	return emulate_locate(emulate, &reference, out);
}

/*
 * PUSH and POP of a memory operand. POP's address is computed with rSP already moved (SDM 2B,
 * POP).
 */
static enum emulate_result emulate_do_stack(struct emulate *emulate,
                                            const struct decode_instruction *in)
{
	struct bh_cpu_state *cpu = emulate->cpu;
	bool is_push = in->operation == DECODE_PUSH;
	uint32_t stack_bytes = emulate_stack_bytes(emulate, in);
	uint64_t old_rsp = cpu->gpr[BH_GPR_RSP];
	uint64_t moved_rsp = is_push ? old_rsp - in->operand_bytes : old_rsp + in->operand_bytes;
	struct emulate_operand stack;
	struct emulate_operand memory;
	enum emulate_result result;
	uint64_t value = 0;

	result = emulate_locate_stack(emulate, in, is_push ? moved_rsp : old_rsp,
	                              is_push ? WALK_WRITE : 0, &stack);
	if (result != EMULATE_DONE) {
		return result;
	}
	if (!is_push) {
		emulate_gpr_write(cpu, BH_GPR_RSP, stack_bytes, moved_rsp);
	}
	result = emulate_locate_memory(emulate, in, is_push ? 0 : WALK_WRITE, &memory);
	cpu->gpr[BH_GPR_RSP] = old_rsp;
	if (result == EMULATE_DONE) {
		result = emulate_read(emulate, is_push ? &memory : &stack, &value);
	}
	if (result == EMULATE_DONE) {
		result = emulate_write(emulate, is_push ? &stack : &memory, &value);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	emulate_gpr_write(cpu, BH_GPR_RSP, stack_bytes, moved_rsp);
	return emulate_finish(emulate, in);
}

/* SSE moves. */
static enum emulate_result emulate_do_vector(struct emulate *emulate,
                                             const struct decode_instruction *in)
{
	bool is_store = in->destination == DECODE_PLACE_MEMORY;
	uint8_t value[EMULATE_BYTES_MAX] = { 0 };
	struct emulate_operand operand;
	enum emulate_result result;

	if (emulate->xmm == NULL) {
		return EMULATE_UNSUPPORTED;
	}
	result = emulate_locate_memory(emulate, in, is_store ? WALK_WRITE : 0, &operand);
	if (result == EMULATE_DONE && in->operation == DECODE_VECTOR_ALIGNED &&
	    operand.linear % 16 != 0) {
		result = emulate_raise(emulate, CPU_VECTOR_GP, 0);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (is_store) {
		result = emulate_write(emulate, &operand, emulate->xmm[in->reg]);
	} else {
		result = emulate_read(emulate, &operand, value);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (!is_store) {
		memcpy(emulate->xmm[in->reg], value, sizeof(value));
	}
	return emulate_finish(emulate, in);
}

enum emulate_result emulate_execute(struct emulate *emulate, const struct decode_instruction *in)
{
	switch ((int)in->operation) {
	case DECODE_ADD ... DECODE_DEC:
		return emulate_do_arithmetic(emulate, in);
	case DECODE_MOV ... DECODE_MOVBE:
		return emulate_do_move(emulate, in);
	case DECODE_BT ... DECODE_BTC:
		return emulate_do_bit(emulate, in);
	case DECODE_XCHG ... DECODE_CMPXCHG:
		return emulate_do_exchange(emulate, in);
	case DECODE_CMPXCHG_PAIR:
		return emulate_do_pair(emulate, in);
	case DECODE_PUSH:
	case DECODE_POP:
		return emulate_do_stack(emulate, in);
	case DECODE_MOVS ... DECODE_OUTS:
		return emulate_string(emulate, in);
	case DECODE_VECTOR:
	case DECODE_VECTOR_ALIGNED:
		return emulate_do_vector(emulate, in);
	default:
		return EMULATE_UNSUPPORTED;
	}
}

/*
 * How many bytes can be taken from where `gpa` and `offset` point, to the end of the page and of
 * CS.
 */
static uint32_t emulate_fetch_room(const struct emulate *emulate,
                                   const struct emulate_reference *reference, uint64_t gpa)
{
	uint32_t room = 4096 - (uint32_t)(gpa % 4096);
	uint64_t last = emulate->cpu->segments[BH_SEG_CS].limit;

	if (reference->mode != DECODE_MODE_64 && room - 1 > last - reference->offset) {
		room = (uint32_t)(last - reference->offset) + 1;
	}
	return room;
}

enum emulate_result emulate_fetch(struct emulate *emulate, uint8_t bytes[DECODE_LENGTH_MAX],
                                  uint32_t *count)
{
	const struct bh_cpu_state *cpu = emulate->cpu;
	struct emulate_reference reference = {
		.mode = decode_mode_of(cpu->efer, &cpu->segments[BH_SEG_CS]),
		.segment = BH_SEG_CS,
		.bytes = 1,
		.access = WALK_FETCH,
	};

	reference.offset = emulate_truncate(cpu->rip, reference.mode == DECODE_MODE_64 ? 8 : 4);
	emulate->fault = (struct emulate_fault){ 0 };
	for (*count = 0; *count < DECODE_LENGTH_MAX;) {
		struct emulate_operand operand;
		enum emulate_result result = emulate_locate(emulate, &reference, &operand);
		uint32_t room;

		if (result != EMULATE_DONE) {
			return *count != 0 && result == EMULATE_FAULT ? EMULATE_DONE : result;
		}
		room = emulate_fetch_room(emulate, &reference, operand.pieces[0].gpa);
		if (room > DECODE_LENGTH_MAX - *count) {
			room = DECODE_LENGTH_MAX - *count;
		}
		if (guest_memory_read(emulate->memory, operand.pieces[0].gpa, bytes + *count,
		                      room) != BH_OK) {
			return *count != 0 ? EMULATE_DONE : EMULATE_UNSUPPORTED;
		}
		*count += room;
		reference.offset += room;
	}
	return EMULATE_DONE;
}

enum emulate_result emulate_step(struct emulate *emulate, const uint8_t *bytes, uint32_t count)
{
	struct bh_cpu_state *cpu = emulate->cpu;
	enum decode_mode mode = decode_mode_of(cpu->efer, &cpu->segments[BH_SEG_CS]);
	uint8_t fetched[DECODE_LENGTH_MAX];
	struct decode_instruction in;
	enum emulate_result result;
	int error = BH_ERR_FORMAT;

	if (count != 0) {
		error = decode_instruction(bytes, count, mode, &in);
	}
	if (error == BH_ERR_FORMAT) {
		result = emulate_fetch(emulate, fetched, &count);
		if (result != EMULATE_DONE) {
			return result;
		}
		error = decode_instruction(fetched, count, mode, &in);
	}
	if (error == BH_ERR_FORMAT) {
		if (count == DECODE_LENGTH_MAX) {
			return emulate_raise(emulate, CPU_VECTOR_GP, 0);
		}
		return emulate->fault.vector != 0 ? EMULATE_FAULT : EMULATE_UNSUPPORTED;
	}
	return error == BH_OK ? emulate_execute(emulate, &in) : EMULATE_UNSUPPORTED;
}
