// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs of the machine's own network: ping, fetch, iperf.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/net/fetch.h"
#include "mgmt/net/iperf.h"
#include "mgmt/net/ping.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/verb.h"

#define SHA256_PREFIX "sha256="

void verb_ping(struct verb_call *call, struct result *result)
{
	struct shell_wait wait = { .slot = UINT32_MAX, .is_json = call->is_json };
	unsigned long count = 4;

	if (call->word_count > 1) {
		char *end;

		count = strtoul(call->word[1].text, &end, 10);
		if (*end != '\0' || count < 1 || count > PING_COUNT_MAX) {
			result_error(result, "ping", "meant is a number from 1 to 20",
			             "'%.20s' is no count", call->word[1].text);
			return;
		}
	}
	if (strlen(call->word[0].text) > 253) {
		result_error(result, "ping", "", "the name is too long");
		return;
	}
	ping_begin(call->word[0].text, (uint32_t)count, &wait);
	shell_begin_wait(call->shell, &wait);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* 64 hexadecimal digits and nothing else. */
static bool read_digest(const char *text, uint8_t digest[SHA256_BYTES])
{
	uint32_t i;

	if (strlen(text) != 2 * SHA256_BYTES) {
		return false;
	}
	for (i = 0; i < SHA256_BYTES; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0) {
			return false;
		}
		digest[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool name_is_good(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length < KEPT_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") ==
	               length;
}

/* The words after the URL: a name, sha256=…, or both. */
static bool read_words(struct verb_call *call, struct fetch_order *order, struct result *result)
{
	uint32_t i;

	for (i = 1; i < call->word_count; i++) {
		const char *text = call->word[i].text;

		if (strncmp(text, SHA256_PREFIX, strlen(SHA256_PREFIX)) == 0) {
			order->has_sha256 = read_digest(text + strlen(SHA256_PREFIX),
			                                order->sha256);
			if (!order->has_sha256) {
				result_error(result, "fetch", "meant are 64 hexadecimal digits",
				             "sha256= is no SHA-256");
				return false;
			}
		} else if (name_is_good(text)) {
			snprintf(order->name, sizeof(order->name), "%s", text);
		} else {
			result_error(result, "fetch",
			             "meant are 1 to 47 of a-z, A-Z, 0-9, '.', '_', '+', '-'",
			             "'%.60s' is no name for a file", text);
			return false;
		}
	}
	if (order->name[0] == '\0') {
		url_file_name(&order->url, order->name, sizeof(order->name));
	}
	if (order->name[0] == '\0') {
		result_error(result, "fetch", "give a name after it",
		             "the URL ends without a name");
		return false;
	}
	return true;
}

void verb_fetch(struct verb_call *call, struct result *result)
{
	struct shell_wait wait = { .slot = UINT32_MAX, .is_json = call->is_json };
	static struct fetch_order order;
	const char *why;

	if (strcmp(call->word[0].text, "stop") == 0) {
		if (fetch_stop()) {
			result_message(result, "stopped");
		} else {
			result_error(result, "fetch", "", "nothing is being fetched");
		}
		return;
	}
	memset(&order, 0, sizeof(order));
	if (!url_read(&order.url, call->word[0].text, &why)) {
		result_error(result, "fetch", "", "%s", why);
		return;
	}
	if (!read_words(call, &order, result)) {
		return;
	}
	if (partition_find_file(order.name) >= 0) {
		result_error(result, "fetch", "give another name, or: files delete NAME",
		             "there is a file '%s' already", order.name);
		return;
	}
	if (fetch_begin(&order, &wait, result)) {
		shell_begin_wait(call->shell, &wait);
	}
}

void verb_iperf(struct verb_call *call, struct result *result)
{
	bool is_start = call->word_count != 0 && strcmp(call->word[0].text, "start") == 0;

	if (call->word_count == 0) {
		iperf_print(result);
	} else if (is_start && iperf_start()) {
		result_message(result, "TCP port %u takes what `iperf -c` of iperf 2 sends",
		               IPERF_PORT);
	} else if (is_start) {
		result_error(result, "iperf", "", "there is no socket left");
	} else if (iperf_stop()) {
		result_message(result, "stopped");
	} else {
		result_error(result, "iperf", "", "it was not started");
	}
}
