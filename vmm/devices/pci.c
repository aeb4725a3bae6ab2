// SPDX-License-Identifier: Apache-2.0
/*
 * PCI configuration mechanisms 1 and ECAM over one table of functions; BARs on the buses.
 *
 * Must never: index a configuration space with an unchecked offset.
 */
#include "vmm/devices/pci.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_KEPT   0x80fffffcu

/*
 * A host bridge without a maker's quirks attached: the generic PCI Express host bridge that
 * emulators share.
 */
#define HOST_BRIDGE_ID     0x00081b36u
#define CLASS_HOST_BRIDGE  0x060000u

#define BAR_IO_FLAG        0x1u
#define BAR_64_FLAG        0x4u
#define BAR_IO_MASK        0xfffffffcu
#define BAR_MEMORY_MASK    0xfffffff0u
#define BAR_MEMORY_LEAST   16u

#define CAPABILITIES_FIRST 0x40u

uint16_t pci_config_get16(const struct pci_function *function, uint32_t offset)
{
	return (uint16_t)(function->config[offset] | function->config[offset + 1] << 8);
}

uint32_t pci_config_get32(const struct pci_function *function, uint32_t offset)
{
	return pci_config_get16(function, offset) | (uint32_t)pci_config_get16(function, offset + 2)
	                                                    << 16;
}

void pci_config_set16(struct pci_function *function, uint32_t offset, uint32_t value)
{
	function->config[offset] = (uint8_t)value;
	function->config[offset + 1] = (uint8_t)(value >> 8);
}

void pci_config_set32(struct pci_function *function, uint32_t offset, uint32_t value)
{
	pci_config_set16(function, offset, value);
	pci_config_set16(function, offset + 2, value >> 16);
}

static struct pci_function *function_find(const struct pci *pci, uint32_t bus, uint32_t devfn)
{
	if (bus != 0) {
		return NULL;
	}
	for (uint32_t i = 0; i < pci->functions_count; i++) {
		struct pci_function *function = pci->functions[i];

		if (function->slot == devfn >> 3 && function->function == (devfn & 7u)) {
			return function;
		}
	}
	return NULL;
}

static uint64_t bar_address(const struct pci_function *function, uint32_t idx)
{
	uint32_t low = pci_config_get32(function, PCI_BAR0 + idx * 4);

	if (function->bars[idx].kind == PCI_BAR_IO) {
		return low & BAR_IO_MASK;
	}
	if (function->bars[idx].kind == PCI_BAR_MEMORY64) {
		return (low & BAR_MEMORY_MASK) |
		       (uint64_t)pci_config_get32(function, PCI_BAR0 + idx * 4 + 4) << 32;
	}
	return low & BAR_MEMORY_MASK;
}

static void bar_release(struct pci *pci, struct pci_bar *bar)
{
	if (!bar->is_claimed) {
		return;
	}
	if (bar->kind == PCI_BAR_IO) {
		(void)bus_port_remove(pci->bus, bar->claimed_base);
	} else {
		(void)bus_mmio_remove(pci->bus, bar->claimed_base);
	}
	bar->is_claimed = false;
}

/*
 * Makes the buses agree with the command register and the BAR. A range that is taken is not
 * claimed.
 */
