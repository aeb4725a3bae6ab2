// SPDX-License-Identifier: Apache-2.0
/*
 * A writer whose acknowledged records can be counted after a power loss: appends records, makes each stable with
 * fsync(), and only then says its number.
 *
 * Usage: journal write FILE [COUNT]    "ack N" after record N is stable; goes on behind what is there
 *        journal check FILE            "records N": records 0 to N-1 are whole
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_BYTES 512u

static uint64_t next_random(uint64_t state)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^ (state << 17);
}

/* The one content that record `number` can have. */
static void fill(uint64_t number, uint8_t *record)
{
	uint64_t state = (number + 1) * 0x9e3779b97f4a7c15ull;
	size_t i;

	memcpy(record, &number, sizeof(number));
	for (i = sizeof(number); i < RECORD_BYTES; i += sizeof(state)) {
		state = next_random(state);
		memcpy(record + i, &state, sizeof(state));
	}
}

/* Number of whole records from the start. What follows was being written when the power went. */
static uint64_t count(int file)
{
	uint8_t expected[RECORD_BYTES];
	uint8_t record[RECORD_BYTES];
	uint64_t number = 0;

	while (pread(file, record, RECORD_BYTES, (off_t)(number * RECORD_BYTES)) ==
	       (ssize_t)RECORD_BYTES) {
		fill(number, expected);
		if (memcmp(record, expected, RECORD_BYTES) != 0) {
			break;
		}
		number++;
	}
	return number;
}

static int write_records(int file, uint64_t limit)
{
	uint64_t number = count(file);
	uint64_t end = number + limit;

	for (; limit == 0 || number < end; number++) {
		uint8_t record[RECORD_BYTES];

		fill(number, record);
		if (pwrite(file, record, RECORD_BYTES, (off_t)(number * RECORD_BYTES)) !=
		            (ssize_t)RECORD_BYTES ||
		    fsync(file) != 0) {
			perror("journal");
			return 1;
		}
		printf("ack %llu\n", (unsigned long long)number);
		fflush(stdout);
	}
	return 0;
}

int main(int count_args, char **args)
{
	int file;

	if (count_args < 3) {
		fprintf(stderr, "journal write|check FILE [COUNT]\n");
		return 2;
	}
	file = open(args[2], O_RDWR | O_CREAT, 0644);
	if (file < 0) {
		perror(args[2]);
		return 1;
	}
	if (strcmp(args[1], "write") == 0) {
		return write_records(file, count_args > 3 ? strtoull(args[3], NULL, 10) : 0);
	}
	printf("records %llu\n", (unsigned long long)count(file));
	return 0;
}
