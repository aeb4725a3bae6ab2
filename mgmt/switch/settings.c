// SPDX-License-Identifier: Apache-2.0
/*
 * Settings of switches (see switch.h): what they and a port's own settings mean together, worked out once
 * when either changes, so that a frame meets flags and masks.
 */
#include <string.h>

#include "mgmt/switch/frame.h"
#include "mgmt/switch/switch_internal.h"

/* A rule is for the port that it names; one that names none is for all ports of guests. */
static bool is_for(const struct switch_rule *rule, const struct switch_port *port)
{
	if ((rule->fields & RULE_HAS_PORT) != 0) {
		return strcmp(rule->port, port->owner.name) == 0;
	}
	return (port->owner.flags & SWITCH_PORT_GUEST) != 0;
}

static void refresh_rules(struct switch_port *port)
{
	const struct switch_settings *settings = port->home->settings;
	uint32_t i;

	port->rules_in = 0;
	port->rules_out = 0;
	port->is_deny = settings != NULL && settings->is_deny &&
	                (port->owner.flags & SWITCH_PORT_GUEST) != 0;
	for (i = 0; settings != NULL && i < settings->rules_count && i < SWITCH_RULES_MAX; i++) {
		const struct switch_rule *rule = &settings->rules[i];

		if (!is_for(rule, port)) {
			continue;
		}
		port->rules_in |= (rule->directions & SWITCH_RULE_IN) != 0 ? 1ull << i : 0;
		port->rules_out |= (rule->directions & SWITCH_RULE_OUT) != 0 ? 1ull << i : 0;
	}
	port->is_checked_in = port->rules_in != 0 || port->is_deny;
	port->is_checked_out = port->rules_out != 0 || port->is_deny;
}

void switch_refresh_port(struct switch_port *port)
{
	const struct switch_settings *settings = port->home->settings;
	bool is_theirs = settings != NULL && (port->owner.flags & SWITCH_PORT_GUEST) != 0;

	port->is_isolated = port->wants_isolated || (is_theirs && settings->is_isolated);
	port->is_pinned = port->wants_pinned || port->pins.count != 0 ||
	                  (is_theirs && settings->is_pinned);
	port->vlan = port->wanted_vlan;
	if (is_theirs && port->wanted_vlan == 0 && !port->is_trunk) {
		port->vlan = (uint16_t)settings->vlan;
	}
	refresh_rules(port);
	port->is_plain_in = !port->is_trunk && !port->is_checked_in && port->rate_kbit == 0;
	port->is_plain_out = !port->is_trunk && !port->is_checked_out && port->rate_kbit == 0 &&
	                     !port->is_pinned;
}

void switch_refresh(struct virtual_switch *home)
{
	const struct switch_settings *settings = home->settings;
	struct switch_port *port;

	home->frame_max = (settings != NULL ? settings->mtu : SWITCH_MTU) + ETHERNET_BYTES;
	home->mirror = NULL;
	for (port = switch_ports(); port != NULL; port = port->next) {
		if (port->home != home) {
			continue;
		}
		switch_refresh_port(port);
		if (port->wants_mirror || (settings != NULL && settings->mirror[0] != '\0' &&
		                           strcmp(settings->mirror, port->owner.name) == 0)) {
			home->mirror = port;
		}
	}
}

bool switch_set(struct switch_settings *settings)
{
	struct virtual_switch *home = switch_make(settings->name);

	if (home == NULL) {
		return false;
	}
	home->settings = settings;
	switch_refresh(home);
	return true;
}

void switch_unset(const char *name)
{
	struct virtual_switch *home = switch_find(name);

	if (home != NULL) {
		home->settings = NULL;
		switch_refresh(home);
		switch_drop(home);
	}
}

uint32_t switch_mtu(const char *name)
{
	const struct virtual_switch *home = switch_find(name);

	return home != NULL && home->settings != NULL ? home->settings->mtu : SWITCH_MTU;
}
