/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what mgmt must not forget when it dies. root keeps the pages and never reads them.
 *
 * All of a guest's lasting record is here and is worked on in place; nothing here points anywhere.
 * A new mgmt checks each record before it uses it (ledger_check()), since its forerunner may have
 * died in the middle of a write or may have written nonsense. Guest i, ledger record i and root's
 * slot i are the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/protocol.h"
#include "mgmt/config.h"

#define LEDGER_MAGIC       0x3172656764654c42ull
#define LEDGER_VERSION     5u
#define LEDGER_EVENTS      512u
#define LEDGER_EVENT_SIZE  208u
#define LEDGER_REASON_SIZE 200u

enum guest_state {
	GUEST_DEFINED,  /* has not been started since it was defined */
	GUEST_STARTING, /* root takes memory, or the VMM loads the images */
	GUEST_RUNNING,
	GUEST_PAUSED,
	GUEST_SHUTTING_DOWN, /* the power button was pressed; it runs still */
	GUEST_OFF,           /* ended by itself or by kill */
	GUEST_CRASHED,       /* it or its VMM failed */
	GUEST_STATE_COUNT,
};

/* What guest.has_balloon holds. */
#define GUEST_BALLOON         0x1u
#define GUEST_BALLOON_REPORTS 0x2u

/* What is asked of root for a guest; one at a time for each guest. */
enum guest_request {
	GUEST_REQUEST_NONE,
	GUEST_REQUEST_CREATE,
	GUEST_REQUEST_DESTROY,
};

/* What follows once the guest's resources are given back, or once it has powered off. */
enum guest_next {
	GUEST_NEXT_NONE,
	GUEST_NEXT_START,
	GUEST_NEXT_DELETE,
};

/* The lasting record of one guest. */
struct guest {
	uint32_t is_used;       /* stored last when a guest is defined, first when it is deleted */
	uint32_t state;         /* enum guest_state */
	uint32_t has_partition; /* root holds memory and a VMM for it */
	uint32_t request;       /* enum guest_request */
	uint32_t is_sent;       /* the request is in root's channel */
	uint32_t next;          /* enum guest_next */
	uint64_t ticket;        /* order of requests */
	uint32_t is_reboot_wanted; /* start again once it has powered off */
	uint32_t is_kill_wanted;   /* destroy it as soon as root has created it */
	uint32_t is_stop_wanted;   /* the operator asked for the power-off: no restart after it */
	uint32_t is_share_pending; /* weight or cap is to be told to root */
	uint32_t is_changed;       /* the configuration was changed since the start */
	uint32_t restarts_count;
	uint32_t quick_ends_count; /* ends in a row, each soon after its start */
	uint32_t vcpus_count;      /* of the running partition */
	uint64_t memory_bytes;     /* of the running partition */
	uint64_t created_tsc;      /* from which on its vCPUs count: a reset leaves them */
	uint64_t started_tsc;
	uint64_t restart_at_tsc; /* 0 = no restart is planned */
	uint64_t id;             /* number of the definition, from 1; shown by list */
	uint16_t pcpu[BH_MAX_VCPUS];
	uint32_t has_devices;            /* the partition was made with device pages */
	uint32_t ports_count;            /* rings of virtio-console that it was made with */
	uint64_t balloon_bytes;          /* what mem-set has asked for */
	uint32_t has_balloon;            /* GUEST_BALLOON*: the partition was made with chunks */
	uint32_t vsock_cid;              /* of the partition; 0 = it has none */
	uint32_t is_exclusive;           /* its pCPUs are its own while the partition exists */
	uint32_t is_command_sent;        /* a VMM command is under way */
	uint64_t command_tsc;            /* when it was sent */
	char reason[LEDGER_REASON_SIZE]; /* why it ended last, or "" */
	struct config_guest config;
};

struct ledger_event {
	uint64_t tsc;
	char guest[CONFIG_NAME_SIZE];
	char text[LEDGER_EVENT_SIZE];
};

#define KEPT_NAME_SIZE 48u

/* What a run of memory that root keeps is for (kept.h). */
enum kept_purpose {
	KEPT_FREE,
	KEPT_DMA,   /* rings and buffers of drivers */
	KEPT_FILE,  /* a fetched file: name and size */
	KEPT_DISK,  /* a disk in memory: name */
	KEPT_TRACE, /* the kernel's trace; size_bytes: the kinds that are written now, 0 = stopped */
	KEPT_PURPOSES,
};

struct kept_record {
	uint32_t purpose; /* enum kept_purpose; stored last */
	uint32_t reserved;
	uint64_t size_bytes; /* KEPT_FILE: the file's exact size */
	char name[KEPT_NAME_SIZE];
};

struct ledger {
	uint64_t magic;
	uint32_t version;
	uint32_t size;
	uint64_t ids_count;
	uint64_t tickets_count;
	uint64_t events_count;  /* ever; event n is at n % LEDGER_EVENTS */
	uint32_t is_boot_done;  /* the boot configuration has been read */
	uint32_t is_store_read; /* and what was saved on a disk */
	char store_name[32];    /* the partition that it was taken from or saved on; "": none yet */
	struct config_host host;
	struct config_switch
		switches[CONFIG_SWITCHES_MAX]; /* no name = free; rules are counted here */
	struct kept_record kept[BH_KEPT_MAX];
	struct guest guests[BH_PARTITIONS_MAX];
	struct ledger_event events[LEDGER_EVENTS];
};
_Static_assert(sizeof(struct ledger) <= BH_LEDGER_BYTES, "root keeps so much");

/* True if the ledger holds the records of an earlier mgmt (each made safe); else it is made
 * empty. */
bool ledger_open(struct ledger *ledger);

/* Puts every field of a record into its range; false if the record must be dropped. */
bool ledger_check(struct guest *guest);

/* The event log; guest may be "". */
void ledger_event(struct ledger *ledger, uint64_t tsc, const char *guest, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
