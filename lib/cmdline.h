/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of the kernel's command line, which is separated by blanks.
 */
#pragma once

#include <stddef.h>
#include <string.h>

/* Where the value of the last word that begins with `name` (with its `=`) begins; NULL: there is none. It ends at a blank or at the end. */
static inline const char *cmdline_find(const char *cmdline, const char *name)
{
	const char *found = NULL;

	while (*cmdline != '\0') {
		if (strncmp(cmdline, name, strlen(name)) == 0) {
			found = cmdline + strlen(name);
		}
		cmdline += strcspn(cmdline, " ");
		cmdline += strspn(cmdline, " ");
	}
	return found;
}
