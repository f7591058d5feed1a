#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A patch that the target still points to is not unmapped under it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service retained
snapshot "$PID" "$T/before"
load -p "$PID" "$SVC/retained_patch.so"
tell "$PID" set
answers "the text is the patch's" "$PID" say 'text of the patch'
expect 0 "unload" unload -p "$PID" "$ID"
like "says that it is retained" "$OUT$ERR" 'retained'
answers "the text can still be read" "$PID" say 'text of the patch'
tell "$PID" set
answers "but the code is old" "$PID" say 'text of the program'
hp list -p "$PID"
like "list says so" "$OUT" 'retained'
check "its file is still mapped" grep -q "${ID:0:16}\|retained_patch" "/proc/$PID/maps"

tell "$PID" forget
answers "no pointer is left" "$PID" say 'text forgotten'
not_listed() {
	hp status -p "$PID"
	hp --json list -p "$PID"
	[ "$(jq '.patches | length' <<<"$OUT")" = 0 ]
}
check "then it goes by itself" wait_until 30 not_listed
as_before "everything is as before" "$PID" "$T/before"

load -p "$PID" "$SVC/retained_patch.so"
tell "$PID" set
answers "again" "$PID" say 'text of the patch'
tell "$PID" forget
answers "forgotten before the unload" "$PID" say 'text forgotten'
unload -p "$PID" "$ID"
as_before "nothing to retain" "$PID" "$T/before"

load -p "$PID" "$SVC/retained_patch.so"
tell "$PID" set
answers "and again" "$PID" say 'text of the patch'
tell "$PID" set
expect 0 "unload --discard" unload -p "$PID" --discard "$ID"
is "retains nothing" "$(grep -c retained <<<"$OUT$ERR")" 0
tell "$PID" forget
as_before "everything is as before" "$PID" "$T/before"

# The first thread makes the C library catch a signal.
tell "$PID" nest
tell "$PID" dig
snapshot "$PID" "$T/before"
for where in bury lock nest; do
	load -p "$PID" "$SVC/retained_patch.so"
	tell "$PID" set
	[ $where = nest ] || tell "$PID" bury
	[ $where = bury ] || tell "$PID" $where
	answers "$where: the pointer lies between guard pages, or below a stack" "$PID" say 'text buried'
	expect 0 "unload" unload -p "$PID" "$ID"
	like "$where: is found there" "$OUT$ERR" 'stays mapped'
	tell "$PID" dig
	answers "$where: and is still good" "$PID" say 'text of the patch'
	tell "$PID" forget
	check "$where: and goes by itself when it is forgotten" wait_until 30 not_listed
	as_before "$where: everything is as before" "$PID" "$T/before"
done
end_service "$PID"
