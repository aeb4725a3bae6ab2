/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page-table walker (ptable.h). Four levels in all three formats; a leaf may stand at level 0 (4K), 1 (2M) or 2 (1G). Entries are
 * written with one store each, tables are linked in only when they are clear, so other pCPUs may walk at any time. Never splits a page.
 */
#include "arch/x86/ptable.h"

#include "arch/x86/arch.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/start.h"
#include "kernel/string.h"

#define LEVEL_ROOT          3u
#define TABLE_ENTRIES       512u
#define KERNEL_HALF_FIRST   256u
#define EPT_TYPE_WRITE_BACK (6ull << 3) /* uncached is 0 */

/*
 * Bits 2:0 of an EPT entry are read, write, execute (SDM 3C tables 28-1 to 28-6), as in PTABLE_*; of the others they are present, write,
 * user (SDM 3A 4.5). So bit 0 tells presence in all formats, and 7 is right in every table's entry.
 */
#define ENTRY_PRESENT PTE_PRESENT
#define ENTRY_TABLE   7ull
#define ENTRY_RWX     7ull
#define ENTRY_RW      3ull

/* A way down to one entry: the table at each level, from the root to `level`. */
struct path {
	uint64_t *tables[LEVEL_ROOT + 1];
	unsigned int level;
};

static unsigned int index_at(uint64_t va, unsigned int level)
{
	return (va >> (PAGE_SHIFT + 9 * level)) & (TABLE_ENTRIES - 1);
}

static uint64_t span_at(unsigned int level)
{
	return PAGE_SIZE << (9 * level);
}

static uint64_t leaf_bits(enum ptable_format format, uint32_t flags)
{
	if (format == PTABLE_EPT) {
		return (flags & ENTRY_RWX) | (flags & PTABLE_UNCACHED ? 0 : EPT_TYPE_WRITE_BACK);
	}
	/* Nested walks are user accesses (APM 2 15.25.5), so NPT is like a ring-3 table. */
	return (flags & ENTRY_RW) | PTE_ACCESSED | PTE_DIRTY |
	       (format == PTABLE_KERNEL ? PTE_GLOBAL : PTE_USER) |
	       (flags & PTABLE_EXECUTE ? 0 : PTE_NX) |
	       (flags & PTABLE_UNCACHED ? PTE_PCD | PTE_PWT : 0);
}

