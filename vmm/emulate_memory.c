// SPDX-License-Identifier: Apache-2.0
/*
 * The emulator's memory operands: segment checks, paging, and splitting between RAM and devices.
 *
 * Must never: touch a byte before all of the operand has passed all checks.
 * Manuals: SDM 3A 5.3-5.5 (limits, types), 3.3.7.1 (canonical addresses), SDM 2A instruction pages
 * (#SS, #GP).
 */
#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate_internal.h"
#include "vmm/walk.h"

#define EMULATE_PAGE_BYTES 4096u

enum emulate_result emulate_raise(struct emulate *emulate, uint8_t vector, uint32_t error_code)
{
	bool has_code = vector == CPU_VECTOR_GP || vector == CPU_VECTOR_SS ||
	                vector == CPU_VECTOR_PF;

	emulate->fault = (struct emulate_fault){
		.vector = vector,
		.has_error_code = has_code && (emulate->cpu->cr0 & CPU_CR0_PE) != 0,
		.error_code = error_code,
	};
	return EMULATE_FAULT;
}

uint8_t emulate_cpl(const struct bh_cpu_state *cpu)
{
	if ((cpu->cr0 & CPU_CR0_PE) == 0) {
		return 0;
	}
	if ((cpu->rflags & CPU_RFLAGS_VM) != 0) {
		return 3;
	}
	return (cpu->segments[BH_SEG_SS].attributes >> CPU_SEGMENT_DPL_SHIFT) & 3;
}

