/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: what an operator may say about the host and its guests.
 *
 * One table (config_keys.c) names every key with its type, range, default and help. One parser
 * reads the boot file, `load`, `create` and `set`, and one printer writes what the parser reads
 * back. These are pure functions over text: they open no file and make no kernel call. Text is
 * never trusted; an error spoils the section it stands in and nothing else. The operator's view is
 * docs/configuration.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt/switch/address.h"
#include "mgmt/switch/switch.h"

#define CONFIG_NAME_SIZE    32u
#define CONFIG_PATH_SIZE    128u
#define CONFIG_RAMDISK_SIZE 64u
#define CONFIG_CMDLINE_SIZE 2048u
#define CONFIG_RAMDISKS_MAX 15u
#define CONFIG_CPUS_MAX     256u
#define CONFIG_VCPUS_MAX    64u
#define CONFIG_GUESTS_MAX   1024u
#define CONFIG_ERRORS_MAX   16u
#define CONFIG_ERROR_SIZE   512u
#define CONFIG_TEXT_MAX     (1024u * 1024u)
#define CONFIG_DISKS_MAX    8u
#define CONFIG_NETS_MAX     4u
#define CONFIG_PORTS_MAX    3u
#define CONFIG_NET_IPS_MAX  4u
#define CONFIG_NET_PAIRS    8u
#define CONFIG_SWITCHES_MAX 16u
#define CONFIG_UPLINKS_MAX  4u
#define CONFIG_SOURCE_SIZE  64u
#define CONFIG_SERIAL_SIZE  21u /* virtio has room for 20 bytes */

/* Which section a key belongs to. */
enum config_section {
	CONFIG_SECTION_NONE,
	CONFIG_SECTION_HOST,
	CONFIG_SECTION_GUEST,
	CONFIG_SECTION_SWITCH,
};

/* The type of a key's value, which fixes the C type of the field behind it. */
enum config_type {
	CONFIG_TYPE_COUNT,   /* uint32_t */
	CONFIG_TYPE_SIZE,    /* uint64_t, bytes */
	CONFIG_TYPE_FLAG,    /* bool */
	CONFIG_TYPE_NAME,    /* char[CONFIG_NAME_SIZE] */
	CONFIG_TYPE_TEXT,    /* char[max + 1] */
	CONFIG_TYPE_TEXTS,   /* struct config_texts */
	CONFIG_TYPE_CPUS,    /* struct config_cpus */
	CONFIG_TYPE_ACTION,  /* uint32_t holding an enum config_action */
	CONFIG_TYPE_ADDRESS, /* struct config_address */
	CONFIG_TYPE_IP,      /* char[CONFIG_IP_SIZE], "" for none */
	CONFIG_TYPE_DISKS,   /* struct config_disk[CONFIG_DISKS_MAX] */
	CONFIG_TYPE_NETS,    /* struct config_net[CONFIG_NETS_MAX] */
	CONFIG_TYPE_VSOCK,   /* struct config_vsock */
	CONFIG_TYPE_CONSOLE, /* uint32_t holding an enum config_console */
	CONFIG_TYPE_POLICY,  /* bool: allow or deny */
	CONFIG_TYPE_UPLINKS, /* struct config_uplink[CONFIG_UPLINKS_MAX] */
	CONFIG_TYPE_RULES,   /* struct switch_rule[SWITCH_RULES_MAX], behind it no hole */
};

/* The consoles that a guest has. */
enum config_console {
	CONFIG_CONSOLE_NONE,
	CONFIG_CONSOLE_SERIAL, /* COM1 */
	CONFIG_CONSOLE_VIRTIO, /* port 0 of virtio-console */
	CONFIG_CONSOLE_BOTH,
};

/* What happens to a guest that has ended. */
enum config_action {
	CONFIG_ACTION_DESTROY,
	CONFIG_ACTION_RESTART,
	CONFIG_ACTION_PRESERVE,
};

struct config_texts {
	uint32_t count;
	char text[CONFIG_RAMDISKS_MAX][CONFIG_RAMDISK_SIZE];
};

/* A set of pCPUs; is_any leaves the choice to the partition manager, and bits is then empty. Unless
 * is_shared, no other guest runs on a pCPU that is named. */
struct config_cpus {
	bool is_any;
	bool is_shared;
	uint64_t bits[CONFIG_CPUS_MAX / 64u];
};

#define CONFIG_IP_SIZE 16u

enum config_address_kind {
	CONFIG_ADDRESS_NONE,
	CONFIG_ADDRESS_DHCP,
	CONFIG_ADDRESS_STATIC,
};

/* How mgmt gets its IPv4 address. */
struct config_address {
	uint32_t kind;   /* enum config_address_kind */
	uint32_t ipv4;   /* in host order: 10.0.2.1 is 0x0a000201 */
	uint32_t prefix; /* bits of the network */
};