static void bar_update(struct pci *pci, struct pci_function *function, uint32_t idx)
{
	struct pci_bar *bar = &function->bars[idx];
	uint32_t command = pci_config_get16(function, PCI_COMMAND);
	bool is_io = bar->kind == PCI_BAR_IO;
	bool is_wanted = bar->kind != PCI_BAR_NONE &&
	                 (command & (is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) != 0;
	uint64_t base = is_wanted ? bar_address(function, idx) : 0;
	struct bus_range range = { base,       bar->size,        bar->read,
		                   bar->write, function->device, bar->widths };

	if (bar->is_claimed && is_wanted && bar->claimed_base == base) {
		return;
	}
	bar_release(pci, bar);
	if (!is_wanted || base == 0) {
		return;
	}
	bar->is_claimed = (is_io ? bus_port_add(pci->bus, &range)
	                         : bus_mmio_add(pci->bus, &range)) == BH_OK;
	bar->claimed_base = base;
}

static uint32_t config_read(const struct pci *pci, struct pci_function *function, uint32_t offset,
                            uint32_t width)
{
	uint32_t value = 0;

	(void)pci;
	if (function->reading) {
		function->reading(function->device, offset, width);
	}
	for (uint32_t i = 0; i < width; i++) {
		uint32_t at = offset + i;

		/* Beyond the first 256 bytes: no extended capability is there (PCIe 7.6). */
		value |= (uint32_t)(at < PCI_CONFIG_BYTES ? function->config[at] : 0) << (i * 8);
	}
	return value;
}

static void config_write(struct pci *pci, struct pci_function *function, uint32_t offset,
                         uint32_t width, uint32_t value)
{
	if (offset + width > PCI_CONFIG_BYTES) {
		return;
	}
	for (uint32_t i = 0; i < width; i++) {
		uint32_t at = offset + i;
		uint8_t byte = (uint8_t)(value >> (i * 8));
		uint8_t mask = function->writable[at];
		uint8_t kept = function->config[at] & (uint8_t) ~(byte & function->clears[at]);

		function->config[at] = (uint8_t)((kept & ~mask) | (byte & mask));
	}
	if (offset < PCI_BAR0 + PCI_BARS * 4) {
		for (uint32_t i = 0; i < PCI_BARS; i++) {
			bar_update(pci, function, i);
		}
	}
	if (function->written) {
		function->written(function->device, offset, width);
	}
}

static uint64_t ecam_read(void *device, uint64_t offset, uint32_t width)
{
	const struct pci *pci = device;
	struct pci_function *function = function_find(pci, (uint32_t)(offset >> 20),
	                                              (uint32_t)(offset >> 12 & 0xffu));

	return function ? config_read(pci, function, offset & 0xfffu, width) : UINT32_MAX;
}

static void ecam_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pci *pci = device;
	struct pci_function *function = function_find(pci, (uint32_t)(offset >> 20),
	                                              (uint32_t)(offset >> 12 & 0xffu));

	if (function) {
		config_write(pci, function, offset & 0xfffu, width, (uint32_t)value);
	}
}

/* Only a whole dword reaches the address register; a byte at 0xcf9 is the reset control. */
static uint64_t address_read(void *device, uint64_t offset, uint32_t width)
{
	const struct pci *pci = device;

	if (width == 4) {
		return pci->address;
	}
	if (offset == 1 && width == 1 && pci->cf9_read) {
		return pci->cf9_read(pci->context);
	}
	return UINT32_MAX;
}

static void address_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pci *pci = device;

	if (width == 4) {
		pci->address = (uint32_t)value & ADDRESS_KEPT;
	} else if (offset == 1 && width == 1 && pci->cf9_write) {
		pci->cf9_write(pci->context, (uint8_t)value);
	}
}

static struct pci_function *addressed(const struct pci *pci)
{
	if (!(pci->address & ADDRESS_ENABLE)) {
		return NULL;
	}
	return function_find(pci, pci->address >> 16 & 0xffu, pci->address >> 8 & 0xffu);
}

static uint64_t data_read(void *device, uint64_t offset, uint32_t width)
{
	const struct pci *pci = device;
	struct pci_function *function = addressed(pci);

	return function ? config_read(pci, function, (pci->address & 0xfcu) + (uint32_t)offset,
	                              width)
	                : UINT32_MAX;
}

static void data_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pci *pci = device;
	struct pci_function *function = addressed(pci);

	if (function) {
		config_write(pci, function, (pci->address & 0xfcu) + (uint32_t)offset, width,
		             (uint32_t)value);
	}
}

void pci_function_init(struct pci_function *function, uint32_t vendor_device, uint32_t class_code)
{
	memset(function->config, 0, sizeof(function->config));
	memset(function->writable, 0, sizeof(function->writable));
	memset(function->clears, 0, sizeof(function->clears));
	memset(function->bars, 0, sizeof(function->bars));
	pci_config_set32(function, PCI_VENDOR_ID, vendor_device);
	pci_config_set32(function, PCI_REVISION, class_code << 8);
	pci_config_set32(function, PCI_SUBSYSTEM_VENDOR, vendor_device);
	function->writable[PCI_COMMAND] = 0x47;     /* I/O, memory, master, parity */
	function->writable[PCI_COMMAND + 1] = 0x05; /* SERR, INTx disable */
	function->writable[0x0c] = 0xff;            /* cache line size */
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
	function->capabilities_end = CAPABILITIES_FIRST;
}

