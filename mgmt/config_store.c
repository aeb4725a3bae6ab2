// SPDX-License-Identifier: Apache-2.0
/*
 * Saving and taking the configuration (see config_store.h). Both begin by reading the two copies. What is
 * read is believed only if its hash is right, and then goes through the one parser.
 */
#include "mgmt/config_store.h"

#include <stdio.h>
#include <string.h>

#include "lib/sha256.h"
#include "mgmt/block/block.h"
#include "mgmt/config.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/switches.h"

#define MAGIC        "BHCONFIG"
#define VERSION      1u
#define HEADER_BYTES 4096u
#define COPY_SECTORS (STORE_COPY_BYTES / BLOCK_SECTOR_BYTES)

struct header {
	char magic[8];
	uint32_t version;
	uint32_t reserved;
	uint64_t sequence;
	uint64_t text_bytes;
	uint8_t sha256[SHA256_BYTES]; /* of the fields above and the text */
};

enum step {
	STEP_IDLE,
	STEP_READ_FIRST,
	STEP_READ_SECOND,
	STEP_WRITE,
	STEP_FLUSH,
	STEP_DONE, /* of a save: the outcome waits for its shell */
};

static struct {
	enum step step;
	bool is_save;
	bool is_under_way; /* the request is at the device */
	bool is_looking;   /* no disk had a configuration yet, but another may */
	bool is_unread[2]; /* copies that the medium does not give */
	enum block_status status;
	struct block_device *device;
	struct block_request request;
	struct block_piece piece;
	uint64_t text_bytes; /* of a save */
	char name[BLOCK_NAME_SIZE];
	const char *error; /* NULL: saved */
} store;

static uint8_t copies[2][STORE_COPY_BYTES];
static uint8_t text[STORE_TEXT_BYTES];

/* The next after one (NULL: the first) that has the name. */
static struct block_device *next_device(struct block_device *device)
{
	while ((device = block_next(device)) != NULL) {
		if (device->is_gone == 0 && store_is_on(device)) {
			return device;
		}
	}
	return NULL;
}

/* For a save: where the configuration is from, else the first. */
static struct block_device *find_device(void)
{
	struct block_device *device = NULL;

	while ((device = next_device(device)) != NULL) {
		if (strcmp(device->name, machine_ledger()->store_name) == 0) {
			return device;
		}
	}
	return next_device(NULL);
}

static struct block_device *find_unsearched(void)
{
	struct block_device *device = NULL;

	while ((device = next_device(device)) != NULL) {
		if (!device->is_searched) {
			return device;
		}
	}
	return NULL;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static void hash_copy(const uint8_t *copy, const struct header *header,
                      uint8_t digest[SHA256_BYTES])
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_add(&sha, header, offsetof(struct header, sha256));
	sha256_add(&sha, copy + HEADER_BYTES, header->text_bytes);
	sha256_end(&sha, digest);
}

/* The copy's sequence number; 0 if it is none, or spoilt. */
static uint64_t copy_sequence(const uint8_t *copy)
{
	uint8_t digest[SHA256_BYTES];
	struct header header;

	memcpy(&header, copy, sizeof(header));
	if (memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0 || header.version != VERSION ||
	    header.text_bytes > STORE_TEXT_BYTES) {
		return 0;
	}
	hash_copy(copy, &header, digest);
	return memcmp(digest, header.sha256, sizeof(digest)) == 0 ? header.sequence : 0;
}

static void make_copy(uint8_t *copy, uint64_t sequence)
{
	struct header header = { .version = VERSION,
		                 .sequence = sequence,
		                 .text_bytes = store.text_bytes };

	memset(copy, 0, STORE_COPY_BYTES);
	memcpy(header.magic, MAGIC, sizeof(header.magic));
	memcpy(copy + HEADER_BYTES, text, store.text_bytes);
	hash_copy(copy, &header, header.sha256);
	memcpy(copy, &header, sizeof(header));
}

/* ---- requests -------------------------------------------------------------------------------- */

