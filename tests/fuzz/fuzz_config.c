// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target of the configuration parser: what it accepts must print and read back the same.
 */
// sources: mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/switch/address.c mgmt/switch/rule.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
	char bytes[65536];
	size_t used;
};

static void append(void *context, const char *text)
{
	struct text *out = context;
	size_t length = strlen(text);

	if (out->used + length > sizeof(out->bytes)) {
		abort();
	}
	memcpy(out->bytes + out->used, text, length);
	out->used += length;
}

static void check_round_trip(const struct config_guest *guest)
{
	static struct text out;
	static struct config again;

	out.used = 0;
	config_print_guest(guest, append, &out);
	config_init(&again);
	if (!config_parse(&again, out.bytes, out.used) || again.guest_count != 1 ||
	    strcmp(again.guests[0].cmdline, guest->cmdline) != 0 ||
	    again.guests[0].memory_bytes != guest->memory_bytes) {
		abort();
	}
	config_free(&again);
}

static void check_switch(const struct config_switch *config)
{
	static struct text out;
	static struct config again;

	out.used = 0;
	config_print_switch(config, append, &out);
	config_init(&again);
	if (!config_parse(&again, out.bytes, out.used) || again.switch_count != 1 ||
	    memcmp(&again.switches[0], config, sizeof(*config)) != 0) {
		abort();
	}
	config_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	uint32_t i;

	config_init(&config);
	config_parse(&config, (const char *)data, size);
	for (i = 0; i < config.guest_count; i++) {
		check_round_trip(&config.guests[i]);
	}
	for (i = 0; i < config.switch_count; i++) {
		check_switch(&config.switches[i]);
	}
	config_free(&config);
	return 0;
}
