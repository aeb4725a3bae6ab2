// SPDX-License-Identifier: Apache-2.0
/*
 * The values of the keys disk and net: what is before the first comma, and options after it. Pure, like
 * config_value.c: the whole text is good, or nothing is changed.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/config.h"

#define WORDS_MAX CONFIG_WORDS_MAX
#define WORD_SIZE CONFIG_WORD_SIZE

uint32_t config_split(const char *text, char words[WORDS_MAX][WORD_SIZE])
{
	uint32_t count = 0;

	for (;;) {
		size_t length;

		text += strspn(text, " \t");
		length = strcspn(text, ",");
		while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t')) {
			length--;
		}
		if (count == WORDS_MAX || length == 0 || length >= WORD_SIZE) {
			return 0;
		}
		memcpy(words[count], text, length);
		words[count][length] = '\0';
		count++;
		text += strcspn(text, ",");
		if (*text == '\0') {
			return count;
		}
		text++;
	}
}

/* The value of `name=value`, or NULL if the word is another. */
static const char *option(const char *word, const char *name)
{
	size_t length = strlen(name);

	return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

/* Letters, digits and signs that need no quotes: no control characters, no blanks. */
static bool is_plain(const char *text, size_t size)
{
	size_t i;

	for (i = 0; text[i] != '\0'; i++) {
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f) {
			return false;
		}
	}
	return i >= 1 && i < size;
}

static bool disk_option(const char *word, struct config_disk *disk)
{
	const char *value = option(word, "serial");

	if (value != NULL) {
		if (!is_plain(value, sizeof(disk->serial)) || strpbrk(value, "\"'\\#;") != NULL) {
			return false;
		}
		memcpy(disk->serial, value, strlen(value) + 1);
		return true;
	}
	value = option(word, "overlay");
	if (value != NULL) {
		disk->has_overlay = true;
		return config_size_parse(value, &disk->overlay_bytes) && disk->overlay_bytes != 0 &&
		       disk->overlay_bytes % 4096 == 0;
	}
	if (strcmp(word, "overlay") == 0) {
		disk->has_overlay = true;
	} else if (strcmp(word, "ro") == 0) {
		disk->is_read_only = true;
	} else {
		return strcmp(word, "rw") == 0;
	}
	return true;
}

bool config_disk_parse(const char *text, struct config_disk *disk)
{
	static char words[WORDS_MAX][WORD_SIZE];
	uint32_t count = config_split(text, words);
	struct config_disk parsed;
	uint64_t bytes;
	uint32_t i;

	memset(&parsed, 0, sizeof(parsed));
	if (count == 0 || !is_plain(words[0], sizeof(parsed.source)) ||
	    strpbrk(words[0], "\"'\\#;=") != NULL) {
		return false;
	}
	if (strncmp(words[0], "ram:", 4) == 0 &&
	    (!config_size_parse(words[0] + 4, &bytes) || bytes == 0 || bytes % 4096 != 0)) {
		return false;
	}
	memcpy(parsed.source, words[0], strlen(words[0]) + 1);
	for (i = 1; i < count; i++) {
		if (!disk_option(words[i], &parsed)) {
			return false;
		}
	}
	/* What cannot be written needs no overlay. */
	if (parsed.is_read_only && parsed.has_overlay) {
		return false;
	}
	*disk = parsed;
	return true;
}

void config_disk_print(const struct config_disk *disk, char *out, size_t size)
{
	char overlay[40] = "";

	if (disk->has_overlay && disk->overlay_bytes != 0) {
		char bytes[24];

		config_size_print(disk->overlay_bytes, bytes, sizeof(bytes));
		snprintf(overlay, sizeof(overlay), ", overlay=%s", bytes);
	} else if (disk->has_overlay) {
		snprintf(overlay, sizeof(overlay), ", overlay");
	}
	snprintf(out, size, "%s%s%s%s%s", disk->source, disk->is_read_only ? ", ro" : "", overlay,
	         disk->serial[0] != '\0' ? ", serial=" : "", disk->serial);
}