/* A guest's disk. Its place in the list is its device's number for good: others may come and go. */
struct config_disk {
	char source[CONFIG_SOURCE_SIZE]; /* "" = no disk in this place */
	char serial[CONFIG_SERIAL_SIZE];
	bool is_read_only;
	bool has_overlay;
	uint64_t overlay_bytes; /* room for what is written, 0 = all of the disk */
};

#define CONFIG_PEERS_MAX 8u

/* A guest's address for sockets to mgmt and other guests. */
struct config_vsock {
	uint32_t cid;   /* 0 = none */
	bool takes_any; /* every guest that names it may be a peer */
	uint32_t peers_count;
	uint32_t peers[CONFIG_PEERS_MAX]; /* CIDs */
};

/* A guest's network interface; likewise. */
struct config_net {
	char switch_name[CONFIG_NAME_SIZE]; /* "" = none in this place */
	bool has_mac;
	uint8_t mac[6];
	bool is_trunk;      /* frames of all VLANs, with their tags */
	bool is_pinned;     /* no frame from another address */
	bool is_isolated;   /* reaches only ports that are not */
	bool is_mirror;     /* gets a copy of all frames of the switch */
	uint16_t vlan;      /* access port of this VLAN; 0 = none */
	uint32_t rate_kbit; /* each way, in kbit/s; 0 = no limit */
	uint32_t queues;    /* pairs of queues, at most; 0 = 1 */
	uint32_t ips_count; /* addresses that it is pinned to */
	struct switch_prefix ips[CONFIG_NET_IPS_MAX];
};

/* A NIC of the machine on a switch. */
struct config_uplink {
	char nic[CONFIG_NAME_SIZE]; /* "" = none in this place */
	bool is_trunk;
	uint16_t vlan;
};

struct config_switch {
	struct switch_settings settings; /* first: its name is the switch's */
	struct config_uplink uplinks[CONFIG_UPLINKS_MAX];
};

struct config_host {
	char name[CONFIG_NAME_SIZE];
	uint32_t autostart_delay_s;
	char net_switch[CONFIG_NAME_SIZE]; /* "none" for none */
	struct config_address net_address;
	char net_gateway[CONFIG_IP_SIZE];
	char net_dns[CONFIG_IP_SIZE];
	struct config_texts uplinks; /* each: a NIC and a switch */
};

struct config_guest {
	char name[CONFIG_NAME_SIZE];
	uint32_t vcpu_count;
	struct config_cpus cpus;
	uint64_t memory_bytes;
	char kernel[CONFIG_PATH_SIZE];
	struct config_texts ramdisks;
	char cmdline[CONFIG_CMDLINE_SIZE];
	bool has_autostart;
	uint32_t on_poweroff;
	uint32_t on_reboot;
	uint32_t on_crash;
	uint32_t weight;
	uint32_t cap_percent;
	uint32_t console; /* enum config_console */
	bool has_balloon;
	bool has_reports; /* of free pages, by a balloon */
	struct config_vsock vsock;
	struct config_texts ports; /* names of further ports of virtio-console */
	bool has_debug_exit;
	struct config_disk disks[CONFIG_DISKS_MAX];
	struct config_net nets[CONFIG_NETS_MAX];
};

/* Where in the text something stands; both count from 1, and column counts bytes. */
struct config_position {
	uint32_t line;
	uint32_t column;
};

struct config_error {
	struct config_position at;
	char text[CONFIG_ERROR_SIZE];
};

/* count may exceed CONFIG_ERRORS_MAX: only that many are kept. */
struct config_errors {
	uint32_t count;
	struct config_error error[CONFIG_ERRORS_MAX];
};

/* The outcome of config_parse(): the guests without an error, in the order of the text. */
struct config {
	struct config_host host;
	bool has_host;
	uint32_t guest_count;
	uint32_t guest_capacity;
	struct config_guest *guests;
	uint32_t switch_count;
	struct config_switch *switches;
	struct config_errors errors;
};

enum config_key_flags {
	CONFIG_KEY_REQUIRED = 1u << 0, /* a section without it is an error */
	CONFIG_KEY_SHOWN = 1u << 1,    /* printed also when it has its default */
	CONFIG_KEY_LIVE = 1u << 2,     /* `set` acts on a running guest at once */
	CONFIG_KEY_HIDDEN = 1u << 3,   /* accepted for xl's sake; neither printed nor offered */
};

/* One row of the table. min and max bound the value (TEXT: length in bytes). */
struct config_key {
	const char *name;
	const char *aliases; /* separated by spaces; "" for none */
	enum config_section section;
	enum config_type type;
	uint32_t flags;
	size_t offset;
	uint64_t min;
	uint64_t max;
	const char *default_text;
	const char *meant; /* what a value looks like, for errors and help */
	const char *help;
};

/* config_keys.c: the table. */
extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* The key of this name or alias in the section (`_` and `-` count as the same), or NULL. */
const struct config_key *config_key_find(enum config_section section, const char *name);

/* The name of the section's key nearest to what was typed, or NULL if none is near. */
const char *config_key_nearest(enum config_section section, const char *typed);