static void request_done(struct block_request *request, enum block_status status)
{
	(void)request;
	store.status = status;
	store.is_under_way = false;
}

static void submit(enum step step, enum block_operation operation, uint32_t copy)
{
	store.step = step;
	store.is_under_way = true;
	store.piece = (struct block_piece){ .address = copies[copy], .bytes = STORE_COPY_BYTES };
	store.request = (struct block_request){ .operation = operation, .done = request_done };
	if (operation != BLOCK_FLUSH) {
		store.request.sector = (uint64_t)copy * COPY_SECTORS;
		store.request.sectors_count = COPY_SECTORS;
		store.request.pieces = &store.piece;
		store.request.pieces_count = 1;
	}
	block_submit(store.device, &store.request);
}

/* The configuration is there, now and for the next mgmt. */
static void settle(void)
{
	struct ledger *ledger = machine_ledger();

	store.is_looking = false;
	ledger->is_store_read = 1;
	snprintf(ledger->store_name, sizeof(ledger->store_name), "%s", store.name);
}

static void end(const char *error)
{
	if (store.device != NULL) {
		store.device->users_count--;
	}
	store.device = NULL;
	store.error = error;
	store.step = store.is_save ? STEP_DONE : STEP_IDLE;
	if (!store.is_save) {
		machine_ledger()->is_store_read = 1;
		if (error != NULL) {
			ledger_event(machine_ledger(), machine_now_tsc(), "",
			             "the configuration on %s is not taken: %s", store.name, error);
		}
	} else if (error == NULL) {
		settle();
		ledger_event(machine_ledger(), machine_now_tsc(), "",
		             "the configuration is saved on %s", store.name);
	}
}

static void begin(struct block_device *device, bool is_save)
{
	store.is_save = is_save;
	store.device = device;
	store.device->users_count++;
	store.is_unread[0] = store.is_unread[1] = false;
	snprintf(store.name, sizeof(store.name), "%s", device->name);
	if (device->sectors_count < 2 * COPY_SECTORS) {
		end("the partition is smaller than 264 KiB");
		return;
	}
	submit(STEP_READ_FIRST, BLOCK_READ, 0);
}

/* ---- what was read --------------------------------------------------------------------------- */

static void take_guest(const struct config_guest *config, uint32_t *errors_count)
{
	struct guest *guest = partition_find(config->name);
	struct result why;

	if (guest != NULL) {
		partition_configure(guest, config);
		return;
	}
	result_init(&why);
	if (!partition_define(config, &why)) {
		*errors_count += 1;
	}
	result_free(&why);
}

/* What was saved goes before what the machine booted with: guests of the same name are changed. */
static void take_text(const uint8_t *copy)
{
	static struct config config;
	struct header header;
	uint32_t errors_count;
	uint32_t i;

	memcpy(&header, copy, sizeof(header));
	config_init(&config);
	config.host = machine_ledger()->host;
	config_parse(&config, (const char *)copy + HEADER_BYTES, header.text_bytes);
	errors_count = config.errors.count;
	if (config.has_host) {
		machine_ledger()->host = config.host;
	}
	for (i = 0; i < config.switch_count; i++) {
		errors_count += !switches_define(&config.switches[i]);
	}
	for (i = 0; i < config.guest_count; i++) {
		take_guest(&config.guests[i], &errors_count);
	}
	ledger_event(machine_ledger(), machine_now_tsc(), "",
	             "the configuration of %s is taken: %u guests, %u errors", store.name,
	             (unsigned int)config.guest_count, (unsigned int)errors_count);
	config_free(&config);
	partition_autostart();
}

static void copies_are_read(void)
{
	uint64_t first = copy_sequence(copies[0]);
	uint64_t second = copy_sequence(copies[1]);
	uint32_t older = first <= second ? 0 : 1;

	if (store.is_save) {
		make_copy(copies[older], (first > second ? first : second) + 1);
		submit(STEP_WRITE, BLOCK_WRITE, older);
	} else if (first == 0 && second == 0) {
		end(store.is_unread[0] || store.is_unread[1] ? "it cannot be read"
		                                             : "nothing was saved there");
	} else {
		settle();
		take_text(copies[1 - older]);
		end(NULL);
	}
}

