#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/fuzz/seeds.sh: makes the seeds of tests/fuzz/corpus/elf_* anew: small files that between them
# have what hp reads in an ELF file.  What fuzzing found lies beside them as found-*.
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