/* The smallest number of single-character edits between two words; words over 31 bytes give 99. */
unsigned int config_edit_distance(const char *a, const char *b);

/* Writes the section's key names, separated by spaces; always ends with NUL. */
void config_key_list(enum config_section section, char *out, size_t size);

/* config_value.c: one value. record is the struct config_host, config_guest or config_switch of the
 * key's section. */

/* Reads text into the key's field. False, with the reason in why[size], if it is not a good value;
 * the field is then as it was. A TEXTS key gets one more entry. */
bool config_value_parse(const struct config_key *key, void *record, const char *text, char *why,
                        size_t size);

/* Where in the text of a rule config_value_parse() stumbles, in bytes. */
size_t config_rule_bad_offset(const char *text);

/* True for keys that may be given several times, each adding one. */
bool config_key_is_list(const struct config_key *key);

/* Writes the field's value as text that config_value_parse() reads back; for a TEXTS key the entry
 * idx. Always ends with NUL. */
void config_value_print(const struct config_key *key, const void *record, uint32_t idx, char *out,
                        size_t size);

/* The count of values in the field: 1, or for a key that may be given again the places in its list (an
 * empty place prints as ""). */
uint32_t config_value_count(const struct config_key *key, const void *record);

/* config_devices.c: disks and networks. */

/* Reads one value into *disk or *net; false if it is not good. */
bool config_disk_parse(const char *text, struct config_disk *disk);
bool config_net_parse(const char *text, struct config_net *net);
void config_disk_print(const struct config_disk *disk, char *out, size_t size);
bool config_vsock_parse(const char *text, struct config_vsock *vsock);
void config_vsock_print(const struct config_vsock *vsock, char *out, size_t size);
void config_net_print(const struct config_net *net, char *out, size_t size);

/* config_switch.c: uplinks and rules. */
bool config_uplink_parse(const char *text, struct config_uplink *uplink);
void config_uplink_print(const struct config_uplink *uplink, char *out, size_t size);

/* Words between commas, without the blanks around them. Returns their count, 0 if one is too long or
 * there are too many. */
#define CONFIG_WORDS_MAX 14u /* of one thread: callers keep theirs static */
#define CONFIG_WORD_SIZE 80u
uint32_t config_split(const char *text, char words[CONFIG_WORDS_MAX][CONFIG_WORD_SIZE]);

/* 1 to 4094, or trunk. */
bool config_vlan_parse(const char *text, uint16_t *vlan, bool *is_trunk);

/* Reads a size as config_value_parse() does, in any multiple; false if it is none. */
bool config_size_parse(const char *text, uint64_t *bytes);

/* Empties a field that a key can add to; nothing for other types. */
void config_value_clear(const struct config_key *key, void *record);

/* Sets every field of the section's record to the table's default. */
void config_set_defaults(enum config_section section, void *record);

/* A name of a port: letters, digits, '.', '-' and '_'. */
bool config_port_name_is_valid(const char *name);

/* Writes bytes with the largest unit that fits exactly: 1536M, 2G, 640K. */
void config_size_print(uint64_t bytes, char *out, size_t size);

/* Writes a set of pCPUs as `any`, `0,2-3`. */
void config_cpus_print(const struct config_cpus *cpus, char *out, size_t size);

bool config_name_is_valid(const char *name);
const char *config_action_name(uint32_t action);

/* config_net.c: network addresses. The readers return false, or NULL instead of the rest of the
 * text, and leave the value alone, if the text is no address that a host can have. */
const char *config_ipv4_read(const char *text, uint32_t *address);
bool config_address_read(const char *text, struct config_address *address);
void config_address_print(const struct config_address *address, char *out, size_t size);
bool config_ip_read(const char *text, char *out);

/* config.c: whole texts. */

void config_init(struct config *config);
void config_free(struct config *config);

/* Reads a whole text. Always leaves a usable config: what has no error is in it, the rest is in
 * config->errors. True if there was no error at all. */
bool config_parse(struct config *config, const char *text, size_t size);

/* Sets one key of a guest, with the checks and messages of the parser. False with an error
 * added. */
bool config_guest_set(struct config_guest *guest, const char *key, const char *value,
                      struct config_position at, struct config_errors *errors);

/* The same for a switch. */
bool config_switch_set(struct config_switch *config, const char *key, const char *value,
                       struct config_position at, struct config_errors *errors);

/* Checks what no single key shows (required keys, cap against vcpus). False with an error added. */
bool config_guest_check(const struct config_guest *guest, struct config_position at,
                        struct config_errors *errors);

void config_error_add(struct config_errors *errors, struct config_position at, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));

/* Where a text is printed to. */
typedef void config_write_fn(void *context, const char *text);

/* Prints sections that config_parse() reads back to the same records. */
void config_print_host(const struct config_host *host, config_write_fn *write, void *context);
void config_print_switch(const struct config_switch *config, config_write_fn *write, void *context);
void config_print_guest(const struct config_guest *guest, config_write_fn *write, void *context);
