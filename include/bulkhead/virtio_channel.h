/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend protocol: what a VMM and mgmt say to each other about one virtio device, in the shape of vhost-user (features, memory,
 * ring addresses, kick, call, reconnect). One page a device, kept by root over the death of either side, so that whoever starts again
 * finds in it all that it needs. Every field has one writer; the reader copies it once and checks the copy. mgmt trusts nothing that the
 * VMM or the guest writes; a VMM trusts mgmt only as far as its guest's paravirtual devices go.
 *
 * memory    root maps the whole guest memory into mgmt (MGMT_VA_GUEST) if the partition has VMM_CONFIG_DEVICES; addresses below are
 *           guest-physical.
 * kick      an event in mgmt's set (VMM_HANDLE_KICK + device -> bit MGMT_EVENT_KICK + slot * VIO_DEVICES_MAX + device) that the VMM binds
 *           as a doorbell to the device's notify ports: a kick never enters the VMM. One event a device: the backend looks at all its queues.
 * call      mgmt sends the queue's MSI itself, by vm_msi() on MGMT_HANDLE_VM + slot. Configuration interrupts are the VMM's.
 *
 * start     mgmt names the pages that it will offer in root_partition_params.devices. root answers ROOT_REQUEST_CREATE and the VMM runs, but
 *           it starts the guest only when each of these pages has an offer (offer_sequence != 0, type != 0); then mgmt signals
 *           VMM_EVENT_DEVICE. If mgmt dies in between, the next one writes the offers that are missing. After VMM_COMMAND_RESET nothing
 *           is to be done: the pages stay.
 * hot-plug  A later change of the offer (offer_sequence + 1) plugs a device into an empty page, or with type 0 asks the guest to let the
 *           device go. offer_seen = offer_sequence tells that it is done; a guest that does not answer keeps its device, broken or not.
 * reset     When the driver resets a running device, or the guest is started again, the VMM publishes VIO_DRIVER_RESET with a new
 *           generation, and the guest waits (device_status stays non-zero; a restart loads no image) until backend_generation has caught up.
 * features  The VMM adds VERSION_1 and never offers ACCESS_PLATFORM, IN_ORDER, ORDER_PLATFORM, SR_IOV and NOTIFICATION_DATA. RING_RESET
 *           is mgmt's to offer: then a queue may lose VIO_QUEUE_ENABLED in a new generation while the driver runs; once backend_generation
 *           has caught up, the queue starts from nothing when it is enabled again.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/abi.h"

#define VIO_DEVICES_MAX     16u /* of one guest */
#define VIO_QUEUES_MAX      17u /* of one device: 8 pairs and a control queue */
#define VIO_CONFIG_BYTES    256u
#define VIO_QUEUE_SIZE_MAX  1024u /* entries; a power of two */

#define VIO_MSI_NONE        0xffffu

#define VIO_EMERGENCY_BYTES 512u
#define VIO_KEPT_BYTES      768u

enum vio_driver_state {
	VIO_DRIVER_RESET = 0,   /* no ring may be touched */
	VIO_DRIVER_RUNNING = 1, /* DRIVER_OK was written: features and enabled queues below count */
	VIO_DRIVER_CHANGING =
		2, /* the fields are being written: look again after the next signal */
};

enum vio_backend_state {
	VIO_BACKEND_NONE =
		0, /* no mgmt serves it at the moment (also: mgmt has just been started again) */
	VIO_BACKEND_SERVES = 1, /* the generation in backend_generation is taken over */
	VIO_BACKEND_BROKEN =
		2, /* the driver broke the rules: DEVICE_NEEDS_RESET until it resets the device */
};

#define VIO_QUEUE_ENABLED 0x1u

/*
 * One queue as the driver set it up (virtio 1.2 4.1.4.3). The VMM writes. When the queue is enabled, its areas are aligned and lie inside
 * guest memory, and its size is 1 to queue_size_max, for a split ring a power of two; mgmt checks that again on its copy.
 */
struct vio_queue {
	uint64_t descriptors; /* descriptor area */
	uint64_t driver;      /* driver area: available ring, or event suppression */
	uint64_t device;      /* device area: used ring, or event suppression */
	uint32_t size;        /* entries */
	uint32_t flags;       /* VIO_QUEUE_* */
};
_Static_assert(sizeof(struct vio_queue) == 32, "protocol");

/*
 * One MSI-X vector as the guest set it up. The VMM makes `sequence` odd, writes, makes it even again; a reader that saw it odd or changed
 * reads again. While is_masked, mgmt sets the vector's bit in `msi_pending`, then looks again: if it is unmasked by now, it sends.
 */
struct vio_msi {
	uint32_t sequence;
	uint32_t is_masked;
	uint64_t address;
	uint32_t data;
	uint32_t reserved;
};
_Static_assert(sizeof(struct vio_msi) == 24, "protocol");

