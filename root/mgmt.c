/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of mgmt: what it is given at each start, what outlives it (event set, channel, status, ledger), and its restart. A crash
 * loop is slowed down, never given up: an operator with a serial cable has no other way in.
 */
#include <stdio.h>
#include <string.h>

#include "lib/threads.h"
#include "lib/time.h"
#include "root/root.h"

#define MGMT_STACK_BYTES (64u * 1024)
#define MGMT_QUOTA_BYTES (4ull << 20)
#define MGMT_WEIGHT      1024u
#define RESTART_PAUSE_NS 1000000000ull
#define LEDGER_BYTES     ((BH_LEDGER_BYTES + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1))

struct root_channel *const root_channel = (struct root_channel *)ROOT_VA_CHANNEL;
struct root_status *const root_status = (struct root_status *)ROOT_VA_STATUS;
static struct mgmt_info *const mgmt_info = (struct mgmt_info *)ROOT_VA_INFO;

uint64_t root_wall_seconds;
bh_handle_t mgmt_domain;
bh_handle_t mgmt_events;

static struct owned kept;       /* outlives mgmt */
static struct owned mgmt_owned; /* of the present mgmt */
static bh_handle_t info_region, channel_region, status_region, ledger_region, notify_event,
	request_event, death_event;
static struct program mgmt_files[BH_MODULES_MAX]; /* by index in mgmt_info.files */
static struct program config_file;
static uint64_t last_start_ns;
static uint64_t
	mgmt_regions_bytes; /* what root itself paid for mgmt: image, stack, domain record */

bool mgmt_file_find(uint32_t file_idx, struct program *file)
{
	if (file_idx >= mgmt_info->files_count || mgmt_files[file_idx].region == 0) {
		return false;
	}
	*file = mgmt_files[file_idx];
	return true;
}

uint64_t root_used_bytes(void)
{
	struct bh_domain_info info;

	return bh_domain_info(BH_HANDLE_SELF, &info) == BH_OK ? info.used_bytes : 0;
}

void mgmt_wake(void)
{
	bh_event_signal(notify_event);
}

void mgmt_notify(void)
{
	struct bh_host_info host;
	struct bh_domain_info info;

	if (bh_host_info(BH_HANDLE_HOST, &host) == BH_OK) {
		root_status->memory_free = host.memory_free;
	}
	if (bh_domain_info(BH_HANDLE_SELF, &info) == BH_OK) {
		root_status->memory_root = info.used_bytes;
	}
	if (mgmt_domain != 0 && bh_domain_info(mgmt_domain, &info) == BH_OK) {
		root_status->memory_mgmt = info.used_bytes + mgmt_regions_bytes;
	}
	mgmt_wake();
}

static bh_handle_t keep_or_fail(const char *what, int64_t handle)
{
	int64_t result = owned_keep(&kept, handle);

	if (result < 0) {
		domain_fail("root: %s: error %d", what, (int)result);
	}
	return (bh_handle_t)result;
}

static bh_handle_t page_make(const char *what, uint64_t size, uint64_t va)
{
	bh_handle_t region = keep_or_fail(what, bh_region_allocate(size, BH_PAGE_SIZE, 0));
	const struct bh_map map = { .size = size, .flags = BH_MAP_READ | BH_MAP_WRITE };
	int error;

	do {
		error = bh_region_zero(region);
	} while (error == BH_ERR_AGAIN);
	if (error == BH_OK && va != 0) {
		error = bh_region_map(region, BH_HANDLE_SELF, va, &map);
	}
	if (error < 0) {
		domain_fail("root: %s: error %d", what, error);
	}
	return region;
}

