// SPDX-License-Identifier: Apache-2.0
/*
 * The text of a saved trace, a line at a time (see trace_text.h), so that it goes out as fast as the line takes it and nothing of it is
 * held in memory.
 */
#include "mgmt/trace_text.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/stats.h"

#define RECORDS_PER_LINE 3u
#define RECORD_BYTES     sizeof(struct bh_trace_record)

enum stage {
	STAGE_BEGIN,
	STAGE_RATE,
	STAGE_REASONS,
	STAGE_DOMAIN,
	STAGE_GUESTS,
	STAGE_CPU,
	STAGE_RECORDS,
	STAGE_COUNT,
	STAGE_SUM,
	STAGE_END,
	STAGE_OVER,
};

void trace_text_begin(struct trace_text *text)
{
	memset(text, 0, sizeof(*text));
	sha256_init(&text->sha);
}

static void put_reasons(char *line)
{
	size_t used = (size_t)snprintf(line, TRACE_TEXT_LINE_MAX, "reasons");
	uint32_t i;

	for (i = 0; i < BH_REASON_COUNT && used < TRACE_TEXT_LINE_MAX; i++) {
		used += (size_t)snprintf(line + used, TRACE_TEXT_LINE_MAX - used, " %s",
		                         stats_reason_name(i));
	}
	if (used < TRACE_TEXT_LINE_MAX - 1) {
		memcpy(line + used, "\n", 2);
	}
}

/* One guest, or none of that slot. */
static void put_guest(struct trace_text *text, char *line)
{
	const struct guest *guest = partition_guest(text->item);

	if (guest != NULL) {
		snprintf(line, TRACE_TEXT_LINE_MAX, "guest %u %u %s\n",
		         (unsigned)(guest->id & UINT16_MAX), (unsigned)guest->vcpus_count,
		         guest->config.name);
	}
	if (++text->item == BH_PARTITIONS_MAX) {
		text->item = 0;
		text->stage++;
	}
}

static void put_cpu(struct trace_text *text, char *line)
{
	if (!trace_span_read(text->item, &text->span)) {
		text->stage = STAGE_COUNT;
		return;
	}
	snprintf(line, TRACE_TEXT_LINE_MAX, "cpu %u %lu %lu\n", (unsigned)text->item,
	         (unsigned long)text->span.first, (unsigned long)text->span.head);
	text->number = text->span.first;
	text->lost += text->span.first;
	text->stage++;
}

/* RFC 4648, without line ends. */
static size_t base64(const uint8_t *bytes, size_t size, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t used = 0;
	size_t i;

	for (i = 0; i < size; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16;

		group |= i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0;
		group |= i + 2 < size ? bytes[i + 2] : 0;
		out[used++] = digits[group >> 18];
		out[used++] = digits[group >> 12 & 63];
		out[used++] = i + 1 < size ? digits[group >> 6 & 63] : '=';
		out[used++] = i + 2 < size ? digits[group & 63] : '=';
	}
	return used;
}

/* The trace is stopped; if somebody starts it again meanwhile, what is gone goes out as zeros, and is counted. */
static void put_records(struct trace_text *text, char *line)
{
	struct bh_trace_record records[RECORDS_PER_LINE];
	uint32_t count = 0;
	size_t used;

	memset(records, 0, sizeof(records));
	while (count < RECORDS_PER_LINE && text->number < text->span.head) {
		if (!trace_record_read(text->item, text->number++, &records[count])) {
			memset(&records[count], 0, RECORD_BYTES);
			text->lost++;
		}
		count++;
	}
	if (count == 0) {
		text->item++;
		text->stage = STAGE_CPU;
		return;
	}
	text->records += count;
	sha256_add(&text->sha, records, count * RECORD_BYTES);
	used = base64((const uint8_t *)records, count * RECORD_BYTES, line);
	memcpy(line + used, "\n", 2);
}

static void put_sum(struct trace_text *text, char *line)
{
	uint8_t digest[SHA256_BYTES];
	size_t used = (size_t)snprintf(line, TRACE_TEXT_LINE_MAX, "sha256 ");
	uint32_t i;

	sha256_end(&text->sha, digest);
	for (i = 0; i < SHA256_BYTES; i++) {
		used += (size_t)snprintf(line + used, TRACE_TEXT_LINE_MAX - used, "%02x",
		                         (unsigned)digest[i]);
	}
	memcpy(line + used, "\n", 2);
	text->stage++;
}

bool trace_text_next(struct trace_text *text, char line[TRACE_TEXT_LINE_MAX])
{
	line[0] = '\0';
	switch ((enum stage)text->stage) {
	case STAGE_BEGIN:
		snprintf(line, TRACE_TEXT_LINE_MAX, "-----BEGIN BULKHEAD TRACE 1-----\n");
		text->stage++;
		break;
	case STAGE_RATE:
		snprintf(line, TRACE_TEXT_LINE_MAX, "tsc-hz %lu\n",
		         (unsigned long)machine_tsc_hz());
		text->stage++;
		break;
	case STAGE_REASONS:
		put_reasons(line);
		text->stage++;
		break;
	case STAGE_DOMAIN:
		snprintf(line, TRACE_TEXT_LINE_MAX, "domain %u mgmt\n",
		         (unsigned)machine_domain_id());
		text->stage++;
		break;
	case STAGE_GUESTS:
		put_guest(text, line);
		break;
	case STAGE_CPU:
		put_cpu(text, line);
		break;
	case STAGE_RECORDS:
		put_records(text, line);
		break;
	case STAGE_COUNT:
		snprintf(line, TRACE_TEXT_LINE_MAX, "records %lu lost %lu\n",
		         (unsigned long)text->records, (unsigned long)text->lost);
		text->stage++;
		break;
	case STAGE_SUM:
		put_sum(text, line);
		break;
	case STAGE_END:
		snprintf(line, TRACE_TEXT_LINE_MAX, "-----END BULKHEAD TRACE-----\n");
		text->stage++;
		break;
	case STAGE_OVER:
		return false;
	}
	return true;
}
