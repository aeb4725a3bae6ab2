/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions: makes and ends what a guest owns (memory, vm, vCPUs, the VMM's domain and threads). Every step can fail; all that was
 * made until then is closed in reverse order, so that free memory is what it was. mgmt's requests are checked as a stranger's would be.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bulkhead/virtio_channel.h"
#include "root/partition.h"

#define VMM_STACK_BYTES   16384u
#define VMM_QUOTA_BYTES   (208u * 1024)
#define VMM_QUOTA_DEVICES (96u * 1024) /* its records of the devices, and their pages' tables */
#define GUEST_ALIGN_SMALL (2ull << 20)
#define GUEST_ALIGN_LARGE (1ull << 30)

static struct partition partitions[BH_PARTITIONS_MAX];

/* Say what failed, for the operator; passes the error on. */
__attribute__((format(printf, 2, 3))) static int fail(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(root_channel->message, sizeof(root_channel->message), format, arguments);
	va_end(arguments);
	return error;
}

static int params_check(const struct root_partition_params *params)
{
	if (params->slot >= BH_PARTITIONS_MAX ||
	    root_status->slots[params->slot].state != ROOT_SLOT_FREE) {
		return fail(BH_ERR_BUSY, "partition slot %u is not free", (unsigned)params->slot);
	}
	if (params->vcpus_count == 0 || params->vcpus_count > BH_MAX_VCPUS) {
		return fail(BH_ERR_INVALID, "%u vCPUs; 1 to %u are possible",
		            (unsigned)params->vcpus_count, BH_MAX_VCPUS);
	}
	if (params->files_count == 0 || params->files_count > BH_FILES_MAX) {
		return fail(BH_ERR_INVALID, "%u files; 1 to %u are possible",
		            (unsigned)params->files_count, BH_FILES_MAX);
	}
	if ((params->flags & ~(VMM_CONFIG_DEBUG_EXIT | VMM_CONFIG_CONSOLE | VMM_CONFIG_DEVICES |
	                       VMM_CONFIG_BALLOON)) != 0 ||
	    params->devices >> VIO_DEVICES_MAX != 0 || params->ports_count > BH_PORTS_MAX) {
		return fail(BH_ERR_INVALID, "flags 0x%x, devices 0x%x or %u ports are not known",
		            (unsigned)params->flags, (unsigned)params->devices,
		            (unsigned)params->ports_count);
	}
	if (params->memory_bytes < (1u << 20) || (params->memory_bytes & (BH_PAGE_SIZE - 1)) != 0) {
		return fail(BH_ERR_INVALID,
		            "memory of a guest is a multiple of 4 KiB, at least 1 MiB");
	}
	for (uint32_t i = 0; i < params->vcpus_count; i++) {
		if (params->pcpus[i] >= ((const struct bh_info *)BH_VA_INFO)->cpus_count) {
			return fail(BH_ERR_INVALID, "pCPU %u does not exist", params->pcpus[i]);
		}
	}
	return BH_OK;
}

uint32_t partition_guest_spans(const struct partition *partition, struct guest_span spans[4])
{
	uint64_t low = partition->low_bytes;
	uint64_t high = partition->memory_bytes - low;

	spans[0] = (struct guest_span){ 0, GUEST_HOLE_START, 0, false };
	spans[1] = (struct guest_span){ GUEST_HOLE_START, GUEST_HOLE_END - GUEST_HOLE_START,
		                        GUEST_HOLE_START, true };
	spans[2] = (struct guest_span){ GUEST_HOLE_END, low - GUEST_HOLE_END, GUEST_HOLE_END,
		                        false };
	spans[3] = (struct guest_span){ low, high, GUEST_HIGH_BASE, false };
	return high != 0 ? 4 : 3;
}

int partition_piece_map(const struct partition *partition, bh_handle_t region, uint64_t offset,
                        uint64_t size)
{
	struct guest_span spans[4];
	uint32_t count = partition_guest_spans(partition, spans);
	int error = BH_OK;

	for (uint32_t i = 0; i < count && error == BH_OK; i++) {
		uint64_t start = spans[i].offset > offset ? spans[i].offset : offset;
		uint64_t span_end = spans[i].offset + spans[i].size;
		uint64_t end = span_end < offset + size ? span_end : offset + size;
		struct bh_map map = { .offset = start - offset,
			              .size = end - start,
			              .flags = BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE };
		uint64_t gpa = spans[i].gpa + (start - spans[i].offset);

		if (start >= end) {
			continue;
		}
		error = spans[i].is_hole ? BH_OK : bh_region_map(region, partition->vm, gpa, &map);
		map.flags = BH_MAP_READ | BH_MAP_WRITE;
		error = error < 0 ? error
		                  : bh_region_map(region, partition->domain, VMM_VA_GUEST + gpa,
		                                  &map);
	}
	return error;
}

/* One run if the machine has it; else halves, as few as can be. */
static int memory_take(struct partition *partition)
{
	uint64_t offset = 0;
	uint64_t size = partition->memory_bytes;

	partition->memory_first = partition->owned.count;
	while (offset < partition->memory_bytes) {
		uint64_t left = partition->memory_bytes - offset;
		uint64_t part = size < left ? size : left;
		int64_t region = BH_ERR_MEMORY;

		if (part >= GUEST_ALIGN_LARGE && (offset & (GUEST_ALIGN_LARGE - 1)) == 0) {
			region = owned_region(&partition->owned, part, GUEST_ALIGN_LARGE, true);
		}
		if (region == BH_ERR_MEMORY) {
			region = owned_region(&partition->owned, part, GUEST_ALIGN_SMALL, true);
		}
		if (region == BH_ERR_MEMORY && part > GUEST_ALIGN_SMALL) {
			size = (part / 2 + GUEST_ALIGN_SMALL - 1) & ~(GUEST_ALIGN_SMALL - 1);
			continue;
		}
		if (region < 0) {
			return (int)region;
		}
		int error = partition_piece_map(partition, (bh_handle_t)region, offset, part);

		if (error < 0) {
			return error;
		}
		offset += part;
	}
	partition->memory_end = partition->owned.count;
	return BH_OK;
}

static int shared_take(struct partition *partition, uint64_t size, uint64_t va, bh_handle_t *handle)
{
	int64_t region = owned_region(&partition->owned, size, BH_PAGE_SIZE, false);

	if (region < 0) {
		return (int)region;
	}
	*handle = (bh_handle_t)region;
	return region_map_part(
		*handle, partition->domain, va,
		(struct bh_map){ .size = size, .flags = BH_MAP_READ | BH_MAP_WRITE });
}

static bool file_find(const struct root_partition_params *params, uint32_t i, struct program *file)
{
	uint32_t idx = params->files[i].file_idx;

	return idx >= BH_FILE_KEPT
	               ? kept_file_find(idx - BH_FILE_KEPT, params->files[i].size_bytes, file)
	               : mgmt_file_find(idx, file);
}

/* What the page tables of the guest's files take in the VMM's address space: a page for 2 MiB. */
static uint64_t files_quota(const struct root_partition_params *params)
{
	struct program file;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < params->files_count; i++) {
		if (file_find(params, i, &file)) {
			pages += (file.size >> 21) + 1;
		}
	}
	return pages * BH_PAGE_SIZE;
}

