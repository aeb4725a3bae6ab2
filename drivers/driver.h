/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driver is, and what it is given: one record for each PCI function that it runs.
 *
 * A driver never waits: start() sets the device going and returns, service() moves it on, after an
 * interrupt or at deadline_tsc. It touches no memory but its registers and what driver_dma() gave it.
 * A device that does not answer in time fails with a reason; it cannot hang mgmt.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci.h"

#define DEVICE_NAME_SIZE   16u
#define DEVICE_ABOUT_SIZE  64u
#define DEVICE_REASON_SIZE 96u

enum device_state {
	DEVICE_STARTING,
	DEVICE_RUNNING,
	DEVICE_FAILED,
};

struct device {
	const struct driver *driver;
	struct pci_function *pci;
	char name[DEVICE_NAME_SIZE];     /* driver's name and a number: "e1000-0" */
	char about[DEVICE_ABOUT_SIZE];   /* the driver's, for the verb devices */
	char reason[DEVICE_REASON_SIZE]; /* why it failed */
	enum device_state state;
	bool has_interrupt;
	bool has_msix;              /* its interrupts are entry 0 of the MSI-X table */
	const char *interrupt_kind; /* for the verb devices */
	uint64_t deadline_tsc;      /* service() is called then at the latest */
	uint64_t interrupts_count;
	uint32_t resets_count;
	/* Memory for the device, set by mgmt before start(). */
	uint8_t *dma;
	uint64_t dma_physical;
	uint64_t dma_bytes;
	uint64_t dma_used;
	void *own; /* the driver's record */
};

struct driver {
	const char *name;
	uint64_t dma_bytes; /* what driver_dma() may take for one device */
	bool (*matches)(const struct pci_function *pci);
	/* BARs are read, decoding and bus mastering are on. May end with driver_fail(). */
	void (*start)(struct device *device);
	void (*service)(struct device *device);
};

/* Ends the device's use: bus mastering goes off. What it held is ended by the driver before. */
void driver_fail(struct device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A line in the event log. */
void driver_say(const struct device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Memory that the device reaches at *physical: cleared, page-aligned. NULL if dma_bytes is used up. */
void *driver_dma(struct device *device, uint64_t bytes, uint64_t *physical);

/* The registers of a BAR, uncached; NULL if it is not memory or has less than bytes. */
volatile void *driver_map_bar(struct device *device, uint32_t bar_idx, uint64_t bytes);

/* Memory for the driver's own record, cleared; NULL if there is none. */
void *driver_allocate(uint64_t bytes);

uint64_t driver_now_tsc(void);
uint64_t driver_ms_to_tsc(uint64_t ms);

/* A NIC is ready, or its link changed (nic.h). */
struct nic;
void driver_nic_ready(struct nic *nic);
void driver_nic_link(struct nic *nic);

extern const struct driver driver_e1000;
extern const struct driver driver_virtio_net;
extern const struct driver driver_virtio_blk;
extern const struct driver driver_nvme;

static inline uint32_t mmio_read32(const volatile void *base, uint32_t offset)
{
	return *(const volatile uint32_t *)((const volatile uint8_t *)base + offset);
}

static inline void mmio_write32(volatile void *base, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)((volatile uint8_t *)base + offset) = value;
}

/* Stores before it are seen by the device before those after it. x86 keeps the order of stores. */
static inline void mmio_order(void)
{
	__asm__ volatile("" ::: "memory");
}
