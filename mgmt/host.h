/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the machine: power-off and reset by what ACPI says, then by what PCs have always had.
 */
#pragma once

/* Both return only if nothing worked. */
void host_poweroff(void);
void host_reset(void);