/* Map the guest's files read-only into the VMM, and describe them. */
static int files_map(struct partition *partition, const struct root_partition_params *params,
                     struct vmm_config *config)
{
	uint64_t va = VMM_VA_FILES;

	for (uint32_t i = 0; i < params->files_count; i++) {
		struct program file;

		if (!file_find(params, i, &file)) {
			return fail(BH_ERR_NOT_FOUND, "boot file %u does not exist",
			            (unsigned)params->files[i].file_idx);
		}
		uint64_t size = (file.size + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1);
		int error = region_map_part(file.region, partition->domain, va,
		                            (struct bh_map){ .size = size, .flags = BH_MAP_READ });

		if (error < 0) {
			return error;
		}
		config->files[i].address = va;
		config->files[i].size_bytes = file.size;
		memcpy(config->files[i].name, params->files[i].string,
		       sizeof(config->files[i].name) - 1);
		va += size + BH_PAGE_SIZE;
	}
	config->files_count = params->files_count;
	return BH_OK;
}

static int config_write(struct partition *partition, const struct root_partition_params *params)
{
	struct vmm_config *config = (struct vmm_config *)ROOT_VA_SCRATCH;
	int64_t region = owned_region(&partition->owned, BH_PAGE_SIZE, BH_PAGE_SIZE, false);
	struct bh_map map = { .size = BH_PAGE_SIZE, .flags = BH_MAP_READ | BH_MAP_WRITE };
	int error = region < 0 ? (int)region
	                       : bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, ROOT_VA_SCRATCH,
	                                       &map);

	if (error < 0) {
		return error;
	}
	config->slot = params->slot;
	config->flags = params->flags;
	config->memory_bytes = partition->memory_bytes;
	config->low_bytes = partition->low_bytes;
	config->high_bytes = partition->memory_bytes - partition->low_bytes;
	config->wall_seconds = root_wall_seconds;
	config->vcpus_count = params->vcpus_count;
	config->devices = (params->flags & VMM_CONFIG_DEVICES) != 0 ? params->devices : 0;
	memcpy(config->name, params->name, sizeof(config->name) - 1);
	memcpy(config->cmdline, params->cmdline, sizeof(config->cmdline) - 1);
	error = files_map(partition, params, config);
	bh_region_unmap((bh_handle_t)region, BH_HANDLE_SELF, ROOT_VA_SCRATCH);
	map.flags = BH_MAP_READ;
	return error < 0
	               ? error
	               : bh_region_map((bh_handle_t)region, partition->domain, VMM_VA_CONFIG, &map);
}

