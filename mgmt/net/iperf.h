/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb iperf: while it is started, TCP port 5001 of mgmt takes what comes and drops it, as the server of iperf 2 does for a client
 * that only sends (`iperf -c`). It sends nothing. Whoever reaches mgmt's address can use it, so it is off until an operator says so.
 */
#pragma once

#include <stdbool.h>

#include "mgmt/result.h"

#define IPERF_PORT            5001u
#define IPERF_CONNECTIONS_MAX 3u

/* False: there is no memory for it in lwIP. Started already: true. */
bool iperf_start(void);
/* Breaks off what is connected. False: it was not started. */
bool iperf_stop(void);
void iperf_print(struct result *result);
