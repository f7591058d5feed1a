/* SPDX-License-Identifier: MIT */
/* One function for each way in which an entry is written. */
	.text

	/* 55: the jump leads far away, where nothing is. */
	.globl	by_pun
	.type	by_pun, @function
	.balign	16
by_pun:
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	mov	$1, %eax
	pop	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size	by_pun, .-by_pun

	/* b8 00 00 01 00: the jump would lead 64 kB on, into .bss; one instruction of five bytes. */
	.globl	by_int3
	.type	by_int3, @function
	.balign	16
by_int3:
	.cfi_startproc
	mov	$0x10000, %eax
	shr	$15, %eax
	ret
	.cfi_endproc
	.size	by_int3, .-by_int3

	/* 90 b8 03 00 00: the jump would lead 952 bytes on, into the text; two instructions. */
	.globl	by_stop
	.type	by_stop, @function
	.balign	16
by_stop:
	.cfi_startproc
	nop
	mov	$3, %eax
	ret
	.cfi_endproc
	.size	by_stop, .-by_stop

	.section .note.GNU-stack, "", @progbits
