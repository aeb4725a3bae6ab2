// SPDX-License-Identifier: Apache-2.0
/*
 * The walk. One table describes the four kinds of paging; the loop is the same for all of them.
 *
 * Must never: change an entry that has changed since it was read; then the walk starts again.
 * Manual: SDM 3A 4.3 (32-bit), 4.4 (PAE), 4.5 (4 and 5 levels), 4.6 (rights), 4.7 (faults), 4.8 (A
 * and D).
 */
#include "vmm/walk.h"

#include <stddef.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"

#define WALK_PRESENT      (1ull << 0)
#define WALK_WRITABLE     (1ull << 1)
#define WALK_USERS        (1ull << 2)
#define WALK_ACCESSED     (1ull << 5)
#define WALK_DIRTY        (1ull << 6)
#define WALK_LARGE        (1ull << 7)
#define WALK_NX           (1ull << 63)
#define WALK_PSE36        0x1fe000ull /* bits 20:13 of a 4 MiB entry are address bits 39:32 */
#define WALK_PSE_RESERVED (1ull << 21)

#define WALK_RETRIES      8
#define WALK_LEVELS       5

enum walk_kind {
	WALK_KIND_32,
	WALK_KIND_PAE,
	WALK_KIND_LONG,
};

/* A walk under way. */
struct walk_state {
	const struct guest_memory *memory;
	const struct walk_paging *paging;
	uint32_t access;
	enum walk_kind kind;
	int level;       /* 1 is the lowest */
	uint64_t rights; /* AND of WRITABLE and USERS over the levels */
	bool is_nx;
	/* The entries on the way, to set their accessed bits at the end. */
	uint64_t *entries[WALK_LEVELS];
	uint64_t values[WALK_LEVELS];
	int entries_count;
};

static enum walk_kind walk_kind_of(const struct walk_paging *paging)
{
	if ((paging->efer & CPU_EFER_LMA) != 0) {
		return WALK_KIND_LONG;
	}
	return (paging->cr4 & CPU_CR4_PAE) != 0 ? WALK_KIND_PAE : WALK_KIND_32;
}

static int walk_top_level(enum walk_kind kind, const struct walk_paging *paging)
{
	switch (kind) {
	case WALK_KIND_32:
		return 2;
	case WALK_KIND_PAE:
		return 3;
	case WALK_KIND_LONG:
		break;
	}
	return (paging->cr4 & CPU_CR4_LA57) != 0 ? 5 : 4;
}

/* The bits at and above the width of physical addresses, up to bit 51. */
static uint64_t walk_high_bits(const struct walk_paging *paging)
{
	uint32_t bits = paging->physical_bits;

	if (bits == 0 || bits >= 52) {
		return 0;
	}
	return ((1ull << 52) - 1) & ~((1ull << (bits < 32 ? 32 : bits)) - 1);
}

/* Bit number of the lowest linear address bit that this level translates. */
static uint32_t walk_shift(const struct walk_state *walk)
{
	return 12 + (uint32_t)(walk->level - 1) * (walk->kind == WALK_KIND_32 ? 10u : 9u);
}

static bool walk_is_large(const struct walk_state *walk, uint64_t entry)
{
	if ((entry & WALK_LARGE) == 0) {
		return false;
	}
	switch (walk->kind) {
	case WALK_KIND_32:
		return walk->level == 2 && (walk->paging->cr4 & CPU_CR4_PSE) != 0;
	case WALK_KIND_PAE:
		return walk->level == 2;
	case WALK_KIND_LONG:
		break;
	}
	return walk->level == 2 || walk->level == 3;
}

/* The bits that must be 0 in an entry (SDM 3A figures 4-4, 4-7, 4-11). */
static uint64_t walk_reserved_bits(const struct walk_state *walk, bool is_large)
{
	uint64_t reserved = walk_high_bits(walk->paging);

	if (walk->kind == WALK_KIND_PAE && walk->level == 3) {
		return 0; /* the CPU checked them when it loaded them (SDM 3A 4.4.1), and may have set A since */
	}
	if (walk->kind == WALK_KIND_32) {
		return is_large ? WALK_PSE_RESERVED : 0;
	}
	if ((walk->paging->efer & CPU_EFER_NXE) == 0) {
		reserved |= WALK_NX;
	}
	if (walk->kind == WALK_KIND_PAE) {
		reserved |= 0x7ff0000000000000ull;
	}
	if (walk->kind == WALK_KIND_LONG && walk->level >= 4) {
		reserved |= WALK_LARGE;
	}
	if (is_large) {
		/* Bit 12 is PAT; from there to the page's size the address must be 0. */
		reserved |= ((1ull << walk_shift(walk)) - 1) & ~0x1fffull;
	}
	return reserved;
}

