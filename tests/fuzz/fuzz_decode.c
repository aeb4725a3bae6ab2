// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target of the MMIO decoder and emulator: any bytes, on any CPU state.
 *
 * Input: 16 bytes of state (mode, attributes, register kinds), then the instruction.
 */
// sources: vmm/emulate.c vmm/emulate_memory.c vmm/emulate_arithmetic.c vmm/emulate_string.c vmm/decode.c vmm/walk.c vmm/guest_memory.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate.h"

#define RAM_BYTES   0x8000u
#define STATE_BYTES 16u

static uint8_t *ram;
static uint32_t accesses;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_size(uint32_t size, uint32_t max)
{
	accesses++;
	if (size == 0 || size > max || (size & (size - 1)) != 0) {
		abort();
	}
}

static int mmio_read(void *context, uint64_t gpa, uint32_t size, uint64_t *value)
{
	(void)context;
	check_size(size, 8);
	*value = gpa * 0x9e3779b97f4a7c15ull;
	return (gpa & 0xfff) == 0x123 ? BH_ERR_STATE : BH_OK;
}

static int mmio_write(void *context, uint64_t gpa, uint32_t size, uint64_t value)
{
	(void)context;
	(void)value;
	check_size(size, 8);
	return (gpa & 0xfff) == 0x123 ? BH_ERR_STATE : BH_OK;
}

static int port_in(void *context, uint16_t port, uint32_t size, uint32_t *value)
{
	(void)context;
	check_size(size, 4);
	*value = port;
	return BH_OK;
}

static int port_out(void *context, uint16_t port, uint32_t size, uint32_t value)
{
	(void)context;
	(void)port;
	(void)value;
	check_size(size, 4);
	return BH_OK;
}

static const struct emulate_bus bus = {
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.port_in = port_in,
	.port_out = port_out,
};

/* Identity-mapped RAM, and beyond it entries of all kinds. */
static void set_up(void)
{
	uint64_t entry;

	memset(ram, 0, RAM_BYTES);
	for (uint32_t level = 0; level < 3; level++) {
		for (uint32_t i = 0; i < 512; i += level == 2 ? 1 : 511) {
			entry = 0x2000 + level * 0x1000 + 7;
			memcpy(ram + 0x1000 + level * 0x1000 + i * 8, &entry, 8);
		}
	}
	for (uint64_t i = 0; i < 512; i++) {
		entry = i << 12 | (i < 8 ? 7 : i & 0x87) | (i % 7 == 0 ? 1ull << 63 : 0);
		memcpy(ram + 0x4000 + i * 8, &entry, 8);
	}
}

static void set_state(struct bh_cpu_state *cpu, const uint8_t *bytes)
{
	static const uint64_t kinds[8] = { 0,
		                           0x5ff9,
		                           0x6ffc,
		                           0x9000,
		                           UINT64_MAX,
		                           0xffff,
		                           0x7ffffffffffff000,
		                           0xfffffffffffff000 };

	memset(cpu, 0, sizeof(*cpu));
	cpu->cr3 = 0x1000;
	cpu->rip = 0x7000;
	cpu->cr0 = (bytes[0] & 1) | (uint64_t)(bytes[0] & 2) << 30 | (uint64_t)(bytes[0] & 4) << 14;
	cpu->efer = (bytes[0] & 8) != 0 ? CPU_EFER_LMA | CPU_EFER_LME : 0;
	cpu->efer |= (bytes[0] & 16) != 0 ? CPU_EFER_NXE : 0;
	cpu->cr4 = (bytes[0] & 32) != 0 ? CPU_CR4_PAE | CPU_CR4_PSE : 0;
	cpu->cr4 |= (bytes[0] & 64) != 0 ? CPU_CR4_SMAP | CPU_CR4_SMEP : 0;
	cpu->cr4 |= (bytes[0] & 128) != 0 ? CPU_CR4_LA57 : 0;
	cpu->rflags = CPU_RFLAGS_FIXED | (uint64_t)bytes[1] << 4 | (uint64_t)(bytes[2] & 15) << 16;
	for (int i = 0; i < BH_SEG_COUNT; i++) {
		cpu->segments[i].limit = (bytes[3] & (1 << i)) != 0 ? 0xffff : UINT32_MAX;
		cpu->segments[i].base = (bytes[4] & (1 << i)) != 0 ? 0xffff0000 : 0;
		cpu->segments[i].attributes = (uint16_t)(0x893 ^ bytes[5] ^ (bytes[6] & 0x70) << 5 ^
		                                         (bytes[6] & 0x80));
	}
	for (int i = 0; i < BH_GPR_COUNT; i++) {
		cpu->gpr[i] = kinds[(bytes[7 + i / 2] >> (4 * (i & 1))) & 7] + (bytes[15] & 0x1f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum decode_mode modes[] = { DECODE_MODE_16, DECODE_MODE_32, DECODE_MODE_64 };
	const struct guest_memory memory = { .slots = { { 0, RAM_BYTES, ram } }, .slots_count = 1 };
	struct emulate emulate = { .memory = &memory, .bus = &bus, .repeat_max = 16 };
	static uint8_t xmm[16][16];
	struct bh_cpu_state cpu;
	struct decode_instruction in;
	enum emulate_result result;
	uint8_t *bytes;

	if (size < STATE_BYTES + 1 || size > STATE_BYTES + 32) {
		return 0;
	}
	if (ram == NULL) {
		ram = aligned_alloc(4096, RAM_BYTES);
		return LLVMFuzzerTestOneInput(data, size);
	}
	size -= STATE_BYTES;
	bytes = malloc(size);
	memcpy(bytes, data + STATE_BYTES, size);
	for (int i = 0; i < 3; i++) {
		if (decode_instruction(bytes, (uint32_t)size, modes[i], &in) == BH_OK &&
		    (in.length == 0 || in.length > size || in.length > DECODE_LENGTH_MAX)) {
			abort();
		}
	}
	set_up();
	set_state(&cpu, data);
	memcpy(ram + 0x7000, bytes, size);
	emulate.cpu = &cpu;
	emulate.xmm = (data[6] & 1) != 0 ? xmm : NULL;
	result = emulate_step(&emulate, bytes, (data[6] & 2) != 0 ? (uint32_t)size : 0);
	if ((result == EMULATE_DONE) == (cpu.rip == 0x7000)) {
		abort();
	}
	if (result == EMULATE_FAULT && emulate.fault.vector == 0) {
		abort();
	}
	free(bytes);
	return 0;
}
