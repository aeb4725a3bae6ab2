/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions as drivers see them: config space, BARs, capabilities (PCI Local Bus 3.0, chapter 6).
 *
 * How config space is reached is the caller's: mgmt gives ports or ECAM, a test a table. A device
 * may answer anything; nothing here loops or reads beyond what the standard allows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* PCI Local Bus 3.0, 6.1: offsets in config space */
#define PCI_VENDOR_ID           0x00u
#define PCI_COMMAND             0x04u
#define PCI_COMMAND_PORTS       0x0001u
#define PCI_COMMAND_MEMORY      0x0002u
#define PCI_COMMAND_MASTER      0x0004u
#define PCI_COMMAND_NO_INTX     0x0400u
#define PCI_STATUS              0x06u
#define PCI_STATUS_CAPABILITIES 0x0010u
#define PCI_REVISION            0x08u
#define PCI_HEADER_TYPE         0x0eu
#define PCI_HEADER_MULTI        0x80u
#define PCI_HEADER_KIND         0x7fu
#define PCI_HEADER_BRIDGE       0x01u
#define PCI_BAR                 0x10u
#define PCI_SECONDARY_BUS       0x19u
#define PCI_SUBSYSTEM           0x2cu
#define PCI_CAPABILITIES        0x34u
#define PCI_INTERRUPT_LINE      0x3cu
#define PCI_INTERRUPT_PIN       0x3du
#define PCI_CONFIG_BYTES        0x100u

#define PCI_BARS                6u
#define PCI_BAR_PORTS           0x1u
#define PCI_BAR_TYPE            0x6u
#define PCI_BAR_64              0x4u

#define PCI_CAP_MSI             0x05u
#define PCI_CAP_VENDOR          0x09u
#define PCI_CAP_EXPRESS         0x10u
#define PCI_CAP_MSIX            0x11u

/* 6.8.1: message control, and where the rest follows */
#define PCI_MSI_CONTROL 0x02u
#define PCI_MSI_ENABLE  0x0001u
#define PCI_MSI_COUNT   0x0070u
#define PCI_MSI_64      0x0080u
#define PCI_MSI_ADDRESS 0x04u
#define PCI_MSI_DATA    0x08u /* 0x0c with 64-bit addresses */

/* 6.8.2 */
#define PCI_MSIX_CONTROL  0x02u
#define PCI_MSIX_ENABLE   0x8000u
#define PCI_MSIX_MASK_ALL 0x4000u
#define PCI_MSIX_SIZE     0x07ffu
#define PCI_MSIX_TABLE    0x04u

#define PCI_CLASS_DISPLAY 0x03u
#define PCI_CLASS_BRIDGE  0x06u

/* How config space is reached; width is 1, 2 or 4, offset a multiple of it. What is not there reads
 * as ones. */
struct pci_access {
	uint32_t (*read)(void *context, uint16_t bdf, uint32_t offset, uint32_t width);
	void (*write)(void *context, uint16_t bdf, uint32_t offset, uint32_t width, uint32_t value);
	void *context;
};

struct pci_bar {
	uint64_t address; /* 0: not there, or not set up by firmware */
	uint64_t bytes;
	bool is_port;
};

struct pci_function {
	const struct pci_access *access;
	uint16_t bdf; /* bus 15:8, device 7:3, function 2:0 */
	uint16_t vendor_id;
	uint16_t device_id;
	uint16_t subsystem_id;
	uint32_t class_code; /* class 23:16, subclass 15:8, interface 7:0 */
	uint8_t header_kind;
	uint8_t interrupt_line;       /* GSI as firmware says, 0 or 255: none */
	uint8_t interrupt_pin;        /* 1 = INTA; 0: none */
	struct pci_bar bar[PCI_BARS]; /* by pci_read_bars() */
};

/* Finds all functions behind the host bridges of bus 0. Returns how many were written to out. */
uint32_t pci_scan(const struct pci_access *access, struct pci_function *out, uint32_t max);

uint32_t pci_read(const struct pci_function *function, uint32_t offset, uint32_t width);
void pci_write(const struct pci_function *function, uint32_t offset, uint32_t width,
               uint32_t value);

/* Sizes the BARs; decoding is off meanwhile. For functions with a type 0 header. */
void pci_read_bars(struct pci_function *function);

/* Sets and clears bits of the command register. */
void pci_set_command(const struct pci_function *function, uint32_t set, uint32_t clear);

/* Offset of the next capability with this id after offset `after` (0: the first), or 0. */
uint32_t pci_find_capability(const struct pci_function *function, uint8_t id, uint32_t after);

/* Fills entry 0 of the MSI-X table, masks the others, and turns MSI-X on. The table lies in a BAR: pci_msix_table(). */
void pci_enable_msix(const struct pci_function *function, volatile uint32_t *table,
                     uint64_t address, uint32_t data);

/* BAR, offset and entries of the MSI-X table; false if there is none. */
bool pci_msix_table(const struct pci_function *function, uint32_t *bar_idx, uint32_t *offset,
                    uint32_t *entries);

/* Turns MSI and MSI-X off, as firmware may have left them on. */
void pci_disable_messages(const struct pci_function *function);

/* Writes the message of vector 0 and turns MSI on; false if the function has no MSI. */
bool pci_enable_msi(const struct pci_function *function, uint64_t address, uint32_t data);
