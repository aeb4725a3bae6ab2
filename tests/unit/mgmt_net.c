// SPDX-License-Identifier: Apache-2.0
/*
 * A machine without devices and network, for the tests of the verbs.
 */
#include <string.h>

#include "mgmt/config_store.h"
#include "mgmt/devices.h"
#include "mgmt/net/fetch.h"
#include "mgmt/net/iperf.h"
#include "mgmt/net/net.h"
#include "mgmt/net/ping.h"
#include "mgmt/net/uplink.h"

uint32_t devices_pci_count(void)
{
	return 0;
}

const struct pci_function *devices_pci(uint32_t idx)
{
	return NULL;
}

const struct device *devices_of(const struct pci_function *pci)
{
	return NULL;
}

bool devices_gsi(const struct device *device, uint32_t *gsi)
{
	return false;
}

const char *devices_class_name(uint32_t class_code)
{
	return "other";
}

void net_print_stat(struct result *result)
{
	result_message(result, "no network");
}

const struct nic *uplink_find(const char *name)
{
	static struct device device = { .name = "short-0" };
	static const struct nic nic = { .device = &device, .frame_limit = NIC_FRAME_MAX };

	return strcmp(name, "short-0") == 0 ? &nic : NULL;
}

static bool ping_end(struct shell_wait *wait, struct result *result)
{
	result_error(result, "ping", "", "no network");
	return true;
}

void ping_begin(const char *name, uint32_t count, struct shell_wait *wait)
{
	wait->poll = ping_end;
}

bool fetch_begin(const struct fetch_order *order, struct shell_wait *wait, struct result *result)
{
	result_error(result, "fetch", "", "no network for %s", order->name);
	return false;
}

bool fetch_stop(void)
{
	return false;
}

static bool is_iperf_on;

bool iperf_start(void)
{
	is_iperf_on = true;
	return true;
}

bool iperf_stop(void)
{
	bool was_on = is_iperf_on;

	is_iperf_on = false;
	return was_on;
}

void iperf_print(struct result *result)
{
	result_message(result, is_iperf_on ? "on" : "off");
}

bool store_save(struct shell_wait *wait, struct result *result)
{
	result_error(result, "save", "", "no disk");
	return false;
}
