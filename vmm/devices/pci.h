// SPDX-License-Identifier: Apache-2.0
/*
 * PCI bus 0: configuration space by ports 0xcf8-0xcff and by ECAM, base address registers,
 * capabilities.
 *
 * Owns: the table of functions and what their BARs claim on the buses. Function 00:00.0 is the host
 * bridge. Must never: let the guest place a BAR over another device's range: such a BAR claims
 * nothing. Manuals: PCI Local Bus 3.0 chapter 6 and 3.2.2.3.2; PCI Express Base 7.2.2 (ECAM).
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define PCI_FUNCTIONS_MAX       24
#define PCI_BARS                6
#define PCI_CONFIG_BYTES        256

#define PCI_ECAM_BUS_BYTES      0x100000ull

#define PCI_VENDOR_ID           0x00
#define PCI_DEVICE_ID           0x02
#define PCI_COMMAND             0x04
#define PCI_STATUS              0x06
#define PCI_REVISION            0x08
#define PCI_CLASS_PROG          0x09
#define PCI_HEADER_TYPE         0x0e
#define PCI_BAR0                0x10
#define PCI_SUBSYSTEM_VENDOR    0x2c
#define PCI_SUBSYSTEM_ID        0x2e
#define PCI_CAPABILITIES        0x34
#define PCI_INTERRUPT_LINE      0x3c
#define PCI_INTERRUPT_PIN       0x3d

#define PCI_COMMAND_IO          0x0001u
#define PCI_COMMAND_MEMORY      0x0002u
#define PCI_COMMAND_MASTER      0x0004u
#define PCI_COMMAND_INTX_OFF    0x0400u
#define PCI_STATUS_CAPABILITIES 0x0010u

enum pci_bar_kind {
	PCI_BAR_NONE = 0,
	PCI_BAR_IO,
	PCI_BAR_MEMORY32,
	PCI_BAR_MEMORY64
};

struct pci_bar {
	uint64_t size; /* power of two; at least 4 (ports) or 4096 (memory) */
	uint64_t claimed_base;
	bus_read_fn read;
	bus_write_fn write;
	uint32_t widths;
	uint8_t kind; /* enum pci_bar_kind; a MEMORY64 takes the next BAR too */
	bool is_claimed;
};

struct pci_function {
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* bits that the guest may change */
	uint8_t clears[PCI_CONFIG_BYTES];   /* bits that a written one clears */
	struct pci_bar bars[PCI_BARS];
	uint8_t slot;              /* device number 0-31 */
	uint8_t function;          /* 0-7 */
	uint16_t capabilities_end; /* next free byte */
	void *device;              /* for the BARs' functions and written() */
	/* After the guest wrote [offset, offset + width); may be NULL. */
	void (*written)(void *device, uint32_t offset, uint32_t width);
	/* Before the guest reads them; may be NULL. */
	void (*reading)(void *device, uint32_t offset, uint32_t width);
};

struct pci {
	struct pci_function *functions[PCI_FUNCTIONS_MAX];
	uint32_t functions_count;
	uint32_t address; /* 0xcf8 */
	struct bus *bus;
	struct pci_function host_bridge;
	/* Port 0xcf9, the reset control, lies inside the address port. */
	uint8_t (*cf9_read)(void *context);
	void (*cf9_write)(void *context, uint8_t value);
	void *context;
};

/* The bus with its host bridge; claims the ports and [ecam_gpa, +1 MiB). Errors as bus_*_add(). */
int pci_attach(struct pci *pci, struct bus *bus, uint64_t ecam_gpa);
/*
 * Power-on values of the address port, the command registers and what the BARs claim; BARs keep
 * their addresses.
 */
void pci_reset(struct pci *pci);

/* Fills the header of a type 0 function. `class_code` is 24 bits: class, subclass, interface. */
void pci_function_init(struct pci_function *function, uint32_t vendor_device, uint32_t class_code);
/*
 * Puts it at its slot. BH_ERR_EXISTS, BH_ERR_LIMIT. The record stays the caller's and must stay in
 * place.
 */
int pci_function_add(struct pci *pci, struct pci_function *function);
/* Takes it from the bus, with what its BARs claim. One that is not there: nothing. */
void pci_function_remove(struct pci *pci, struct pci_function *function);
/*
 * Appends a capability of `length` bytes (header included), zeroed and read-only. Its offset, or
 * BH_ERR_LIMIT.
 */
int pci_capability_add(struct pci_function *function, uint8_t id, uint32_t length);
/* Describes BAR idx and places it at `base` (a multiple of its size). BH_ERR_INVALID. */
int pci_bar_set(struct pci_function *function, uint32_t idx, const struct pci_bar *bar,
                uint64_t base);

uint16_t pci_config_get16(const struct pci_function *function, uint32_t offset);
uint32_t pci_config_get32(const struct pci_function *function, uint32_t offset);
void pci_config_set16(struct pci_function *function, uint32_t offset, uint32_t value);
void pci_config_set32(struct pci_function *function, uint32_t offset, uint32_t value);
