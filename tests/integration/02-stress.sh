#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 3000
#
# Rounds of load and unload under eight calling threads, one of them taking signals whose handler
# calls the function, with children forked all the while.
#	ROUNDS	for the three ways of becoming quiescent together (500)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-500}
start_hpd

# rounds_of N QUIESCE ARGS-OF-STRESS…
rounds_of() {
	local n=$1 quiesce=$2

	shift 2
	if timeout 1500 "$SVC/driver" --socket "$T/hpd.sock" --hpd "$HPD" --rounds "$n" --quiesce "$quiesce" \
		--patch "$SVC/stress_patch.so" -- "$SVC/stress" "$@" >"$T/driver.out" 2>"$T/driver.err"; then
		ok "$n rounds, $quiesce: $(tail -n 1 "$T/driver.out")"
	else
		not_ok "$n rounds, $quiesce" "$(tail -n 3 "$T/driver.out")" "$(tail -n 20 "$T/driver.err")"
	fi
}

rounds_of $((rounds / 2)) auto 8 2000 1
rounds_of $((rounds / 4)) gate 8 2000 1
# Counting is for calls that are not always in flight: the threads nap here.
rounds_of $((rounds / 4)) watch 4 2000 1 2 1000
