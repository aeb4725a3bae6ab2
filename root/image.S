/* SPDX-License-Identifier: Apache-2.0 */
/* The head of root's image (struct bh_root_image in bulkhead/root_image.h) and its stack. */
	.section .text.header, "a"
	.quad	0x544f4f524b484b42	/* BH_ROOT_IMAGE_MAGIC */
	.quad	_start
	.quad	image_text_bytes
	.quad	image_data_bytes
	.quad	image_bss_bytes
	.quad	root_stack_top

	.section .stack, "aw", @progbits
	.balign	4096
	.skip	16384
root_stack_top:
	.section .note.GNU-stack, "", @progbits
