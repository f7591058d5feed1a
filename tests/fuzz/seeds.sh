#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/fuzz/seeds.sh: makes the seeds of tests/fuzz/corpus/{elf_*,arch_move} anew: small files that
# between them have what hp reads in an ELF file, and heads of functions.  What fuzzing found lies beside
# them as found-*.
set -euo pipefail
cd "$(dirname "$0")/../.."
include=$PWD/include
corpus=$PWD/tests/fuzz/corpus
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > patch.c <<'EOF'
#include <hp/patch.h>
extern int counter, maybe(void) __attribute__((weak));
HP_REF(int *, Global, "globalValue");
HP_ORIG(void, func1, (void));
__attribute__((weak)) int shared(void) { return 7; }
static int impl(int x) { return x + 4; }
static int (*choose(void))(int) { return impl; }
int chosen(int) __attribute__((ifunc("choose")));
int array[3]; int *pointers[40] = {&array[0], &array[1], [20] = &array[2], [39] = &counter};
HP_NEW int NewFunc1(void) {
	func1_orig();
	*Global += counter + shared() + chosen(2);
	return maybe ? maybe() : 0;
}
HP_REPLACE(NewFunc1, "func1");
HP_HOOK_BEFORE_LOAD() { return 0; }
EOF
echo 'V1 { global: NewFunc1; HP*; shared; pointers; chosen; Global; local: *; };' > map
echo 'extern __thread int there; __thread int here; int f(void) { return there + here; }' > tls.c
cat > versions.c <<'EOF'
int old(void) { return 1; } int new(void) { return 2; }
__asm__(".symver old, way@V1\n.symver new, way@@V2");
EOF
echo 'V1 { global: *; }; V2 { } V1;' > map2
echo 'int g(int *); __attribute__((cold)) void no(int);
int f(int n) { int *p = __builtin_alloca(n); if (g(p) < 0) { no(1); no(2); } return *p; }
int h(void) { return 1; }' > frames.c

link() {
	gcc -O1 -nostdlib -Wl,-z,noseparate-code -Wl,--build-id=0xfe01 "$@"
}
link -shared -fPIC -I"$include" -Wl,--version-script=map -o patch.so patch.c
link -shared -fPIC -I"$include" -Wl,-z,pack-relative-relocs -Wl,--hash-style=sysv -o relr.so patch.c
link -shared -fPIC -o tls.so tls.c
link -shared -fPIC -Wl,--version-script=map2 -Wl,-soname,libv.so.1 -o versions.so versions.c
link -O2 -shared -fPIC -o frames.so frames.c
link -static -no-pie -e f -Wl,--unresolved-symbols=ignore-all -o program frames.c
strip -o stripped.so patch.so
gcc -c -o object.o frames.c
head -c 700 patch.so > truncated.so

put() {
	mkdir -p "$corpus/$1"
	cp "${@:2}" "$corpus/$1/"
}
put elf_image patch.so versions.so stripped.so tls.so program object.o truncated.so
put elf_reloc patch.so relr.so tls.so versions.so
put elf_cfi frames.so program patch.so

# Heads: place (from 128 on: what is addressed from rip is turned to where something is), size, flags, the
# registers rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8-r15; then the code.
mkdir -p "$corpus/arch_move"
n=0
while read -r text; do
	n=$((n + 1))
	printf '%s\n' "$text" | as -o head.o -
	objcopy -O binary -j .text head.o head.bin
	{
		# shellcheck disable=SC2059 # an escape
		printf "\\x$(printf %02x $((128 + n % 3)))"
		printf '\x00\x41\x45\xe1\x22\x80\x50\x60\x70\x48\x58\x24\xe9\x21\x68\x78\x88\x98'
		cat head.bin
	} > "$corpus/arch_move/$(printf 'head%02d' $n)"
done <<'EOF'
mov 0x1000(%rip),%rax; mov %edi,0x1000(%rip)
movl $0x12345678,0x10000(%rip); cmpb $7,0x20000(%rip)
lea 0x10008(%rip),%rsi; imul $0x1234567,0x1000(%rip),%eax
vmovdqu 0x30(%rip),%ymm3; movups %xmm1,0x1000(%rip)
jmp *0x1000(%rip)
call *0x1008(%rip)
push 0x1000(%rip); pop %fs:8
jmp .+0x40
.byte 0xe9,0,1,3,0
test %edi,%edi; je .+0x20; xor %eax,%eax
.byte 0x0f,0x84,0x10,0x20,3,0
jo .+4; jne .+0x10; jmp .+6
.byte 0xe8,0,1,3,0
.byte 0xe8,0,0,0,0
call *%rcx; nop; nop; nop
push %rbx; push %r12; call *8(%rdi)
call *0x40(%rdi,%r9,8)
notrack jmp *(%rdi,%rbx)
endbr64; push %rbp; mov %rsp,%rbp
push %rbp; mov %rsp,%rbp; and $-32,%rsp; sub $0x50,%rsp
rep movsb; mov %rax,(%rdi)
cmpxchg %rcx,0x1000(%rip); lock xadd %eax,(%rdi)
mov %fs:0x28,%rax; mov %rax,0x8(%rsp)
div %rcx; add $1,%eax
ud2; nop; nop; nop
ret; nopw 0(%rax,%rax,1)
fldl 0x1000(%rip); fstpl (%rdi)
xor %eax,%eax; cld; cld; movq $0x11223344,-0x48(%rsp,%rcx,1)
EOF
