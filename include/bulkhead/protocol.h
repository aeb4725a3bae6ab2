/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root, mgmt and the VMMs say to each other: fixed handles, fixed addresses, and the records in shared memory.
 * Every record says who writes it. A reader copies a field once and checks the copy: mgmt trusts no VMM, root trusts neither.
 *
 * root owns everything and keeps it over the death of mgmt: partitions (memory, VMM domain, vm, vCPUs), channels, console rings, ledger.
 * mgmt asks root for partitions (root_channel), talks to each VMM (vmm_channel), and keeps what it must remember in the ledger.
 */
#pragma once

#include "bulkhead/abi.h"

#define BH_PARTITIONS_MAX 48u
#define BH_FILES_MAX      16u /* kernel and ramdisks of one guest */
#define BH_NAME_MAX       32u /* with the NUL */
#define BH_CMDLINE_MAX    2048u

/* ---- guest-physical map -------------------------------------------------------------------------------------- */

#define GUEST_HOLE_START  0xa0000ull /* legacy video: nothing is mapped in [0xa0000, 0xc0000) */
#define GUEST_HOLE_END    0xc0000ull
#define GUEST_LOW_MAX     0xc0000000ull /* RAM below 4 GiB ends here at the latest */
#define GUEST_ECAM_BASE   0xe0000000ull /* 256 buses x 1 MiB */
#define GUEST_IOAPIC_BASE 0xfec00000ull
#define GUEST_LAPIC_BASE  0xfee00000ull
#define GUEST_HIGH_BASE   0x100000000ull /* the rest of RAM */

/* ---- a VMM -------------------------------------------------------------------------------------------------- */

#define VMM_HANDLE_VM     8u  /* CONTROL | WRITE | READ */
#define VMM_HANDLE_EVENTS 9u  /* its event set, CONTROL */
#define VMM_HANDLE_NOTIFY 10u /* event: tells mgmt that the channel or console changed, WRITE */
#define VMM_HANDLE_KICK   16u /* + device: event in mgmt's set, WRITE; only with VMM_CONFIG_DEVICES */
#define VMM_HANDLE_VCPU   64u /* + index: READ | WRITE | CONTROL */

#define VMM_EVENT_COMMAND 0u /* bit in its event set: mgmt wrote a command */
#define VMM_EVENT_CONSOLE 1u /* mgmt put console input into the ring, or made room for output */
#define VMM_EVENT_DEVICE  2u /* mgmt changed a device page (virtio_channel.h) */
#define VMM_EVENT_OWN \
	64u /* first bit that the VMM uses as it likes (make events with EVENT_CREATE on the set) */

#define VMM_VA_CONFIG 0x0000100000000000ull /* struct vmm_config, read-only */
#define VMM_VA_CHUNKS \
	0x0000100000001000ull /* struct bh_chunks, read-only; only with VMM_CONFIG_BALLOON */
#define VMM_VA_CHANNEL 0x0000100000100000ull /* struct vmm_channel, shared with mgmt */
#define VMM_VA_CONSOLE 0x0000100000200000ull /* struct bh_console, shared with mgmt */
#define VMM_VA_DEVICES \
	0x0000100000300000ull /* struct vio_device[VIO_DEVICES_MAX], one page each, shared with mgmt */
#define VMM_VA_FILES \
	0x0000110000000000ull /* files, read-only, one after another; addresses in vmm_config */
#define VMM_VA_GUEST \
	0x0000200000000000ull /* guest RAM: gpa is at VMM_VA_GUEST + gpa (low and high part) */

/*
 * Threads: root creates 1 + vcpus threads at the image's entry with RDI = index: 0 is the control thread (on the pCPU of vCPU 0),
 * 1 + i belongs to vCPU i and runs on its pCPU. lib/start calls main() in thread 0 and `void vmm_vcpu_main(uint32_t vcpu_idx)` in the
 * others once thread 0 has called bh_threads_release().
 */

struct vmm_file {
	uint64_t address; /* in the VMM */
	uint64_t size_bytes;
	char name[BH_NAME_MAX *
	          2]; /* file name; for multiboot modules with arguments: the whole string */
};

