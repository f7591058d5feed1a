#!/bin/sh
# SPDX-License-Identifier: MIT
# functions.sh target|patch N – prints the C of the target's functions, or of a patch of the first N.
# (The new ones do not realign their stack, so that a call costs what it did.)
set -eu
what=$1 n=$2
each() {
	i=0
	while [ $i -lt "$n" ]; do
		"$1" $i
		i=$((i + 1))
	done
}
old() {
	echo "int fn_$1(int x);"
	echo "__attribute__((noipa)) int fn_$1(int x) BENCH_BODY($1, x, 1)"
}
listed() {
	echo "	fn_$1,"
}
new() {
	echo "int new_fn_$1(int x);"
	echo "__attribute__((noipa)) int new_fn_$1(int x) BENCH_BODY($1, x, 1001)"
	echo "HP_REPLACE(new_fn_$1, \"fn_$1\");"
}
echo '#include "functions.h"'
if [ "$what" = target ]; then
	each old
	echo 'int (*const bench_fn[])(int x) = {'
	each listed
	echo '};'
else
	echo '#include <hp/patch.h>'
	each new
fi
