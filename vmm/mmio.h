// SPDX-License-Identifier: Apache-2.0
/*
 * The short way of a memory-mapped register: plain moves of 64-bit code, recognised without a walk of the guest's page tables and without
 * decoding the same bytes twice.
 *
 * Owns: a few instructions that each vCPU has lately done. Must never: trust them. One counts only while every page-table entry on the way
 * to it still has its value, under the same paging and CPL, and for exactly the same bytes; all are read from the guest's memory at each
 * use. The operand is not translated again: the CPU has just done so, and what it found (run.mmio.gpa) is taken if the instruction
 * accesses in the same way at the same place in a page. What is not plain takes the emulator's way (vmm/emulate.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bulkhead/abi.h"
#include "vmm/guest_memory.h"
#include "vmm/walk.h"

#define MMIO_MOVES      12u
#define MMIO_PAGE_BYTES 4096u
#define MMIO_CPL_NONE   4u /* of a move that matches nothing */

/* A move between memory and one register, or of an immediate to memory; and where it is. */
struct mmio_move {
	/* what it was found under */
	uint64_t rip, cr0, cr3, cr4, efer, cpl;
	struct walk_path path;
	const uint8_t *code; /* 16 bytes of one page */
	uint64_t bytes[2];   /* of the instruction, and which of them count */
	uint64_t mask[2];
	/* what it does */
	uint8_t length;
	uint8_t memory_bytes;
	uint8_t is_write;
	uint8_t is_signed;
	uint8_t reg;  /* enum bh_gpr, or BH_MMIO_NO_GPR: the immediate is stored */
	uint8_t base; /* the same, or BH_MMIO_NO_GPR */
	uint8_t index;
	uint8_t scale;
	uint64_t displacement; /* with RIP added, where the address is relative to it */
	uint64_t immediate;
	uint64_t memory_mask;   /* the bits of a value in memory */
	uint64_t register_mask; /* the bits of the register that a load replaces */
	uint64_t sign_mask;     /* those that a sign is extended to */
};

struct mmio_cache {
	struct mmio_move moves[MMIO_MOVES];
};

void mmio_init(struct mmio_cache *cache);

/* Looks at the instruction at RIP anew. NULL if it is no plain move, or not wholly in one page. */
const struct mmio_move *mmio_find_anew(struct mmio_move *move, const struct bh_run *run,
                                       const struct guest_memory *memory, uint8_t physical_bits);

/* What a load with sign extension puts into its register. */
uint64_t mmio_sign_extend(const struct mmio_move *move, uint64_t loaded);

static inline struct mmio_move *mmio_slot(struct mmio_cache *cache, uint64_t rip)
{
	return &cache->moves[(rip ^ rip >> 4) % MMIO_MOVES];
}

/* What was found of the instruction at `rip` lies in memory that may be away by now: it is found anew. */
static inline void mmio_forget(struct mmio_cache *cache, uint64_t rip)
{
	mmio_slot(cache, rip)->cpl = MMIO_CPL_NONE;
}

/* Eight bytes of the guest's code, wherever it is aligned. */
static inline uint64_t mmio_code(const struct mmio_move *move, uint32_t which)
{
	uint64_t value;

	memcpy(&value, move->code + which * 8, sizeof(value));
	return value;
}

static inline bool mmio_is_current(const struct mmio_move *move, const struct bh_run *run)
{
	const struct bh_cpu_state *cpu = &run->state;
	uint64_t differs = (move->rip ^ cpu->rip) | (move->cr0 ^ cpu->cr0) |
	                   (move->cr3 ^ cpu->cr3) | (move->cr4 ^ cpu->cr4) |
	                   (move->efer ^ cpu->efer) | (move->cpl ^ run->mmio.cpl);

	/* The code is not looked at before its translation is known to hold. */
	return differs == 0 && walk_path_is_current(&move->path) &&
	       (((mmio_code(move, 0) ^ move->bytes[0]) & move->mask[0]) |
	        ((mmio_code(move, 1) ^ move->bytes[1]) & move->mask[1])) == 0;
}

/* Does the instruction reach the address that the CPU has told, in the same way? */
static inline bool mmio_is_same_access(const struct mmio_move *move, const struct bh_run *run)
{
	uint64_t at = move->displacement - run->mmio.gpa;

	if (move->base != BH_MMIO_NO_GPR) {
		at += run->state.gpr[move->base];
	}
	if (move->index != BH_MMIO_NO_GPR) {
		at += run->state.gpr[move->index] * move->scale;
	}
	return move->is_write == run->mmio.is_write && at % MMIO_PAGE_BYTES == 0 &&
	       run->mmio.gpa % MMIO_PAGE_BYTES <= MMIO_PAGE_BYTES - move->memory_bytes;
}

/*
 * The move that the exit in `run` is about, or NULL if it is none or that is not certain. `physical_bits` is of the guest's CPUID.
 * Changes nothing of the guest but accessed bits on the way to its code.
 */
static inline const struct mmio_move *mmio_find(struct mmio_cache *cache, const struct bh_run *run,
                                                const struct guest_memory *memory,
                                                uint8_t physical_bits)
{
	struct mmio_move *slot = mmio_slot(cache, run->state.rip);
	const struct mmio_move *move = slot;

	if (!run->mmio.is_64) {
		return NULL;
	}
	if (!mmio_is_current(slot, run)) {
		move = mmio_find_anew(slot, run, memory, physical_bits);
		if (move == NULL) {
			return NULL;
		}
	}
	return mmio_is_same_access(move, run) ? move : NULL;
}

/* What a write stores. */
static inline uint64_t mmio_value(const struct mmio_move *move, const struct bh_run *run)
{
	uint64_t value = move->reg == BH_MMIO_NO_GPR ? move->immediate : run->state.gpr[move->reg];

	return value & move->memory_mask;
}

/* Puts the end of the instruction into the run page. */
static inline void mmio_answer_write(const struct mmio_move *move, struct bh_run *run)
{
	run->mmio.answer_gpr = BH_MMIO_NO_GPR;
	run->mmio.answer_length = move->length;
}

static inline void mmio_answer_read(const struct mmio_move *move, struct bh_run *run,
                                    uint64_t loaded)
{
	uint64_t value = move->is_signed ? mmio_sign_extend(move, loaded)
	                                 : loaded & move->memory_mask;

	run->mmio.answer_gpr = move->reg;
	run->mmio.answer_value = (run->state.gpr[move->reg] & ~move->register_mask) |
	                         (value & move->register_mask);
	run->mmio.answer_length = move->length;
}
