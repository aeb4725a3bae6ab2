// SPDX-License-Identifier: Apache-2.0
/*
 * Integer arithmetic with x86 flags, and general registers of all widths. Pure.
 *
 * Must never: touch a flag that the operation leaves alone (INC and DEC keep CF; NOT keeps all).
 * Manual: SDM 1 3.4.3.1 (status flags), SDM 1 appendix A.
 */
#include "vmm/cpu_state.h"
#include "vmm/emulate_internal.h"

#define EMULATE_STATUS_FLAGS                                                             \
	(CPU_RFLAGS_CF | CPU_RFLAGS_PF | CPU_RFLAGS_AF | CPU_RFLAGS_ZF | CPU_RFLAGS_SF | \
	 CPU_RFLAGS_OF)

uint64_t emulate_truncate(uint64_t value, uint32_t bytes)
{
	return bytes >= 8 ? value : value & ((1ull << (8 * bytes)) - 1);
}

static bool emulate_sign(uint64_t value, uint32_t bytes)
{
	return ((value >> (8 * bytes - 1)) & 1) != 0;
}

static uint64_t emulate_result_flags(uint64_t result, uint32_t bytes)
{
	uint64_t flags = 0;

	flags |= __builtin_parity((uint8_t)result) == 0 ? CPU_RFLAGS_PF : 0;
	flags |= result == 0 ? CPU_RFLAGS_ZF : 0;
	flags |= emulate_sign(result, bytes) ? CPU_RFLAGS_SF : 0;
	return flags;
}

/* a + b + carry, with flags from the carries out of each bit. */
static uint64_t emulate_add(uint32_t bytes, uint64_t a, uint64_t b, uint64_t carry, uint64_t *flags)
{
	uint64_t result = emulate_truncate(a + b + carry, bytes);
	uint64_t carries = (a & b) | ((a | b) & ~result);

	*flags = emulate_result_flags(result, bytes);
	*flags |= emulate_sign(carries, bytes) ? CPU_RFLAGS_CF : 0;
	*flags |= (carries & 8) != 0 ? CPU_RFLAGS_AF : 0;
	*flags |= emulate_sign((a ^ result) & (b ^ result), bytes) ? CPU_RFLAGS_OF : 0;
	return result;
}

/* a - b - borrow. */
static uint64_t emulate_subtract(uint32_t bytes, uint64_t a, uint64_t b, uint64_t borrow,
                                 uint64_t *flags)
{
	uint64_t result = emulate_truncate(a - b - borrow, bytes);
	uint64_t borrows = (~a & b) | ((~a | b) & result);

	*flags = emulate_result_flags(result, bytes);
	*flags |= emulate_sign(borrows, bytes) ? CPU_RFLAGS_CF : 0;
	*flags |= (borrows & 8) != 0 ? CPU_RFLAGS_AF : 0;
	*flags |= emulate_sign((a ^ b) & (a ^ result), bytes) ? CPU_RFLAGS_OF : 0;
	return result;
}

uint64_t emulate_arithmetic(enum decode_operation operation, uint32_t bytes, uint64_t a, uint64_t b,
                            uint64_t *rflags)
{
	uint64_t changed = EMULATE_STATUS_FLAGS;
	uint64_t carry = *rflags & CPU_RFLAGS_CF;
	uint64_t flags = 0;
	uint64_t result;

	a = emulate_truncate(a, bytes);
	b = emulate_truncate(b, bytes);
	switch ((int)operation) {
	case DECODE_ADD:
	case DECODE_XADD:
		result = emulate_add(bytes, a, b, 0, &flags);
		break;
	case DECODE_ADC:
		result = emulate_add(bytes, a, b, carry, &flags);
		break;
	case DECODE_SUB:
	case DECODE_CMP:
		result = emulate_subtract(bytes, a, b, 0, &flags);
		break;
	case DECODE_SBB:
		result = emulate_subtract(bytes, a, b, carry, &flags);
		break;
	case DECODE_NEG:
		result = emulate_subtract(bytes, 0, a, 0, &flags);
		break;
	case DECODE_INC:
		result = emulate_add(bytes, a, 1, 0, &flags);
		changed &= ~CPU_RFLAGS_CF;
		break;
	case DECODE_DEC:
		result = emulate_subtract(bytes, a, 1, 0, &flags);
		changed &= ~CPU_RFLAGS_CF;
		break;
	case DECODE_AND:
	case DECODE_TEST:
		result = a & b;
		flags = emulate_result_flags(result, bytes);
		break;
	case DECODE_OR:
		result = a | b;
		flags = emulate_result_flags(result, bytes);
		break;
	case DECODE_XOR:
		result = a ^ b;
		flags = emulate_result_flags(result, bytes);
		break;
	default: /* DECODE_NOT */
		return emulate_truncate(~a, bytes);
	}
	*rflags = (*rflags & ~changed) | (flags & changed);
	return result;
}

void emulate_gpr_write(struct bh_cpu_state *cpu, uint32_t reg, uint32_t bytes, uint64_t value)
{
	uint64_t *gpr = &cpu->gpr[reg];

	if (bytes >= 4) {
		*gpr = emulate_truncate(value, bytes);
		return;
	}
	*gpr = (*gpr & ~((1ull << (8 * bytes)) - 1)) | emulate_truncate(value, bytes);
}

uint64_t emulate_register_read(const struct bh_cpu_state *cpu, const struct decode_instruction *in)
{
	uint64_t value = cpu->gpr[in->reg];

	return emulate_truncate(in->is_reg_high ? value >> 8 : value, in->operand_bytes);
}

void emulate_register_write(struct bh_cpu_state *cpu, const struct decode_instruction *in,
                            uint64_t value)
{
	if (in->is_reg_high) {
		cpu->gpr[in->reg] = (cpu->gpr[in->reg] & ~0xff00ull) | (value & 0xff) << 8;
		return;
	}
	emulate_gpr_write(cpu, in->reg, in->operand_bytes, value);
}