static int64_t give(int64_t handle, bh_handle_t domain, uint32_t rights, bh_handle_t slot)
{
	return handle < 0 ? handle : bh_handle_give((bh_handle_t)handle, domain, rights, slot);
}

/* The VMM's event set, the events into it (kept for mgmt), and its event into mgmt's set. */
static int events_make(struct partition *partition, uint32_t slot)
{
	struct owned *owned = &partition->owned;
	int64_t set = owned_keep(owned, bh_event_set_create());
	int64_t result = give(set, partition->domain, BH_RIGHT_CONTROL, VMM_HANDLE_EVENTS);

	if (result < 0) {
		return (int)result;
	}
	int64_t command = owned_keep(owned, bh_event_create((bh_handle_t)set, VMM_EVENT_COMMAND));
	int64_t console = owned_keep(owned, bh_event_create((bh_handle_t)set, VMM_EVENT_CONSOLE));
	int64_t notify = owned_keep(owned, bh_event_create(mgmt_events, MGMT_EVENT_VMM + slot));

	result = give(notify, partition->domain, BH_RIGHT_WRITE, VMM_HANDLE_NOTIFY);
	if (command < 0 || console < 0 || result < 0) {
		return command < 0 ? (int)command : console < 0 ? (int)console : (int)result;
	}
	partition->events = (bh_handle_t)set;
	partition->command_event = (bh_handle_t)command;
	partition->console_event = (bh_handle_t)console;
	return BH_OK;
}

static int vcpus_make(struct partition *partition, uint32_t count, uint32_t id)
{
	struct bh_vm_params params = { .vcpus_max = count, .id = id & UINT16_MAX };
	int64_t vm = owned_keep(&partition->owned, bh_vm_create(&params));
	int64_t result = give(vm, partition->domain,
	                      BH_RIGHT_READ | BH_RIGHT_WRITE | BH_RIGHT_CONTROL, VMM_HANDLE_VM);

	partition->vm = vm < 0 ? 0 : (bh_handle_t)vm;
	for (uint32_t i = 0; i < count && result >= 0; i++) {
		int64_t vcpu = owned_keep(&partition->owned, bh_vcpu_create(partition->vm, i));

		result = give(vcpu, partition->domain,
		              BH_RIGHT_READ | BH_RIGHT_WRITE | BH_RIGHT_CONTROL,
		              VMM_HANDLE_VCPU + i);
		if (result >= 0) {
			partition->vcpus[i] = (uint16_t)vcpu;
			partition->vcpus_count = i + 1;
		}
	}
	return result < 0 ? (int)result : BH_OK;
}

static int domain_make(struct partition *partition, const struct root_partition_params *params)
{
	struct bh_domain_params domain_params = {
		/* page tables for the guest's memory, one page a GiB, beside the VMM's own */
		.quota_bytes = VMM_QUOTA_BYTES + params->vcpus_count * 36864ull +
		               (params->memory_bytes >> 18) + files_quota(params) +
		               ((params->flags & VMM_CONFIG_DEVICES) != 0 ? VMM_QUOTA_DEVICES : 0),
	};
	int64_t event = owned_keep(
		&partition->owned,
		bh_event_create(root_events, ROOT_EVENT_VMM_DEATH + params->slot));

	if (event < 0) {
		return (int)event;
	}
	domain_params.quota_bytes &= ~(BH_PAGE_SIZE - 1);
	/* its vCPUs, their pages and threads' events, and a few of its own */
	domain_params.handles_max = (uint16_t)(VMM_HANDLE_VCPU + 32 + params->vcpus_count * 6);
	domain_params.death_event = (bh_handle_t)event;
	snprintf(domain_params.name, sizeof(domain_params.name), "vmm-%.26s", params->name);
	int64_t domain = owned_keep(&partition->owned, bh_domain_create(&domain_params));

	partition->domain = domain < 0 ? 0 : (bh_handle_t)domain;
	return domain < 0 ? (int)domain : BH_OK;
}

