// SPDX-License-Identifier: Apache-2.0
/*
 * The two CPU states that boot protocols start kernels in: flat 32-bit protected mode and
 * identity-mapped long mode.
 *
 * Must never: depend on which protocol asks. Manuals: SDM 3A 3.4.5 (descriptors), 4.5 (4-level
 * paging), SDM 3C 25.4.1 (access rights).
 */
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

#define STATE_CODE_32      0xc9bu /* G, D, present, code, readable, accessed */
#define STATE_CODE_64      0xa9bu /* G, L, present, code, readable, accessed */
#define STATE_DATA         0xc93u /* G, B, present, data, writable, accessed */
#define STATE_TSS_BUSY     0x08bu
#define STATE_TSS_LIMIT    0x67u

#define STATE_LINUX_CODE   0x10u
#define STATE_LINUX_DATA   0x18u

#define STATE_GDT_CODE_32  0x00cf9b000000ffffull
#define STATE_GDT_CODE_64  0x00af9b000000ffffull
#define STATE_GDT_DATA     0x00cf93000000ffffull

#define STATE_PTE_PRESENT  (1ull << 0)
#define STATE_PTE_WRITABLE (1ull << 1)
#define STATE_PTE_LARGE    (1ull << 7)
#define STATE_2M           0x200000ull
#define STATE_GIGABYTES    4ull

static void state_set_common(struct bh_cpu_state *state, uint16_t code_attributes, uint16_t code,
                             uint16_t data)
{
	for (int i = BH_SEG_ES; i <= BH_SEG_GS; i++) {
		state->segments[i] = (struct bh_segment_state){
			.base = 0,
			.limit = 0xffffffffu,
			.attributes = i == BH_SEG_CS ? code_attributes : STATE_DATA,
			.selector = i == BH_SEG_CS ? code : data,
		};
	}
	state->segments[BH_SEG_TR] = (struct bh_segment_state){
		.limit = STATE_TSS_LIMIT,
		.attributes = STATE_TSS_BUSY,
	};
	state->rflags = CPU_RFLAGS_FIXED;
}

void loader_state_set_protected(struct bh_cpu_state *state, uint16_t code, uint16_t data)
{
	state_set_common(state, STATE_CODE_32, code, data);
	state->cr0 = CPU_CR0_PE | CPU_CR0_ET;
}

void loader_state_set_long(struct bh_cpu_state *state)
{
	state_set_common(state, STATE_CODE_64, STATE_LINUX_CODE, STATE_LINUX_DATA);
	state->cr0 = CPU_CR0_PE | CPU_CR0_ET | CPU_CR0_PG;
	state->cr4 = CPU_CR4_PAE;
	state->efer = CPU_EFER_LME | CPU_EFER_LMA;
}

int loader_state_write_gdt(const struct guest_memory *memory, struct bh_cpu_state *state)
{
	bool is_long = (state->efer & CPU_EFER_LMA) != 0;
	const uint64_t gdt[4] = {
		0,
		0,
		is_long ? STATE_GDT_CODE_64 : STATE_GDT_CODE_32,
		STATE_GDT_DATA,
	};

	state->segments[BH_SEG_GDTR].base = LOADER_GDT_GPA;
	state->segments[BH_SEG_GDTR].limit = sizeof(gdt) - 1;
	return guest_memory_write(memory, LOADER_GDT_GPA, gdt, sizeof(gdt));
}

int loader_state_write_identity_map(const struct guest_memory *memory, struct bh_cpu_state *state)
{
	const uint64_t table_flags = STATE_PTE_PRESENT | STATE_PTE_WRITABLE;
	uint64_t bytes = (2 + STATE_GIGABYTES) * LOADER_PAGE_BYTES;
	uint8_t *tables = guest_memory_at(memory, LOADER_PAGE_TABLES_GPA, bytes);
	uint64_t entry;

	if (tables == NULL) {
		return BH_ERR_ADDRESS;
	}
	memset(tables, 0, bytes);
	entry = (LOADER_PAGE_TABLES_GPA + LOADER_PAGE_BYTES) | table_flags;
	memcpy(tables, &entry, sizeof(entry));
	for (uint64_t i = 0; i < STATE_GIGABYTES; i++) {
		entry = (LOADER_PAGE_TABLES_GPA + (2 + i) * LOADER_PAGE_BYTES) | table_flags;
		memcpy(tables + LOADER_PAGE_BYTES + i * sizeof(entry), &entry, sizeof(entry));
	}
	for (uint64_t i = 0; i < STATE_GIGABYTES * 512; i++) {
		entry = i * STATE_2M | table_flags | STATE_PTE_LARGE;
		memcpy(tables + 2 * LOADER_PAGE_BYTES + i * sizeof(entry), &entry, sizeof(entry));
	}
	state->cr3 = LOADER_PAGE_TABLES_GPA;
	return BH_OK;
}
