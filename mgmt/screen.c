// SPDX-License-Identifier: Apache-2.0
/*
 * The log on a screen (see screen.h): VGA text memory, or the framebuffer that firmware left, written
 * with a font of our own at double height. It never scrolls (video memory is slow to read): at the
 * bottom it goes on at the top, with one blank line ahead of the text.
 */
#include "mgmt/screen.h"

#include <stdbool.h>
#include <stddef.h>

#include "lib/call.h"
#include "mgmt/machine.h"

#define SCREEN_VA      0x0000140000000000ull
#define SCREEN_BYTES   (256ull << 20) /* the most that is mapped */

#define GLYPH_WIDTH    8u
#define GLYPH_HEIGHT   16u
#define TEXT_COLUMNS   80u
#define TEXT_ROWS      25u
#define TEXT_ATTRIBUTE 0x0700u /* grey on black */
#define PIXEL_SET      0x00c0c0c0u

static struct {
	volatile uint16_t *cells;  /* VGA text */
	volatile uint32_t *pixels; /* framebuffer */
	uint32_t pitch;            /* in pixels */
	uint32_t columns, rows;
	uint32_t column, row;
	uint64_t seen; /* how far the log is drawn */
} screen;

static void clear_row(uint32_t row)
{
	uint32_t i;

	for (i = 0; screen.cells != NULL && i < screen.columns; i++) {
		screen.cells[row * screen.columns + i] = TEXT_ATTRIBUTE;
	}
	for (i = 0; screen.pixels != NULL && i < GLYPH_HEIGHT * screen.pitch; i++) {
		screen.pixels[row * GLYPH_HEIGHT * screen.pitch + i] = 0;
	}
}

static void *map_screen(uint64_t base, uint64_t bytes)
{
	uint64_t first = base & ~(BH_PAGE_SIZE - 1);
	struct bh_map map = { .flags = BH_MAP_READ | BH_MAP_WRITE | BH_MAP_UNCACHED };
	int64_t region;

	if (base == 0 || bytes == 0 || bytes > SCREEN_BYTES) {
		return NULL;
	}
	map.size = (base + bytes - first + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1);
	region = bh_region_device(MGMT_HANDLE_HOST, first, map.size);
	if (region <= 0 ||
	    bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, SCREEN_VA, &map) != BH_OK) {
		return NULL;
	}
	return (void *)(SCREEN_VA + (base - first));
}

void screen_init(void)
{
	struct bh_host_info host;
	uint64_t head = machine_load64(&machine_log()->head);
	uint32_t i;

	if (machine_host_info(&host) != BH_OK) {
		return;
	}
	if (host.screen_is_text != 0) {
		screen.cells = map_screen(host.screen_base, TEXT_COLUMNS * TEXT_ROWS * 2);
		screen.columns = screen.cells != NULL ? TEXT_COLUMNS : 0;
		screen.rows = TEXT_ROWS;
	} else if (host.screen_pitch_bytes / 4 >= host.screen_width) {
		screen.pixels = map_screen(host.screen_base,
		                           (uint64_t)host.screen_pitch_bytes * host.screen_height);
		screen.columns = screen.pixels != NULL ? host.screen_width / GLYPH_WIDTH : 0;
		screen.pitch = host.screen_pitch_bytes / 4;
		screen.rows = host.screen_height / GLYPH_HEIGHT;
	}
	for (i = 0; screen.columns != 0 && i < screen.rows; i++) {
		clear_row(i);
	}
	/* A new mgmt shows the last of the log, not all of the ring. */
	screen.seen = head > 4096 ? head - 4096 : 0;
}

static void draw_glyph(uint8_t character)
{
	uint64_t glyph = font_glyphs[character >= FONT_FIRST && character <= FONT_LAST
	                                     ? character - FONT_FIRST
	                                     : '?' - FONT_FIRST];
	uint32_t i;

	if (screen.cells != NULL) {
		screen.cells[screen.row * screen.columns + screen.column] =
			(uint16_t)(TEXT_ATTRIBUTE | character);
		return;
	}
	for (i = 0; i < GLYPH_HEIGHT * GLYPH_WIDTH; i++) {
		uint32_t x = i % GLYPH_WIDTH;
		uint32_t y = i / GLYPH_WIDTH;

		screen.pixels[(screen.row * GLYPH_HEIGHT + y) * screen.pitch +
		              screen.column * GLYPH_WIDTH + x] =
			(glyph >> (y / 2 * 8) & (0x80u >> x)) != 0 ? PIXEL_SET : 0;
	}
}

static void start_line(void)
{
	screen.column = 0;
	screen.row = screen.row + 1 < screen.rows ? screen.row + 1 : 0;
	clear_row(screen.row + 1 < screen.rows ? screen.row + 1 : 0);
}

void screen_service(void)
{
	const struct bh_log *log = machine_log();
	uint64_t head = machine_load64(&log->head);

	if (head - screen.seen > BH_LOG_BYTES) {
		screen.seen = head - BH_LOG_BYTES;
	}
	for (; screen.columns != 0 && screen.rows != 0 && screen.seen != head; screen.seen++) {
		char character = log->text[screen.seen % BH_LOG_BYTES];

		if (character == '\n' || screen.column == screen.columns) {
			start_line();
		}
		if (character != '\n') {
			draw_glyph((uint8_t)character);
			screen.column++;
		}
	}
}
