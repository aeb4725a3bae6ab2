/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: owns every handle of every partition and of mgmt, keeps the ledger, starts mgmt and starts it again when it dies.
 * It takes no input but the boot modules and mgmt's requests, and does one thing at a time.
 */
#pragma once

#include <stdbool.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"

/* Addresses in root's own space. */
#define ROOT_VA_MODULES \
	0x0000100000000000ull /* module i at + i * ROOT_VA_MODULE_STRIDE, read-only */
#define ROOT_VA_MODULE_STRIDE 0x0000000100000000ull
#define ROOT_VA_SCRATCH       0x0000200000000000ull /* one region at a time, while it is filled */
#define ROOT_VA_INFO          0x0000210000000000ull /* struct mgmt_info */
#define ROOT_VA_CHANNEL       0x0000210000100000ull /* struct root_channel */
#define ROOT_VA_STATUS        0x0000210000200000ull /* struct root_status */
#define ROOT_VA_CHUNKS        0x0000210000300000ull /* struct bh_chunks of each slot */
#define ROOT_VA_TABLES        0x0000220000000000ull /* ACPI tables, while they are read */

/* Stacks of a domain's threads: stack i ends at STACK_VA + (i + 1) * STACK_STRIDE; what lies below its size is not mapped. */
#define DOMAIN_VA_STACKS    0x0000070000000000ull
#define DOMAIN_STACK_STRIDE 0x100000ull

/* Bits of root's own event set. */
#define ROOT_EVENT_REQUEST    0u
#define ROOT_EVENT_MGMT_DEATH 1u
#define ROOT_EVENT_VMM_DEATH  64u /* + slot */

/* What is to be closed when a domain or partition ends, in the order of making. */
#define ROOT_OWNED_MAX 352u

struct owned {
	uint16_t handles[ROOT_OWNED_MAX];
	uint32_t count;
};

extern struct root_channel *const root_channel;
extern struct root_status *const root_status;
extern bh_handle_t root_events; /* root's event set */

/* Bytes of root's quota that are in use, children's quotas included. */
uint64_t root_used_bytes(void);
/* One line in the kernel log. */
void root_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- root/owned.c: handles that end together, and the memory behind them -------------------------------------------- */

/* Remember a handle that a call returned (or pass its error on). Returns the handle or a negative enum bh_error. */
int64_t owned_keep(struct owned *owned, int64_t handle);
/* Close all, newest first. */
void owned_close(struct owned *owned);
/* A cleared region of `size` bytes, kept. `progress`: root_channel shows how far the clearing is. Returns the handle or an error. */
int64_t owned_region(struct owned *owned, uint64_t size, uint64_t alignment, bool shows_progress);
/* Clear a region that was allocated. Returns enum bh_error. */
int region_clear(bh_handle_t region, bool shows_progress);
/* Map [offset, offset + size) of a region into a domain. Returns enum bh_error. */
int region_map_part(bh_handle_t region, bh_handle_t domain, uint64_t va, struct bh_map map);

/* ---- root/program.c: ELF images of our own programs -------------------------------------------------------------------- */

struct program {
	const uint8_t *bytes;
	uint64_t size;
	bh_handle_t region; /* holds the bytes */
};

/* Find the boot module `name`; false if there is none. */
bool program_find(const char *name, struct program *program);
/* Put the program's segments into the domain; `entry` gets the start address. Text is mapped from the module, data is copied. */
int program_load(const struct program *program, bh_handle_t domain, struct owned *owned,
                 uint64_t *entry);

struct thread_plan {
	uint64_t entry;
	uint32_t count; /* threads, index 0.. */
	uint32_t stack_bytes;
	const uint16_t *pcpus; /* of each */
	uint32_t weight;
	uint32_t cap_percent; /* of each */
	uint16_t *handles;    /* out: thread handles */
};

/* Make stacks and threads. Thread i starts at entry with RDI = i. */
int program_start(const struct thread_plan *plan, bh_handle_t domain, struct owned *owned);

/* ---- root/partition.c ------------------------------------------------------------------------------------------------------ */

/* Carry out mgmt's requests; the text of an error goes to root_channel->message. Returns enum bh_error. */
int partition_create(const struct root_partition_params *params);
int partition_destroy(uint32_t slot);
int partition_set_share(uint32_t slot, uint32_t weight, uint32_t cap_percent);
int partition_change_chunks(const struct root_partition_params *params, bool is_given);
/* Give a (new) mgmt what it needs of every partition that is there. */
void partitions_attach_mgmt(void);
/* The VMM domain of `slot` died: note it in root_status. */
void partition_note_death(uint32_t slot);

/* ---- root/kept.c: memory of mgmt that outlives it ------------------------------------------------------------------------- */

/* ROOT_REQUEST_KEEP and ROOT_REQUEST_RELEASE; the text of an error goes to root_channel->message. Returns enum bh_error. */
int kept_create(uint32_t idx, uint64_t size, uint32_t flags);
int kept_release(uint32_t idx);
/* ROOT_REQUEST_TRACE, in the same way. */
int kept_trace(uint32_t idx, uint32_t kinds);
/* Map all of it in a new mgmt. */
void kept_attach_mgmt(void);
/* The first `size` bytes of a kept run as a guest's file; false if there is no such run, or it is shorter. */
bool kept_file_find(uint32_t idx, uint64_t size, struct program *file);

/* ---- root/mgmt.c -------------------------------------------------------------------------------------------------------------- */

/* Make what outlives mgmt: its event set, channel, status, ledger. Ends root with a log line if it cannot. `acpi_root`: for mgmt_info. */
void mgmt_prepare(uint64_t acpi_root);
enum mgmt_end {
	MGMT_ENDED, /* or was never there */
	MGMT_HUNG,  /* it did not beat */
	MGMT_ASKED
};
/* Start mgmt, or end it and start it again: at once if somebody asked for that, else not sooner than a second after its last start. */
void mgmt_restart(enum mgmt_end end);
/* Wake mgmt. */
void mgmt_wake(void);
extern bh_handle_t mgmt_domain; /* 0 while there is none */
extern bh_handle_t mgmt_events;
/* Address and size of a boot file in mgmt_info.files; false if there is no such index or it is missing. */
bool mgmt_file_find(uint32_t file_idx, struct program *file);
/* UNIX time at the machine's start; 0 = not known. */
extern uint64_t root_wall_seconds;
/* Refresh the memory figures of root_status and tell mgmt. */
void mgmt_notify(void);

/* ---- root/watchdog.c: mgmt that hangs ------------------------------------------------------------------------------------------- */

/* A new mgmt starts. */
void watchdog_begin(void);
/* ROOT_REQUEST_RESTART: so much later. */
void watchdog_restart_after(uint64_t delay_ns);
/* When watchdog_look() has something to do next. */
uint64_t watchdog_deadline_tsc(void);
/* Starts mgmt again if it is due. */
void watchdog_look(void);

/* ---- root/machine.c ----------------------------------------------------------------------------------------------------------- */

/* Read the ACPI tables and tell the kernel of the other pCPUs, the I/O APICs and the console. Returns the root table's address, 0 if none. */
uint64_t machine_start(void);

/* ---- root/clock.c -------------------------------------------------------------------------------------------------------------- */

/* Read the CMOS clock; 0 if it holds no date. */
uint64_t clock_wall_seconds(void);
