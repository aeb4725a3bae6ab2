// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio devices of guests (see guest_devices.h). Nothing here waits: a step that cannot be
 * done now is tried again by guest_devices_poll().
 */
#include "mgmt/guest_devices.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/block/gpt.h"
#include "mgmt/chunks.h"
#include "mgmt/guest_disks.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/virtio/balloon.h"
#include "mgmt/virtio/blk.h"
#include "mgmt/virtio/net.h"
#include "mgmt/virtio/ports.h"
#include "mgmt/virtio/rng.h"
#include "mgmt/virtio/vsock.h"

#define DISK_QUEUES_MAX 4u
#define RETRY_SECONDS   1u

static bool is_waiting;                 /* a device that should be there is not */
static uint8_t told[BH_PARTITIONS_MAX]; /* bit i: why disk i is not there */

static bool has_disk(const struct config_guest *config, uint32_t i)
{
	return config->disks[i].source[0] != '\0';
}

static bool has_net(const struct config_guest *config, uint32_t i)
{
	return config->nets[i].switch_name[0] != '\0';
}

uint32_t guest_devices_mask(const struct config_guest *config)
{
	uint32_t mask = 0;
	uint32_t i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		mask |= has_disk(config, i) ? 1u << i : 0;
	}
	for (i = 0; i < CONFIG_NETS_MAX; i++) {
		mask |= has_net(config, i) ? 1u << (GUEST_DEVICE_NET + i) : 0;
	}
	mask |= config->vsock.cid != 0 ? 1u << GUEST_DEVICE_VSOCK : 0;
	mask |= guest_devices_balloon(config) != 0 ? 1u << GUEST_DEVICE_BALLOON : 0;
	mask |= guest_devices_ports(config) != 0 ? 1u << GUEST_DEVICE_CONSOLE : 0;
	return mask != 0 ? mask | 1u << GUEST_DEVICE_RNG : 0;
}

static bool has_hvc(const struct config_guest *config)
{
	return config->console == CONFIG_CONSOLE_VIRTIO || config->console == CONFIG_CONSOLE_BOTH;
}

uint32_t guest_devices_ports(const struct config_guest *config)
{
	return has_hvc(config) || config->ports.count != 0 ? 1 + config->ports.count : 0;
}

uint32_t guest_devices_balloon(const struct config_guest *config)
{
	return config->has_reports   ? GUEST_BALLOON | GUEST_BALLOON_REPORTS
	       : config->has_balloon ? GUEST_BALLOON
	                             : 0;
}

enum guest_devices_step guest_devices_prepare(struct guest *guest, char *why, size_t size)
{
	enum guest_devices_step all = GUEST_DEVICES_READY;
	uint32_t i;

	if (guest->vsock_cid != 0 && vsock_find(guest->vsock_cid, &i)) {
		const struct guest *other = partition_guest(i);

		snprintf(why, size, "vsock: guest %s has CID %u",
		         other != NULL ? other->config.name : "?", (unsigned int)guest->vsock_cid);
		return GUEST_DEVICES_FAILED;
	}
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		enum guest_devices_step step = GUEST_DEVICES_READY;

		if (has_disk(&guest->config, i)) {
			step = guest_disk_prepare(guest, i, why, size);
		}
		if (step == GUEST_DEVICES_FAILED) {
			return step;
		}
		all = step == GUEST_DEVICES_WAIT ? step : all;
	}
	is_waiting |= all == GUEST_DEVICES_WAIT;
	return all;
}

void guest_devices_mac(const struct config_guest *config, uint32_t net_idx, uint8_t mac[6])
{
	const struct config_net *net = &config->nets[net_idx];
	uint32_t hash = 2166136261u; /* FNV-1a */
	const char *c;

	if (net->has_mac) {
		memcpy(mac, net->mac, 6);
		return;
	}
	for (c = config->name; *c != '\0'; c++) {
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	}
	hash = (hash ^ net_idx) * 16777619u;
	/* Locally administered, then "BH". */
	mac[0] = 0x52;
	mac[1] = 0x42;
	mac[2] = 0x48;
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

static void serial_of(const struct guest *guest, uint32_t i, char serial[20])
{
	const struct config_disk *disk = &guest->config.disks[i];
	char text[CONFIG_NAME_SIZE + 16];

	if (disk->serial[0] != '\0') {
		snprintf(text, sizeof(text), "%s", disk->serial);
	} else {
		snprintf(text, sizeof(text), "%.17s-%u", guest->config.name, (unsigned int)i);
	}
	memset(serial, 0, 20);
	memcpy(serial, text, strlen(text) < 20 ? strlen(text) : 20);
}

static void disk_gone(void *owner)
{
	uint32_t packed = (uint32_t)(uintptr_t)owner;

	guest_disk_close(packed / CONFIG_DISKS_MAX, packed % CONFIG_DISKS_MAX);
}

static bool attach_disk(struct guest *guest, uint32_t i)
{
	uint32_t slot = partition_slot(guest);
	uint32_t vcpus = guest->vcpus_count;
	struct blk_params params = { .is_read_only = guest->config.disks[i].is_read_only,
		                     .queues_count = vcpus < DISK_QUEUES_MAX ? vcpus
		                                                             : DISK_QUEUES_MAX,
		                     .gone = disk_gone,
		                     .owner = (void *)(uintptr_t)(slot * CONFIG_DISKS_MAX + i) };
	enum guest_devices_step step;
	char why[160];

	step = guest_disk_prepare(guest, i, why, sizeof(why));
	if (step == GUEST_DEVICES_FAILED && (told[slot] >> i & 1) == 0) {
		told[slot] |= (uint8_t)(1u << i);
		ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
		             "%s: it is tried again every second", why);
	}
	if (step != GUEST_DEVICES_READY) {
		return false;
	}
	told[slot] &= (uint8_t) ~(1u << i);
	params.disk = guest_disk_device(slot, i);
	serial_of(guest, i, params.serial);
	return blk_add(slot, i, &params) != NULL;
}

