/* SPDX-License-Identifier: MIT */
/* verify_run(in, out, loops), see verify.h. */
#define MXCSR 120
#define FCW   124
#define ST    128
#define VEC   192
#define AVX   704

	.text
	.globl	verify_run
	.type	verify_run, @function
verify_run:
	.cfi_startproc
	push	%rbx
	.cfi_adjust_cfa_offset 8
	push	%rbp
	.cfi_adjust_cfa_offset 8
	push	%r12
	.cfi_adjust_cfa_offset 8
	push	%r13
	.cfi_adjust_cfa_offset 8
	push	%r14
	.cfi_adjust_cfa_offset 8
	push	%r15
	.cfi_adjust_cfa_offset 8
	sub	$24, %rsp
	.cfi_adjust_cfa_offset 24
	mov	%rdx, (%rsp)
	mov	%rsi, 8(%rsp)
	stmxcsr	16(%rsp)
	fnstcw	20(%rsp)
	ldmxcsr	MXCSR(%rdi)
	fldcw	FCW(%rdi)
	fldt	ST+48(%rdi)
	fldt	ST+32(%rdi)
	fldt	ST+16(%rdi)
	fldt	ST(%rdi)
	cmpq	$0, AVX(%rdi)
	je	1f
	.irp	i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu	VEC+32*\i(%rdi), %ymm\i
	.endr
	jmp	2f
1:
	.irp	i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movdqu	VEC+32*\i(%rdi), %xmm\i
	.endr
2:
	mov	0(%rdi), %rax
	mov	8(%rdi), %rbx
	mov	16(%rdi), %rcx
	mov	24(%rdi), %rdx
	mov	32(%rdi), %rsi
	mov	48(%rdi), %rbp
	mov	56(%rdi), %r8
	mov	64(%rdi), %r9
	mov	72(%rdi), %r10
	mov	80(%rdi), %r11
	mov	88(%rdi), %r12
	mov	96(%rdi), %r13
	mov	104(%rdi), %r14
	mov	112(%rdi), %r15
	mov	40(%rdi), %rdi
	cmpq	$0, (%rsp)
	je	4f
3:
	decq	(%rsp)
	jnz	3b
	jmp	5f
4:
	syscall
5:
	xchg	%rdi, 8(%rsp)
	mov	%rax, 0(%rdi)
	mov	%rbx, 8(%rdi)
	mov	%rcx, 16(%rdi)
	mov	%rdx, 24(%rdi)
	mov	%rsi, 32(%rdi)
	mov	%rbp, 48(%rdi)
	mov	%r8, 56(%rdi)
	mov	%r9, 64(%rdi)
	mov	%r10, 72(%rdi)
	mov	%r11, 80(%rdi)
	mov	%r12, 88(%rdi)
	mov	%r13, 96(%rdi)
	mov	%r14, 104(%rdi)
	mov	%r15, 112(%rdi)
	mov	8(%rsp), %rax
	mov	%rax, 40(%rdi)
	cmpq	$0, AVX(%rdi)
	je	6f
	.irp	i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu	%ymm\i, VEC+32*\i(%rdi)
	.endr
	vzeroupper
	jmp	7f
6:
	.irp	i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movdqu	%xmm\i, VEC+32*\i(%rdi)
	.endr
7:
	fstpt	ST(%rdi)
	fstpt	ST+16(%rdi)
	fstpt	ST+32(%rdi)
	fstpt	ST+48(%rdi)
	stmxcsr	MXCSR(%rdi)
	fnstcw	FCW(%rdi)
	ldmxcsr	16(%rsp)
	fldcw	20(%rsp)
	add	$24, %rsp
	.cfi_adjust_cfa_offset -24
	pop	%r15
	.cfi_adjust_cfa_offset -8
	pop	%r14
	.cfi_adjust_cfa_offset -8
	pop	%r13
	.cfi_adjust_cfa_offset -8
	pop	%r12
	.cfi_adjust_cfa_offset -8
	pop	%rbp
	.cfi_adjust_cfa_offset -8
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size	verify_run, .-verify_run
	.section .note.GNU-stack,"",@progbits