/*
 * What mgmt must know about a queue to go on with it in its next life: chains are given back in the order in which they were taken. mgmt
 * writes. Split rings need nothing, their used->idx says it. Packed rings: slot, and the wrap counter in bit 15.
 */
struct vio_progress {
	uint16_t next_available; /* first slot of the first chain that is not given back */
	uint16_t
		next_used; /* the same after the chain that is being given back at the moment; else equal */
	uint32_t is_valid; /* 0: from the start (slot 0, wrap 1) */
};
_Static_assert(sizeof(struct vio_progress) == 8, "protocol");

/* What mgmt counts of a device since it was plugged in. It is in the page to outlive mgmt, for operators only: nothing depends on it. */
struct vio_counters {
	uint64_t kicks;
	uint64_t interrupts;
	uint64_t chains;
	/* disks */
	uint64_t reads;
	uint64_t read_bytes;
	uint64_t writes; /* discards and zeroes among them */
	uint64_t written_bytes;
	uint64_t flushes;
	uint64_t errors;
	struct bh_time queue;   /* from a kick to the turn that looks at the queues */
	struct bh_time service; /* from there to the end of a request */
};
_Static_assert(sizeof(struct vio_counters) == 232, "protocol");

struct vio_device {
	/* ---- mgmt writes; signals VMM_EVENT_DEVICE after a change ---- */
	uint32_t
		offer_sequence; /* + 1 when type, features or queues change: the device appears or goes (hot-plug); stored last */
	uint32_t type; /* virtio device id (virtio 1.2 5); 0 = there is none */
	uint64_t
		features; /* offered bits of the device type, and of the ring: INDIRECT_DESC, EVENT_IDX, RING_PACKED */
	uint32_t queues_count;
	uint32_t queue_size_max;
	uint32_t config_bytes; /* used bytes of config[] */
	uint32_t
		config_generation; /* odd while config[] is being changed, + 1 again after: then a configuration interrupt */
	uint32_t backend_state; /* enum vio_backend_state */
	uint32_t
		backend_generation; /* the driver_generation that mgmt has acted on: after a reset it touches no ring of the old one */
	uint32_t msi_pending; /* bit a vector; set by mgmt, cleared by the VMM, both atomically */
	uint32_t
		intx_pending; /* ISR status bits (virtio 1.2 4.1.4.5); set by mgmt, taken by the VMM, both atomically */
	uint64_t emergency_taken; /* virtio-console: bytes of emergency[] that mgmt has taken */
	uint64_t own;             /* a word of the device's own for mgmt's next life */
	char reason[96];          /* why BROKEN, one line */
	uint8_t config
		[VIO_CONFIG_BYTES]; /* as the driver reads it; what it wrote (config_written) mgmt puts in silently */
	struct vio_progress progress[VIO_QUEUES_MAX];
	struct vio_counters counters;
	uint64_t kept[VIO_KEPT_BYTES / 8]; /* more of it, of virtio-net: pairs and filters */

	/* ---- the VMM writes; signals VMM_HANDLE_NOTIFY after driver_generation changed ---- */
	uint32_t driver_generation
		__attribute__((aligned(64))); /* + 1 when the fields below changed */
	uint32_t
		driver_state; /* enum vio_driver_state: CHANGING is stored before the fields, what it becomes after driver_generation */
	uint64_t driver_features; /* accepted bits, transport's included */
	uint32_t offer_seen;      /* the offer_sequence that the guest sees */
	uint32_t
		uses_intx; /* MSI-X is off: intx_pending and VMM_EVENT_DEVICE instead of a message */
	/* Vectors, messages and masks change without a new generation: read for each interrupt. */
	uint16_t queue_vector
		[VIO_QUEUES_MAX +
	         1]; /* MSI-X vector of each queue, then of the configuration; VIO_MSI_NONE */
	/* + 1 after the driver wrote config: bytes below; VMM_HANDLE_NOTIFY. The driver reads what it wrote. */
	uint32_t config_written_sequence;
	uint8_t config_written[VIO_CONFIG_BYTES];
	struct vio_queue queues[VIO_QUEUES_MAX];
	struct vio_msi msi[VIO_QUEUES_MAX + 1];
	/*
	 * virtio-console's emergency write (virtio 1.2 5.3.4), which needs no driver and no mgmt: byte n is at n modulo the size, the
	 * count is stored last, then VMM_HANDLE_NOTIFY. What mgmt does not take in time is overwritten.
	 */
	uint64_t emergency_count;
	uint8_t emergency[VIO_EMERGENCY_BYTES];
};
_Static_assert(sizeof(struct vio_device) <= 4096, "one page");
