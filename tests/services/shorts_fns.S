/* SPDX-License-Identifier: MIT */
/*
 * Functions that are hard to give an entry.  What follows each decides whether it can be done:
 * "close" is another function's code right behind, "roomy" is padding.
 */
	.text

	.globl	ret_close
	.type	ret_close, @function
	.balign	16
ret_close:
	.cfi_startproc
	ret
	.cfi_endproc
	.size	ret_close, .-ret_close

	.globl	neighbour
	.type	neighbour, @function
neighbour:
	.cfi_startproc
	mov	$5, %eax
	ret
	.cfi_endproc
	.size	neighbour, .-neighbour

	.globl	ret_roomy
	.type	ret_roomy, @function
	.balign	16
ret_roomy:
	.cfi_startproc
	ret
	.cfi_endproc
	.size	ret_roomy, .-ret_roomy
	.skip	31, 0xcc

	.globl	three_close
	.type	three_close, @function
	.balign	16
three_close:
	.cfi_startproc
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size	three_close, .-three_close

	.globl	neighbour2
	.type	neighbour2, @function
neighbour2:
	.cfi_startproc
	/* 04 00: the jump that three_close's entry would become leads into .bss, 312 kB on */
	add	$0, %al
	mov	$6, %eax
	ret
	.cfi_endproc
	.size	neighbour2, .-neighbour2

	.globl	three_roomy
	.type	three_roomy, @function
	.balign	16
three_roomy:
	.cfi_startproc
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size	three_roomy, .-three_roomy
	.skip	31, 0xcc

/* int loop_entry(int n, int sum): its loop begins at its first byte, as pthread_spin_lock's */
	.globl	loop_entry
	.type	loop_entry, @function
	.balign	16
loop_entry:
	.cfi_startproc
	add	%edi, %esi
	dec	%edi
	jg	loop_entry
	mov	%esi, %eax
	ret
	.cfi_endproc
	.size	loop_entry, .-loop_entry
	.skip	31, 0xcc

/* int loop_head(int n, int sum): its loop begins inside the first five bytes */
	.globl	loop_head
	.type	loop_head, @function
	.balign	16
loop_head:
	.cfi_startproc
	xor	%eax, %eax
1:	add	%edi, %eax
	dec	%edi
	jg	1b
	add	%esi, %eax
	ret
	.cfi_endproc
	.size	loop_head, .-loop_head
	.skip	31, 0xcc

/* first instruction a jump out of reach of its neighbours */
	.globl	jump_entry
	.type	jump_entry, @function
	.balign	16
jump_entry:
	.cfi_startproc
	.byte	0xe9 /* jmp, never the short one */
	.long	1f - . - 4
	.skip	11, 0xcc
1:	mov	$7, %eax
	ret
	.cfi_endproc
	.size	jump_entry, .-jump_entry
	.skip	31, 0xcc

/* first instruction RIP-relative; first instruction a call; first instruction a short branch */
	.globl	rip_entry
	.type	rip_entry, @function
	.balign	16
rip_entry:
	.cfi_startproc
	mov	shorts_eight(%rip), %eax
	ret
	.cfi_endproc
	.size	rip_entry, .-rip_entry
	.skip	31, 0xcc

	.globl	call_entry
	.type	call_entry, @function
	.balign	16
call_entry:
	.cfi_startproc
	call	neighbour
	add	$4, %eax
	ret
	.cfi_endproc
	.size	call_entry, .-call_entry
	.skip	31, 0xcc

	.globl	jcc_entry
	.type	jcc_entry, @function
	.balign	16
jcc_entry:
	.cfi_startproc
	jc	1f
	mov	$10, %eax
	ret
1:	mov	$10, %eax
	ret
	.cfi_endproc
	.size	jcc_entry, .-jcc_entry
	.skip	31, 0xcc

/* int jrcxz_entry(int a, int b, int c, int in_rcx): cannot be moved, jrcxz has no long form */
	.globl	jrcxz_entry
	.type	jrcxz_entry, @function
	.balign	16
jrcxz_entry:
	.cfi_startproc
	jrcxz	1f
1:	mov	$11, %eax
	ret
	.cfi_endproc
	.size	jrcxz_entry, .-jrcxz_entry
	.skip	31, 0xcc

	.section .note.GNU-stack, "", @progbits