static bool emulate_is_canonical(const struct bh_cpu_state *cpu, uint64_t linear)
{
	uint32_t unused = (cpu->cr4 & CPU_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

/* May this segment be accessed so at all (SDM 3A 5.5)? Real mode has limits, but no types. */
static bool emulate_type_allows(const struct bh_cpu_state *cpu,
                                const struct bh_segment_state *segment, uint32_t access)
{
	uint32_t attributes = segment->attributes;
	bool is_write = (access & WALK_WRITE) != 0;

	if ((access & WALK_FETCH) != 0) {
		return true; /* the CPU has run from there */
	}
	if ((cpu->cr0 & CPU_CR0_PE) == 0 || (cpu->rflags & CPU_RFLAGS_VM) != 0) {
		return true;
	}
	if ((attributes & CPU_SEGMENT_PRESENT) == 0) {
		return false;
	}
	if ((attributes & CPU_SEGMENT_TYPE_CODE) != 0) {
		return !is_write && (attributes & CPU_SEGMENT_TYPE_WRITABLE) != 0;
	}
	return !is_write || (attributes & CPU_SEGMENT_TYPE_WRITABLE) != 0;
}

static bool emulate_limit_allows(const struct bh_segment_state *segment, uint64_t offset,
                                 uint32_t bytes)
{
	uint64_t last = offset + bytes - 1;
	bool is_code = (segment->attributes & CPU_SEGMENT_TYPE_CODE) != 0;

	if (!is_code && (segment->attributes & CPU_SEGMENT_TYPE_DOWN) != 0) {
		uint64_t top = (segment->attributes & CPU_SEGMENT_BIG) != 0 ? 0xffffffffu : 0xffffu;

		return offset > segment->limit && last <= top;
	}
	return last <= segment->limit;
}

/* From segment and offset to a linear address. */
static enum emulate_result emulate_check_segment(struct emulate *emulate,
                                                 const struct emulate_reference *reference,
                                                 uint64_t *linear)
{
	const struct bh_cpu_state *cpu = emulate->cpu;
	const struct bh_segment_state *segment = &cpu->segments[reference->segment];
	uint8_t vector = reference->segment == BH_SEG_SS ? CPU_VECTOR_SS : CPU_VECTOR_GP;

	if (reference->mode == DECODE_MODE_64) {
		uint64_t base = reference->segment >= BH_SEG_FS ? segment->base : 0;

		*linear = base + reference->offset;
		if (!emulate_is_canonical(cpu, *linear) ||
		    !emulate_is_canonical(cpu, *linear + reference->bytes - 1)) {
			return emulate_raise(emulate, vector, 0);
		}
		return EMULATE_DONE;
	}
	if (!emulate_type_allows(cpu, segment, reference->access)) {
		return emulate_raise(emulate, CPU_VECTOR_GP, 0);
	}
	if (!emulate_limit_allows(segment, reference->offset, reference->bytes)) {
		return emulate_raise(emulate, vector, 0);
	}
	*linear = (segment->base + reference->offset) & UINT32_MAX;
	return EMULATE_DONE;
}

static enum emulate_result emulate_translate(struct emulate *emulate, uint64_t linear,
                                             uint32_t access, uint64_t *gpa)
{
	const struct bh_cpu_state *cpu = emulate->cpu;
	const struct walk_paging paging = {
		.cr0 = cpu->cr0,
		.cr3 = cpu->cr3,
		.cr4 = cpu->cr4,
		.efer = cpu->efer,
		.rflags = cpu->rflags,
		.physical_bits = emulate->physical_bits,
	};
	struct walk_result result;
	int error;

	access |= emulate_cpl(cpu) == 3 ? WALK_USER : 0;
	error = walk_translate(emulate->memory, &paging, linear, access, &result);
	if (error == BH_ERR_ADDRESS) {
		(void)emulate_raise(emulate, CPU_VECTOR_PF, result.error_code);
		emulate->fault.cr2 = linear;
		return EMULATE_FAULT;
	}
	*gpa = result.gpa;
	return error == BH_OK ? EMULATE_DONE : EMULATE_AGAIN;
}

enum emulate_result emulate_locate(struct emulate *emulate,
                                   const struct emulate_reference *reference,
                                   struct emulate_operand *out)
{
	uint32_t left = reference->bytes;
	uint64_t linear = 0;
	enum emulate_result result = emulate_check_segment(emulate, reference, &linear);

	if (result != EMULATE_DONE) {
		return result;
	}
	out->linear = linear;
	out->pieces_count = 0;
	while (left != 0) {
		uint32_t room = EMULATE_PAGE_BYTES - (uint32_t)(linear % EMULATE_PAGE_BYTES);
		uint32_t bytes = left < room ? left : room;
		uint64_t gpa;

		result = emulate_translate(emulate, linear, reference->access, &gpa);
		if (result != EMULATE_DONE) {
			return result;
		}
		out->pieces[out->pieces_count].gpa = gpa;
		out->pieces[out->pieces_count].bytes = bytes;
		out->pieces[out->pieces_count].host = guest_memory_at(emulate->memory, gpa, bytes);
		if (out->pieces[out->pieces_count].host == NULL &&
		    emulate->memory->absent != NULL &&
		    *emulate->memory->absent != EMULATE_ABSENT_NONE) {
			return EMULATE_ABSENT;
		}
		out->pieces_count++;
		left -= bytes;
		linear += bytes;
		if (reference->mode != DECODE_MODE_64) {
			linear &= UINT32_MAX;
		}
	}
	return EMULATE_DONE;
}

enum emulate_result emulate_locate_memory(struct emulate *emulate,
                                          const struct decode_instruction *in, uint32_t access,
                                          struct emulate_operand *out)
{
	const struct emulate_reference reference = {
		.mode = in->mode,
		.segment = in->memory.segment,
		.offset = decode_memory_offset(in, emulate->cpu->gpr, emulate->cpu->rip),
		.bytes = in->memory_bytes,
		.access = access,
	};

	return emulate_locate(emulate, &reference, out);
}

/* The largest access of 1, 2, 4 or 8 bytes that fits in `bytes`. */
static uint32_t emulate_access_bytes(uint32_t bytes)
{
	if (bytes >= 8) {
		return 8;
	}
	if (bytes >= 4) {
		return 4;
	}
	return bytes >= 2 ? 2 : 1;
}

static enum emulate_result emulate_device_read(struct emulate *emulate, uint64_t gpa,
                                               uint32_t bytes, uint8_t *to)
{
	while (bytes != 0) {
		uint32_t size = emulate_access_bytes(bytes);
		uint64_t value = 0;

		if (emulate->bus->mmio_read(emulate->bus->context, gpa, size, &value) < 0) {
			return EMULATE_FAILED;
		}
		memcpy(to, &value, size);
		gpa += size;
		to += size;
		bytes -= size;
	}
	return EMULATE_DONE;
}

static enum emulate_result emulate_device_write(struct emulate *emulate, uint64_t gpa,
                                                uint32_t bytes, const uint8_t *from)
{
	while (bytes != 0) {
		uint32_t size = emulate_access_bytes(bytes);
		uint64_t value = 0;

		memcpy(&value, from, size);
		if (emulate->bus->mmio_write(emulate->bus->context, gpa, size, value) < 0) {
			return EMULATE_FAILED;
		}
		gpa += size;
		from += size;
		bytes -= size;
	}
	return EMULATE_DONE;
}

enum emulate_result emulate_read(struct emulate *emulate, const struct emulate_operand *operand,
                                 void *to)
{
	uint8_t *at = to;

	for (uint32_t i = 0; i < operand->pieces_count; i++) {
		uint32_t bytes = operand->pieces[i].bytes;

		if (operand->pieces[i].host != NULL) {
			memcpy(at, operand->pieces[i].host, bytes);
		} else if (emulate_device_read(emulate, operand->pieces[i].gpa, bytes, at) !=
		           EMULATE_DONE) {
			return EMULATE_FAILED;
		}
		at += bytes;
	}
	return EMULATE_DONE;
}

enum emulate_result emulate_write(struct emulate *emulate, const struct emulate_operand *operand,
                                  const void *from)
{
	const uint8_t *at = from;

	for (uint32_t i = 0; i < operand->pieces_count; i++) {
		uint32_t bytes = operand->pieces[i].bytes;

		if (operand->pieces[i].host != NULL) {
			memcpy(operand->pieces[i].host, at, bytes);
		} else if (emulate_device_write(emulate, operand->pieces[i].gpa, bytes, at) !=
		           EMULATE_DONE) {
			return EMULATE_FAILED;
		}
		at += bytes;
	}
	return EMULATE_DONE;
}

/* One compare-and-exchange of an aligned place in RAM. */
static bool emulate_compare_exchange(void *at, uint32_t bytes, uint64_t old, uint64_t value)
{
	uint8_t old_8 = (uint8_t)old;
	uint16_t old_16 = (uint16_t)old;
	uint32_t old_32 = (uint32_t)old;

	switch (bytes) {
	case 1:
		return __atomic_compare_exchange_n((uint8_t *)at, &old_8, (uint8_t)value, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_compare_exchange_n((uint16_t *)at, &old_16, (uint16_t)value, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_compare_exchange_n((uint32_t *)at, &old_32, (uint32_t)value, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	default:
		return __atomic_compare_exchange_n((uint64_t *)at, &old, value, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

enum emulate_result emulate_replace(struct emulate *emulate, const struct emulate_operand *operand,
                                    uint64_t old, uint64_t value)
{
	uint8_t *host = operand->pieces[0].host;
	uint32_t bytes = operand->pieces[0].bytes;

	if (operand->pieces_count == 1 && host != NULL && (uintptr_t)host % bytes == 0) {
		return emulate_compare_exchange(host, bytes, old, value) ? EMULATE_DONE
		                                                         : EMULATE_AGAIN;
	}
	return emulate_write(emulate, operand, &value);
}
