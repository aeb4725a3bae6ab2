// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's checks and its event log (see ledger.h). Makes no call; the pages are given.
 */
#include "mgmt/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool text_ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool config_is_sane(const struct config_guest *config)
{
	uint32_t i;

	if (!text_ends(config->name, sizeof(config->name)) || !config_name_is_valid(config->name) ||
	    !text_ends(config->kernel, sizeof(config->kernel)) ||
	    !text_ends(config->cmdline, sizeof(config->cmdline)) ||
	    config->ramdisks.count > CONFIG_RAMDISKS_MAX || config->console > CONFIG_CONSOLE_BOTH ||
	    config->ports.count > CONFIG_PORTS_MAX ||
	    config->vsock.peers_count > CONFIG_PEERS_MAX) {
		return false;
	}
	for (i = 0; i < config->ports.count; i++) {
		if (!text_ends(config->ports.text[i], CONFIG_NAME_SIZE)) {
			return false;
		}
	}
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (!text_ends(config->disks[i].source, CONFIG_SOURCE_SIZE) ||
		    !text_ends(config->disks[i].serial, CONFIG_SERIAL_SIZE)) {
			return false;
		}
	}
	for (i = 0; i < CONFIG_NETS_MAX; i++) {
		if (!text_ends(config->nets[i].switch_name, CONFIG_NAME_SIZE) ||
		    config->nets[i].ips_count > CONFIG_NET_IPS_MAX ||
		    config->nets[i].queues > CONFIG_NET_PAIRS) {
			return false;
		}
	}
	for (i = 0; i < config->ramdisks.count; i++) {
		if (!text_ends(config->ramdisks.text[i], CONFIG_RAMDISK_SIZE)) {
			return false;
		}
	}
	return config->vcpu_count >= 1 && config->vcpu_count <= CONFIG_VCPUS_MAX &&
	       config->weight >= 1 && config->weight <= 65535 &&
	       config->cap_percent <= 100 * CONFIG_VCPUS_MAX &&
	       config->on_poweroff <= CONFIG_ACTION_PRESERVE &&
	       config->on_reboot <= CONFIG_ACTION_PRESERVE &&
	       config->on_crash <= CONFIG_ACTION_PRESERVE;
}

bool ledger_check(struct guest *guest)
{
	if (guest->is_used != 1 || !config_is_sane(&guest->config)) {
		return false;
	}
	guest->reason[sizeof(guest->reason) - 1] = '\0';
	if (guest->state >= GUEST_STATE_COUNT) {
		guest->state = GUEST_OFF;
	}
	if (guest->request > GUEST_REQUEST_DESTROY) {
		guest->request = GUEST_REQUEST_NONE;
	}
	if (guest->next > GUEST_NEXT_DELETE) {
		guest->next = GUEST_NEXT_NONE;
	}
	if (guest->balloon_bytes > guest->memory_bytes) {
		guest->balloon_bytes = 0;
	}
	if (guest->ports_count > BH_PORTS_MAX) {
		guest->ports_count = 0;
	}
	if (guest->vcpus_count > BH_MAX_VCPUS) {
		guest->vcpus_count = BH_MAX_VCPUS;
	}
	return true;
}

static void end_host_texts(struct config_host *host)
{
	uint32_t i;

	host->name[sizeof(host->name) - 1] = '\0';
	host->net_switch[sizeof(host->net_switch) - 1] = '\0';
	host->net_gateway[sizeof(host->net_gateway) - 1] = '\0';
	host->net_dns[sizeof(host->net_dns) - 1] = '\0';
	for (i = 0; i < CONFIG_RAMDISKS_MAX; i++) {
		host->uplinks.text[i][CONFIG_RAMDISK_SIZE - 1] = '\0';
	}
}

static bool switch_is_sane(const struct config_switch *config)
{
	const struct switch_settings *settings = &config->settings;
	uint32_t i;

	if (!text_ends(settings->name, sizeof(settings->name)) ||
	    !config_name_is_valid(settings->name) ||
	    !text_ends(settings->mirror, sizeof(settings->mirror)) ||
	    settings->mtu < SWITCH_MTU_MIN || settings->mtu > SWITCH_MTU_MAX ||
	    settings->vlan > 4094 || settings->rules_count > SWITCH_RULES_MAX) {
		return false;
	}
	for (i = 0; i < settings->rules_count; i++) {
		if (!switch_rule_is_sane(&settings->rules[i])) {
			return false;
		}
	}
	for (i = 0; i < CONFIG_UPLINKS_MAX; i++) {
		if (!text_ends(config->uplinks[i].nic, sizeof(config->uplinks[i].nic)) ||
		    config->uplinks[i].vlan > 4094) {
			return false;
		}
	}
	return true;
}

bool ledger_open(struct ledger *ledger)
{
	uint32_t i;

	if (ledger->magic != LEDGER_MAGIC || ledger->version != LEDGER_VERSION ||
	    ledger->size != sizeof(*ledger)) {
		memset(ledger, 0, sizeof(*ledger));
		config_set_defaults(CONFIG_SECTION_HOST, &ledger->host);
		ledger->version = LEDGER_VERSION;
		ledger->size = sizeof(*ledger);
		ledger->magic = LEDGER_MAGIC;
		return false;
	}
	end_host_texts(&ledger->host);
	for (i = 0; i < CONFIG_SWITCHES_MAX; i++) {
		if (!switch_is_sane(&ledger->switches[i])) {
			memset(&ledger->switches[i], 0, sizeof(ledger->switches[i]));
		}
	}
	for (i = 0; i < LEDGER_EVENTS; i++) {
		ledger->events[i].guest[CONFIG_NAME_SIZE - 1] = '\0';
		ledger->events[i].text[LEDGER_EVENT_SIZE - 1] = '\0';
	}
	for (i = 0; i < BH_PARTITIONS_MAX; i++) {
		if (ledger->guests[i].is_used != 0 && !ledger_check(&ledger->guests[i])) {
			memset(&ledger->guests[i], 0, sizeof(ledger->guests[i]));
		}
	}
	return true;
}

void ledger_event(struct ledger *ledger, uint64_t tsc, const char *guest, const char *format, ...)
{
	struct ledger_event *event = &ledger->events[ledger->events_count % LEDGER_EVENTS];
	va_list arguments;

	event->tsc = tsc;
	snprintf(event->guest, sizeof(event->guest), "%s", guest);
	va_start(arguments, format);
	vsnprintf(event->text, sizeof(event->text), format, arguments);
	va_end(arguments);
	__atomic_store_n(&ledger->events_count, ledger->events_count + 1, __ATOMIC_RELEASE);
}
