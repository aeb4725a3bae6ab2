// SPDX-License-Identifier: Apache-2.0
/*
 * What is below a guest's disk (see guest_disks.h).
 *
 * A disk that can be written and is not a device lives in a run of memory that root keeps, named
 * "GUEST.NUMBER" in the ledger: it outlives mgmt and the guest's restarts, and goes with the definition. Its record's
 * size is stored once it holds what it is to hold.
 */
#include "mgmt/guest_disks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/gpt.h"
#include "mgmt/block/overlay.h"
#include "mgmt/block/ram.h"
#include "mgmt/config_store.h"
#include "mgmt/kept.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"

#define FILL_BYTES (1024ull * 1024) /* copied at one go */
#define SOURCE_SECONDS \
	5u /* for which a source that is not there is waited for, from our start on */

enum kept_state {
	KEPT_STATE_NONE,
	KEPT_STATE_ASKED,
	KEPT_STATE_FAILED,
};

struct disk {
	struct block_device *top;  /* what the guest sees; NULL while not ready */
	struct block_device *base; /* a device of the machine that is used */
	bool is_writer;            /* of base */
	struct ram_disk ram;       /* the file, or the kept memory */
	struct overlay *overlay;
	enum kept_state kept_state;
	uint64_t filled_bytes;
	bool is_filling;
	bool is_dropped;  /* what it kept goes when it is closed */
	char message[96]; /* KEPT_STATE_FAILED */
};

static struct disk disks[BH_PARTITIONS_MAX][CONFIG_DISKS_MAX];
static uint32_t filling_count;
static uint64_t start_tsc;

/* A file that a disk can be made of. */
struct source {
	void *memory; /* NULL: it is a device */
	uint64_t bytes;
	struct block_device *device;
};

struct block_device *guest_disk_device(uint32_t slot, uint32_t disk_idx)
{
	return disks[slot][disk_idx].top;
}

void guest_disks_begin(void)
{
	if (start_tsc == 0) {
		start_tsc = machine_now_tsc();
	}
}

bool guest_disks_are_busy(void)
{
	return filling_count != 0;
}

static void kept_name(const struct guest *guest, uint32_t disk_idx, char name[KEPT_NAME_SIZE])
{
	snprintf(name, KEPT_NAME_SIZE, "%s.%u", guest->config.name, (unsigned int)disk_idx);
}

static bool find_source(const char *name, struct source *source)
{
	const struct mgmt_info *info = machine_info();
	int idx = kept_find(KEPT_FILE, name);

	memset(source, 0, sizeof(*source));
	if (idx >= 0) {
		source->memory = kept_address((uint32_t)idx);
		source->bytes = kept_record((uint32_t)idx)->size_bytes;
		return true;
	}
	idx = partition_find_file(name);
	if (idx >= 0 && info->files[idx].is_missing == 0) {
		source->memory = (void *)(uintptr_t)info->files[idx].address;
		source->bytes = info->files[idx].size_bytes;
		return true;
	}
	source->device = block_find(name);
	return source->device != NULL;
}

/* ---- memory that root keeps --------------------------------------------------------------------- */

static void kept_done(void *owner, int idx, const char *message)
{
	struct disk *disk = owner;
	uint32_t slot = (uint32_t)((disk - &disks[0][0]) / CONFIG_DISKS_MAX);

	if (idx >= 0) {
		disk->kept_state = KEPT_STATE_NONE;
		if (partition_guest(slot) == NULL) {
			kept_release((uint32_t)idx);
		}
		return;
	}
	disk->kept_state = KEPT_STATE_FAILED;
	snprintf(disk->message, sizeof(disk->message), "%s", message);
}

/* The run of this disk, of exactly so many bytes (in whole pages). */
static enum guest_devices_step take_kept(const struct guest *guest, uint32_t disk_idx,
                                         uint64_t bytes, uint32_t *idx)
{
	struct disk *disk = &disks[partition_slot(guest)][disk_idx];
	char name[KEPT_NAME_SIZE];
	int found;

	kept_name(guest, disk_idx, name);
	bytes = (bytes + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1);
	found = kept_find(KEPT_DISK, name);
	if (found >= 0 && kept_bytes((uint32_t)found) == bytes) {
		*idx = (uint32_t)found;
		return GUEST_DEVICES_READY;
	}
	if (found >= 0) {
		/* The disk was given another size: its content cannot be the old one. */
		kept_release((uint32_t)found);
	}
	if (disk->kept_state == KEPT_STATE_FAILED) {
		disk->kept_state = KEPT_STATE_NONE;
		return GUEST_DEVICES_FAILED;
	}
	if (disk->kept_state == KEPT_STATE_NONE &&
	    kept_take(KEPT_DISK, name, bytes, kept_done, disk)) {
		disk->kept_state = KEPT_STATE_ASKED;
	}
	return GUEST_DEVICES_WAIT;
}

