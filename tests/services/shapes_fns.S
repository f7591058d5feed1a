/* SPDX-License-Identifier: MIT */
/* Written by hand: with what an assembler programmer says of them, and with less. */
	.text

	.globl	by_hand
	.type	by_hand, @function
by_hand:
	.cfi_startproc
#ifdef __CET__
	endbr64
#endif
	push	%rbx
	.cfi_def_cfa_offset 16
	.cfi_offset %rbx, -16
	mov	%edi, %ebx
	mov	%ebx, %eax
	pop	%rbx
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size	by_hand, .-by_hand

	/* Neither CFI nor a size. */
	.globl	by_hand_untold
	.type	by_hand_untold, @function
by_hand_untold:
#ifdef __CET__
	endbr64
#endif
	push	%rbx
	mov	%edi, %ebx
	mov	%ebx, %eax
	pop	%rbx
	ret

	/* Its loop's head is its entry. */
	.globl	by_hand_loop
	.type	by_hand_loop, @function
by_hand_loop:
	.cfi_startproc
	mov	%edi, %eax
	add	$1, %esi
	test	$3, %esi
	jne	by_hand_loop
	ret
	.cfi_endproc
	.size	by_hand_loop, .-by_hand_loop

	.section .note.GNU-stack, "", @progbits
