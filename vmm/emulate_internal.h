// SPDX-License-Identifier: Apache-2.0
/*
 * What the emulator's files share: located operands, arithmetic, registers.
 *
 * Must never: be included outside vmm/emulate*.c and their tests.
 */
#pragma once

#include "vmm/emulate.h"

#define EMULATE_BYTES_MAX 16

/* An operand as an instruction names it. `access` is of WALK_WRITE or 0. */
struct emulate_reference {
	enum decode_mode mode;
	uint8_t segment; /* enum bh_segment */
	uint64_t offset;
	uint32_t bytes; /* at most EMULATE_BYTES_MAX */
	uint32_t access;
};

/* An operand after all checks: one piece, or two where it crosses a page. */
struct emulate_operand {
	uint64_t linear;
	uint32_t pieces_count;
	struct {
		uint64_t gpa;
		uint32_t bytes;
		uint8_t *host; /* NULL: a device's */
	} pieces[2];
};

/* Notes an exception; the error code only where the CPU's mode has one. Returns EMULATE_FAULT. */
enum emulate_result emulate_raise(struct emulate *emulate, uint8_t vector, uint32_t error_code);

/* CPL: 0 in real mode, 3 in virtual-8086 mode, else SS.DPL (SDM 3C 25.4.1). */
uint8_t emulate_cpl(const struct bh_cpu_state *cpu);

/* Checks segment and paging of an operand. Changes nothing but A and D bits. */
enum emulate_result emulate_locate(struct emulate *emulate,
                                   const struct emulate_reference *reference,
                                   struct emulate_operand *out);

/* The memory operand of `in`, at its address with the registers as they are. */
enum emulate_result emulate_locate_memory(struct emulate *emulate,
                                          const struct decode_instruction *in, uint32_t access,
                                          struct emulate_operand *out);

/* Whole operands, little-endian. EMULATE_DONE or EMULATE_FAILED. */
enum emulate_result emulate_read(struct emulate *emulate, const struct emulate_operand *operand,
                                 void *to);
enum emulate_result emulate_write(struct emulate *emulate, const struct emulate_operand *operand,
                                  const void *from);

/*
 * The second half of read-modify-write. An aligned operand in RAM is replaced in one step if it
 * still is `old`, else EMULATE_AGAIN; all others are simply written.
 */
enum emulate_result emulate_replace(struct emulate *emulate, const struct emulate_operand *operand,
                                    uint64_t old, uint64_t value);

/*
 * The result of an arithmetic or logic operation on operands of 1, 2, 4 or 8 bytes, and its flags;
 * one operand: in `a`. Flags that the SDM calls undefined are cleared. Pure.
 */
uint64_t emulate_arithmetic(enum decode_operation operation, uint32_t bytes, uint64_t a, uint64_t b,
                            uint64_t *rflags);

/* The low `bytes` bytes of a value. */
uint64_t emulate_truncate(uint64_t value, uint32_t bytes);

/* The operand register of an instruction; a 4-byte write clears the upper half (SDM 1 3.4.1.1). */
uint64_t emulate_register_read(const struct bh_cpu_state *cpu, const struct decode_instruction *in);
void emulate_register_write(struct bh_cpu_state *cpu, const struct decode_instruction *in,
                            uint64_t value);

/* Writes the low `bytes` bytes of a general register as the CPU does. */
void emulate_gpr_write(struct bh_cpu_state *cpu, uint32_t reg, uint32_t bytes, uint64_t value);

/* Ends an instruction: RIP behind it, RF cleared. Returns EMULATE_DONE. */
enum emulate_result emulate_finish(struct emulate *emulate, const struct decode_instruction *in);

/* The instruction groups that have files of their own. */
enum emulate_result emulate_string(struct emulate *emulate, const struct decode_instruction *in);
