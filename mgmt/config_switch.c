// SPDX-License-Identifier: Apache-2.0
/*
 * The value of a switch's key uplink: a NIC, and options after commas. Rules have their own text
 * (switch/rule.h). Pure.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/config.h"

bool config_uplink_parse(const char *text, struct config_uplink *uplink)
{
	static char words[CONFIG_WORDS_MAX][CONFIG_WORD_SIZE];
	uint32_t count = config_split(text, words);
	struct config_uplink parsed;
	uint32_t i;

	memset(&parsed, 0, sizeof(parsed));
	if (count == 0 || !config_name_is_valid(words[0])) {
		return false;
	}
	memcpy(parsed.nic, words[0], strlen(words[0]) + 1);
	for (i = 1; i < count; i++) {
		if (strncmp(words[i], "vlan=", 5) != 0 ||
		    !config_vlan_parse(words[i] + 5, &parsed.vlan, &parsed.is_trunk)) {
			return false;
		}
	}
	*uplink = parsed;
	return true;
}

void config_uplink_print(const struct config_uplink *uplink, char *out, size_t size)
{
	char vlan[16] = "";

	if (uplink->vlan != 0) {
		snprintf(vlan, sizeof(vlan), ", vlan=%u", (unsigned int)uplink->vlan);
	}
	snprintf(out, size, "%s%s", uplink->nic, uplink->is_trunk ? ", vlan=trunk" : vlan);
}
