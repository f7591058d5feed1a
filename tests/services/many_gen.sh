#!/bin/sh
# SPDX-License-Identifier: MIT
# many_gen.sh target|patch|plain N – prints the C of many's functions, or of a patch of the first N;
# plain: one whose functions do not realign their stack, so that a call costs what it did.
set -eu
what=$1 n=$2
new=HP_NEW
if [ "$what" = plain ]; then
	new='__attribute__((noipa))'
fi
echo '#include "many.h"'
if [ "$what" != target ]; then
	echo '#include <hp/patch.h>'
fi
i=0
while [ $i -lt "$n" ]; do
	if [ "$what" != target ]; then
		echo "int new_fn_$i(int x);"
		echo "$new int new_fn_$i(int x) { return MANY_NEW($i, x); }"
		echo "HP_REPLACE(new_fn_$i, \"fn_$i\");"
	else
		echo "int fn_$i(int x);"
		echo "__attribute__((noipa)) int fn_$i(int x) { return MANY_OLD($i, x); }"
	fi
	i=$((i + 1))
done
if [ "$what" = target ]; then
	echo 'int (*const many_fn[MANY])(int x) = {'
	i=0
	while [ $i -lt "$n" ]; do
		echo "	fn_$i,"
		i=$((i + 1))
	done
	echo '};'
fi