#define VMM_CONFIG_DEBUG_EXIT 0x1u
#define VMM_CONFIG_CONSOLE    0x2u /* COM1 is there */
#define VMM_CONFIG_DEVICES    0x4u /* has device pages, and mgmt maps its memory */
#define VMM_CONFIG_BALLOON    0x8u /* its memory is made of chunks that can be given back */

/* Written by root before the VMM starts (from struct root_partition_params). Constant. */
struct vmm_config {
	uint32_t slot;
	uint32_t flags; /* VMM_CONFIG_* */
	char name[BH_NAME_MAX];
	uint64_t
		memory_bytes; /* low + high, the hole at 0xa0000 counted as memory though it is not mapped */
	uint64_t low_bytes;    /* RAM in [0, low_bytes) but for the hole */
	uint64_t high_bytes;   /* RAM in [GUEST_HIGH_BASE, +high_bytes) */
	uint64_t wall_seconds; /* UNIX time at bh_info.boot_tsc; 0 = not known */
	uint32_t vcpus_count;
	uint32_t files_count; /* files[0] is the kernel, the others ramdisks or modules in order */
	uint32_t devices; /* bit a device page: the guest starts once all of these have an offer */
	uint32_t reserved;
	struct vmm_file files[BH_FILES_MAX];
	char cmdline[BH_CMDLINE_MAX];
};
_Static_assert(sizeof(struct vmm_config) <= 4096, "one page");

#define BH_CHUNKS_MAX 1024u /* of a guest's memory, see struct bh_chunks */

enum vmm_state {
	VMM_STARTING = 0, /* loading images */
	VMM_RUNNING = 1,
	VMM_PAUSED = 2,
	VMM_OFF = 3, /* the guest powered itself off; vCPUs are parked */
	VMM_REBOOT =
		4, /* the guest asked for a reset; vCPUs are parked until COMMAND_RESET or the end */
	VMM_CRASHED = 5,    /* triple fault, refused state, error of the VMM: see reason */
	VMM_FAILED = 6,     /* the images could not be loaded: see reason */
	VMM_DEBUG_EXIT = 7, /* port 0xf4 was written: exit_code */
};

enum vmm_command {
	VMM_COMMAND_NONE = 0,
	VMM_COMMAND_PAUSE = 1,
	VMM_COMMAND_RESUME = 2,
	VMM_COMMAND_POWER_BUTTON = 3,
	VMM_COMMAND_RESET = 4,     /* start again from the images, from any state */
	VMM_COMMAND_REGISTERS = 5, /* argument = vCPU index; result in registers */
	VMM_COMMAND_NMI = 6,       /* argument = vCPU index */
};

/* One page, shared. The writer of each part is said; sequence numbers are stored last. */
struct vmm_channel {
	/* mgmt writes */
	uint32_t command_sequence; /* + 1 for each command; then VMM_EVENT_COMMAND */
	uint32_t command;          /* enum vmm_command */
	uint64_t argument;
	uint64_t reserved0[6];
	/* bit a chunk: all of it is in the guest's balloon, so it does not come back because it is touched */
	uint64_t lent_chunks[BH_CHUNKS_MAX / 64];
	/* VMM writes; after a change it signals VMM_HANDLE_NOTIFY */
	uint32_t done_sequence; /* = command_sequence when it is carried out */
	int32_t result;         /* enum bh_error of that command */
	uint32_t state;         /* enum vmm_state */
	uint32_t
		exit_code; /* VMM_DEBUG_EXIT: the byte written; the process-style status is (code << 1) | 1 */
	uint64_t boots_count; /* starts from the images, the first included */
	uint64_t running_since_tsc;
	uint64_t unclaimed_accesses;
	uint64_t device_accesses;
	uint64_t reserved1[8];
	uint16_t wanted_chunks
		[BH_MAX_VCPUS]; /* of each vCPU: the chunk that it waits for, until that is there; 0 = none */
	char reason[256]; /* why CRASHED or FAILED, one line, NUL-terminated */
	uint32_t registers_vcpu;
	uint32_t registers_activity; /* enum bh_activity */
	struct bh_cpu_state registers;
};
_Static_assert(sizeof(struct vmm_channel) <= 4096, "one page");

