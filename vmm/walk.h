// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's own page tables: from a linear address to a guest-physical one, as the CPU would go.
 *
 * Owns: the rights checks, the page-fault error code, and setting accessed and dirty bits.
 * Must never: trust a table; an entry is read once, with one access, because other vCPUs change it.
 * Manual: SDM 3A chapter 4; APM 2 chapter 5.
 *
 * Not done: protection keys (a VMM does not see PKRU), shadow-stack accesses. PAE's four top
 * entries are read from memory although a CPU keeps a copy of them from the last MOV to CR3.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest_memory.h"

/* What the access is, with the bits of the page-fault error code (SDM 3A 4.7). */
#define WALK_WRITE 0x02u
#define WALK_USER  0x04u /* made at CPL 3 */
#define WALK_FETCH 0x10u

/* Further bits that a fault's error code can have. */
#define WALK_FAULT_PRESENT  0x01u
#define WALK_FAULT_RESERVED 0x08u

#define WALK_PATH_ENTRIES   4u

/*
 * The entries that a translation of 4-level paging has gone by, as they were left; unused ones match always. `is_whole` false: another
 * kind of paging, or an entry was not in RAM. The translation holds as long as walk_path_is_current() and the same struct walk_paging.
 */
struct walk_path {
	const uint64_t *entries[WALK_PATH_ENTRIES];
	uint64_t values[WALK_PATH_ENTRIES];
	bool is_whole;
};

/* The part of a CPU's state that paging depends on. */
struct walk_paging {
	uint64_t cr0;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t efer;
	uint64_t rflags;        /* AC, for SMAP */
	uint8_t physical_bits;  /* of the guest's CPUID 0x80000008; 0 counts as 52 */
	struct walk_path *path; /* filled by a walk that ends in BH_OK, unless NULL */
};

struct walk_result {
	uint64_t gpa;        /* of the first byte */
	uint64_t page_bytes; /* of the page that maps it: 4 KiB to 1 GiB */
	uint32_t error_code; /* with BH_ERR_ADDRESS: the page fault's; CR2 is the linear address */
};

/*
 * Translates one linear address, which the caller has found canonical. Nothing says that the
 * result is RAM. BH_OK, and the bits A and D are set as the access asks for; BH_ERR_ADDRESS with
 * out->error_code for a page fault; BH_ERR_AGAIN if other vCPUs kept changing the tables
 * meanwhile. A fault leaves the tables as they are, unless they changed under the walk and it had
 * to begin again: then some A bits may be set, as by a CPU.
 */
int walk_translate(const struct guest_memory *memory, const struct walk_paging *paging,
                   uint64_t linear, uint32_t access, struct walk_result *out);

static inline uint64_t walk_path_differs(const struct walk_path *path, uint32_t which)
{
	return __atomic_load_n(path->entries[which], __ATOMIC_RELAXED) ^ path->values[which];
}

/* Of a path that is whole. */
static inline bool walk_path_is_current(const struct walk_path *path)
{
	return (walk_path_differs(path, 0) | walk_path_differs(path, 1) |
	        walk_path_differs(path, 2) | walk_path_differs(path, 3)) == 0;
}
