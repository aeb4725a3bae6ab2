/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mgmt's own TCP/IP: lwIP on a port of a switch, with an address by DHCP or as configured.
 *
 * Everything is in mgmt's one thread: net_poll() gives lwIP what came in and lets its timers run.
 * What uses TCP and UDP (ping, fetch) calls lwIP's raw interface, from here on only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/result.h"

#define NET_TEXT_SIZE 48u /* of an address */

/* Starts lwIP. Call once. */
void net_init(void);

/* Takes the host's configuration: port, address, servers. Call after every change of it. */
void net_configure(void);

/* A cable was put in: the network behind it may be another. */
void net_uplink_came(void);

/* Moves everything on. Call after every event. */
void net_poll(void);
uint64_t net_deadline_tsc(void);

/* True if there is an address of this family to send from. */
bool net_is_up(bool is_ipv6);

/* Fills result for the verb `net stat`. */
void net_print_stat(struct result *result);