/* ---- console rings --------------------------------------------------------------------------------------------- */

#define BH_PORTS_MAX         4u
#define BH_CONSOLE_OUT_BYTES 65536u
#define BH_CONSOLE_IN_BYTES  2048u

/*
 * Byte rings with free-running counters: byte n is at n % size. Output: the VMM writes and never waits; the reader sees the last 64 KiB.
 * Input: mgmt writes at most in_size - (in_head - in_tail) bytes; the VMM takes them when the UART has room.
 */
struct bh_console {
	uint64_t out_head; /* VMM: bytes ever written, stored after the bytes */
	uint64_t in_tail;  /* VMM: bytes ever taken */
	uint64_t reserved0[6];
	uint64_t
		out_seen; /* mgmt: how far an operator has read (kept here so that a new mgmt knows) */
	uint64_t in_head; /* mgmt: bytes ever put in, stored after the bytes */
	/* mgmt; of a virtio port (MGMT_VA_VMM_PORTS), whose every field is mgmt's: mgmt/virtio/ports.c */
	uint32_t port_generation, port_flags, port_pending;
	uint16_t port_columns, port_rows;
	uint64_t reserved1[4];
	uint8_t in[BH_CONSOLE_IN_BYTES];
	uint8_t pad[4096 - 128 - BH_CONSOLE_IN_BYTES];
	uint8_t out[BH_CONSOLE_OUT_BYTES];
};
_Static_assert(sizeof(struct bh_console) == 4096 + BH_CONSOLE_OUT_BYTES, "17 pages");

/* ---- mgmt --------------------------------------------------------------------------------------------------------- */

#define MGMT_HANDLE_HOST   2u /* READ | WRITE | CONTROL: also all I/O ports */
#define MGMT_HANDLE_EVENTS 8u /* its event set, CONTROL; kept by root over restarts */
#define MGMT_HANDLE_ROOT   9u /* event: root has a request, WRITE */
/* Below 384: whatever the kernel chooses. */
#define MGMT_HANDLE_VMM \
	384u /* + slot * 2: event VMM_EVENT_COMMAND of that VMM; + slot * 2 + 1: VMM_EVENT_CONSOLE. WRITE */
#define MGMT_HANDLE_VCPU   512u  /* + slot * 64 + index: vCPU, READ (statistics) */
#define MGMT_HANDLE_VM     3648u /* + slot: vm, WRITE (vm_msi); only with VMM_CONFIG_DEVICES */
#define MGMT_HANDLE_DEVICE 3712u /* + slot: event VMM_EVENT_DEVICE of that VMM, WRITE */

#define MGMT_EVENT_ROOT    0u /* root answered, or root_status changed */
#define MGMT_EVENT_SERIAL  1u
#define MGMT_EVENT_VMM     64u  /* + slot: that VMM changed its channel or console */
#define MGMT_EVENT_OWN     128u /* first bit for mgmt's own use, up to 255 */
#define MGMT_EVENT_KICK    256u /* + slot * VIO_DEVICES_MAX + device */

#define MGMT_VA_INFO       0x0000100000000000ull /* struct mgmt_info, read-only */
#define MGMT_VA_CHANNEL    0x0000100000100000ull /* struct root_channel, shared with root */
#define MGMT_VA_STATUS     0x0000100000200000ull /* struct root_status, read-only */
#define MGMT_VA_LEDGER     0x0000100000300000ull /* struct ledger, kept by root, written by mgmt */
#define MGMT_VA_CONFIG \
	0x0000100001000000ull /* text of the configuration module, read-only, mgmt_info.config_bytes long */
#define MGMT_VA_FILES \
	0x0000110000000000ull /* all other boot modules, read-only; addresses in mgmt_info */
#define MGMT_VA_VMM \
	0x0000120000000000ull /* + slot * MGMT_VA_VMM_STRIDE: struct vmm_channel, then at +0x10000 struct bh_console */
