/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of every ring-3 thread: RDI = its index, RSP = its stack (set by whoever created it), all else zero.
 * The stack is aligned as the System V ABI 3.2.2 wants it at a call, and the frame chain ends here.
 */
	.section .text.start, "ax"
	.globl _start
	.type _start, @function
_start:
	xor	%ebp, %ebp
	and	$-16, %rsp
	call	domain_start
	ud2
	.size _start, . - _start
	.section .note.GNU-stack, "", @progbits
