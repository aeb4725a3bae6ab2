// SPDX-License-Identifier: Apache-2.0
/*
 * Emulator: does one decoded instruction of a guest on the guest's behalf, with its memory
 * operands in devices, in RAM, or part in each.
 *
 * Owns: segment and paging checks of operands, arithmetic and flags, REP, and what to inject on a
 * fault. Must never: change a register or a byte of memory for an instruction that ends in a
 * fault, but for the finished iterations of a REP. Manuals: SDM 2A-2D, SDM 3A 5.3 (segment
 * limits), 6.15 (faults).
 *
 * Not checked: alignment (#AC at CPL 3), single steps (the caller sees RFLAGS.TF), debug
 * registers, and the I/O permission map, which CPUs check before they leave the guest (SDM 3C
 * 26.1.1).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"
#include "vmm/decode.h"
#include "vmm/guest_memory.h"

/*
 * How the emulator reaches what is not RAM. Sizes are 1, 2, 4 or 8 (ports: 1, 2, 4) bytes; an
 * access of 16, or one that a page boundary cuts, comes as several. Reads fill the low bytes of
 * *value. A negative return ends the instruction unfinished and comes back from emulate_*();
 * devices normally return BH_OK.
 */
struct emulate_bus {
	int (*mmio_read)(void *context, uint64_t gpa, uint32_t size, uint64_t *value);
	int (*mmio_write)(void *context, uint64_t gpa, uint32_t size, uint64_t value);
	int (*port_in)(void *context, uint16_t port, uint32_t size, uint32_t *value);
	int (*port_out)(void *context, uint16_t port, uint32_t size, uint32_t value);
	void *context;
};

/* An exception for the guest: inject it with RIP as it now is; cr2 counts for vector 14 only. */
struct emulate_fault {
	uint8_t vector;
	bool has_error_code;
	uint32_t error_code;
	uint64_t cr2;
};

/*
 * One vCPU as the emulator sees it. The caller fills all but `fault`; cpu may be the run page's
 * record.
 */
struct emulate {
	/* gpr, rip, rflags, segments, cr0, cr3, cr4, efer; CPL is SS.DPL */
	struct bh_cpu_state *cpu;
	const struct guest_memory *memory;
	const struct emulate_bus *bus;
	uint8_t (*xmm)[16];    /* 16 registers, or NULL: SSE moves are unsupported */
	uint32_t repeat_max;   /* iterations of a REP per call; 0 counts as 1 */
	uint8_t physical_bits; /* of the guest's CPUID; 0: 52 */
	struct emulate_fault fault;
};

/* What guest_memory.absent holds before a step, where it is given. */
#define EMULATE_ABSENT_NONE UINT64_MAX

enum emulate_result {
	EMULATE_DONE = 0, /* RIP is at the next instruction */
	EMULATE_AGAIN,    /* a REP with work left, or a locked operand that was raced for: run on */
	EMULATE_FAULT,    /* nothing done: inject emulate->fault */
	EMULATE_UNSUPPORTED, /* an instruction that decode.h does not list; nothing done */
	EMULATE_ABSENT,      /* memory is away (guest_memory.absent says where); nothing done */
	EMULATE_FAILED, /* a callback returned an error; nothing done but what the device did */
};

/*
 * Reads the instruction at CS:RIP: up to 15 bytes, fewer if the next page cannot be fetched from.
 * EMULATE_DONE with *count > 0, or EMULATE_FAULT when not even its first byte can be fetched.
 */
enum emulate_result emulate_fetch(struct emulate *emulate, uint8_t bytes[DECODE_LENGTH_MAX],
                                  uint32_t *count);

/* Does one decoded instruction. */
enum emulate_result emulate_execute(struct emulate *emulate, const struct decode_instruction *in);

/*
 * Fetches, decodes and executes. `bytes` and `count` are what the CPU saved of the instruction;
 * count 0: fetch it. An instruction that goes on into a page that cannot be fetched ends in that
 * page's fault.
 */
enum emulate_result emulate_step(struct emulate *emulate, const uint8_t *bytes, uint32_t count);
