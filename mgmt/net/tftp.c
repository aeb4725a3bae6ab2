// SPDX-License-Identifier: Apache-2.0
/*
 * TFTP's packets (see tftp.h). Block numbers wrap around, which files over 65,535 blocks need.
 */
#include "mgmt/net/tftp.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* RFC 1350 5, RFC 2347 */
#define OPCODE_READ    1u
#define OPCODE_DATA    3u
#define OPCODE_ACK     4u
#define OPCODE_ERROR   5u
#define OPCODE_OPTIONS 6u
#define HEADER_BYTES   4u
#define PLAIN_BYTES    512u /* of a block, without an option */

static size_t put_text(uint8_t *packet, size_t at, const char *text)
{
	size_t length = strlen(text) + 1;

	memcpy(packet + at, text, length);
	return at + length;
}

size_t tftp_begin(struct tftp *tftp, const char *path, uint8_t packet[TFTP_PACKET_SIZE])
{
	char number[12];
	size_t at = 2;

	memset(tftp, 0, sizeof(*tftp));
	tftp->block_bytes = PLAIN_BYTES;
	if (strlen(path) > 512) {
		return 0;
	}
	snprintf(number, sizeof(number), "%u", TFTP_BLOCK_BYTES);
	packet[0] = 0;
	packet[1] = OPCODE_READ;
	at = put_text(packet, at, path);
	at = put_text(packet, at, "octet");
	at = put_text(packet, at, "tsize");
	at = put_text(packet, at, "0");
	at = put_text(packet, at, "blksize");
	return put_text(packet, at, number);
}

static enum tftp_event fail(struct tftp *tftp, const char *what, const char *text)
{
	size_t i;

	snprintf(tftp->error, sizeof(tftp->error), "%s%s", what, text);
	for (i = 0; tftp->error[i] != '\0'; i++) { /* it goes to a terminal */
		if ((unsigned char)tftp->error[i] < 0x20 || tftp->error[i] == 0x7f) {
			tftp->error[i] = '?';
		}
	}
	tftp->is_over = true;
	return TFTP_FAILED;
}

/* The text at `at`, which ends within the packet; NULL otherwise. Moves behind it. */
static const char *next_text(const uint8_t *packet, size_t size, size_t *at)
{
	const char *text = (const char *)packet + *at;
	size_t length = *at < size ? strnlen(text, size - *at) : 0;

	if (*at >= size || *at + length == size) {
		return NULL;
	}
	*at += length + 1;
	return text;
}

static bool read_number(const char *text, uint64_t *value)
{
	*value = 0;
	if (*text == '\0') {
		return false;
	}
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || *value >> 48 != 0) {
			return false;
		}
		*value = *value * 10 + (uint64_t)(*text - '0');
	}
	return true;
}

static enum tftp_event take_options(struct tftp *tftp, const uint8_t *packet, size_t size)
{
	size_t at = 2;
	const char *name;
	const char *value;

	if (tftp->is_answered) {
		return tftp->block == 0 ? TFTP_AGAIN : TFTP_IGNORED;
	}
	while ((name = next_text(packet, size, &at)) != NULL) {
		uint64_t number;

		value = next_text(packet, size, &at);
		if (value == NULL || !read_number(value, &number)) {
			return fail(tftp, "the server answers with an option that is none", "");
		}
		if (strcasecmp(name, "blksize") == 0) {
			if (number < 8 || number > TFTP_BLOCK_BYTES) {
				return fail(tftp, "the server wants blocks of another size", "");
			}
			tftp->block_bytes = (uint32_t)number;
		} else if (strcasecmp(name, "tsize") == 0) {
			tftp->has_total = true;
			tftp->total = number;
		} else {
			return fail(tftp, "the server answers with an option not asked for", "");
		}
	}
	tftp->is_answered = true;
	return TFTP_AGREED;
}

static enum tftp_event take_data(struct tftp *tftp, const uint8_t *packet, size_t size,
                                 const uint8_t **data, size_t *data_bytes)
{
	uint16_t block = (uint16_t)(packet[2] << 8 | packet[3]);

	if (block == tftp->block && tftp->is_answered) {
		return TFTP_AGAIN;
	}
	if (block != (uint16_t)(tftp->block + 1)) {
		return TFTP_IGNORED;
	}
	if (size - HEADER_BYTES > tftp->block_bytes) {
		return fail(tftp, "the server sends a block that is too long", "");
	}
	tftp->is_answered = true;
	tftp->block = block;
	*data = packet + HEADER_BYTES;
	*data_bytes = size - HEADER_BYTES;
	tftp->is_over = *data_bytes < tftp->block_bytes;
	return tftp->is_over ? TFTP_LAST : TFTP_DATA;
}

enum tftp_event tftp_take(struct tftp *tftp, const uint8_t *packet, size_t size,
                          const uint8_t **data, size_t *data_bytes)
{
	size_t at = HEADER_BYTES;
	const char *text;

	*data = packet;
	*data_bytes = 0;
	if (size < HEADER_BYTES || packet[0] != 0) {
		return TFTP_IGNORED;
	}
	if (tftp->is_over) {
		/* The last acknowledgement was lost. */
		return packet[1] == OPCODE_DATA && tftp->error[0] == '\0' ? TFTP_AGAIN
		                                                          : TFTP_IGNORED;
	}
	switch (packet[1]) {
	case OPCODE_DATA:
		return take_data(tftp, packet, size, data, data_bytes);
	case OPCODE_OPTIONS:
		return take_options(tftp, packet, size);
	case OPCODE_ERROR:
		text = next_text(packet, size, &at);
		return fail(tftp, "the server says: ",
		            text != NULL && *text != '\0' ? text : "an error without a text");
	default:
		return TFTP_IGNORED;
	}
}

size_t tftp_answer(const struct tftp *tftp, uint8_t packet[TFTP_PACKET_SIZE])
{
	packet[0] = 0;
	packet[1] = OPCODE_ACK;
	packet[2] = (uint8_t)(tftp->block >> 8);
	packet[3] = (uint8_t)tftp->block;
	return HEADER_BYTES;
}