static void entry_set(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* Walk to the leaf of `va`, or to the first entry that is absent. Returns that entry. */
static uint64_t *walk(const struct ptable *pt, uint64_t va, struct path *path)
{
	uint64_t *entry;

	path->tables[LEVEL_ROOT] = phys_to_virt(pt->root);
	for (path->level = LEVEL_ROOT;; path->level--) {
		entry = &path->tables[path->level][index_at(va, path->level)];
		/* Bit 7 means a large page in all formats; at level 0 it is PAT or ignored. */
		if ((*entry & ENTRY_PRESENT) == 0 || path->level == 0 || (*entry & PTE_LARGE)) {
			return entry;
		}
		path->tables[path->level - 1] = phys_to_virt(HPA(*entry & PTE_ADDRESS));
	}
}

static uint64_t range_limit(enum ptable_format format)
{
	return format == PTABLE_KERNEL ? ~0ull : format == PTABLE_HOST ? BIT(47) : BIT(48);
}

/* From `va` to the end of its entry at `level`, or of the range. */
static uint64_t step_at(uint64_t va, unsigned int level, uint64_t size)
{
	uint64_t left = span_at(level) - (va & (span_at(level) - 1));

	return left < size ? left : size;
}

static bool is_range_free(const struct ptable *pt, uint64_t va, uint64_t size)
{
	struct path path;

	for (uint64_t done = 0; done < size; done += step_at(va + done, path.level, size - done)) {
		if (*walk(pt, va + done, &path) & ENTRY_PRESENT) {
			return false;
		}
	}
	return true;
}

static unsigned int level_choose(const struct ptable *pt, uint64_t va, uint64_t pa, uint64_t size)
{
	unsigned int level = pt->has_1g ? 2 : 1;

	while (level != 0 && (!IS_ALIGNED(va | pa, span_at(level)) || size < span_at(level))) {
		level--;
	}
	return level;
}

static int table_allocate(struct ptable *pt, hpa_t *page)
{
	if (pt->format == PTABLE_KERNEL) {
		*page = arch_early_pages(1);
		return BH_OK;
	}
	return ptable_page_allocate(pt->owner, page);
}

/* The (absent) entry for `va` at `level`, with the tables above it. */
static int entry_make(struct ptable *pt, uint64_t va, unsigned int level, uint64_t **entry)
{
	struct path path;
	hpa_t page;
	int error;

	for (;;) {
		*entry = walk(pt, va, &path);
		if (path.level == level) {
			return BH_OK;
		}
		CHECK(path.level > level);
		error = table_allocate(pt, &page);
		if (error != BH_OK) {
			return error;
		}
		entry_set(*entry, page.raw | ENTRY_TABLE);
	}
}

static bool table_is_empty(const uint64_t *table)
{
	for (unsigned int i = 0; i < TABLE_ENTRIES; i++) {
		if (table[i] != 0) {
			return false;
		}
	}
	return true;
}

/* Free the tables on the way to `va` that hold nothing any more, from the lowest up; never the root. */
static void tables_prune(struct ptable *pt, uint64_t va)
{
	struct path path;
	uint64_t *parent;

	(void)walk(pt, va, &path);
	while (path.level < LEVEL_ROOT && table_is_empty(path.tables[path.level])) {
		path.level++;
		parent = &path.tables[path.level][index_at(va, path.level)];
		ptable_page_free(pt->owner, HPA(__atomic_exchange_n(parent, 0, __ATOMIC_RELAXED) &
		                                PTE_ADDRESS));
	}
}

/* Clear every leaf in the range. A table is looked at for being empty when the walk leaves it. */
void ptable_unmap(struct ptable *pt, uint64_t va, uint64_t size)
{
	struct path path;
	uint64_t *entry, step;

	for (; size != 0; va += step, size -= step) {
		entry = walk(pt, va, &path);
		if (*entry & ENTRY_PRESENT) {
			entry_set(entry, 0);
		}
		step = step_at(va, path.level, size);
		if (step == size || index_at(va + step, path.level) == 0) {
			tables_prune(pt, va);
		}
	}
}

int ptable_init(struct ptable *pt, enum ptable_format format, bool has_1g, void *owner)
{
	int error;

	*pt = (struct ptable){ .format = format, .has_1g = has_1g, .owner = owner };
	error = table_allocate(pt, &pt->root);
	if (error == BH_OK && format == PTABLE_HOST) {
		memcpy((uint64_t *)phys_to_virt(pt->root) + KERNEL_HALF_FIRST,
		       (const uint64_t *)phys_to_virt(kernel_pml4) + KERNEL_HALF_FIRST,
		       PAGE_SIZE / 2);
	}
	return error;
}

void ptable_destroy(struct ptable *pt)
{
	ptable_unmap(pt, 0, range_limit(pt->format));
	ptable_page_free(pt->owner, pt->root);
	pt->root = HPA(0);
}

int ptable_map(struct ptable *pt, uint64_t va, hpa_t pa, uint64_t size, uint32_t flags)
{
	uint64_t limit = range_limit(pt->format), done = 0, *entry;
	unsigned int level;
	int error;

	if (size == 0 || !IS_ALIGNED(va | pa.raw | size, PAGE_SIZE) || va >= limit ||
	    size > limit - va || (flags & PTABLE_READ) == 0) {
		return BH_ERR_INVALID;
	}
	if (!is_range_free(pt, va, size)) {
		return BH_ERR_EXISTS;
	}
	while (done < size) {
		level = level_choose(pt, va + done, pa.raw + done, size - done);
		error = entry_make(pt, va + done, level, &entry);
		if (error != BH_OK) {
			ptable_unmap(pt, va, done);
			/* tables made on the way to the entry that failed */
			tables_prune(pt, va + done);
			return error;
		}
		entry_set(entry, (pa.raw + done) | leaf_bits(pt->format, flags) |
		                         (level != 0 ? PTE_LARGE : 0));
		done += span_at(level);
	}
	return BH_OK;
}
