/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's log on the machine's screen, where the boot loader left one. Output only; the shell is
 * at the serial port.
 */
#pragma once

#include <stdint.h>

/* Maps the screen and clears it; nothing happens where there is none. */
void screen_init(void);
/* Draws what has come into the log since the last time. */
void screen_service(void);

/* Characters 20h..7Eh, eight by eight dots each (font.c). */
#define FONT_FIRST 0x20
#define FONT_LAST  0x7e
extern const uint64_t font_glyphs[FONT_LAST - FONT_FIRST + 1];