static void set_filling(struct disk *disk, bool is_filling)
{
	if (disk->is_filling != is_filling) {
		disk->is_filling = is_filling;
		filling_count += is_filling ? 1u : UINT32_MAX;
	}
}

/* Copies the next part of a file into its run. */
static enum guest_devices_step fill(struct disk *disk, uint32_t kept_idx,
                                    const struct source *source)
{
	struct kept_record *record = kept_record(kept_idx);
	uint64_t left;

	if (record->size_bytes == source->bytes) {
		return GUEST_DEVICES_READY;
	}
	left = source->bytes - disk->filled_bytes;
	left = left < FILL_BYTES ? left : FILL_BYTES;
	memcpy((uint8_t *)kept_address(kept_idx) + disk->filled_bytes,
	       (const uint8_t *)source->memory + disk->filled_bytes, left);
	disk->filled_bytes += left;
	set_filling(disk, disk->filled_bytes != source->bytes);
	if (disk->filled_bytes != source->bytes) {
		return GUEST_DEVICES_WAIT;
	}
	disk->filled_bytes = 0;
	machine_store64(&record->size_bytes, source->bytes);
	return GUEST_DEVICES_READY;
}

/* ---- kinds of disks --------------------------------------------------------------------------------- */

static void use_memory(struct disk *disk, void *memory, uint64_t bytes, bool is_read_only)
{
	ram_disk_init(&disk->ram, memory, bytes, is_read_only);
	disk->top = &disk->ram.device;
}

static enum guest_devices_step prepare_ram(const struct guest *guest, uint32_t disk_idx, char *why,
                                           size_t size)
{
	const struct config_disk *config = &guest->config.disks[disk_idx];
	struct disk *disk = &disks[partition_slot(guest)][disk_idx];
	enum guest_devices_step step;
	uint64_t bytes = 0;
	uint32_t idx = 0;

	config_size_parse(config->source + 4, &bytes);
	step = take_kept(guest, disk_idx, bytes, &idx);
	if (step == GUEST_DEVICES_READY) {
		use_memory(disk, kept_address(idx), bytes, config->is_read_only);
	} else if (step == GUEST_DEVICES_FAILED) {
		snprintf(why, size, "disk %s: %s", config->source, disk->message);
	}
	return step;
}

static enum guest_devices_step prepare_overlay(const struct guest *guest, uint32_t disk_idx,
                                               struct block_device *base, char *why, size_t size)
{
	const struct config_disk *config = &guest->config.disks[disk_idx];
	struct disk *disk = &disks[partition_slot(guest)][disk_idx];
	uint64_t bytes = overlay_bytes_needed(base, config->overlay_bytes);
	enum guest_devices_step step;
	uint32_t idx = 0;

	step = take_kept(guest, disk_idx, bytes, &idx);
	if (step == GUEST_DEVICES_FAILED) {
		snprintf(why, size, "the overlay of disk %s: %s", config->source, disk->message);
	}
	if (step != GUEST_DEVICES_READY) {
		return step;
	}
	disk->overlay = overlay_open(base, kept_address(idx), kept_bytes(idx));
	if (disk->overlay == NULL) {
		snprintf(why, size, "the overlay of disk %s: no memory", config->source);
		return GUEST_DEVICES_FAILED;
	}
	disk->top = overlay_device(disk->overlay);
	return GUEST_DEVICES_READY;
}

static enum guest_devices_step prepare_file(const struct guest *guest, uint32_t disk_idx,
                                            const struct source *source, char *why, size_t size)
{
	const struct config_disk *config = &guest->config.disks[disk_idx];
	struct disk *disk = &disks[partition_slot(guest)][disk_idx];
	enum guest_devices_step step;
	uint32_t idx = 0;

	if (source->bytes < BLOCK_SECTOR_BYTES) {
		snprintf(why, size, "disk %s: the file is smaller than a sector", config->source);
		return GUEST_DEVICES_FAILED;
	}
	if (config->is_read_only) {
		use_memory(disk, source->memory, source->bytes, true);
		return GUEST_DEVICES_READY;
	}
	if (config->has_overlay) {
		ram_disk_init(&disk->ram, source->memory, source->bytes, true);
		return prepare_overlay(guest, disk_idx, &disk->ram.device, why, size);
	}
	step = take_kept(guest, disk_idx, source->bytes, &idx);
	if (step == GUEST_DEVICES_FAILED) {
		snprintf(why, size, "disk %s: %s", config->source, disk->message);
	}
	if (step != GUEST_DEVICES_READY) {
		return step;
	}
	step = fill(disk, idx, source);
	if (step == GUEST_DEVICES_READY) {
		use_memory(disk, kept_address(idx), source->bytes, false);
	}
	return step;
}

