/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switches that are configured: between the ledger, where their settings and their rules' counters live
 * and outlast mgmt, and mgmt/switch, which works with them in place.
 */
#pragma once

#include "mgmt/config.h"

/* Makes the switches of the ledger. Once, before any port. */
void switches_init(void);

/* Defines a switch, or changes it: rules count from 0. False: there are too many. */
bool switches_define(const struct config_switch *config);

/* The settings of that switch in the ledger, or NULL. After a change in place: switches_changed(). */
struct config_switch *switches_find(const char *name);
void switches_changed(struct config_switch *config);

/* Forgets it. Its ports stay, and it with them, without settings. */
void switches_delete(struct config_switch *config);

/* The switch whose section names this NIC, with how; NULL if none does. */
const char *switches_uplink(const char *nic, struct config_uplink *how);

/* Prints all sections, each after an empty line. */
void switches_print(config_write_fn *write, void *context);