static int threads_start(struct partition *partition, const struct root_partition_params *params)
{
	struct program vmm;
	uint16_t pcpus[BH_MAX_VCPUS + 1];
	struct thread_plan plan = {
		.count = params->vcpus_count + 1,
		.stack_bytes = VMM_STACK_BYTES,
		.pcpus = pcpus,
		.weight = params->weight != 0 ? params->weight : 256,
		.cap_percent = (params->cap_percent + params->vcpus_count - 1) /
		               params->vcpus_count,
		.handles = partition->threads,
	};

	if (!program_find("vmm", &vmm)) {
		return fail(BH_ERR_NOT_FOUND, "there is no boot module `vmm`");
	}
	pcpus[0] = params->pcpus[0];
	memcpy(pcpus + 1, params->pcpus, params->vcpus_count * sizeof(pcpus[0]));
	int error = program_load(&vmm, partition->domain, &partition->owned, &plan.entry);

	return error < 0 ? error : program_start(&plan, partition->domain, &partition->owned);
}

/* What a new mgmt needs of one partition: its vCPUs' statistics, its events, its channel and console. */
static int partition_attach_mgmt(uint32_t slot)
{
	struct partition *partition = &partitions[slot];
	uint64_t va = MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE;
	const struct bh_map channel = { .size = BH_PAGE_SIZE, .flags = BH_MAP_READ | BH_MAP_WRITE };
	const struct bh_map console = { .size = sizeof(struct bh_console),
		                        .flags = BH_MAP_READ | BH_MAP_WRITE };
	int64_t result = BH_OK;

	if (mgmt_domain == 0) {
		return BH_OK;
	}
	for (uint32_t i = 0; i < partition->vcpus_count && result >= 0; i++) {
		result = bh_handle_give(partition->vcpus[i], mgmt_domain, BH_RIGHT_READ,
		                        MGMT_HANDLE_VCPU + slot * BH_MAX_VCPUS + i);
	}
	result = result < 0 ? result
	                    : give(partition->command_event, mgmt_domain, BH_RIGHT_WRITE,
	                           MGMT_HANDLE_VMM + slot * 2);
	result = result < 0 ? result
	                    : give(partition->console_event, mgmt_domain, BH_RIGHT_WRITE,
	                           MGMT_HANDLE_VMM + slot * 2 + 1);
	result = result < 0 ? result : bh_region_map(partition->channel, mgmt_domain, va, &channel);
	result = result < 0 ? result
	                    : bh_region_map(partition->console, mgmt_domain,
	                                    va + MGMT_VA_VMM_CONSOLE, &console);
	return result < 0 ? (int)result : devices_attach_mgmt(partition, slot);
}

static int partition_build(struct partition *partition, const struct root_partition_params *params)
{
	int error = domain_make(partition, params);

	error = error < 0 ? error : vcpus_make(partition, params->vcpus_count, params->id);
	if (error < 0) {
		return fail(
			error,
			error == BH_ERR_UNSUPPORTED
				? "this machine cannot run guests: AMD-V with NPT or VT-x with EPT and "
				  "unrestricted guest is needed"
				: "no room for the vCPUs (error %d)",
			error);
	}
	error = (params->flags & VMM_CONFIG_BALLOON) != 0 ? chunks_make(partition, params->slot)
	                                                  : memory_take(partition);
	if (error < 0) {
		return fail(error, "%lu MiB of free memory are not to be had (error %d)",
		            params->memory_bytes >> 20, error);
	}
	error = events_make(partition, params->slot);
	error = error < 0
	                ? error
	                : shared_take(partition, BH_PAGE_SIZE, VMM_VA_CHANNEL, &partition->channel);
	error = error < 0 ? error
	                  : shared_take(partition, sizeof(struct bh_console), VMM_VA_CONSOLE,
	                                &partition->console);
	if (error == BH_OK && (params->flags & VMM_CONFIG_DEVICES) != 0) {
		error = devices_make(partition, params->slot);
	}
	error = error < 0 ? error : config_write(partition, params);
	/* mgmt must be able to follow the VMM from its first instruction on. */
	error = error < 0 ? error : threads_start(partition, params);
	if (error >= 0) {
		error = partition_attach_mgmt(params->slot);
		/* This mgmt has died meanwhile; the next is given all partitions. */
		error = error == BH_ERR_DEAD ? BH_OK : error;
	}
	if (error < 0 && root_channel->message[0] == '\0') {
		return fail(error, "the VMM cannot be started (error %d)", error);
	}
	return error;
}

