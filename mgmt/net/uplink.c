// SPDX-License-Identifier: Apache-2.0
/*
 * NICs as ports of switches (see uplink.h). A frame from the switch is copied into the NIC's own
 * buffers; a frame from the NIC is handed to the switch where it lies, which copies it on. A NIC takes frames as
 * long as its switch's mtu says.
 */
#include "mgmt/net/uplink.h"

#include <stdio.h>
#include <string.h>

#include "drivers/driver.h"
#include "mgmt/ledger.h"
#include "mgmt/machine.h"
#include "mgmt/net/net.h"
#include "mgmt/switch/switch.h"
#include "mgmt/switches.h"

struct uplink {
	struct nic *nic;
	struct switch_port *port; /* NULL: on no switch */
	char switch_name[SWITCH_NAME_SIZE];
	uint16_t vlan;
	bool is_trunk;
	uint32_t told_frame_max; /* that the NIC cannot, and an event has said so */
};

static struct uplink uplinks[UPLINKS_MAX];
static uint32_t uplinks_count;

static bool deliver(void *owner, const struct switch_frame *frame)
{
	struct nic *nic = ((struct uplink *)owner)->nic;
	struct nic_piece pieces[NIC_PIECES_MAX];
	struct switch_cursor from = { .frame = frame };
	uint32_t count;
	uint32_t i;

	if (frame->bytes > nic->frame_max) {
		nic->too_long_count++;
		return false;
	}
	count = nic->reserve(nic, frame->bytes, pieces);
	if (count == 0) {
		nic->dropped_count++;
		return false;
	}
	if (count == 1) {
		switch_frame_copy(frame, pieces[0].address);
	}
	for (i = 0; count != 1 && i < count; i++) {
		switch_frame_copy_part(&from, pieces[i].address, pieces[i].bytes);
	}
	nic->commit(nic, frame->bytes);
	return true;
}

static void flush(void *owner)
{
	struct nic *nic = ((struct uplink *)owner)->nic;

	nic->flush(nic);
}

static void receive(void *user, const struct nic_piece *pieces, uint32_t count)
{
	struct uplink *uplink = user;
	struct switch_piece taken[NIC_PIECES_MAX];
	static struct switch_piece rest[SWITCH_PIECES_MAX];
	static struct switch_frame frame;
	uint32_t i;

	if (uplink->port == NULL) {
		return;
	}
	for (i = 0; i < count; i++) {
		taken[i].address = pieces[i].address;
		taken[i].bytes = pieces[i].bytes;
	}
	memset(&frame.offload, 0, sizeof(frame.offload));
	if (switch_frame_set(&frame, taken, count, rest)) {
		switch_input(uplink->port, &frame);
	}
}

/* The switch that this NIC belongs to by the key uplink of [host] and switch, "" for none. */
static const char *hosts_switch(const struct nic *nic)
{
	const struct config_host *host = &machine_ledger()->host;
	const char *nic_name = nic->device->name;
	const char *name = host->net_switch;
	size_t length = strlen(nic_name);
	uint32_t i;

	for (i = 0; i < host->uplinks.count && i < CONFIG_RAMDISKS_MAX; i++) {
		const char *text = host->uplinks.text[i];

		if (strncmp(text, nic_name, length) == 0 && text[length] == ' ') {
			text += length + strspn(text + length, " ");
			return config_name_is_valid(text) ? text : "";
		}
	}
	/* Two NICs on one switch would be a loop where they are on one network. */
	return nic == uplinks[0].nic && strcmp(name, "none") != 0 ? name : "";
}

/* By the sections of switches, then by [host]. */
static const char *wanted_switch(const struct nic *nic, struct config_uplink *how)
{
	const char *name = switches_uplink(nic->device->name, how);

	return name != NULL ? name : hosts_switch(nic);
}

