/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page-table walker (ptable.h). Four levels in all three formats; a leaf may stand at level 0 (4K), 1 (2M) or 2 (1G). Entries are
 * written with one store each, tables are linked in only when they are clear, so other pCPUs may walk at any time. Never splits a page.
 */
#include "arch/x86/ptable.h"

#include "arch/x86/arch.h"
#include "arch/x86/reg/cr.h"
#include "kernel/string.h"

#define LEVEL_ROOT        3u
#define TABLE_ENTRIES     512u
#define KERNEL_HALF_FIRST 256u
#define GUEST_LIMIT       BIT(48)
#define HOST_LIMIT        BIT(47)

/* EPT entries (SDM 3C tables 28-1 to 28-6) */
#define EPT_READ            BIT(0)
#define EPT_WRITE           BIT(1)
#define EPT_EXECUTE         BIT(2)
#define EPT_TYPE_WRITE_BACK (6ull << 3) /* uncached is 0 */
#define EPT_TYPE            GENMASK(5, 3)
#define EPTP_WRITE_BACK     6ull
#define EPTP_FOUR_LEVELS    (3ull << 3)

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

static uint64_t *table_at(uint64_t entry)
{
	return phys_to_virt(HPA(entry & PTE_ADDRESS));
}

static bool is_present(const struct ptable *pt, uint64_t entry)
{
	return (entry &
	        (pt->format == PTABLE_EPT ? EPT_READ | EPT_WRITE | EPT_EXECUTE : PTE_PRESENT)) != 0;
}

/* Bit 7 means a large page in all formats; at level 0 it is PAT or ignored. */
static bool is_leaf(uint64_t entry, unsigned int level)
{
	return level == 0 || (entry & PTE_LARGE) != 0;
}

static uint64_t leaf_bits(const struct ptable *pt, uint32_t flags, unsigned int level)
{
	uint64_t bits = level != 0 ? PTE_LARGE : 0;

	if (pt->format == PTABLE_EPT) {
		bits |= EPT_READ | (flags & PTABLE_UNCACHED ? 0 : EPT_TYPE_WRITE_BACK);
		bits |= flags & PTABLE_WRITE ? EPT_WRITE : 0;
		return bits | (flags & PTABLE_EXECUTE ? EPT_EXECUTE : 0);
	}
	/* Nested walks are user accesses (APM 2 15.25.5), so NPT is like a ring-3 table. */
	bits |= PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_DIRTY;
	bits |= flags & PTABLE_WRITE ? PTE_WRITE : 0;
	bits |= flags & PTABLE_EXECUTE ? 0 : PTE_NX;
	return bits | (flags & PTABLE_UNCACHED ? PTE_PCD | PTE_PWT : 0);
}

static uint32_t leaf_flags(const struct ptable *pt, uint64_t entry)
{
	if (pt->format == PTABLE_EPT) {
		return (uint32_t)(entry & (EPT_READ | EPT_WRITE | EPT_EXECUTE)) |
		       ((entry & EPT_TYPE) == 0 ? PTABLE_UNCACHED : 0);
	}
	return PTABLE_READ | (entry & PTE_WRITE ? PTABLE_WRITE : 0) |
	       (entry & PTE_NX ? 0 : PTABLE_EXECUTE) | (entry & PTE_PCD ? PTABLE_UNCACHED : 0);
}

static uint64_t table_bits(const struct ptable *pt)
{
	return pt->format == PTABLE_EPT ? EPT_READ | EPT_WRITE | EPT_EXECUTE
	                                : PTE_PRESENT | PTE_WRITE | PTE_USER;
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
		if (!is_present(pt, *entry) || is_leaf(*entry, path->level)) {
			return entry;
		}
		path->tables[path->level - 1] = table_at(*entry);
	}
}

static bool is_range_valid(const struct ptable *pt, uint64_t va, uint64_t size)
{
	uint64_t limit = pt->format == PTABLE_HOST ? HOST_LIMIT : GUEST_LIMIT;

	return size != 0 && IS_ALIGNED(va | size, PAGE_SIZE) && va < limit && size <= limit - va;
}

static bool is_range_free(const struct ptable *pt, uint64_t va, uint64_t size)
{
	struct path path;
	uint64_t end = va + size;

	while (va < end) {
		if (is_present(pt, *walk(pt, va, &path))) {
			return false;
		}
		va = ALIGN_DOWN(va, span_at(path.level)) + span_at(path.level);
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
		error = ptable_page_allocate(pt->owner, &page);
		if (error != BH_OK) {
			return error;
		}
		pt->pages_count++;
		entry_set(*entry, page.raw | table_bits(pt));
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
		pt->pages_count--;
		ptable_page_free(pt->owner, HPA(__atomic_exchange_n(parent, 0, __ATOMIC_RELAXED) &
		                                PTE_ADDRESS));
	}
}