int pci_function_add(struct pci *pci, struct pci_function *function)
{
	if (function->slot > 31 || function->function > 7) {
		return BH_ERR_INVALID;
	}
	if (function_find(pci, 0, (uint32_t)function->slot << 3 | function->function)) {
		return BH_ERR_EXISTS;
	}
	if (pci->functions_count == PCI_FUNCTIONS_MAX) {
		return BH_ERR_LIMIT;
	}
	pci->functions[pci->functions_count++] = function;
	return BH_OK;
}

void pci_function_remove(struct pci *pci, struct pci_function *function)
{
	for (uint32_t i = 0; i < pci->functions_count; i++) {
		if (pci->functions[i] != function) {
			continue;
		}
		pci->functions[i] = pci->functions[--pci->functions_count];
		for (uint32_t idx = 0; idx < PCI_BARS; idx++) {
			bar_release(pci, &function->bars[idx]);
		}
		return;
	}
}

int pci_capability_add(struct pci_function *function, uint8_t id, uint32_t length)
{
	uint32_t at = (function->capabilities_end + 3u) & ~3u;

	if (length < 2 || at + length > PCI_CONFIG_BYTES) {
		return BH_ERR_LIMIT;
	}
	function->config[at] = id;
	function->config[at + 1] = function->config[PCI_CAPABILITIES];
	function->config[PCI_CAPABILITIES] = (uint8_t)at;
	function->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	function->capabilities_end = (uint16_t)(at + length);
	return (int)at;
}

int pci_bar_set(struct pci_function *function, uint32_t idx, const struct pci_bar *bar,
                uint64_t base)
{
	uint64_t least = bar->kind == PCI_BAR_IO ? 4 : BAR_MEMORY_LEAST;
	uint32_t bars = bar->kind == PCI_BAR_MEMORY64 ? 2 : 1;
	uint64_t mask = ~(bar->size - 1);
	uint32_t flags = 0;

	if (idx + bars > PCI_BARS || bar->size < least || (bar->size & (bar->size - 1)) != 0 ||
	    (base & ~mask) != 0) {
		return BH_ERR_INVALID;
	}
	flags |= bar->kind == PCI_BAR_IO ? BAR_IO_FLAG : 0;
	flags |= bar->kind == PCI_BAR_MEMORY64 ? BAR_64_FLAG : 0;
	function->bars[idx] = *bar;
	function->bars[idx].is_claimed = false;
	pci_config_set32(function, PCI_BAR0 + idx * 4, (uint32_t)base | flags);
	for (uint32_t i = 0; i < bars * 4; i++) {
		uint64_t byte = mask >> (i * 8);

		if (i == 0) {
			byte &= bar->kind == PCI_BAR_IO ? 0xfcu : 0xf0u;
		}
		function->writable[PCI_BAR0 + idx * 4 + i] = (uint8_t)byte;
	}
	if (bars == 2) {
		pci_config_set32(function, PCI_BAR0 + idx * 4 + 4, (uint32_t)(base >> 32));
	}
	return BH_OK;
}

void pci_reset(struct pci *pci)
{
	pci->address = 0;
	for (uint32_t i = 0; i < pci->functions_count; i++) {
		struct pci_function *function = pci->functions[i];

		pci_config_set16(function, PCI_COMMAND, 0);
		for (uint32_t idx = 0; idx < PCI_BARS; idx++) {
			bar_update(pci, function, idx);
		}
	}
}

int pci_attach(struct pci *pci, struct bus *bus, uint64_t ecam_gpa)
{
	const struct bus_range address = {
		0xcf8, 4, address_read, address_write, pci, BUS_WIDTH_124
	};
	const struct bus_range data = { 0xcfc, 4, data_read, data_write, pci, BUS_WIDTH_124 };
	const struct bus_range ecam = { ecam_gpa, PCI_ECAM_BUS_BYTES, ecam_read, ecam_write,
		                        pci,      BUS_WIDTH_124 };
	int error;

	pci->bus = bus;
	pci->functions_count = 0;
	pci_function_init(&pci->host_bridge, HOST_BRIDGE_ID, CLASS_HOST_BRIDGE);
	error = pci_function_add(pci, &pci->host_bridge);
	error = error == BH_OK ? bus_port_add(bus, &address) : error;
	error = error == BH_OK ? bus_port_add(bus, &data) : error;
	return error == BH_OK ? bus_mmio_add(bus, &ecam) : error;
}
