// SPDX-License-Identifier: Apache-2.0
/*
 * The VMM's control thread: commands from mgmt, timers of the devices, stops and starts.
 *
 * Owns: the VMM's half of the channel. Must never: touch a vCPU that is not parked.
 */
#pragma once

/* Starts the guest and serves it for ever. */
_Noreturn void control_run(void);