/* Not a group address, not all zero. */
static bool parse_mac(const char *text, uint8_t mac[6])
{
	static const uint8_t none[6];

	return switch_mac_parse(text, mac) && memcmp(mac, none, 6) != 0 && (mac[0] & 1) == 0;
}

/* A number up to max; false if it is none. */
static bool parse_number(const char *text, uint32_t max, uint32_t *number)
{
	uint32_t value = 0;

	if (*text == '\0') {
		return false;
	}
	for (; *text >= '0' && *text <= '9'; text++) {
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > max) {
			return false;
		}
	}
	*number = value;
	return *text == '\0';
}

/* 500k, 100M, 10G: bits a second, in thousands. */
static bool parse_rate(const char *text, uint32_t *kbit)
{
	char digits[12];
	size_t length = strspn(text, "0123456789");
	uint32_t unit;
	uint32_t number;

	if (length == 0 || length >= sizeof(digits) || text[length] == '\0' ||
	    text[length + 1] != '\0') {
		return false;
	}
	memcpy(digits, text, length);
	digits[length] = '\0';
	switch (text[length] | 0x20) {
	case 'k':
		unit = 1;
		break;
	case 'm':
		unit = 1000;
		break;
	case 'g':
		unit = 1000000;
		break;
	default:
		return false;
	}
	if (!parse_number(digits, 4000000 / unit, &number) || number == 0) {
		return false;
	}
	*kbit = number * unit;
	return true;
}

bool config_vlan_parse(const char *text, uint16_t *vlan, bool *is_trunk)
{
	uint32_t number;

	if (strcmp(text, "trunk") == 0) {
		*is_trunk = true;
		return true;
	}
	if (!parse_number(text, 4094, &number) || number == 0) {
		return false;
	}
	*vlan = (uint16_t)number;
	return true;
}

/* Options without a value; false if the word is none. */
static bool net_flag(const char *word, struct config_net *net)
{
	bool *flag = strcmp(word, "pinned") == 0     ? &net->is_pinned
	             : strcmp(word, "isolated") == 0 ? &net->is_isolated
	             : strcmp(word, "mirror") == 0   ? &net->is_mirror
	                                             : NULL;

	if (flag != NULL) {
		*flag = true;
	}
	return flag != NULL;
}

static bool net_option(const char *word, struct config_net *net)
{
	const char *value = option(word, "mac");

	if (value != NULL) {
		net->has_mac = true;
		return parse_mac(value, net->mac);
	}
	value = option(word, "ip");
	if (value != NULL) {
		return net->ips_count < CONFIG_NET_IPS_MAX &&
		       switch_prefix_parse(value, &net->ips[net->ips_count++]);
	}
	value = option(word, "queues");
	if (value != NULL) {
		return parse_number(value, CONFIG_NET_PAIRS, &net->queues) && net->queues != 0;
	}
	value = option(word, "rate");
	if (value != NULL) {
		return parse_rate(value, &net->rate_kbit);
	}
	value = option(word, "vlan");
	return value != NULL && config_vlan_parse(value, &net->vlan, &net->is_trunk);
}

bool config_net_parse(const char *text, struct config_net *net)
{
	static char words[WORDS_MAX][WORD_SIZE];
	uint32_t count = config_split(text, words);
	struct config_net parsed;
	uint32_t i;

	memset(&parsed, 0, sizeof(parsed));
	if (count == 0 || !config_name_is_valid(words[0])) {
		return false;
	}
	memcpy(parsed.switch_name, words[0], strlen(words[0]) + 1);
	for (i = 1; i < count; i++) {
		if (!net_flag(words[i], &parsed) && !net_option(words[i], &parsed)) {
			return false;
		}
	}
	*net = parsed;
	return true;
}

