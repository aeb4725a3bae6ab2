// SPDX-License-Identifier: Apache-2.0
/*
 * GPT partitions (see gpt.h, UEFI 2.10 5.3). One device is read at a time: its first header and
 * table, and if these are spoilt the second ones at its end. What is on a disk is not trusted: checksums say only that it
 * is whole, so every number is checked against the device.
 */
#include "mgmt/block/gpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_BYTES_MAX 32768u
#define HEADER_BYTES_MIN  92u
#define SECTOR_BYTES_MAX  4096u
#define ENTRY_BYTES       128u
#define NAME_CHARS        36u

struct gpt_header {
	char signature[8];
	uint32_t revision;
	uint32_t header_bytes;
	uint32_t header_crc;
	uint32_t reserved;
	uint64_t own_lba;
	uint64_t other_lba;
	uint64_t first_usable_lba;
	uint64_t last_usable_lba;
	uint8_t disk_guid[16];
	uint64_t entries_lba;
	uint32_t entries_count;
	uint32_t entry_bytes;
	uint32_t entries_crc;
	uint32_t padding;
};
_Static_assert(sizeof(struct gpt_header) == 96, "UEFI 2.10 5.3.2 (padded)");

struct gpt_entry {
	uint8_t type_guid[16];
	uint8_t guid[16];
	uint64_t first_lba;
	uint64_t last_lba;
	uint64_t attributes;
	uint16_t name[NAME_CHARS];
};
_Static_assert(sizeof(struct gpt_entry) == ENTRY_BYTES, "UEFI 2.10 5.3.3");

struct partition {
	struct block_device device;
	struct partition *next;
	uint64_t start; /* sector of 512 bytes */
};

enum scan_step {
	SCAN_IDLE,
	SCAN_HEADER,
	SCAN_ENTRIES,
};

static struct partition *partitions;

static struct {
	enum scan_step step; /* what is being read, or was */
	bool is_read;        /* the read has ended */
	bool is_second;      /* the header at the end */
	enum block_status status;
	struct block_device *device;
	struct gpt_header header;
	struct block_request request;
	struct block_piece piece;
	uint8_t buffer[ENTRIES_BYTES_MAX];
} scan;

static uint32_t crc32(const uint8_t *at, uint64_t bytes)
{
	uint32_t crc = 0xffffffffu;
	uint64_t i;
	uint32_t bit;

	for (i = 0; i < bytes; i++) {
		crc ^= at[i];
		for (bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
		}
	}
	return ~crc;
}

static void read_done(struct block_request *request, enum block_status status)
{
	(void)request;
	scan.status = status;
	scan.is_read = true;
}

/* Reads whole sectors of the device from lba on into the buffer. */
static void read_lba(enum scan_step step, uint64_t lba, uint32_t bytes)
{
	uint32_t multiple = scan.device->sector_bytes / BLOCK_SECTOR_BYTES;

	bytes = (bytes + scan.device->sector_bytes - 1) / scan.device->sector_bytes *
	        scan.device->sector_bytes;
	scan.step = step;
	scan.is_read = false;
	scan.piece = (struct block_piece){ scan.buffer, bytes };
	scan.request = (struct block_request){
		.operation = BLOCK_READ,
		.sector = lba * multiple,
		.sectors_count = bytes / BLOCK_SECTOR_BYTES,
		.pieces = &scan.piece,
		.pieces_count = 1,
		.done = read_done,
	};
	block_submit(scan.device, &scan.request);
}

static uint64_t lba_count(void)
{
	return scan.device->sectors_count / (scan.device->sector_bytes / BLOCK_SECTOR_BYTES);
}

static void end_scan(void)
{
	scan.device->users_count--;
	scan.device = NULL;
	scan.step = SCAN_IDLE;
}

/* No table in this place: look in the other, or there is none. */
static void try_second(void)
{
	if (scan.is_second) {
		end_scan();
		return;
	}
	scan.is_second = true;
	read_lba(SCAN_HEADER, lba_count() - 1, scan.device->sector_bytes);
}

static bool header_is_good(struct gpt_header *header)
{
	static const uint8_t no_crc[4];
	uint32_t bytes;
	uint32_t crc;

	memcpy(header, scan.buffer, sizeof(*header));
	bytes = header->header_bytes;
	if (memcmp(header->signature, "EFI PART", 8) != 0 || bytes < HEADER_BYTES_MIN ||
	    bytes > scan.device->sector_bytes) {
		return false;
	}
	crc = header->header_crc;
	memcpy(scan.buffer + 16, no_crc, sizeof(no_crc));
	if (crc32(scan.buffer, bytes) != crc || header->entry_bytes < ENTRY_BYTES ||
	    header->entry_bytes % ENTRY_BYTES != 0 || header->entries_count == 0 ||
	    header->entries_count > ENTRIES_BYTES_MAX / header->entry_bytes) {
		return false;
	}
	return header->entries_lba < lba_count();
}

