/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the root domain out of the boot modules: its image from the module `root`, every other module a region, the record that tells
 * it about them, and all free memory as its quota. Nothing of a module is parsed but struct bh_root_image. Errors here end the start.
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

#define ROOT_MODULE     "root"
#define ROOT_WEIGHT     1024u
#define ROOT_INFO_PAGES 2u

static void must(int error, const char *what)
{
	if (error < 0) {
		panic("root domain: %s: error %d", what, error);
	}
}

static uint64_t module_span(const struct boot_module *module)
{
	return ALIGN_UP(module->size, PAGE_SIZE);
}

/* Its pages can be used as they are: it starts on a page, and no other module begins or ends in its pages. */
static bool module_is_alone(const struct boot_info *info, const struct boot_module *module)
{
	uint64_t end = module->base + module_span(module);

	for (uint32_t i = 0; i < info->modules_count; i++) {
		const struct boot_module *other = &info->modules[i];

		if (other != module && other->size != 0 && other->base < end &&
		    module->base < other->base + other->size) {
			return false;
		}
	}
	return IS_ALIGNED(module->base, PAGE_SIZE);
}

static const struct boot_module *root_module_find(const struct boot_info *info)
{
	for (uint32_t i = 0; i < info->modules_count; i++) {
		if (strncmp(info->modules[i].name, ROOT_MODULE, sizeof(ROOT_MODULE)) == 0 &&
		    !info->modules[i].is_missing) {
			return &info->modules[i];
		}
	}
	panic("there is no boot module named `" ROOT_MODULE "`");
}

static void root_image_check(const struct bh_root_image *image, uint64_t size)
{
	uint64_t parts = image->text_bytes | image->data_bytes | image->bss_bytes;

	if (size < sizeof(*image) || image->magic != BH_ROOT_IMAGE_MAGIC ||
	    !IS_ALIGNED(parts, PAGE_SIZE) || image->text_bytes == 0 || image->text_bytes > size ||
	    image->data_bytes > size - image->text_bytes || image->bss_bytes > (64u << 20)) {
		panic("boot module `" ROOT_MODULE "` is not a root image (%lu bytes)", size);
	}
}

static void root_map(struct domain *root, uint64_t va, hpa_t pa, uint64_t size, uint32_t flags)
{
	if (size != 0) {
		must(ptable_map(&root->space, va, pa, size, flags), "mapping its image");
	}
}

/* One run for text, data and bss, filled from the module, whose own pages are free then. */
static uint64_t root_image_load(struct domain *root, const struct boot_info *info, uint64_t *stack)
{
	const struct boot_module *module = root_module_find(info);
	const struct bh_root_image *image = phys_to_virt(HPA(module->base));
	hpa_t pa;

	root_image_check(image, module->size);
	uint64_t text = image->text_bytes;
	uint64_t data = image->data_bytes;
	uint64_t size = text + data + image->bss_bytes;
	uint64_t entry = image->entry;

	*stack = image->stack_top;
	must(quota_run_allocate(root, size, PAGE_SIZE, &pa), "memory for its image");
	memcpy(phys_to_virt(pa), image, text + data);
	memset(phys_to_virt(HPA(pa.raw + text + data)), 0, size - text - data);
	root_map(root, BH_VA_IMAGE, pa, text, PTABLE_READ | PTABLE_EXECUTE);
	root_map(root, BH_VA_IMAGE + text, HPA(pa.raw + text), size - text,
	         PTABLE_READ | PTABLE_WRITE);
	if (module_is_alone(info, module)) {
		memory_change(HPA(module->base), module_span(module), MEMORY_OWNER_BOOT,
		              MEMORY_FREE);
	}
	return entry;
}

/* The module's pages as they are, or a copy. The rest of its last page is cleared. */
static hpa_t module_place(struct domain *root, const struct boot_info *info,
                          const struct boot_module *module)
{
	uint64_t span = module_span(module);
	hpa_t pa = HPA(module->base);

	if (module_is_alone(info, module)) {
		must(quota_charge(root, span), "quota for a module");
		memory_change(pa, span, MEMORY_OWNER_BOOT, root->id);
	} else {
		must(quota_run_allocate(root, span, PAGE_SIZE, &pa), "memory for a module");
		memcpy(phys_to_virt(pa), phys_to_virt(HPA(module->base)), module->size);
	}
	memset((char *)phys_to_virt(pa) + module->size, 0, span - module->size);
	return pa;
}