/* What a partition costs beside its guest's memory: what root paid, less the part of the VMM's quota that it has not used. */
static uint64_t overhead_bytes(const struct partition *partition, uint64_t used_before)
{
	struct bh_domain_info info;
	uint64_t paid = root_used_bytes() - used_before - partition->memory_bytes;

	return bh_domain_info(partition->domain, &info) == BH_OK
	               ? paid - info.quota_bytes + info.used_bytes
	               : paid;
}

int partition_create(const struct root_partition_params *params)
{
	int error = params_check(params);

	if (error < 0) {
		return error;
	}
	struct partition *partition = &partitions[params->slot];
	uint64_t used_before = root_used_bytes();

	memset(partition, 0, sizeof(*partition));
	partition->slot = params->slot;
	partition->memory_bytes = params->memory_bytes;
	partition->ports_count = params->ports_count;
	partition->low_bytes = params->memory_bytes < GUEST_LOW_MAX ? params->memory_bytes
	                                                            : GUEST_LOW_MAX;
	root_status->slots[params->slot].state = ROOT_SLOT_BUSY;
	root_channel->progress_done = 0;
	root_channel->progress_total = params->memory_bytes;
	error = partition_build(partition, params);
	if (error < 0) {
		chunks_close(partition);
		owned_close(&partition->owned);
		root_status->slots[params->slot].state = ROOT_SLOT_FREE;
		return error;
	}
	root_status->slots[params->slot].vcpus_count = params->vcpus_count;
	root_status->slots[params->slot].memory_bytes = params->memory_bytes;
	root_status->slots[params->slot].overhead_bytes = overhead_bytes(partition, used_before);
	root_status->slots[params->slot].death_state = BH_DOMAIN_ALIVE;
	root_status->slots[params->slot].state = ROOT_SLOT_ALIVE;
	return BH_OK;
}

int partition_destroy(uint32_t slot)
{
	if (slot >= BH_PARTITIONS_MAX || root_status->slots[slot].state == ROOT_SLOT_FREE) {
		return fail(BH_ERR_NOT_FOUND, "partition slot %u is free", (unsigned)slot);
	}
	while (bh_handle_close(partitions[slot].domain) == BH_ERR_AGAIN) {
	}
	chunks_close(&partitions[slot]);
	owned_close(&partitions[slot].owned);
	memset(&partitions[slot], 0, sizeof(partitions[slot]));
	memset(&root_status->slots[slot], 0, sizeof(root_status->slots[slot]));
	return BH_OK;
}

int partition_change_chunks(const struct root_partition_params *params, bool is_given)
{
	if (params->slot >= BH_PARTITIONS_MAX ||
	    root_status->slots[params->slot].state != ROOT_SLOT_ALIVE) {
		return fail(BH_ERR_NOT_FOUND, "partition slot %u does not run",
		            (unsigned)params->slot);
	}
	return chunks_change(&partitions[params->slot], params, is_given);
}

int partition_set_share(uint32_t slot, uint32_t weight, uint32_t cap_percent)
{
	if (slot >= BH_PARTITIONS_MAX || root_status->slots[slot].state != ROOT_SLOT_ALIVE) {
		return fail(BH_ERR_NOT_FOUND, "partition slot %u does not run", (unsigned)slot);
	}
	const struct partition *partition = &partitions[slot];
	uint32_t cap = (cap_percent + partition->vcpus_count - 1) / partition->vcpus_count;
	int error = BH_OK;

	for (uint32_t i = 0; i <= partition->vcpus_count && error == BH_OK; i++) {
		error = bh_thread_set_share(partition->threads[i], weight, cap);
	}
	return error;
}

void partitions_attach_mgmt(void)
{
	for (uint32_t slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		uint32_t state = root_status->slots[slot].state;

		if (state != ROOT_SLOT_ALIVE && state != ROOT_SLOT_DEAD) {
			continue;
		}
		int error = partition_attach_mgmt(slot);

		if (error < 0) {
			root_log("mgmt does not get partition %u back: error %d", (unsigned)slot,
			         error);
		}
	}
}

void partition_note_death(uint32_t slot)
{
	struct bh_domain_info info;

	if (root_status->slots[slot].state != ROOT_SLOT_ALIVE ||
	    bh_domain_info(partitions[slot].domain, &info) < 0 || info.state == BH_DOMAIN_ALIVE) {
		return;
	}
	root_status->slots[slot].death_state = info.state;
	root_status->slots[slot].death_vector = info.fault_vector;
	root_status->slots[slot].death_rip = info.fault_rip;
	root_status->slots[slot].death_address = info.fault_address;
	root_status->slots[slot].state = ROOT_SLOT_DEAD;
}
