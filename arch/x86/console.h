/* SPDX-License-Identifier: Apache-2.0 */
/* Where the kernel's log goes: one 16550 and one screen. Output only. The domains' own console driver is mgmt's. */
#pragma once

#include "kernel/types.h"

/* From `console=`, else COM1. First thing after the boot path; uses no memory but its own. */
void console_init(void);
/* After acpi_init: move to the port that SPCR names, unless `console=` said otherwise; find its interrupt. */
void console_configure(void);

/* ---- arch/x86/screen.c ---- */
/* After paging_init: take VGA text or the framebuffer of boot_info. */
void screen_init(void);
void screen_write(const char *text, size_t length);

/* Characters 20h..7Eh, eight by eight dots each (arch/x86/font.c). */
#define FONT_FIRST 0x20
#define FONT_LAST  0x7e
extern const uint64_t font_glyphs[FONT_LAST - FONT_FIRST + 1];