static void attach(struct uplink *uplink, const char *switch_name)
{
	struct switch_owner owner = {
		.flags = SWITCH_PORT_UPLINK, .deliver = deliver, .flush = flush, .owner = uplink
	};

	snprintf(owner.name, sizeof(owner.name), "%s", uplink->nic->device->name);
	memcpy(owner.mac, uplink->nic->mac, sizeof(owner.mac));
	snprintf(uplink->switch_name, sizeof(uplink->switch_name), "%s", switch_name);
	uplink->port = switch_port_add(switch_name, &owner);
	if (uplink->port == NULL) {
		driver_say(uplink->nic->device, "cannot be a port of the switch %s", switch_name);
		return;
	}
	switch_port_set_vlan(uplink->port, uplink->vlan, uplink->is_trunk);
	switch_port_set_link(uplink->port, uplink->nic->is_link_up);
}

/* The NIC takes what its switch lets through, if it can. */
static void set_frame_max(struct uplink *uplink)
{
	struct nic *nic = uplink->nic;
	uint32_t wanted = switch_mtu(uplink->switch_name) + NIC_HEADER_BYTES;
	uint32_t given = wanted < nic->frame_limit ? wanted : nic->frame_limit;

	if (given != nic->frame_max) {
		nic->set_frame_max(nic, given);
	}
	switch_port_set_frame_max(uplink->port, given);
	if (given != wanted && uplink->told_frame_max != wanted) {
		driver_say(
			nic->device,
			"takes packets of %u bytes at most, the switch %s of %u: longer ones are dropped",
			(unsigned int)(given - NIC_HEADER_BYTES), uplink->switch_name,
			(unsigned int)(wanted - NIC_HEADER_BYTES));
	}
	uplink->told_frame_max = given != wanted ? wanted : 0;
}

static void choose_switch(struct uplink *uplink)
{
	struct config_uplink how = { .vlan = 0 };
	const char *wanted = wanted_switch(uplink->nic, &how);

	if (uplink->port != NULL &&
	    (how.vlan != uplink->vlan || how.is_trunk != uplink->is_trunk)) {
		switch_port_set_vlan(uplink->port, how.vlan, how.is_trunk);
	}
	uplink->vlan = how.vlan;
	uplink->is_trunk = how.is_trunk;
	if (strcmp(wanted, uplink->switch_name) == 0 &&
	    (uplink->port != NULL) == (wanted[0] != '\0')) {
		return;
	}
	if (uplink->port != NULL) {
		switch_port_remove(uplink->port);
		uplink->port = NULL;
		uplink->switch_name[0] = '\0';
	}
	if (wanted[0] != '\0') {
		attach(uplink, wanted);
	}
}

static void configure(struct uplink *uplink)
{
	choose_switch(uplink);
	if (uplink->port != NULL) {
		set_frame_max(uplink);
	}
}

void uplink_configure(void)
{
	uint32_t i;

	for (i = 0; i < uplinks_count; i++) {
		configure(&uplinks[i]);
	}
}

void driver_nic_ready(struct nic *nic)
{
	struct uplink *uplink = &uplinks[uplinks_count];

	if (uplinks_count == UPLINKS_MAX) {
		driver_say(nic->device, "too many NICs: it is not used");
		return;
	}
	uplinks_count++;
	uplink->nic = nic;
	nic->user = uplink;
	nic->receive = receive;
	configure(uplink);
}

void driver_nic_link(struct nic *nic)
{
	struct uplink *uplink = nic->user;

	if (uplink != NULL && uplink->port != NULL) {
		switch_port_set_link(uplink->port, nic->is_link_up);
		if (nic->is_link_up) {
			net_uplink_came();
		}
	}
}

const struct nic *uplink_nic(uint32_t idx)
{
	return idx < uplinks_count ? uplinks[idx].nic : NULL;
}

const char *uplink_switch(uint32_t idx)
{
	return idx < uplinks_count && uplinks[idx].port != NULL ? uplinks[idx].switch_name : "";
}

const struct nic *uplink_find(const char *name)
{
	uint32_t i;

	for (i = 0; i < uplinks_count; i++) {
		if (strcmp(uplinks[i].nic->device->name, name) == 0) {
			return uplinks[i].nic;
		}
	}
	return NULL;
}