#define MGMT_VA_VMM_STRIDE  0x100000ull
#define MGMT_VA_VMM_CONSOLE 0x10000ull
#define MGMT_VA_VMM_DEVICES 0x80000ull /* struct vio_device[VIO_DEVICES_MAX], one page each */
#define MGMT_VA_VMM_PORTS   0x90000ull /* struct bh_console[ports_count], of virtio-console */
#define MGMT_VA_GUEST \
	0x0000200000000000ull /* + slot * MGMT_VA_GUEST_STRIDE + gpa: guest memory, only with VMM_CONFIG_DEVICES */
#define MGMT_VA_GUEST_STRIDE 0x10000000000ull /* 1 TiB */
#define MGMT_VA_CHUNKS \
	0x0000130000000000ull /* + slot * MGMT_VA_CHUNKS_STRIDE: struct bh_chunks, read-only, then mgmt's record; only with VMM_CONFIG_BALLOON */
#define MGMT_VA_CHUNKS_STRIDE 0x40000000ull
#define MGMT_VA_KEPT \
	0x0000580000000000ull /* + i * MGMT_VA_KEPT_STRIDE: memory that root keeps over restarts (ROOT_REQUEST_KEEP) */
#define MGMT_VA_KEPT_STRIDE 0x4000000000ull /* 256 GiB */
#define BH_KEPT_MAX         32u

#define MGMT_DEATH_HUNG     0x10000u /* it was alive and did not beat */

/*
 * A guest's memory in chunks: chunk i is [i * chunk_bytes, + chunk_bytes) of it, counted without the gap below 4 GiB; the last may be
 * shorter. root writes. Behind it is a record that only mgmt reads and writes: a bit for each 4 KiB page of the guest.
 */
#define BH_CHUNKS_RECORD_BYTES(memory_bytes) \
	((((memory_bytes) >> 15) + BH_PAGE_SIZE) & ~(uint64_t)(BH_PAGE_SIZE - 1))
struct bh_chunks {
	uint64_t chunk_bytes; /* a power of two */
	uint32_t count;
	uint32_t reserved;
	uint16_t handles[BH_CHUNKS_MAX]; /* of root's; 0: the chunk is given back */
};
_Static_assert(sizeof(struct bh_chunks) <= 4096, "one page");

/* Written by root before each start of mgmt. */
struct mgmt_info {
	uint32_t
		starts_count; /* 1 = first start; more: take over what the ledger and root_status say */
	uint32_t
		files_count; /* boot files for guests: root, mgmt, vmm and config are not among them */
	uint64_t config_bytes; /* 0 = no configuration module */
	uint64_t acpi_root;    /* physical address of the XSDT or RSDT; 0 = no ACPI */
	char config_name[48];
	char cmdline[512]; /* the kernel's command line */
	struct {
		char name[48];
		uint64_t address;
		uint64_t size_bytes; /* 0 and is_missing: the loader could not read it */
		uint32_t is_missing;
		uint32_t reserved;
	} files[BH_MODULES_MAX];
	uint32_t
		last_death; /* why the mgmt before died: enum bh_domain_state, fault vector in bits 15:8, MGMT_DEATH_HUNG; 0 = first start */
	uint32_t reserved;
};
_Static_assert(sizeof(struct mgmt_info) <= 2 * 4096, "two pages");

/* ---- mgmt asks root ----------------------------------------------------------------------------------------------------- */

enum root_request {
	ROOT_REQUEST_NONE = 0,
	ROOT_REQUEST_CREATE =
		1, /* partition: take memory, clear it, make vm, vCPUs, VMM domain, start it; params */
	ROOT_REQUEST_DESTROY = 2, /* partition slot: end the VMM, give everything back */
	ROOT_REQUEST_SHARE = 3,   /* slot, weight, cap */
	ROOT_REQUEST_RESTART = 4, /* end mgmt and start it again, params.delay_ns from now */
	ROOT_REQUEST_KEEP =
		5, /* params.slot = free index < BH_KEPT_MAX, memory_bytes: one cleared run, mapped at MGMT_VA_KEPT, kept until RELEASE */
	ROOT_REQUEST_RELEASE = 6, /* params.slot = index: give it back */
	ROOT_REQUEST_CHUNKS_GIVE =
		7, /* params.slot, chunk_first, chunks_count: guest memory to the machine; never chunk 0 */
	ROOT_REQUEST_CHUNKS_TAKE = 8, /* the same: cleared memory for those that are not there */
	ROOT_REQUEST_TRACE =
		9, /* params.slot = index: the kernel writes its trace there, kinds in flags; 0: stop */
};