/* Letters, digits and a few signs stay; the rest becomes '_'. */
static void name_of(const struct gpt_entry *entry, char name[NAME_CHARS + 1])
{
	static const char signs[] = "._-+";
	uint32_t i;

	for (i = 0; i < NAME_CHARS && entry->name[i] != 0; i++) {
		uint16_t c = entry->name[i];
		bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		                (c >= 'a' && c <= 'z') ||
		                (c < 0x80 && strchr(signs, (int)c) != NULL);

		name[i] = is_plain ? (char)c : '_';
	}
	name[i] = '\0';
}

static void submit(struct block_device *device, struct block_request *request)
{
	struct partition *partition = device->driver;

	request->sector += partition->start;
	block_submit(device->parent, request);
}

bool gpt_overlap(const struct block_device *one, const struct block_device *other)
{
	const struct partition *a = one->driver;
	const struct partition *b = other->driver;

	return one->submit == submit && other->submit == submit && one->parent == other->parent &&
	       a->start < b->start + other->sectors_count &&
	       b->start < a->start + one->sectors_count;
}

static void add_partition(const struct gpt_entry *entry, uint32_t number)
{
	uint32_t multiple = scan.device->sector_bytes / BLOCK_SECTOR_BYTES;
	struct partition *partition;
	char name[NAME_CHARS + 1];

	if (entry->first_lba > entry->last_lba || entry->last_lba >= lba_count()) {
		return;
	}
	partition = calloc(1, sizeof(*partition));
	if (partition == NULL) {
		return;
	}
	partition->device = *scan.device;
	partition->device.next = NULL;
	partition->device.parent = scan.device;
	partition->device.is_scanned = true;
	partition->device.users_count = 0;
	partition->device.writers_count = 0;
	partition->device.is_searched = false;
	partition->device.submit = submit;
	partition->device.driver = partition;
	partition->device.sectors_count = (entry->last_lba - entry->first_lba + 1) * multiple;
	partition->start = entry->first_lba * multiple;
	name_of(entry, name);
	snprintf(partition->device.about, sizeof(partition->device.about), "GPT partition %u",
	         (unsigned int)number);
	snprintf(partition->device.name, sizeof(partition->device.name), "%.12s:%.18s",
	         scan.device->name, name);
	if (name[0] == '\0' || block_find(partition->device.name) != NULL) {
		snprintf(partition->device.name, sizeof(partition->device.name), "%.12s:p%u",
		         scan.device->name, (unsigned int)number);
	}
	if (!block_add(&partition->device)) {
		free(partition);
		return;
	}
	partition->next = partitions;
	partitions = partition;
}

static void take_entries(void)
{
	static const uint8_t unused[16];
	uint32_t bytes = scan.header.entries_count * scan.header.entry_bytes;
	uint32_t i;

	if (scan.status != BLOCK_OK || crc32(scan.buffer, bytes) != scan.header.entries_crc) {
		try_second();
		return;
	}
	for (i = 0; i < scan.header.entries_count; i++) {
		struct gpt_entry entry;

		memcpy(&entry, scan.buffer + i * scan.header.entry_bytes, sizeof(entry));
		if (memcmp(entry.type_guid, unused, sizeof(unused)) != 0) {
			add_partition(&entry, i + 1);
		}
	}
	end_scan();
}

static void take_header(void)
{
	if (scan.status != BLOCK_OK || !header_is_good(&scan.header)) {
		try_second();
		return;
	}
	read_lba(SCAN_ENTRIES, scan.header.entries_lba,
	         scan.header.entries_count * scan.header.entry_bytes);
}

static void begin_next(void)
{
	struct block_device *device;

	for (device = block_next(NULL); device != NULL; device = block_next(device)) {
		if (!device->is_scanned) {
			break;
		}
	}
	if (device == NULL) {
		return;
	}
	device->is_scanned = true;
	if (device->sector_bytes > SECTOR_BYTES_MAX || device->sectors_count < 64) {
		return;
	}
	device->users_count++;
	scan.device = device;
	scan.is_second = false;
	read_lba(SCAN_HEADER, 1, device->sector_bytes);
}

/* Partitions of devices that are gone. */
static void drop_gone(void)
{
	struct partition **link = &partitions;

	while (*link != NULL) {
		struct partition *partition = *link;

		if (partition->device.parent->is_gone != 0 && partition->device.is_gone == 0) {
			block_remove(&partition->device);
		}
		if (partition->device.is_gone != 0 && partition->device.users_count == 0) {
			*link = partition->next;
			free(partition);
		} else {
			link = &partition->next;
		}
	}
}

void gpt_poll(void)
{
	uint32_t turns;

	drop_gone();
	/* A device in memory answers at once: two reads for each of two places. */
	for (turns = 0; turns < 8; turns++) {
		if (scan.step == SCAN_IDLE) {
			begin_next();
		}
		if (scan.step == SCAN_IDLE || !scan.is_read) {
			return;
		}
		if (scan.step == SCAN_HEADER) {
			take_header();
		} else {
			take_entries();
		}
	}
}