/* Sort the boot modules: our own programs, the configuration, files for guests. */
static void files_describe(void)
{
	const struct bh_root_info *root_info = (const struct bh_root_info *)BH_VA_ROOT_INFO;
	uint64_t va = MGMT_VA_FILES;

	memcpy(mgmt_info->cmdline, root_info->cmdline, sizeof(mgmt_info->cmdline) - 1);
	for (uint32_t i = 0; i < root_info->modules_count && i < BH_MODULES_MAX; i++) {
		const struct bh_module_info *module = &root_info->modules[i];
		struct program program = { 0 };
		bool is_missing = module->size_bytes == 0;

		if (strcmp(module->name, "mgmt") == 0 || strcmp(module->name, "vmm") == 0) {
			continue;
		}
		if (!is_missing) {
			program.bytes = (const uint8_t *)(ROOT_VA_MODULES +
			                                  i * ROOT_VA_MODULE_STRIDE);
			program.size = module->size_bytes;
			program.region = BH_ROOT_HANDLE_MODULES + i;
		}
		if (strcmp(module->name, "config") == 0) {
			config_file = program;
			mgmt_info->config_bytes = program.size;
			memcpy(mgmt_info->config_name, module->name, sizeof(module->name));
			continue;
		}
		uint32_t idx = mgmt_info->files_count++;

		mgmt_files[idx] = program;
		memcpy(mgmt_info->files[idx].name, module->name, sizeof(module->name));
		mgmt_info->files[idx].size_bytes = program.size;
		mgmt_info->files[idx].is_missing = is_missing;
		mgmt_info->files[idx].address = is_missing ? 0 : va;
		va += ((program.size + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1)) + BH_PAGE_SIZE;
	}
}

void mgmt_prepare(uint64_t acpi_root)
{
	info_region = page_make("mgmt's information", 2 * BH_PAGE_SIZE, ROOT_VA_INFO);
	channel_region = page_make("mgmt's channel", BH_PAGE_SIZE, ROOT_VA_CHANNEL);
	status_region = page_make("root's status", BH_PAGE_SIZE, ROOT_VA_STATUS);
	ledger_region = page_make("the ledger", LEDGER_BYTES, 0);
	mgmt_events = keep_or_fail("mgmt's event set", bh_event_set_create());
	notify_event = keep_or_fail("an event", bh_event_create(mgmt_events, MGMT_EVENT_ROOT));
	request_event = keep_or_fail("an event", bh_event_create(root_events, ROOT_EVENT_REQUEST));
	death_event = keep_or_fail("an event", bh_event_create(root_events, ROOT_EVENT_MGMT_DEATH));
	root_wall_seconds = clock_wall_seconds();
	mgmt_info->acpi_root = acpi_root;
	files_describe();
}

static int mgmt_give_handles(void)
{
	int64_t result = bh_handle_give(BH_HANDLE_HOST, mgmt_domain,
	                                BH_RIGHT_READ | BH_RIGHT_WRITE | BH_RIGHT_CONTROL,
	                                MGMT_HANDLE_HOST);

	result = result < 0 ? result
	                    : bh_handle_give(mgmt_events, mgmt_domain, BH_RIGHT_CONTROL,
	                                     MGMT_HANDLE_EVENTS);
	result = result < 0 ? result
	                    : bh_handle_give(request_event, mgmt_domain, BH_RIGHT_WRITE,
	                                     MGMT_HANDLE_ROOT);
	return result < 0 ? (int)result : BH_OK;
}

static int file_map(const struct program *file, uint64_t va)
{
	uint64_t size = (file->size + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1);

	return size == 0 ? BH_OK
	                 : region_map_part(file->region, mgmt_domain, va,
	                                   (struct bh_map){ .size = size, .flags = BH_MAP_READ });
}

static int mgmt_map_memory(void)
{
	const struct bh_map read_info = { .size = 2 * BH_PAGE_SIZE, .flags = BH_MAP_READ };
	const struct bh_map read_page = { .size = BH_PAGE_SIZE, .flags = BH_MAP_READ };
	const struct bh_map write_page = { .size = BH_PAGE_SIZE,
		                           .flags = BH_MAP_READ | BH_MAP_WRITE };
	const struct bh_map write_ledger = { .size = LEDGER_BYTES,
		                             .flags = BH_MAP_READ | BH_MAP_WRITE };
	int error = bh_region_map(info_region, mgmt_domain, MGMT_VA_INFO, &read_info);

	error = error < 0
	                ? error
	                : bh_region_map(channel_region, mgmt_domain, MGMT_VA_CHANNEL, &write_page);
	error = error < 0 ? error
	                  : bh_region_map(status_region, mgmt_domain, MGMT_VA_STATUS, &read_page);
	error = error < 0
	                ? error
	                : bh_region_map(ledger_region, mgmt_domain, MGMT_VA_LEDGER, &write_ledger);
	error = error < 0 ? error : file_map(&config_file, MGMT_VA_CONFIG);
	for (uint32_t i = 0; i < mgmt_info->files_count && error == BH_OK; i++) {
		error = mgmt_files[i].region == 0
		                ? BH_OK
		                : file_map(&mgmt_files[i], mgmt_info->files[i].address);
	}
	return error;
}