#define ROOT_KEEP_READ_ONLY 0x1u /* params.flags of KEEP: mgmt may not write the run */

#define BH_FILE_KEPT        0x1000u /* root_partition_params.files[].file_idx */

struct root_partition_params {
	uint32_t slot;  /* free slot, chosen by mgmt */
	uint32_t flags; /* VMM_CONFIG_* */
	uint32_t id;    /* of the guest, for log and trace: below 65536 */
	uint32_t reserved;
	char name[BH_NAME_MAX];
	uint64_t memory_bytes; /* multiple of 4 KiB, at least 1 MiB */
	uint32_t vcpus_count;
	uint32_t weight;
	uint32_t cap_percent; /* of one pCPU for the whole guest, 0 = none */
	uint32_t devices;     /* bit a device page that mgmt offers before the guest starts */
	uint32_t files_count;
	uint32_t ports_count; /* rings for ports of virtio-console; at most BH_PORTS_MAX */
	uint32_t chunk_first;
	uint32_t chunks_count;
	uint32_t reserved0;
	uint64_t delay_ns;            /* ROOT_REQUEST_RESTART */
	uint16_t pcpus[BH_MAX_VCPUS]; /* pCPU of each vCPU */
	struct {
		uint64_t size_bytes; /* of a file in kept memory */
		uint32_t file_idx; /* in mgmt_info.files, or BH_FILE_KEPT + index of kept memory */
		char string[BH_NAME_MAX *
		            2]; /* name, or name and arguments of a multiboot module */
	} files[BH_FILES_MAX];
	char cmdline[BH_CMDLINE_MAX];
};

/* One request at a time. mgmt writes the request part and request_sequence last; root the answer and done_sequence last. */
struct root_channel {
	uint32_t request_sequence; /* mgmt; then signal MGMT_HANDLE_ROOT */
	uint32_t request;          /* enum root_request */
	struct root_partition_params params;
	uint32_t
		beat; /* mgmt: + 1 in each turn of its loop that MGMT_EVENT_ROOT begins; root starts it again if it stands still */
	uint32_t reserved0[7];
	uint32_t done_sequence; /* root; then MGMT_EVENT_ROOT */
	int32_t result;         /* enum bh_error */
	uint64_t progress_done; /* root: bytes cleared so far, while the request is under way */
	uint64_t progress_total;
	char message[128]; /* root: what failed, one line */
};
_Static_assert(sizeof(struct root_channel) <= 4096, "one page");

enum root_slot_state {
	ROOT_SLOT_FREE = 0,
	ROOT_SLOT_BUSY = 1,
	ROOT_SLOT_ALIVE = 2,
	ROOT_SLOT_DEAD = 3
};

/* Written by root; MGMT_EVENT_ROOT after a change. */
struct root_status {
	uint64_t memory_free;              /* at the last change */
	uint64_t memory_root, memory_mgmt; /* used quota */
	struct {
		uint32_t state; /* enum root_slot_state: DEAD = its VMM domain died, destroy it */
		uint32_t vcpus_count;
		uint64_t memory_bytes;
		uint64_t overhead_bytes; /* what the partition costs beside its memory */
		uint32_t death_state;    /* enum bh_domain_state */
		uint32_t death_vector;
		uint64_t death_rip, death_address;
	} slots[BH_PARTITIONS_MAX];
	struct {
		uint64_t bytes;    /* 0 = free */
		uint64_t physical; /* of the run: for devices that read and write it themselves */
	} kept[BH_KEPT_MAX];
};
_Static_assert(sizeof(struct root_status) <= 4096, "one page");

/* Kept by root over restarts of mgmt, written by mgmt alone; root never reads it. The layout inside is mgmt's own (mgmt/ledger.h). */
#define BH_LEDGER_BYTES (BH_PARTITIONS_MAX * 16384ull)