static void print_rate(uint32_t kbit, char *out, size_t size)
{
	if (kbit % 1000000 == 0) {
		snprintf(out, size, ", rate=%uG", (unsigned int)(kbit / 1000000));
	} else if (kbit % 1000 == 0) {
		snprintf(out, size, ", rate=%uM", (unsigned int)(kbit / 1000));
	} else {
		snprintf(out, size, ", rate=%uk", (unsigned int)kbit);
	}
}

void config_net_print(const struct config_net *net, char *out, size_t size)
{
	char mac[32] = "";
	char vlan[16] = "";
	char rate[24] = "";
	char queues[24] = "";
	size_t used;
	uint32_t i;

	if (net->has_mac) {
		snprintf(mac, sizeof(mac), ", mac=%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0],
		         net->mac[1], net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
	}
	if (net->is_trunk) {
		snprintf(vlan, sizeof(vlan), ", vlan=trunk");
	} else if (net->vlan != 0) {
		snprintf(vlan, sizeof(vlan), ", vlan=%u", (unsigned int)net->vlan);
	}
	if (net->rate_kbit != 0) {
		print_rate(net->rate_kbit, rate, sizeof(rate));
	}
	if (net->queues > 1) {
		snprintf(queues, sizeof(queues), ", queues=%u", (unsigned int)net->queues);
	}
	used = (size_t)snprintf(out, size, "%s%s%s%s%s%s%s%s", net->switch_name, mac, vlan, rate,
	                        queues, net->is_pinned ? ", pinned" : "",
	                        net->is_isolated ? ", isolated" : "",
	                        net->is_mirror ? ", mirror" : "");
	for (i = 0; i < net->ips_count && used < size; i++) {
		char ip[SWITCH_PREFIX_TEXT];

		switch_prefix_print(&net->ips[i], ip, sizeof(ip));
		used += (size_t)snprintf(out + used, size - used, ", ip=%s", ip);
	}
}

/* ---- vsock ---------------------------------------------------------------------------------- */

/* 2 is mgmt, and the largest number means any (virtio 1.2 5.10.4). */
static bool parse_cid(const char *text, uint32_t *cid)
{
	return parse_number(text, 0xfffffffeu, cid) && *cid > 2;
}

static bool add_peer(struct config_vsock *vsock, const char *text)
{
	if (strcmp(text, "any") == 0) {
		vsock->takes_any = true;
		return true;
	}
	return vsock->peers_count < CONFIG_PEERS_MAX &&
	       parse_cid(text, &vsock->peers[vsock->peers_count++]);
}

bool config_vsock_parse(const char *text, struct config_vsock *vsock)
{
	static char words[CONFIG_WORDS_MAX][CONFIG_WORD_SIZE];
	uint32_t count = config_split(text, words);
	struct config_vsock parsed;
	uint32_t i;

	memset(&parsed, 0, sizeof(parsed));
	if (strcmp(text, "none") == 0) {
		*vsock = parsed;
		return true;
	}
	if (count == 0 || !parse_cid(words[0], &parsed.cid)) {
		return false;
	}
	for (i = 1; i < count; i++) {
		const char *peer = option(words[i], "peer");

		if (peer == NULL || !add_peer(&parsed, peer)) {
			return false;
		}
	}
	*vsock = parsed;
	return true;
}

void config_vsock_print(const struct config_vsock *vsock, char *out, size_t size)
{
	size_t used = 0;
	uint32_t i;

	if (vsock->cid == 0) {
		snprintf(out, size, "none");
		return;
	}
	used = (size_t)snprintf(out, size, "%u%s", (unsigned int)vsock->cid,
	                        vsock->takes_any ? ", peer=any" : "");
	for (i = 0; i < vsock->peers_count && used < size; i++) {
		used += (size_t)snprintf(out + used, size - used, ", peer=%u",
		                         (unsigned int)vsock->peers[i]);
	}
}
