/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine itself: what ACPI says of it; power-off and reset by that, then by what PCs have always had.
 */
#pragma once

struct aml_space;

#include "mgmt/acpi.h"

/* All zero without ACPI. */
void host_read_acpi(struct acpi_machine *machine);

/* Both return only if nothing worked. */
void host_poweroff(void);
void host_reset(void);

/* The firmware's AML (aml.h), to be closed; NULL if there is none. */
struct aml_space *host_open_aml(void);
