// SPDX-License-Identifier: Apache-2.0
/*
 * PCI enumeration, BAR sizing and capability lists (see pci.h).
 */
#include "drivers/pci.h"

#include <string.h>

#define BUSES            256u
#define DEVICES          32u
#define FUNCTIONS        8u
#define CAPABILITIES_MAX 48u /* (256 - 64) / 4 */

static uint32_t raw_read(const struct pci_access *access, uint16_t bdf, uint32_t offset,
                         uint32_t width)
{
	return access->read(access->context, bdf, offset, width);
}

uint32_t pci_read(const struct pci_function *function, uint32_t offset, uint32_t width)
{
	return raw_read(function->access, function->bdf, offset, width);
}

void pci_write(const struct pci_function *function, uint32_t offset, uint32_t width, uint32_t value)
{
	function->access->write(function->access->context, function->bdf, offset, width, value);
}

void pci_set_command(const struct pci_function *function, uint32_t set, uint32_t clear)
{
	uint32_t command = pci_read(function, PCI_COMMAND, 2);

	pci_write(function, PCI_COMMAND, 2, (command & ~clear) | set);
}

static void read_header(struct pci_function *function, uint32_t id)
{
	uint32_t subsystem = pci_read(function, PCI_SUBSYSTEM, 4);

	function->vendor_id = (uint16_t)id;
	function->device_id = (uint16_t)(id >> 16);
	function->class_code = pci_read(function, PCI_REVISION, 4) >> 8;
	function->header_kind = (uint8_t)(pci_read(function, PCI_HEADER_TYPE, 1) & PCI_HEADER_KIND);
	function->subsystem_id = function->header_kind == 0 ? (uint16_t)(subsystem >> 16) : 0;
	function->interrupt_line = (uint8_t)pci_read(function, PCI_INTERRUPT_LINE, 1);
	function->interrupt_pin = (uint8_t)pci_read(function, PCI_INTERRUPT_PIN, 1);
}

struct scan {
	const struct pci_access *access;
	struct pci_function *out;
	uint32_t max;
	uint32_t count;
	uint64_t wanted[BUSES / 64]; /* buses that bridges lead to */
};

/* True if there is a function. A bridge's bus is marked to be looked at. */
static bool scan_function(struct scan *scan, uint16_t bdf)
{
	struct pci_function function = { .access = scan->access, .bdf = bdf };
	uint32_t id = raw_read(scan->access, bdf, PCI_VENDOR_ID, 4);

	if ((id & 0xffffu) == 0xffffu || (id & 0xffffu) == 0) {
		return false;
	}
	read_header(&function, id);
	if (function.header_kind == PCI_HEADER_BRIDGE) {
		uint32_t bus = pci_read(&function, PCI_SECONDARY_BUS, 1) & 0xffu;

		/* Only buses above: a bridge that leads back makes no loop. */
		if (bus > (uint32_t)(bdf >> 8)) {
			scan->wanted[bus / 64] |= 1ull << (bus % 64);
		}
	}
	if (scan->count < scan->max) {
		scan->out[scan->count++] = function;
	}
	return true;
}

static void scan_bus(struct scan *scan, uint32_t bus)
{
	uint32_t device;
	uint32_t i;

	for (device = 0; device < DEVICES; device++) {
		uint16_t bdf = (uint16_t)(bus << 8 | device << 3);
		uint32_t functions = 1;

		if (!scan_function(scan, bdf)) {
			continue;
		}
		if ((raw_read(scan->access, bdf, PCI_HEADER_TYPE, 1) & PCI_HEADER_MULTI) != 0) {
			functions = FUNCTIONS;
		}
		for (i = 1; i < functions; i++) {
			scan_function(scan, (uint16_t)(bdf | i));
		}
	}
}

uint32_t pci_scan(const struct pci_access *access, struct pci_function *out, uint32_t max)
{
	struct scan scan = { .access = access, .out = out, .max = max, .wanted = { 1 } };
	uint32_t bus;

	for (bus = 0; bus < BUSES; bus++) {
		if ((scan.wanted[bus / 64] >> (bus % 64) & 1) != 0) {
			scan_bus(&scan, bus);
		}
	}
	return scan.count;
}

/* Writes ones and reads what sticks (6.2.5.1); the BAR is as before afterwards. */
static uint32_t probe_bar(const struct pci_function *function, uint32_t offset, uint32_t *value)
{
	uint32_t mask;

	*value = pci_read(function, offset, 4);
	pci_write(function, offset, 4, 0xffffffffu);
	mask = pci_read(function, offset, 4);
	pci_write(function, offset, 4, *value);
	return mask;
}

static void read_bar(struct pci_function *function, uint32_t idx, bool *is_pair)
{
	struct pci_bar *bar = &function->bar[idx];
	uint32_t offset = PCI_BAR + 4 * idx;
	uint32_t value;
	uint64_t mask = probe_bar(function, offset, &value);
	uint64_t address = value;

	*is_pair = false;
	if (mask == 0) {
		return;
	}
	bar->is_port = (value & PCI_BAR_PORTS) != 0;
	if (bar->is_port) {
		mask |= 0xffff0000u; /* the upper half may be wired to zero */
		bar->bytes = ~(mask & ~3ull) & 0xffffffffu;
		bar->address = address & ~3ull;
	} else {
		mask |= 0xffffffff00000000ull;
		if ((value & PCI_BAR_TYPE) == PCI_BAR_64 && idx + 1 < PCI_BARS) {
			uint32_t high;

			mask = (mask & 0xffffffffu) |
			       (uint64_t)probe_bar(function, offset + 4, &high) << 32;
			address |= (uint64_t)high << 32;
			*is_pair = true;
		}
		bar->bytes = ~(mask & ~0xfull);
		bar->address = address & ~0xfull;
	}
	bar->bytes = bar->bytes != ~0ull ? bar->bytes + 1 : 0;
	/* Sizes are powers of two; anything else is no BAR. */
	if (bar->bytes == 0 || (bar->bytes & (bar->bytes - 1)) != 0) {
		memset(bar, 0, sizeof(*bar));
	}
}