static void module_add(struct domain *root, const struct boot_info *info,
                       const struct boot_module *module, struct bh_root_info *record)
{
	struct bh_module_info *entry = &record->modules[record->modules_count];
	int number = handle_reserve(root, BH_ROOT_HANDLE_MODULES + record->modules_count);
	struct region *region = region_create(root, module_place(root, info, module),
	                                      module_span(module), REGION_MEMORY);

	must(number, "handle of a module");
	must(region != NULL ? BH_OK : BH_ERR_QUOTA, "region of a module");
	handle_fill(root, number, &region->object, BH_RIGHT_READ | BH_RIGHT_EXECUTE | BH_RIGHT_GIVE,
	            NULL);
	memcpy(entry->name, module->name, sizeof(entry->name));
	entry->size_bytes = module->size;
	record->modules_count++;
}

static void modules_add(struct domain *root, const struct boot_info *info,
                        struct bh_root_info *record)
{
	for (uint32_t i = 0; i < info->modules_count; i++) {
		const struct boot_module *module = &info->modules[i];

		if (!module->is_missing && module->size != 0 &&
		    strncmp(module->name, ROOT_MODULE, sizeof(ROOT_MODULE)) != 0) {
			module_add(root, info, module, record);
		}
	}
	for (uint32_t i = 0; i < info->modules_count; i++) {
		uint32_t at = record->modules_count + record->missing_count;

		if ((info->modules[i].is_missing || info->modules[i].size == 0) &&
		    at < BH_MODULES_MAX) {
			memcpy(record->modules[at].name, info->modules[i].name,
			       sizeof(record->modules[at].name));
			record->missing_count++;
		}
	}
}

static struct bh_root_info *root_record_create(struct domain *root)
{
	hpa_t pa;

	must(quota_pages_allocate(root, 1, &pa), "memory for its record");
	must(ptable_map(&root->space, BH_VA_ROOT_INFO, pa, ROOT_INFO_PAGES * PAGE_SIZE,
	                PTABLE_READ),
	     "mapping its record");
	return phys_to_virt(pa);
}

static void host_handle_add(struct domain *root)
{
	int number = handle_reserve(root, BH_HANDLE_HOST);

	must(number, "handle of the machine");
	handle_fill(root, number, &host_object, BH_RIGHTS_ALL, NULL);
}

static void root_run(struct domain *root, uint64_t entry, uint64_t stack)
{
	const struct bh_thread_params params = {
		.entry = entry,
		.stack = stack,
		.pcpu = cpu_self()->idx,
		.weight = ROOT_WEIGHT,
	};
	struct thread *thread;

	must(thread_create(root, root, &params, &thread), "its thread");
	thread_wake(thread);
}

void root_create(const struct boot_info *info)
{
	struct bh_domain_params params = { .quota_bytes = memory_bytes.total,
		                           .flags = BH_DOMAIN_SUPERVISES,
		                           .handles_max = BH_MAX_HANDLES,
		                           .name = ROOT_MODULE };
	uint64_t stack;

	must(domain_create(&kernel_domain, &params, NULL, &root_domain), "its address space");
	uint64_t entry = root_image_load(root_domain, info, &stack);
	struct bh_root_info *record = root_record_create(root_domain);

	memcpy(record->cmdline, info->cmdline, sizeof(record->cmdline));
	record->cmdline[sizeof(record->cmdline) - 1] = '\0';
	modules_add(root_domain, info, record);
	host_handle_add(root_domain);
	root_run(root_domain, entry, stack);
	limbo_flush();
	/* What it has now, and all that is free: nothing is promised twice. */
	root_domain->quota_bytes = root_domain->used_bytes + memory_bytes.free;
	record->quota_bytes = root_domain->quota_bytes;
}