/*
 * Reads the entry that `linear` selects in the table at `table`. What is not RAM reads as all
 * ones.
 */
static uint64_t walk_read_entry(struct walk_state *walk, uint64_t table, uint64_t linear)
{
	bool is_32 = walk->kind == WALK_KIND_32;
	uint64_t bits = is_32 ? 10 : walk->kind == WALK_KIND_PAE && walk->level == 3 ? 2 : 9;
	uint64_t index = (linear >> walk_shift(walk)) & ((1ull << bits) - 1);
	uint64_t bytes = is_32 ? 4 : 8;
	void *at = guest_memory_at(walk->memory, table + index * bytes, bytes);
	uint64_t value;

	if (at == NULL) {
		walk->entries[walk->entries_count] = NULL;
		value = is_32 ? UINT32_MAX : UINT64_MAX;
	} else {
		walk->entries[walk->entries_count] = at;
		value = is_32 ? __atomic_load_n((uint32_t *)at, __ATOMIC_RELAXED)
		              : __atomic_load_n((uint64_t *)at, __ATOMIC_RELAXED);
	}
	walk->values[walk->entries_count++] = value;
	return value;
}

/* True if the rights that were gathered allow the access (SDM 3A 4.6.1). */
static bool walk_is_allowed(const struct walk_state *walk)
{
	const struct walk_paging *paging = walk->paging;
	bool is_user_page = (walk->rights & WALK_USERS) != 0;
	bool is_write = (walk->access & WALK_WRITE) != 0;
	bool is_fetch = (walk->access & WALK_FETCH) != 0;

	if (is_fetch && walk->is_nx && (paging->efer & CPU_EFER_NXE) != 0) {
		return false;
	}
	if ((walk->access & WALK_USER) != 0) {
		return is_user_page && (!is_write || (walk->rights & WALK_WRITABLE) != 0);
	}
	if (is_user_page && is_fetch && (paging->cr4 & CPU_CR4_SMEP) != 0) {
		return false;
	}
	if (is_user_page && !is_fetch && (paging->cr4 & CPU_CR4_SMAP) != 0 &&
	    (paging->rflags & CPU_RFLAGS_AC) == 0) {
		return false;
	}
	return !is_write || (walk->rights & WALK_WRITABLE) != 0 || (paging->cr0 & CPU_CR0_WP) == 0;
}

/*
 * Adds bits to an entry unless it has changed since. The high half of a 32-bit entry does not
 * exist.
 */