void pci_read_bars(struct pci_function *function)
{
	uint32_t command = pci_read(function, PCI_COMMAND, 2);
	uint32_t idx;

	memset(function->bar, 0, sizeof(function->bar));
	if (function->header_kind != 0) {
		return;
	}
	pci_write(function, PCI_COMMAND, 2, command & ~(PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY));
	for (idx = 0; idx < PCI_BARS; idx++) {
		bool is_pair;

		read_bar(function, idx, &is_pair);
		idx += is_pair ? 1 : 0;
	}
	pci_write(function, PCI_COMMAND, 2, command);
}

uint32_t pci_find_capability(const struct pci_function *function, uint8_t id, uint32_t after)
{
	uint32_t left = CAPABILITIES_MAX;
	uint32_t at;

	if ((pci_read(function, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES) == 0) {
		return 0;
	}
	at = after == 0 ? PCI_CAPABILITIES : after + 1;
	at = pci_read(function, at, 1) & 0xfcu;
	while (at >= 0x40 && left-- != 0) {
		if (pci_read(function, at, 1) == id) {
			return at;
		}
		at = pci_read(function, at + 1, 1) & 0xfcu;
	}
	return 0;
}

void pci_disable_messages(const struct pci_function *function)
{
	uint32_t msi = pci_find_capability(function, PCI_CAP_MSI, 0);
	uint32_t msix = pci_find_capability(function, PCI_CAP_MSIX, 0);

	if (msi != 0) {
		pci_write(function, msi + PCI_MSI_CONTROL, 2,
		          pci_read(function, msi + PCI_MSI_CONTROL, 2) & ~PCI_MSI_ENABLE);
	}
	if (msix != 0) {
		pci_write(function, msix + PCI_MSIX_CONTROL, 2,
		          pci_read(function, msix + PCI_MSIX_CONTROL, 2) & ~PCI_MSIX_ENABLE);
	}
}

bool pci_enable_msi(const struct pci_function *function, uint64_t address, uint32_t data)
{
	uint32_t at = pci_find_capability(function, PCI_CAP_MSI, 0);
	uint32_t control;
	bool is_64;

	if (at == 0) {
		return false;
	}
	control = pci_read(function, at + PCI_MSI_CONTROL, 2);
	is_64 = (control & PCI_MSI_64) != 0;
	if (!is_64 && address >> 32 != 0) {
		return false;
	}
	pci_write(function, at + PCI_MSI_ADDRESS, 4, (uint32_t)address);
	if (is_64) {
		pci_write(function, at + PCI_MSI_ADDRESS + 4, 4, (uint32_t)(address >> 32));
	}
	pci_write(function, at + PCI_MSI_DATA + (is_64 ? 4 : 0), 2, data);
	pci_write(function, at + PCI_MSI_CONTROL, 2, (control & ~PCI_MSI_COUNT) | PCI_MSI_ENABLE);
	pci_set_command(function, PCI_COMMAND_NO_INTX, 0);
	return true;
}

bool pci_msix_table(const struct pci_function *function, uint32_t *bar_idx, uint32_t *offset,
                    uint32_t *entries)
{
	uint32_t at = pci_find_capability(function, PCI_CAP_MSIX, 0);
	uint32_t where;

	if (at == 0) {
		return false;
	}
	where = pci_read(function, at + PCI_MSIX_TABLE, 4);
	*bar_idx = where & 7u;
	*offset = where & ~7u;
	*entries = (pci_read(function, at + PCI_MSIX_CONTROL, 2) & PCI_MSIX_SIZE) + 1;
	return *bar_idx < PCI_BARS &&
	       (uint64_t)*offset + 16ull * *entries <= function->bar[*bar_idx].bytes;
}

void pci_enable_msix(const struct pci_function *function, volatile uint32_t *table,
                     uint64_t address, uint32_t data)
{
	uint32_t at = pci_find_capability(function, PCI_CAP_MSIX, 0);
	uint32_t control = pci_read(function, at + PCI_MSIX_CONTROL, 2);
	uint32_t i;

	/* Masked as a whole while the entries are written (6.8.3.5). */
	pci_write(function, at + PCI_MSIX_CONTROL, 2,
	          control | PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
	for (i = 0; i <= (control & PCI_MSIX_SIZE); i++) {
		table[4 * i] = i == 0 ? (uint32_t)address : 0;
		table[4 * i + 1] = i == 0 ? (uint32_t)(address >> 32) : 0;
		table[4 * i + 2] = i == 0 ? data : 0;
		table[4 * i + 3] = i == 0 ? 0 : 1;
	}
	pci_write(function, at + PCI_MSIX_CONTROL, 2,
	          (control & ~PCI_MSIX_MASK_ALL) | PCI_MSIX_ENABLE);
	pci_set_command(function, PCI_COMMAND_NO_INTX, 0);
}
