// SPDX-License-Identifier: Apache-2.0
/*
 * Finding plain moves; see mmio.h for what may be relied on.
 *
 * Must never: take an instruction whose result could differ from the emulator's. tests/unit/test_mmio.c compares the two.
 * Manual: SDM 2A 2.1, 2.2 (formats), SDM 1 3.4.1.1 (what becomes of the rest of a register).
 */
#include "vmm/mmio.h"

#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/decode.h"

#define CODE_BYTES 16u /* read at once; an instruction has at most 15 */

static uint64_t bytes_mask(uint32_t bytes)
{
	return bytes >= 8 ? UINT64_MAX : (1ull << bytes * 8) - 1;
}

void mmio_init(struct mmio_cache *cache)
{
	memset(cache, 0, sizeof(*cache));
	for (uint32_t i = 0; i < MMIO_MOVES; i++) {
		cache->moves[i].cpl = MMIO_CPL_NONE;
	}
}

/* Where the code is, and what that depends on. */
static bool translate(struct mmio_move *move, const struct bh_run *run,
                      const struct guest_memory *memory, uint8_t physical_bits)
{
	const struct bh_cpu_state *cpu = &run->state;
	const struct walk_paging paging = {
		.cr0 = cpu->cr0,
		.cr3 = cpu->cr3,
		.cr4 = cpu->cr4,
		.efer = cpu->efer,
		.rflags = cpu->rflags,
		.physical_bits = physical_bits,
		.path = &move->path,
	};
	uint32_t access = WALK_FETCH | (run->mmio.cpl == 3 ? WALK_USER : 0);
	struct walk_result result;

	if (cpu->rip % MMIO_PAGE_BYTES > MMIO_PAGE_BYTES - CODE_BYTES ||
	    walk_translate(memory, &paging, cpu->rip, access, &result) != BH_OK ||
	    !move->path.is_whole) {
		return false;
	}
	move->code = guest_memory_at(memory, result.gpa, CODE_BYTES);
	move->rip = cpu->rip;
	move->cr0 = cpu->cr0;
	move->cr3 = cpu->cr3;
	move->cr4 = cpu->cr4;
	move->efer = cpu->efer;
	return move->code != NULL;
}

static bool is_plain(const struct decode_instruction *in)
{
	bool is_load = in->destination == DECODE_PLACE_REGISTER;
	bool is_store = in->destination == DECODE_PLACE_MEMORY;

	switch ((int)in->operation) {
	case DECODE_MOV ... DECODE_MOVSX:
		break;
	default:
		return false;
	}
	return (is_load || is_store) && !in->is_locked && !in->is_reg_high &&
	       in->memory_bytes <= 8 && in->address_bytes == 8 && in->memory.segment < BH_SEG_FS &&
	       !(is_load && in->reg == BH_GPR_RSP);
}

static void fill(struct mmio_move *move, const struct decode_instruction *in)
{
	move->length = in->length;
	move->memory_bytes = in->memory_bytes;
	move->is_write = in->destination == DECODE_PLACE_MEMORY;
	move->is_signed = in->operation == DECODE_MOVSX;
	move->reg = in->source == DECODE_PLACE_IMMEDIATE ? BH_MMIO_NO_GPR : in->reg;
	move->base = in->memory.base;
	move->index = in->memory.index;
	move->scale = in->memory.scale;
	move->displacement = (uint64_t)in->memory.displacement;
	if (in->memory.is_rip_relative) {
		move->displacement += move->rip + in->length;
	}
	move->immediate = (uint64_t)in->immediate;
	move->memory_mask = bytes_mask(in->memory_bytes);
	/* A result of 4 bytes clears the upper half; one of 1 or 2 leaves the rest. */
	move->register_mask = in->operand_bytes >= 4 ? UINT64_MAX : bytes_mask(in->operand_bytes);
	move->sign_mask = bytes_mask(in->operand_bytes);
	move->mask[0] = bytes_mask(in->length);
	move->mask[1] = in->length > 8 ? bytes_mask(in->length - 8u) : 0;
}

const struct mmio_move *mmio_find_anew(struct mmio_move *move, const struct bh_run *run,
                                       const struct guest_memory *memory, uint8_t physical_bits)
{
	struct decode_instruction in;
	uint8_t bytes[CODE_BYTES];

	move->cpl = MMIO_CPL_NONE; /* matches nothing until all is known */
	if (!translate(move, run, memory, physical_bits)) {
		return NULL;
	}
	move->bytes[0] = mmio_code(move, 0);
	move->bytes[1] = mmio_code(move, 1);
	memcpy(bytes, move->bytes, sizeof(bytes));
	if (decode_instruction(bytes, DECODE_LENGTH_MAX, DECODE_MODE_64, &in) != BH_OK ||
	    !is_plain(&in)) {
		return NULL;
	}
	fill(move, &in);
	move->cpl = run->mmio.cpl;
	return move;
}

uint64_t mmio_sign_extend(const struct mmio_move *move, uint64_t loaded)
{
	uint32_t shift = 64 - move->memory_bytes * 8u;
	uint64_t value = (uint64_t)((int64_t)(loaded << shift) >> shift);

	return value & move->sign_mask;
}