/* One copy is enough. */
static void skip_copy(uint32_t copy)
{
	memset(copies[copy], 0, STORE_COPY_BYTES);
	store.is_unread[copy] = true;
	store.status = BLOCK_OK;
}

static void go_on(void)
{
	if (store.status == BLOCK_IO_ERROR &&
	    (store.step == STEP_READ_FIRST || store.step == STEP_READ_SECOND)) {
		skip_copy(store.step == STEP_READ_SECOND);
	}
	if (store.status != BLOCK_OK) {
		end(block_status_name(store.status));
		return;
	}
	switch (store.step) {
	case STEP_READ_FIRST:
		submit(STEP_READ_SECOND, BLOCK_READ, 1);
		break;
	case STEP_READ_SECOND:
		copies_are_read();
		break;
	case STEP_WRITE:
		submit(STEP_FLUSH, BLOCK_FLUSH, 0);
		break;
	case STEP_FLUSH:
		end(NULL);
		break;
	case STEP_IDLE:
	case STEP_DONE:
		break;
	}
}

/* True if a disk is there that may have a configuration: it is being read then. */
static bool begin_search(void)
{
	struct block_device *device = NULL;

	if (store.step == STEP_IDLE && (store.is_looking || machine_ledger()->is_store_read == 0)) {
		device = find_unsearched();
	}
	if (device == NULL) {
		return false;
	}
	device->is_searched = true;
	store.is_looking = true;
	begin(device, false);
	return true;
}

void store_poll(void)
{
	do {
		while (store.step != STEP_IDLE && store.step != STEP_DONE && !store.is_under_way) {
			go_on();
		}
	} while (begin_search());
}

/* ---- saving ---------------------------------------------------------------------------------- */

/* Past the end it only counts. */
static void add_text(void *context, const char *part)
{
	size_t length = strlen(part);

	(void)context;
	if (store.text_bytes + length <= sizeof(text)) {
		memcpy(text + store.text_bytes, part, length);
	}
	store.text_bytes += length;
}

static bool print_text(void)
{
	uint32_t slot;

	store.text_bytes = 0;
	config_print_host(&machine_ledger()->host, add_text, NULL);
	switches_print(add_text, NULL);
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL) {
			add_text(NULL, "\n");
			config_print_guest(&guest->config, add_text, NULL);
		}
	}
	return store.text_bytes <= sizeof(text);
}

static bool poll_wait(struct shell_wait *wait, struct result *result)
{
	wait->deadline_tsc = BH_FOREVER;
	if (store.step != STEP_DONE) {
		return false;
	}
	store.step = STEP_IDLE;
	if (store.error != NULL) {
		result_error(result, "save", "", "%s: %s; what was saved before is as it was",
		             store.name, store.error);
	} else {
		result_message(result, "saved on %s", store.name);
	}
	return true;
}

/* By a guest that has it, or the whole disk: neither could rely on what it has written. */
static bool is_written(const struct block_device *device)
{
	return device->writers_count != 0 ||
	       (device->parent != NULL && device->parent->writers_count != 0);
}

bool store_save(struct shell_wait *wait, struct result *result)
{
	struct block_device *device = find_device();

	if (store.step != STEP_IDLE && store.step != STEP_DONE) {
		result_error(result, "save", "try again when it is done",
		             "the configuration is being read or saved");
		return false;
	}
	if (device == NULL) {
		result_error(result, "save", "make one of 1 MiB, see docs/configuration.md",
		             "no disk has a GPT partition named " STORE_NAME);
		return false;
	}
	if (is_written(device)) {
		result_error(result, "save", "give guests other partitions by their names",
		             "a guest writes to the disk of %s", device->name);
		return false;
	}
	if (!print_text()) {
		result_error(result, "save", "", "the configuration is longer than 128 KiB");
		return false;
	}
	wait->poll = poll_wait;
	begin(device, true);
	return true;
}
