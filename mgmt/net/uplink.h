/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's NICs as uplinks: each that is ready becomes a port of the switch that its
 * configuration names. What a driver does is drivers/nic.h, what a switch does is
 * mgmt/switch/switch.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "drivers/nic.h"

#define UPLINKS_MAX 8u

/* For the verbs: NIC idx, or NULL. */
const struct nic *uplink_nic(uint32_t idx);

/* The NIC of this name, or NULL: there is none, or it has not started. */
const struct nic *uplink_find(const char *name);

/* The switch that it is a port of; "" if none. */
const char *uplink_switch(uint32_t idx);

/* Puts every NIC onto the switch that the configuration says now. */
void uplink_configure(void);