static bool walk_set_bits(const struct walk_state *walk, int which, uint64_t bits)
{
	uint64_t old = walk->values[which];
	uint32_t old_32 = (uint32_t)old;

	if ((old & bits) == bits || walk->entries[which] == NULL) {
		return true;
	}
	if (walk->kind == WALK_KIND_32) {
		return __atomic_compare_exchange_n((uint32_t *)(void *)walk->entries[which],
		                                   &old_32, old_32 | (uint32_t)bits, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	return __atomic_compare_exchange_n(walk->entries[which], &old, old | bits, false,
	                                   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/*
 * Marks all entries accessed and the last one dirty on a write. False: somebody changed one
 * meanwhile.
 */
static bool walk_mark(const struct walk_state *walk)
{
	for (int i = 0; i < walk->entries_count; i++) {
		uint64_t bits = WALK_ACCESSED;

		if (walk->kind == WALK_KIND_PAE && i == 0) {
			continue; /* PAE's top entries have no such bit */
		}
		if (i == walk->entries_count - 1 && (walk->access & WALK_WRITE) != 0) {
			bits |= WALK_DIRTY;
		}
		if (!walk_set_bits(walk, i, bits)) {
			return false;
		}
	}
	return true;
}

/* The error code of a page fault; the fetch bit only where a CPU reports it (SDM 3A 4.7). */
static int walk_fault(const struct walk_state *walk, uint32_t cause, struct walk_result *out)
{
	const struct walk_paging *paging = walk->paging;
	bool has_fetch = (paging->cr4 & CPU_CR4_SMEP) != 0 ||
	                 ((paging->efer & CPU_EFER_NXE) != 0 && walk->kind != WALK_KIND_32);

	out->error_code = cause | (walk->access & (WALK_WRITE | WALK_USER));
	if (has_fetch) {
		out->error_code |= walk->access & WALK_FETCH;
	}
	return BH_ERR_ADDRESS;
}

static void walk_finish(const struct walk_state *walk, uint64_t entry, uint64_t linear,
                        struct walk_result *out)
{
	uint64_t mask = (1ull << walk_shift(walk)) - 1;
	uint64_t base = entry & 0x000ffffffffff000ull & ~mask;

	if (walk->kind == WALK_KIND_32 && walk->level == 2) {
		base = (entry & 0xffc00000) | (entry & WALK_PSE36) << 19;
	}
	out->page_bytes = mask + 1;
	out->gpa = base | (linear & mask);
}

/* After walk_mark(): what it was to set is set. */
static void walk_tell_path(const struct walk_state *walk, struct walk_path *path)
{
	static const uint64_t nothing;
	uint32_t count = (uint32_t)walk->entries_count;

	if (walk->kind != WALK_KIND_LONG || count > WALK_PATH_ENTRIES) {
		return;
	}
	path->is_whole = true;
	for (uint32_t i = 0; i < WALK_PATH_ENTRIES; i++) {
		bool is_used = i < count;

		path->entries[i] = is_used ? walk->entries[i] : &nothing;
		path->values[i] = is_used ? walk->values[i] | WALK_ACCESSED : 0;
		path->is_whole = path->is_whole && path->entries[i] != NULL;
	}
	if ((walk->access & WALK_WRITE) != 0) {
		path->values[count - 1] |= WALK_DIRTY;
	}
}

/* One try. BH_ERR_AGAIN: an entry changed before it could be marked. */
static int walk_once(struct walk_state *walk, uint64_t linear, struct walk_result *out)
{
	uint64_t table = walk->paging->cr3 & 0x000ffffffffff000ull;

	walk->level = walk_top_level(walk->kind, walk->paging);
	walk->rights = WALK_WRITABLE | WALK_USERS;
	walk->is_nx = false;
	walk->entries_count = 0;
	if (walk->kind == WALK_KIND_PAE) {
		table = walk->paging->cr3 & 0xffffffe0;
	}
	for (;; walk->level--) {
		uint64_t entry = walk_read_entry(walk, table, linear);
		bool is_large = walk_is_large(walk, entry);

		if ((entry & WALK_PRESENT) == 0) {
			return walk_fault(walk, 0, out);
		}
		if ((entry & walk_reserved_bits(walk, is_large)) != 0) {
			return walk_fault(walk, WALK_FAULT_PRESENT | WALK_FAULT_RESERVED, out);
		}
		if (walk->kind != WALK_KIND_PAE || walk->level != 3) {
			walk->rights &= entry;
		}
		walk->is_nx |= walk->kind != WALK_KIND_32 && (entry & WALK_NX) != 0;
		if (is_large || walk->level == 1) {
			if (!walk_is_allowed(walk)) {
				return walk_fault(walk, WALK_FAULT_PRESENT, out);
			}
			walk_finish(walk, entry, linear, out);
			if (!walk_mark(walk)) {
				return BH_ERR_AGAIN;
			}
			if (walk->paging->path != NULL) {
				walk_tell_path(walk, walk->paging->path);
			}
			return BH_OK;
		}
		table = entry & 0x000ffffffffff000ull;
	}
}

int walk_translate(const struct guest_memory *memory, const struct walk_paging *paging,
                   uint64_t linear, uint32_t access, struct walk_result *out)
{
	struct walk_state walk = {
		.memory = memory,
		.paging = paging,
		.access = access,
		.kind = walk_kind_of(paging),
	};

	out->error_code = 0;
	if (paging->path != NULL) {
		paging->path->is_whole = false;
	}
	if ((paging->cr0 & CPU_CR0_PG) == 0) {
		out->gpa = linear & UINT32_MAX;
		out->page_bytes = 4096;
		return BH_OK;
	}
	if (walk.kind != WALK_KIND_LONG) {
		linear &= UINT32_MAX;
	}
	for (int i = 0; i < WALK_RETRIES; i++) {
		int error = walk_once(&walk, linear, out);

		if (error != BH_ERR_AGAIN) {
			return error;
		}
	}
	return BH_ERR_AGAIN;
}
