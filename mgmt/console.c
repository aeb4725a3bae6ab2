// SPDX-License-Identifier: Apache-2.0
/*
 * Console rings (see console.h). The counters run freely; byte n is at n modulo the ring's size.
 */
#include "mgmt/console.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/guest_devices.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/virtio/ports.h"

#define LAST_LINE_BYTES 512u

/* What is left of a guest whose pages are gone. */
struct kept {
	char *bytes;
	size_t size;
	size_t seen;
};

static struct kept kept[BH_PARTITIONS_MAX];

uint32_t console_first_line(const struct config_guest *config)
{
	if (config->console == CONFIG_CONSOLE_SERIAL || config->console == CONFIG_CONSOLE_BOTH) {
		return CONSOLE_LINE_SERIAL;
	}
	return config->console == CONFIG_CONSOLE_VIRTIO ? CONSOLE_LINE_PORT : CONSOLE_LINE_PORT + 1;
}

/* The ring of a line if it is there now. */
static struct bh_console *ring(uint32_t slot, uint32_t line)
{
	const struct guest *guest = partition_guest(slot);

	if (guest == NULL || !partition_has_vmm(guest)) {
		return NULL;
	}
	if (line == CONSOLE_LINE_SERIAL) {
		return machine_vmm_console(slot);
	}
	return line - CONSOLE_LINE_PORT < guest->ports_count
	               ? machine_port_console(slot, line - CONSOLE_LINE_PORT)
	               : NULL;
}

/* The ring of the first line, whose last words are kept. */
static struct bh_console *first_ring(uint32_t slot)
{
	const struct guest *guest = partition_guest(slot);

	return guest == NULL ? NULL : ring(slot, console_first_line(&guest->config));
}

static bool is_first(uint32_t slot, uint32_t line)
{
	const struct guest *guest = partition_guest(slot);

	return guest == NULL || line == console_first_line(&guest->config);
}

/* How far back output is there: at most the ring's size before head. */
static uint64_t oldest(uint64_t head)
{
	return head > BH_CONSOLE_OUT_BYTES ? head - BH_CONSOLE_OUT_BYTES : 0;
}

/* Copies [from, from + size) of the ring. */
static void copy_out(const struct bh_console *console, uint64_t from, char *out, size_t size)
{
	size_t at = (size_t)(from % BH_CONSOLE_OUT_BYTES);
	size_t first = BH_CONSOLE_OUT_BYTES - at < size ? BH_CONSOLE_OUT_BYTES - at : size;

	memcpy(out, console->out + at, first);
	memcpy(out + first, console->out, size - first);
}

void console_forget(uint32_t slot)
{
	free(kept[slot].bytes);
	memset(&kept[slot], 0, sizeof(kept[slot]));
}

void console_keep(uint32_t slot)
{
	struct bh_console *console = first_ring(slot);
	uint64_t head;
	uint64_t from;
	uint64_t seen;

	console_forget(slot);
	if (console == NULL) {
		return;
	}
	head = machine_load64(&console->out_head);
	from = head > CONSOLE_KEPT_BYTES ? head - CONSOLE_KEPT_BYTES : 0;
	seen = machine_load64(&console->out_seen);
	if (head == 0) {
		return;
	}
	kept[slot].bytes = malloc((size_t)(head - from));
	if (kept[slot].bytes == NULL) {
		return;
	}
	kept[slot].size = (size_t)(head - from);
	kept[slot].seen = seen > from && seen <= head ? (size_t)(seen - from) : 0;
	copy_out(console, from, kept[slot].bytes, kept[slot].size);
}

/* The start of the last line in bytes. */
static size_t last_line(const char *bytes, size_t size)
{
	size_t at = size;

	while (at > 0 && bytes[at - 1] != '\n') {
		at--;
	}
	return at;
}

void console_open(uint32_t slot, uint32_t line)
{
	struct bh_console *console = ring(slot, line);
	char tail[LAST_LINE_BYTES];
	uint64_t head;
	uint64_t seen;
	size_t size;

	if (console == NULL) {
		if (is_first(slot, line) && kept[slot].seen >= kept[slot].size) {
			kept[slot].seen = last_line(kept[slot].bytes, kept[slot].size);
		}
		return;
	}
	head = machine_load64(&console->out_head);
	seen = machine_load64(&console->out_seen);
	if (seen < head && seen >= oldest(head)) {
		return;
	}
	if (seen != head) {
		machine_store64(&console->out_seen, oldest(head));
		return;
	}
	/* All is seen: show the line that the guest's cursor is on again. */
	size = head - oldest(head) < sizeof(tail) ? (size_t)(head - oldest(head)) : sizeof(tail);
	copy_out(console, head - size, tail, size);
	machine_store64(&console->out_seen, head - (size - last_line(tail, size)));
}

static size_t read_kept(uint32_t slot, char *out, size_t size)
{
	struct kept *from = &kept[slot];
	size_t count = from->size - from->seen < size ? from->size - from->seen : size;

	if (count != 0) {
		memcpy(out, from->bytes + from->seen, count);
		from->seen += count;
	}
	return count;
}

size_t console_read(uint32_t slot, uint32_t line, char *out, size_t size)
{
	struct bh_console *console = ring(slot, line);
	uint64_t head;
	uint64_t seen;
	size_t count;

	count = is_first(slot, line) ? read_kept(slot, out, size) : 0;
	if (console == NULL || count != 0) {
		return count;
	}
	head = machine_load64(&console->out_head);
	seen = machine_load64(&console->out_seen);
	if (seen > head || seen < oldest(head)) {
		seen = oldest(head);
	}
	count = head - seen < size ? (size_t)(head - seen) : size;
	copy_out(console, seen, out, count);
	machine_store64(&console->out_seen, seen + count);
	return count;
}

/* Tells whoever takes the input. */
static void tell_input(uint32_t slot, uint32_t line)
{
	struct virtio_device *device;

	if (line == CONSOLE_LINE_SERIAL) {
		machine_signal_vmm_console(slot);
		return;
	}
	device = virtio_device_at(slot, GUEST_DEVICE_CONSOLE);
	if (device != NULL) {
		ports_input(device);
	}
}

size_t console_write(uint32_t slot, uint32_t line, const char *bytes, size_t size)
{
	struct bh_console *console = ring(slot, line);
	uint64_t head;
	uint64_t used;
	size_t count = 0;

	if (console == NULL) {
		return size;
	}
	head = machine_load64(&console->in_head);
	used = head - machine_load64(&console->in_tail);
	if (used > BH_CONSOLE_IN_BYTES) {
		/* The VMM's counter makes no sense; its guest gets no input. */
		return size;
	}
	while (count < size && used + count < BH_CONSOLE_IN_BYTES) {
		console->in[(head + count) % BH_CONSOLE_IN_BYTES] = (uint8_t)bytes[count];
		count++;
	}
	if (count != 0) {
		machine_store64(&console->in_head, head + count);
		tell_input(slot, line);
	}
	return count;
}

size_t console_tail(uint32_t slot, char *out, size_t size)
{
	struct bh_console *console = first_ring(slot);
	uint64_t head;
	size_t count;

	if (console == NULL) {
		count = kept[slot].size < size ? kept[slot].size : size;
		if (count != 0) {
			memcpy(out, kept[slot].bytes + kept[slot].size - count, count);
		}
		return count;
	}
	head = machine_load64(&console->out_head);
	count = head - oldest(head) < size ? (size_t)(head - oldest(head)) : size;
	copy_out(console, head - count, out, count);
	return count;
}