/* Who else uses the device: any writer, or anybody if we are to write. */
static bool is_taken(const struct block_device *device, bool is_writer, char *user, size_t size)
{
	const struct disk *disk = &disks[0][0];
	uint32_t i;

	for (i = 0; i < BH_PARTITIONS_MAX * CONFIG_DISKS_MAX; i++) {
		const struct block_device *other = disk[i].base;

		/* A partition and its whole device overlap. */
		if (other != NULL && (is_writer || disk[i].is_writer) &&
		    (other == device || other->parent == device || device->parent == other ||
		     gpt_overlap(other, device))) {
			const struct guest *guest = partition_guest(i / CONFIG_DISKS_MAX);

			snprintf(user, size, "%s's disk %u",
			         guest != NULL ? guest->config.name : "?",
			         (unsigned int)(i % CONFIG_DISKS_MAX));
			return true;
		}
	}
	return false;
}

static enum guest_devices_step prepare_device(const struct guest *guest, uint32_t disk_idx,
                                              struct block_device *device, char *why, size_t size)
{
	const struct config_disk *config = &guest->config.disks[disk_idx];
	struct disk *disk = &disks[partition_slot(guest)][disk_idx];
	bool is_writer = !config->is_read_only && !config->has_overlay &&
	                 (device->flags & BLOCK_IS_READ_ONLY) == 0;
	char user[48];

	if (disk->base == NULL) {
		if (is_writer && device->parent != NULL && store_is_on(device)) {
			snprintf(why, size, "disk %s: 'save config' writes there", config->source);
			return GUEST_DEVICES_FAILED;
		}
		if (is_taken(device, is_writer, user, sizeof(user))) {
			snprintf(why, size, "disk %s: %s uses it", config->source, user);
			return GUEST_DEVICES_FAILED;
		}
		disk->base = device;
		disk->is_writer = is_writer;
		device->users_count++;
		device->writers_count += is_writer;
	}
	if (config->has_overlay) {
		return prepare_overlay(guest, disk_idx, device, why, size);
	}
	disk->top = device;
	return GUEST_DEVICES_READY;
}

/* A driver may still be looking for it. */
static enum guest_devices_step no_source(const char *name, char *why, size_t size)
{
	guest_disks_begin();
	if (machine_now_tsc() - start_tsc < SOURCE_SECONDS * machine_tsc_hz()) {
		return GUEST_DEVICES_WAIT;
	}
	snprintf(why, size, "disk: there is no file and no device '%s'", name);
	return GUEST_DEVICES_FAILED;
}

enum guest_devices_step guest_disk_prepare(const struct guest *guest, uint32_t disk_idx, char *why,
                                           size_t size)
{
	const struct config_disk *config = &guest->config.disks[disk_idx];
	struct source source;

	if (disks[partition_slot(guest)][disk_idx].top != NULL) {
		return GUEST_DEVICES_READY;
	}
	if (strncmp(config->source, "ram:", 4) == 0) {
		return prepare_ram(guest, disk_idx, why, size);
	}
	if (!find_source(config->source, &source)) {
		return no_source(config->source, why, size);
	}
	if (source.device != NULL) {
		return prepare_device(guest, disk_idx, source.device, why, size);
	}
	return prepare_file(guest, disk_idx, &source, why, size);
}

/* Its memory goes, with what is in it. */
static void release(const struct guest *guest, uint32_t disk_idx)
{
	char name[KEPT_NAME_SIZE];
	int found;

	if (guest == NULL) {
		return;
	}
	kept_name(guest, disk_idx, name);
	found = kept_find(KEPT_DISK, name);
	if (found >= 0) {
		kept_release((uint32_t)found);
	}
}

void guest_disk_close(uint32_t slot, uint32_t disk_idx)
{
	struct disk *disk = &disks[slot][disk_idx];

	set_filling(disk, false);
	disk->filled_bytes = 0;
	if (disk->overlay != NULL) {
		overlay_close(disk->overlay);
		disk->overlay = NULL;
	}
	if (disk->base != NULL) {
		disk->base->users_count--;
		disk->base->writers_count -= disk->is_writer;
		disk->base = NULL;
	}
	disk->top = NULL;
	if (disk->is_dropped) {
		disk->is_dropped = false;
		release(partition_guest(slot), disk_idx);
	}
}

void guest_disk_forget(const struct guest *guest, uint32_t disk_idx)
{
	disks[partition_slot(guest)][disk_idx].is_dropped = true;
	guest_disk_close(partition_slot(guest), disk_idx);
}

void guest_disk_drop(const struct guest *guest, uint32_t disk_idx)
{
	struct disk *disk = &disks[partition_slot(guest)][disk_idx];

	if (disk->top != NULL) {
		disk->is_dropped = true;
	} else {
		guest_disk_forget(guest, disk_idx);
	}
}