/* Clear every leaf in the range. A table is looked at for being empty when the walk leaves it. */
static void range_clear(struct ptable *pt, uint64_t va, uint64_t size)
{
	struct path path;
	uint64_t end = va + size, *entry, last;

	while (va < end) {
		entry = walk(pt, va, &path);
		if (is_present(pt, *entry)) {
			entry_set(entry, 0);
		}
		last = va;
		va = ALIGN_DOWN(va, span_at(path.level)) + span_at(path.level);
		if (va >= end || index_at(va, path.level) == 0) {
			tables_prune(pt, last);
		}
	}
}

int ptable_init(struct ptable *pt, enum ptable_format format, bool has_1g, void *owner)
{
	uint64_t *root;
	int error;

	*pt = (struct ptable){ .format = format, .has_1g = has_1g, .owner = owner };
	error = ptable_page_allocate(owner, &pt->root);
	if (error != BH_OK) {
		return error;
	}
	pt->pages_count = 1;
	if (format == PTABLE_HOST) {
		root = phys_to_virt(pt->root);
		memcpy(root + KERNEL_HALF_FIRST,
		       (const uint64_t *)phys_to_virt(kernel_pml4) + KERNEL_HALF_FIRST,
		       PAGE_SIZE / 2);
	}
	return BH_OK;
}

/* Every table below the root, depth first without recursion: `path` remembers the tables, `index` where each is being looked at. */
void ptable_destroy(struct ptable *pt)
{
	unsigned int index[LEVEL_ROOT + 1] = { 0 }, level = LEVEL_ROOT;
	unsigned int root_entries = pt->format == PTABLE_HOST ? KERNEL_HALF_FIRST : TABLE_ENTRIES;
	uint64_t *tables[LEVEL_ROOT + 1], entry;

	tables[LEVEL_ROOT] = phys_to_virt(pt->root);
	for (;;) {
		if (index[level] == (level == LEVEL_ROOT ? root_entries : TABLE_ENTRIES)) {
			ptable_page_free(pt->owner, virt_to_phys(tables[level]));
			pt->pages_count--;
			if (level == LEVEL_ROOT) {
				break;
			}
			level++;
			continue;
		}
		entry = tables[level][index[level]++];
		if (level != 0 && is_present(pt, entry) && !is_leaf(entry, level)) {
			level--;
			tables[level] = table_at(entry);
			index[level] = 0;
		}
	}
	pt->root = HPA(0);
}

int ptable_map(struct ptable *pt, uint64_t va, hpa_t pa, uint64_t size, uint32_t flags)
{
	uint64_t done = 0, *entry;
	unsigned int level;
	int error;

	if (!is_range_valid(pt, va, size) || !IS_ALIGNED(pa.raw, PAGE_SIZE) ||
	    (flags & PTABLE_READ) == 0) {
		return BH_ERR_INVALID;
	}
	if (!is_range_free(pt, va, size)) {
		return BH_ERR_EXISTS;
	}
	while (done < size) {
		level = level_choose(pt, va + done, pa.raw + done, size - done);
		error = entry_make(pt, va + done, level, &entry);
		if (error != BH_OK) {
			if (done != 0) {
				range_clear(pt, va, done);
			}
			/* tables made on the way to the entry that failed */
			tables_prune(pt, va + done);
			return error;
		}
		entry_set(entry, (pa.raw + done) | leaf_bits(pt, flags, level));
		done += span_at(level);
	}
	return BH_OK;
}

void ptable_unmap(struct ptable *pt, uint64_t va, uint64_t size)
{
	CHECK(is_range_valid(pt, va, size));
	range_clear(pt, va, size);
}

bool ptable_lookup(const struct ptable *pt, uint64_t va, hpa_t *pa, uint32_t *flags, uint64_t *left)
{
	struct path path;
	uint64_t entry, offset;

	if (!is_range_valid(pt, ALIGN_DOWN(va, PAGE_SIZE), PAGE_SIZE)) {
		return false;
	}
	entry = *walk(pt, va, &path);
	if (!is_present(pt, entry)) {
		return false;
	}
	offset = va & (span_at(path.level) - 1);
	*pa = HPA((entry & PTE_ADDRESS & ~(span_at(path.level) - 1)) + offset);
	*flags = leaf_flags(pt, entry);
	*left = span_at(path.level) - offset;
	return true;
}

uint64_t ptable_root_value(const struct ptable *pt)
{
	return pt->root.raw | (pt->format == PTABLE_EPT ? EPTP_WRITE_BACK | EPTP_FOUR_LEVELS : 0);
}
