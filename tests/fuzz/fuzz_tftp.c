// SPDX-License-Identifier: Apache-2.0
/*
 * TFTP packets from a hostile server, each with its length in front: the client never keeps more
 * than a block, and never goes on after the end.
 */
// sources: mgmt/net/tftp.c
#include <stdlib.h>
#include <string.h>

#include "mgmt/net/tftp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void take(struct tftp *tftp, const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	bool was_over = tftp->is_over;
	const uint8_t *data;
	size_t data_bytes;
	enum tftp_event event;

	memcpy(copy, bytes, size);
	event = tftp_take(tftp, copy, size, &data, &data_bytes);
	if (data_bytes != 0 &&
	    (data < copy || data + data_bytes > copy + size || data_bytes > tftp->block_bytes)) {
		abort();
	}
	if (was_over && event != TFTP_IGNORED && event != TFTP_AGAIN) {
		abort();
	}
	if (event == TFTP_FAILED && tftp->error[0] == '\0') {
		abort();
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t packet[TFTP_PACKET_SIZE];
	struct tftp tftp;
	size_t at = 0;

	tftp_begin(&tftp, "file", packet);
	while (at + 2 <= size) {
		size_t length = (size_t)(bytes[at] << 8 | bytes[at + 1]) % (TFTP_PACKET_SIZE + 1);

		at += 2;
		length = length < size - at ? length : size - at;
		take(&tftp, bytes + at, length);
		tftp_answer(&tftp, packet);
		at += length;
	}
	return 0;
}