static bool attach_net(struct guest *guest, uint32_t i)
{
	const struct config_net *net = &guest->config.nets[i];
	struct net_params params = { .vlan = net->vlan,
		                     .is_trunk = net->is_trunk,
		                     .is_pinned = net->is_pinned,
		                     .is_isolated = net->is_isolated,
		                     .is_mirror = net->is_mirror,
		                     .rate_kbit = net->rate_kbit,
		                     .pairs_count = net->queues != 0 ? net->queues : 1,
		                     .ips_count = net->ips_count };

	snprintf(params.switch_name, sizeof(params.switch_name), "%s", net->switch_name);
	snprintf(params.port_name, sizeof(params.port_name), "%.29s.%u", guest->config.name,
	         (unsigned int)i);
	guest_devices_mac(&guest->config, i, params.mac);
	memcpy(params.ips, net->ips, sizeof(params.ips));
	return net_add(partition_slot(guest), GUEST_DEVICE_NET + i, &params) != NULL;
}

/* With as many ports as there are rings: what the configuration has more of counts from the next start. */
static bool attach_ports(struct guest *guest)
{
	struct ports_params params = { .count = guest->ports_count,
		                       .has_console = has_hvc(&guest->config) };
	uint32_t i;

	for (i = 0; i + 1 < params.count && i < guest->config.ports.count; i++) {
		snprintf(params.names[i + 1], sizeof(params.names[0]), "%.31s",
		         guest->config.ports.text[i]);
	}
	return ports_add(partition_slot(guest), GUEST_DEVICE_CONSOLE, &params) != NULL;
}

/* What VSOCK_PORT_INFO says. */
static size_t describe(void *owner, char *text, size_t size)
{
	const struct guest *guest = partition_guest((uint32_t)(uintptr_t)owner);

	if (guest == NULL) {
		return 0;
	}
	return (size_t)snprintf(text, size,
	                        "name=%s\nid=%llu\ncid=%u\nvcpus=%u\nmemory=%llu\n"
	                        "host=%s\nversion=%.48s\nrestarts=%u\n",
	                        guest->config.name, (unsigned long long)guest->id,
	                        (unsigned int)guest->vsock_cid, (unsigned int)guest->vcpus_count,
	                        (unsigned long long)guest->memory_bytes,
	                        machine_ledger()->host.name, machine_kernel_info()->version,
	                        (unsigned int)guest->restarts_count);
}

static bool attach_vsock(struct guest *guest)
{
	uint32_t slot = partition_slot(guest);
	const struct config_vsock *config = &guest->config.vsock;
	struct vsock_params params = { .cid = guest->vsock_cid,
		                       .takes_any = config->takes_any,
		                       .peers_count = config->peers_count,
		                       .describe = describe,
		                       .owner = (void *)(uintptr_t)slot };

	memcpy(params.peers, config->peers, sizeof(params.peers));
	return vsock_add(slot, GUEST_DEVICE_VSOCK, &params) != NULL;
}

static bool attach_balloon(const struct guest *guest)
{
	const struct balloon_params params = {
		.memory_bytes = guest->memory_bytes,
		.wanted_bytes = guest->balloon_bytes,
		.can_report = (guest->has_balloon & GUEST_BALLOON_REPORTS) != 0,
	};

	return balloon_add(partition_slot(guest), GUEST_DEVICE_BALLOON, &params) != NULL;
}