/* Guests' memory and kept memory are mapped in it: one page table a GiB, where it does not lie in one piece, and three for its ends. */
static uint64_t mgmt_quota_bytes(void)
{
	struct bh_host_info host;
	uint64_t total = bh_host_info(BH_HANDLE_HOST, &host) == BH_OK ? host.memory_total : 0;

	return MGMT_QUOTA_BYTES + ((total >> 18) & ~(BH_PAGE_SIZE - 1));
}

static int mgmt_start(void)
{
	static const uint16_t boot_pcpu;
	static uint16_t thread;
	struct bh_domain_params params = { .quota_bytes = mgmt_quota_bytes(),
		                           .death_event = death_event,
		                           .flags = BH_DOMAIN_SEES_LOG,
		                           .handles_max = BH_MAX_HANDLES,
		                           .name = "mgmt" };
	struct thread_plan plan = { .count = 1,
		                    .stack_bytes = MGMT_STACK_BYTES,
		                    .pcpus = &boot_pcpu,
		                    .weight = MGMT_WEIGHT,
		                    .handles = &thread };
	struct program mgmt;

	if (!program_find("mgmt", &mgmt)) {
		return BH_ERR_NOT_FOUND;
	}
	uint64_t used_before = root_used_bytes();
	int64_t domain = owned_keep(&mgmt_owned, bh_domain_create(&params));

	if (domain < 0) {
		return (int)domain;
	}
	mgmt_domain = (bh_handle_t)domain;
	mgmt_info->starts_count++;
	int error = mgmt_give_handles();

	error = error < 0 ? error : mgmt_map_memory();
	error = error < 0 ? error : program_load(&mgmt, mgmt_domain, &mgmt_owned, &plan.entry);
	if (error == BH_OK) {
		kept_attach_mgmt(); /* before its first instruction */
		partitions_attach_mgmt();
		error = program_start(&plan, mgmt_domain, &mgmt_owned);
	}
	mgmt_regions_bytes = root_used_bytes() - used_before - params.quota_bytes;
	return error;
}

static void mgmt_end(bool is_hung)
{
	struct bh_domain_info info;

	if (mgmt_domain == 0) {
		return;
	}
	if (bh_domain_info(mgmt_domain, &info) == BH_OK) {
		mgmt_info->last_death = (uint32_t)info.state | (info.fault_vector << 8) |
		                        (is_hung ? MGMT_DEATH_HUNG : 0);
		root_log("mgmt %s (state %u, vector %u, rip %#lx): starting it again",
		         is_hung ? "hangs" : "ended", (unsigned)info.state,
		         (unsigned)info.fault_vector, info.fault_rip);
	}
	while (bh_handle_close(mgmt_domain) == BH_ERR_AGAIN) {
	}
	owned_close(&mgmt_owned);
	mgmt_domain = 0;
}

void mgmt_restart(enum mgmt_end end)
{
	mgmt_end(end == MGMT_HUNG);
	uint64_t now = bh_now_ns();

	if (end != MGMT_ASKED && mgmt_info->starts_count > 1 &&
	    now - last_start_ns < RESTART_PAUSE_NS) {
		uint64_t bits[BH_EVENT_WORDS];
		int64_t pause = bh_event_set_create();

		if (pause > 0) {
			bh_event_wait((bh_handle_t)pause, bh_deadline_tsc(now + RESTART_PAUSE_NS),
			              bits);
			bh_handle_close((bh_handle_t)pause);
		}
	}
	last_start_ns = bh_now_ns();
	watchdog_begin();
	int error = mgmt_start();

	if (error < 0) {
		domain_fail("root: mgmt cannot be started: error %d", error);
	}
	mgmt_notify();
}
