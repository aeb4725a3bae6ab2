/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the root domain out of the boot modules: its image is the module `root`, every other module a region, and it gets a record that
 * tells it about them, and all free memory as its quota. Nothing of a module is parsed but struct bh_root_image. Errors here end the start.
 */
#include "boot/boot_info.h"
#include "bulkhead/root_image.h"
#include "kernel/call.h"
#include "kernel/memory.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/start.h"
#include "kernel/string.h"
#include "kernel/thread.h"

#define ROOT_MODULE  "root"
#define ROOT_WEIGHT  1024u
#define ROOT_BSS_MAX (64u << 20)
#define RECORD_ORDER 1u

_Static_assert(BOOT_MODULES_MAX == BH_MODULES_MAX, "every module has its place in the record");
_Static_assert(sizeof(struct bh_root_info) <= PAGE_SIZE << RECORD_ORDER,
               "the record is mapped whole");

static void must(int error, const char *what)
{
	if (error < 0) {
		panic("root domain: %s: error %d", what, error);
	}
}

static void root_map(uint64_t va, hpa_t pa, uint64_t size, uint32_t flags)
{
	if (size != 0) {
		must(ptable_map(&root_domain->space, va, pa, size, flags), "mapping its memory");
	}
}

/* Its pages become root's. Every boot path puts modules on pages of their own. The rest of the last page is cleared. */
static hpa_t module_take(const struct boot_module *module)
{
	uint64_t span = ALIGN_UP(module->size, PAGE_SIZE);

	if (!IS_ALIGNED(module->base, PAGE_SIZE)) {
		panic("boot module `%s` does not begin on a page", module->name);
	}
	must(quota_charge(root_domain, span), "quota for a module");
	memory_change(HPA(module->base), span, MEMORY_OWNER_BOOT, root_domain->id);
	memset((char *)phys_to_virt(HPA(module->base)) + module->size, 0, span - module->size);
	return HPA(module->base);
}

/* Text and data where they are, bss, and a thread. */
static void image_run(const struct boot_module *module)
{
	const struct bh_root_image *image = phys_to_virt(HPA(module->base));
	uint64_t text = image->text_bytes, data = image->data_bytes, bss = image->bss_bytes;
	const struct bh_thread_params params = {
		.entry = image->entry,
		.stack = image->stack_top,
		.pcpu = cpu_self()->idx,
		.weight = ROOT_WEIGHT,
	};
	struct thread *thread;
	hpa_t bss_pa;

	if (module->size < sizeof(*image) || image->magic != BH_ROOT_IMAGE_MAGIC ||
	    !IS_ALIGNED(text | data | bss, PAGE_SIZE) || text == 0 || text > module->size ||
	    data > module->size - text || bss == 0 || bss > ROOT_BSS_MAX) {
		panic("boot module `" ROOT_MODULE "` is not a root image (%lu bytes)",
		      module->size);
	}
	hpa_t pa = module_take(module);

	must(quota_run_allocate(root_domain, bss, PAGE_SIZE, &bss_pa), "memory for its bss");
	memset(phys_to_virt(bss_pa), 0, bss);
	root_map(BH_VA_IMAGE, pa, text, PTABLE_READ | PTABLE_EXECUTE);
	root_map(BH_VA_IMAGE + text, HPA(pa.raw + text), data, PTABLE_READ | PTABLE_WRITE);
	root_map(BH_VA_IMAGE + text + data, bss_pa, bss, PTABLE_READ | PTABLE_WRITE);
	must(thread_create(root_domain, root_domain, &params, &thread), "its thread");
	thread_wake(thread);
}

/* A missing file has size 0 and no region. */
static void module_add(const struct boot_module *module, struct bh_root_info *record)
{
	uint32_t idx = record->modules_count++;

	memcpy(record->modules[idx].name, module->name, sizeof(module->name));
	if (module->is_missing || module->size == 0) {
		return;
	}
	record->modules[idx].size_bytes = module->size;
	struct region *region = region_create(root_domain, module_take(module),
	                                      ALIGN_UP(module->size, PAGE_SIZE), REGION_MEMORY);

	must(region != NULL ? BH_OK : BH_ERR_QUOTA, "region of a module");
	handle_fill(root_domain, (int)(BH_ROOT_HANDLE_MODULES + idx), &region->object,
	            BH_RIGHT_READ | BH_RIGHT_EXECUTE | BH_RIGHT_GIVE, NULL);
}

void root_create(const struct boot_info *info)
{
	const struct bh_domain_params params = { .quota_bytes = memory_bytes.total,
		                                 .handles_max = BH_MAX_HANDLES,
		                                 .name = ROOT_MODULE };
	hpa_t pa;

	must(domain_create(&kernel_domain, &params, NULL, &root_domain), "its address space");
	must(quota_pages_allocate(root_domain, RECORD_ORDER, &pa), "memory for its record");
	root_map(BH_VA_ROOT_INFO, pa, PAGE_SIZE << RECORD_ORDER, PTABLE_READ);
	handle_fill(root_domain, BH_HANDLE_HOST, &host_object, BH_RIGHTS_ALL, NULL);
	struct bh_root_info *record = phys_to_virt(pa);

	memcpy(record->cmdline, info->cmdline, sizeof(record->cmdline) - 1);
	memcpy(record->rsdp, info->rsdp, sizeof(record->rsdp));
	for (uint32_t i = 0; i < info->modules_count; i++) {
		if (strncmp(info->modules[i].name, ROOT_MODULE, sizeof(ROOT_MODULE)) != 0) {
			module_add(&info->modules[i], record);
		} else if (!info->modules[i].is_missing) {
			image_run(&info->modules[i]);
		}
	}
	if (root_domain->threads_alive == 0) {
		panic("there is no boot module named `" ROOT_MODULE "`");
	}
	/* What it has now, and all that is free: nothing is promised twice. */
	root_domain->quota_bytes = root_domain->used_bytes + memory_bytes.free;
	record->quota_bytes = root_domain->quota_bytes;
}
