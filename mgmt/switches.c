// SPDX-License-Identifier: Apache-2.0
/*
 * The switches of the ledger (see switches.h).
 */
#include "mgmt/switches.h"

#include <string.h>

#include "mgmt/machine.h"

static struct config_switch *at(uint32_t i)
{
	return &machine_ledger()->switches[i];
}

struct config_switch *switches_find(const char *name)
{
	uint32_t i;

	for (i = 0; i < CONFIG_SWITCHES_MAX; i++) {
		if (at(i)->settings.name[0] != '\0' && strcmp(at(i)->settings.name, name) == 0) {
			return at(i);
		}
	}
	return NULL;
}

void switches_init(void)
{
	uint32_t i;

	for (i = 0; i < CONFIG_SWITCHES_MAX; i++) {
		if (at(i)->settings.name[0] != '\0') {
			switch_set(&at(i)->settings);
		}
	}
}

static struct config_switch *find_free(void)
{
	uint32_t i;

	for (i = 0; i < CONFIG_SWITCHES_MAX; i++) {
		if (at(i)->settings.name[0] == '\0') {
			return at(i);
		}
	}
	return NULL;
}

bool switches_define(const struct config_switch *config)
{
	struct config_switch *record = switches_find(config->settings.name);

	if (record == NULL) {
		record = find_free();
	}
	if (record == NULL) {
		return false;
	}
	*record = *config;
	if (!switch_set(&record->settings)) {
		memset(record, 0, sizeof(*record));
		return false;
	}
	return true;
}

void switches_changed(struct config_switch *config)
{
	switch_set(&config->settings);
}

void switches_delete(struct config_switch *config)
{
	switch_unset(config->settings.name);
	memset(config, 0, sizeof(*config));
}

const char *switches_uplink(const char *nic, struct config_uplink *how)
{
	uint32_t i;
	uint32_t j;

	for (i = 0; i < CONFIG_SWITCHES_MAX; i++) {
		for (j = 0; at(i)->settings.name[0] != '\0' && j < CONFIG_UPLINKS_MAX; j++) {
			if (strcmp(at(i)->uplinks[j].nic, nic) == 0) {
				*how = at(i)->uplinks[j];
				return at(i)->settings.name;
			}
		}
	}
	return NULL;
}

void switches_print(config_write_fn *write, void *context)
{
	uint32_t i;

	for (i = 0; i < CONFIG_SWITCHES_MAX; i++) {
		if (at(i)->settings.name[0] != '\0') {
			write(context, "\n");
			config_print_switch(at(i), write, context);
		}
	}
}
