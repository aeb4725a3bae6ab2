/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's PCI functions and the drivers that run them: finds, gives memory and interrupts,
 * calls service() in time. What drivers may ask for is drivers/driver.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "drivers/driver.h"

#define DEVICES_PCI_MAX   64u
#define DEVICES_MAX       16u
#define DEVICES_EVENT     192u /* bits DEVICES_EVENT.. of mgmt's event set */
#define DEVICES_LINES_MAX 16u

/* Looks at all functions; drivers start as soon as root has given the memory. kept_init() before. */
void devices_init(void);

/* Services what has an event in bits[], and what is due. */
void devices_service(const uint64_t *bits);
uint64_t devices_deadline_tsc(void);

/* False while a device has not said yet whether it works. */
bool devices_are_settled(void);

/* For the verbs. */
uint32_t devices_pci_count(void);
const struct pci_function *devices_pci(uint32_t idx);
const struct device *devices_of(const struct pci_function *pci);
/* The global system interrupt that the device's pin arrives at; false if it uses none. */
bool devices_gsi(const struct device *device, uint32_t *gsi);

const char *devices_class_name(uint32_t class_code);
