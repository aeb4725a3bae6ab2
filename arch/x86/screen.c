/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log on a screen: VGA text memory, or the framebuffer that firmware left, written with the kernel's own font at double height.
 * It never scrolls (video memory is slow to read): at the bottom it goes on at the top, with one blank line ahead of the text.
 */
#include "arch/x86/console.h"
#include "arch/x86/start.h"

#define GLYPH_WIDTH    8u
#define GLYPH_HEIGHT   16u
#define TEXT_ATTRIBUTE 0x0700u /* grey on black */
#define PIXEL_SET      0x00c0c0c0u

static volatile uint16_t *text_cells; /* VGA text */
static volatile uint8_t *pixels;      /* framebuffer */
static uint32_t columns, rows, column, row;

void screen_init(void)
{
	const struct boot_framebuffer *fb = &boot_info.framebuffer;
	uint64_t bytes = (uint64_t)fb->pitch_bytes * fb->height;

	if (fb->base == 0 || fb->width < 320 || fb->width > 16384 || fb->height < 200 ||
	    fb->height > 16384 || fb->pitch_bytes < fb->width * 4 || fb->is_text ||
	    fb->bits_per_pixel != 32) {
		if (fb->base == 0 || !fb->is_text) {
			return;
		}
		text_cells = device_map(HPA(fb->base), PAGE_SIZE);
		columns = text_cells != NULL ? 80 : 0;
		rows = 25;
	} else {
		pixels = device_map(HPA(fb->base), bytes);
		columns = pixels != NULL ? fb->width / GLYPH_WIDTH : 0;
		rows = fb->height / GLYPH_HEIGHT;
	}
	for (uint32_t i = 0; text_cells != NULL && i < columns * rows; i++) {
		text_cells[i] = TEXT_ATTRIBUTE;
	}
	for (uint64_t i = 0; pixels != NULL && i < bytes / 4; i++) {
		((volatile uint32_t *)pixels)[i] = 0;
	}
}

static void row_clear(uint32_t at)
{
	if (text_cells != NULL) {
		for (uint32_t i = 0; i < columns; i++) {
			text_cells[at * columns + i] = TEXT_ATTRIBUTE;
		}
		return;
	}
	for (uint32_t y = 0; y < GLYPH_HEIGHT; y++) {
		volatile uint64_t *line =
			(volatile uint64_t *)(pixels + (at * GLYPH_HEIGHT + y) *
		                                               boot_info.framebuffer.pitch_bytes);

		for (uint32_t i = 0; i < columns * GLYPH_WIDTH / 2; i++) {
			line[i] = 0;
		}
	}
}

static void glyph_draw(uint8_t character)
{
	uint32_t pitch = boot_info.framebuffer.pitch_bytes;
	uint64_t glyph;

	if (text_cells != NULL) {
		text_cells[row * columns + column] = (uint16_t)(TEXT_ATTRIBUTE | character);
		return;
	}
	glyph = font_glyphs[character >= FONT_FIRST && character <= FONT_LAST
	                            ? character - FONT_FIRST
	                            : '?' - FONT_FIRST];
	for (uint32_t y = 0; y < GLYPH_HEIGHT; y++) {
		volatile uint8_t *line = pixels + (row * GLYPH_HEIGHT + y) * pitch +
		                         column * GLYPH_WIDTH * 4;

		for (uint32_t x = 0; x < GLYPH_WIDTH; x++) {
			((volatile uint32_t *)line)[x] = ((glyph >> (y / 2 * 8)) & (0x80u >> x))
			                                         ? PIXEL_SET
			                                         : 0;
		}
	}
}

static void line_next(void)
{
	column = 0;
	row = row + 1 < rows ? row + 1 : 0;
	row_clear(row);
	row_clear(row + 1 < rows ? row + 1 : 0);
}

void screen_write(const char *text, size_t length)
{
	if (columns == 0 || rows == 0) {
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n') {
			line_next();
		} else if (text[i] != '\r') {
			if (column == columns) {
				line_next();
			}
			glyph_draw((uint8_t)text[i]);
			column++;
		}
	}
}
