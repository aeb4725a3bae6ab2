// SPDX-License-Identifier: Apache-2.0
/*
 * The emulator's string instructions: MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS, alone and repeated.
 *
 * Must never: stay in a REP for longer than the caller allows; registers are right between
 * iterations, so that the guest's next entry goes on where this call stopped. Manual: SDM 2B,
 * REP/REPE/REPNE.
 */
#include "vmm/cpu_state.h"
#include "vmm/emulate_internal.h"
#include "vmm/walk.h"

/* Adds to a register in the width of the instruction's addresses. */
static void string_advance(struct emulate *emulate, const struct decode_instruction *in,
                           uint32_t reg, int64_t bytes)
{
	uint64_t value = emulate->cpu->gpr[reg] + (uint64_t)bytes;

	emulate_gpr_write(emulate->cpu, reg, in->address_bytes, value);
}

static enum emulate_result string_locate(struct emulate *emulate,
                                         const struct decode_instruction *in, uint32_t reg,
                                         uint32_t access, struct emulate_operand *out)
{
	const struct emulate_reference reference = {
		.mode = in->mode,
		.segment = reg == BH_GPR_RDI ? BH_SEG_ES : in->memory.segment,
		.offset = emulate_truncate(emulate->cpu->gpr[reg], in->address_bytes),
		.bytes = in->memory_bytes,
		.access = access,
	};

	return emulate_locate(emulate, &reference, out);
}

/* Locates and reads the operand at rSI or rDI. */
static enum emulate_result string_read(struct emulate *emulate, const struct decode_instruction *in,
                                       uint32_t reg, uint64_t *value)
{
	struct emulate_operand operand;
	enum emulate_result result = string_locate(emulate, in, reg, 0, &operand);

	*value = 0;
	return result == EMULATE_DONE ? emulate_read(emulate, &operand, value) : result;
}

/*
 * INS and OUTS. The memory is checked first: a port must not be read for an iteration that faults.
 */
static enum emulate_result string_port(struct emulate *emulate, const struct decode_instruction *in)
{
	const struct emulate_bus *bus = emulate->bus;
	uint16_t port = (uint16_t)emulate->cpu->gpr[BH_GPR_RDX];
	struct emulate_operand operand;
	enum emulate_result result;
	uint32_t value = 0;
	uint64_t memory;

	if (in->operation == DECODE_OUTS) {
		result = string_read(emulate, in, BH_GPR_RSI, &memory);
		if (result != EMULATE_DONE) {
			return result;
		}
		return bus->port_out(bus->context, port, in->operand_bytes, (uint32_t)memory) < 0
		               ? EMULATE_FAILED
		               : EMULATE_DONE;
	}
	result = string_locate(emulate, in, BH_GPR_RDI, WALK_WRITE, &operand);
	if (result != EMULATE_DONE) {
		return result;
	}
	if (bus->port_in(bus->context, port, in->operand_bytes, &value) < 0) {
		return EMULATE_FAILED;
	}
	return emulate_write(emulate, &operand, &value);
}

/* MOVS and STOS. */
static enum emulate_result string_store(struct emulate *emulate,
                                        const struct decode_instruction *in)
{
	uint64_t value = emulate->cpu->gpr[BH_GPR_RAX];
	struct emulate_operand operand;
	enum emulate_result result;

	/* The target is checked before a device's register is read: reading may change it. */
	result = string_locate(emulate, in, BH_GPR_RDI, WALK_WRITE, &operand);
	if (result == EMULATE_DONE && in->operation == DECODE_MOVS) {
		result = string_read(emulate, in, BH_GPR_RSI, &value);
	}
	return result == EMULATE_DONE ? emulate_write(emulate, &operand, &value) : result;
}

/* CMPS, SCAS and LODS. */
static enum emulate_result string_load(struct emulate *emulate, const struct decode_instruction *in)
{
	struct bh_cpu_state *cpu = emulate->cpu;
	uint64_t first = cpu->gpr[BH_GPR_RAX];
	uint64_t second = 0;
	enum emulate_result result = EMULATE_DONE;

	if (in->operation != DECODE_SCAS) {
		result = string_read(emulate, in, BH_GPR_RSI, &first);
	}
	if (result == EMULATE_DONE && in->operation != DECODE_LODS) {
		result = string_read(emulate, in, BH_GPR_RDI, &second);
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (in->operation == DECODE_LODS) {
		emulate_gpr_write(cpu, BH_GPR_RAX, in->operand_bytes, first);
	} else {
		(void)emulate_arithmetic(DECODE_CMP, in->operand_bytes, first, second,
		                         &cpu->rflags);
	}
	return EMULATE_DONE;
}

/* One iteration, registers included. */
static enum emulate_result string_iterate(struct emulate *emulate,
                                          const struct decode_instruction *in)
{
	bool is_down = (emulate->cpu->rflags & CPU_RFLAGS_DF) != 0;
	int64_t step = is_down ? -(int64_t)in->operand_bytes : in->operand_bytes;
	bool has_rsi = false;
	bool has_rdi = false;
	enum emulate_result result;

	switch ((int)in->operation) {
	case DECODE_INS:
	case DECODE_OUTS:
		has_rsi = in->operation == DECODE_OUTS;
		has_rdi = !has_rsi;
		result = string_port(emulate, in);
		break;
	case DECODE_MOVS:
	case DECODE_STOS:
		has_rsi = in->operation == DECODE_MOVS;
		has_rdi = true;
		result = string_store(emulate, in);
		break;
	default:
		has_rsi = in->operation != DECODE_SCAS;
		has_rdi = in->operation != DECODE_LODS;
		result = string_load(emulate, in);
		break;
	}
	if (result != EMULATE_DONE) {
		return result;
	}
	if (has_rsi) {
		string_advance(emulate, in, BH_GPR_RSI, step);
	}
	if (has_rdi) {
		string_advance(emulate, in, BH_GPR_RDI, step);
	}
	return EMULATE_DONE;
}

/* After an iteration: does REPE or REPNE end here? */
static bool string_is_over(const struct emulate *emulate, const struct decode_instruction *in)
{
	bool is_equal = (emulate->cpu->rflags & CPU_RFLAGS_ZF) != 0;

	if (in->operation != DECODE_CMPS && in->operation != DECODE_SCAS) {
		return false;
	}
	return is_equal == in->repeat_is_ne;
}

enum emulate_result emulate_string(struct emulate *emulate, const struct decode_instruction *in)
{
	uint32_t left = emulate->repeat_max != 0 ? emulate->repeat_max : 1;

	if (!in->has_repeat) {
		enum emulate_result result = string_iterate(emulate, in);

		return result == EMULATE_DONE ? emulate_finish(emulate, in) : result;
	}
	while (emulate_truncate(emulate->cpu->gpr[BH_GPR_RCX], in->address_bytes) != 0) {
		enum emulate_result result;

		if (left-- == 0) {
			return EMULATE_AGAIN;
		}
		result = string_iterate(emulate, in);
		if (result != EMULATE_DONE) {
			return result;
		}
		string_advance(emulate, in, BH_GPR_RCX, -1);
		if (string_is_over(emulate, in)) {
			break;
		}
	}
	return emulate_finish(emulate, in);
}