/* Adds the devices that are configured and not there. True if all are there now. */
static bool attach_missing(struct guest *guest)
{
	uint32_t slot = partition_slot(guest);
	bool is_complete = true;
	uint32_t i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (has_disk(&guest->config, i) && virtio_device_at(slot, i) == NULL) {
			is_complete &= attach_disk(guest, i);
		}
	}
	for (i = 0; i < CONFIG_NETS_MAX; i++) {
		if (has_net(&guest->config, i) &&
		    virtio_device_at(slot, GUEST_DEVICE_NET + i) == NULL) {
			is_complete &= attach_net(guest, i);
		}
	}
	if (guest->ports_count != 0 && virtio_device_at(slot, GUEST_DEVICE_CONSOLE) == NULL) {
		is_complete &= attach_ports(guest);
	}
	if (guest->vsock_cid != 0 && virtio_device_at(slot, GUEST_DEVICE_VSOCK) == NULL) {
		is_complete &= attach_vsock(guest);
	}
	if (guest->has_balloon != 0 && virtio_device_at(slot, GUEST_DEVICE_BALLOON) == NULL) {
		is_complete &= attach_balloon(guest);
	}
	if (virtio_device_at(slot, GUEST_DEVICE_RNG) == NULL) {
		is_complete &= rng_add(slot, GUEST_DEVICE_RNG) != NULL;
	}
	return is_complete;
}

void guest_devices_attach(struct guest *guest)
{
	uint32_t slot = partition_slot(guest);

	if (guest->has_devices != 0 && !virtio_slot_is_there(slot)) {
		virtio_slot_begin(slot, guest->memory_bytes);
		if (guest->has_balloon != 0) {
			chunks_attach(slot, GUEST_DEVICE_BALLOON);
		}
		is_waiting |= !attach_missing(guest);
	}
}

bool guest_devices_detach(const struct guest *guest)
{
	uint32_t slot = partition_slot(guest);
	uint32_t i;

	if (virtio_slot_is_there(slot)) {
		virtio_slot_end(slot);
		chunks_detach(slot);
	}
	if (!virtio_slot_is_idle(slot)) {
		return false;
	}
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		guest_disk_close(slot, i);
	}
	return true;
}

void guest_devices_forget(const struct guest *guest)
{
	uint32_t i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		guest_disk_forget(guest, i);
	}
}

bool guest_devices_can_plug(const struct guest *guest)
{
	return guest->has_devices != 0 && virtio_slot_is_there(partition_slot(guest));
}

void guest_devices_reconfigure(const struct guest *guest, const struct config_guest *config)
{
	uint32_t i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		const struct config_disk *old = &guest->config.disks[i];

		if (old->source[0] != '\0' && (strcmp(old->source, config->disks[i].source) != 0 ||
		                               old->has_overlay != config->disks[i].has_overlay)) {
			guest_disk_drop(guest, i);
		}
	}
}

enum guest_devices_step guest_devices_plug_disk(struct guest *guest, uint32_t disk_idx, char *why,
                                                size_t size)
{
	uint32_t slot = partition_slot(guest);
	enum guest_devices_step step;

	told[slot] &= (uint8_t) ~(1u << disk_idx);
	if (!virtio_slot_is_there(slot) || virtio_device_at(slot, disk_idx) != NULL) {
		return GUEST_DEVICES_WAIT;
	}
	step = guest_disk_prepare(guest, disk_idx, why, size);
	if (step == GUEST_DEVICES_FAILED) {
		guest_devices_remove_disk(guest, disk_idx);
	}
	return step;
}

void guest_devices_remove_disk(struct guest *guest, uint32_t disk_idx)
{
	struct virtio_device *device = virtio_device_at(partition_slot(guest), disk_idx);

	guest_disk_drop(guest, disk_idx);
	memset(&guest->config.disks[disk_idx], 0, sizeof(guest->config.disks[disk_idx]));
	if (device != NULL) {
		virtio_device_remove(device);
	}
}

void guest_devices_remove_net(struct guest *guest, uint32_t net_idx)
{
	struct virtio_device *device = virtio_device_at(partition_slot(guest),
	                                                GUEST_DEVICE_NET + net_idx);

	memset(&guest->config.nets[net_idx], 0, sizeof(guest->config.nets[net_idx]));
	if (device != NULL) {
		virtio_device_remove(device);
	}
}

void guest_devices_poll(void)
{
	uint32_t slot;

	guest_disks_begin();
	gpt_poll();
	is_waiting = false;
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);

		if (guest == NULL || !virtio_slot_is_there(slot)) {
			continue;
		}
		virtio_slot_look(slot);
		is_waiting |= !attach_missing(guest);
	}
}

uint64_t guest_devices_deadline_tsc(void)
{
	if (guest_disks_are_busy()) {
		return 1;
	}
	return is_waiting ? machine_now_tsc() + RETRY_SECONDS * machine_tsc_hz() : BH_FOREVER;
}

struct block_device *guest_devices_disk(uint32_t slot, uint32_t disk_idx)
{
	return guest_disk_device(slot, disk_idx);
}
