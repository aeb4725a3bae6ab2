// SPDX-License-Identifier: Apache-2.0
/*
 * The little that the transport knows of device types: PCI classes, feature bits that need others,
 * and configuration bytes that a driver may write. Constant tables, no state.
 */
#include "vmm/virtio/virtio.h"

#define BIT64(n) (1ull << (n))

/* Network device (virtio 1.2 5.1.3). */
#define NET_CSUM       BIT64(0)
#define NET_GUEST_CSUM BIT64(1)
#define NET_GUEST_TSO  (BIT64(7) | BIT64(8))
#define NET_HOST_TSO   (BIT64(11) | BIT64(12))
#define NET_CTRL_VQ    BIT64(17)

struct requirement {
	uint32_t type;
	uint32_t bit;
	uint64_t any; /* of these one at least */
};

/* virtio 1.2 5.1.3.1 */
static const struct requirement requirements[] = {
	{ VIRTIO_TYPE_NET, 7, NET_GUEST_CSUM },  /* GUEST_TSO4 */
	{ VIRTIO_TYPE_NET, 8, NET_GUEST_CSUM },  /* GUEST_TSO6 */
	{ VIRTIO_TYPE_NET, 9, NET_GUEST_TSO },   /* GUEST_ECN */
	{ VIRTIO_TYPE_NET, 10, NET_GUEST_CSUM }, /* GUEST_UFO */
	{ VIRTIO_TYPE_NET, 54, NET_GUEST_CSUM }, /* GUEST_USO4 */
	{ VIRTIO_TYPE_NET, 55, NET_GUEST_CSUM }, /* GUEST_USO6 */
	{ VIRTIO_TYPE_NET, 11, NET_CSUM },       /* HOST_TSO4 */
	{ VIRTIO_TYPE_NET, 12, NET_CSUM },       /* HOST_TSO6 */
	{ VIRTIO_TYPE_NET, 13, NET_HOST_TSO },   /* HOST_ECN */
	{ VIRTIO_TYPE_NET, 14, NET_CSUM },       /* HOST_UFO */
	{ VIRTIO_TYPE_NET, 56, NET_CSUM },       /* HOST_USO */
	{ VIRTIO_TYPE_NET, 18, NET_CTRL_VQ },    /* CTRL_RX */
	{ VIRTIO_TYPE_NET, 19, NET_CTRL_VQ },    /* CTRL_VLAN */
	{ VIRTIO_TYPE_NET, 20, NET_CTRL_VQ },    /* CTRL_RX_EXTRA */
	{ VIRTIO_TYPE_NET, 21, NET_CTRL_VQ },    /* GUEST_ANNOUNCE */
	{ VIRTIO_TYPE_NET, 22, NET_CTRL_VQ },    /* MQ */
	{ VIRTIO_TYPE_NET, 23, NET_CTRL_VQ },    /* CTRL_MAC_ADDR */
	{ VIRTIO_TYPE_NET, 57, NET_CTRL_VQ },    /* HASH_REPORT */
	{ VIRTIO_TYPE_NET, 60, NET_CTRL_VQ },    /* RSS */
	{ VIRTIO_TYPE_NET, 61, NET_HOST_TSO },   /* RSC_EXT */
};

#define REQUIREMENTS_COUNT (sizeof(requirements) / sizeof(requirements[0]))

struct writable {
	uint32_t type;
	uint32_t first, end; /* bytes of the configuration */
	uint64_t feature;    /* that must be accepted; 0 = none */
};

static const struct writable writables[] = {
	{ VIRTIO_TYPE_BLOCK, 32, 33, BIT64(11) },  /* writeback, CONFIG_WCE */
	{ VIRTIO_TYPE_BALLOON, 4, 8, 0 },          /* actual */
	{ VIRTIO_TYPE_BALLOON, 12, 16, BIT64(4) }, /* poison_val, PAGE_POISON */
};

#define WRITABLES_COUNT (sizeof(writables) / sizeof(writables[0]))

bool virtio_features_fit(uint32_t type, uint64_t offered, uint64_t accepted)
{
	if ((accepted & ~offered) != 0 || (accepted & VIRTIO_F_VERSION_1) == 0) {
		return false;
	}
	for (uint32_t i = 0; i < REQUIREMENTS_COUNT; i++) {
		if (requirements[i].type == type && (accepted & BIT64(requirements[i].bit)) != 0 &&
		    (accepted & requirements[i].any) == 0) {
			return false;
		}
	}
	return true;
}

bool virtio_config_is_writable(uint32_t type, uint64_t accepted, uint32_t offset)
{
	for (uint32_t i = 0; i < WRITABLES_COUNT; i++) {
		if (writables[i].type == type && offset >= writables[i].first &&
		    offset < writables[i].end &&
		    (accepted & writables[i].feature) == writables[i].feature) {
			return true;
		}
	}
	return false;
}

/* PCI class codes (PCI Code and ID Assignment 1.11): class, subclass, interface. */
uint32_t virtio_class_code(uint32_t type)
{
	switch (type) {
	case VIRTIO_TYPE_NET:
		return 0x020000; /* Ethernet */
	case VIRTIO_TYPE_BLOCK:
		return 0x018000; /* other mass storage */
	case VIRTIO_TYPE_CONSOLE:
	case VIRTIO_TYPE_VSOCK:
		return 0x078000; /* other communication */
	default:
		return 0x00ff00; /* of no class */
	}
}
