/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a file by TFTP (RFC 1350) with the options blksize and tsize (RFC 2347, 2348, 2349): packets
 * in, packets out. Pure: sockets, time and the file are the caller's; the server may send anything.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TFTP_PACKET_SIZE 1500u
#define TFTP_BLOCK_BYTES 1428u /* with all headers one Ethernet frame */
#define TFTP_ERROR_SIZE  96u

enum tftp_event {
	TFTP_IGNORED, /* nothing to do */
	TFTP_AGREED,  /* options: tftp->total may be known now; send tftp_answer() */
	TFTP_DATA,    /* new data; once it is kept, send tftp_answer() */
	TFTP_LAST,    /* new data, and the file ends with it; once it is kept, send tftp_answer() */
	TFTP_AGAIN,   /* data that was there already; send tftp_answer() */
	TFTP_FAILED,  /* tftp->error says why; nothing more to send */
};

struct tftp {
	bool is_answered; /* by the server, at all */
	bool is_over;
	uint16_t block; /* the last one that was taken */
	uint32_t block_bytes;
	bool has_total;
	uint64_t total; /* bytes of the file */
	char error[TFTP_ERROR_SIZE];
};

/* Writes the read request; its length, or 0 if the path is too long. */
size_t tftp_begin(struct tftp *tftp, const char *path, uint8_t packet[TFTP_PACKET_SIZE]);

/* Takes a packet from the server; data[data_bytes] is the block in it for TFTP_DATA and TFTP_LAST. */
enum tftp_event tftp_take(struct tftp *tftp, const uint8_t *packet, size_t size,
                          const uint8_t **data, size_t *data_bytes);

/* Writes the acknowledgement of the last block. */
size_t tftp_answer(const struct tftp *tftp, uint8_t packet[TFTP_PACKET_SIZE]);
