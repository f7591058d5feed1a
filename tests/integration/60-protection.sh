#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What hp maps in a target is never writable and executable at once: the services run where the kernel
# refuses that to whoever maps.  At rest it is read-only but for one page of words and the patch's own
# data, and nobody can tell beforehand where it will lie.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

map_both='import mmap; mmap.mmap(-1, 4096, prot=7)'
check "memory that is both can be had" python3 -c "$map_both"
need "prctl(PR_SET_MDWE)" "$SVC/mdwe" true
# shellcheck disable=SC2016 # the inner shell expands it
check "but not there" bash -c '! "$0" python3 -c "$1"' "$SVC/mdwe" "$map_both"

AS=("$SVC/mdwe")
longer=(--park 500ms --timeout 20s)
not_both() {
	is "$1: nothing is both" "$(awk '$2 ~ /wx/' "/proc/$PID/maps")" ''
}

# --- every kind of load ----------------------------------------------------------------------------------
start_hpd
start_service methods 2
for way in pun int3 stop; do
	load -p "$PID" "${longer[@]}" --replace "new_any=by_$way" "$SVC/shorts_patch.so"
	not_both "$way"
	unload -p "$PID" "${longer[@]}" "$ID"
done
end_service "$PID"

start_service stack
load -p "$PID" "${longer[@]}" "$SVC/stack_a.so"
below=$ID
load -p "$PID" "${longer[@]}" "$SVC/stack_b.so"
not_both "one over another"
unload -p "$PID" "${longer[@]}" "$below"
not_both "from below"
unload -p "$PID" "${longer[@]}" "$ID"
end_service "$PID"

start_service cxx
load -p "$PID" "${longer[@]}" "$SVC/cxx_patch.so"
not_both "unwind tables"
unload -p "$PID" "${longer[@]}" "$ID"
end_service "$PID"

# --- at rest, and where -----------------------------------------------------------------------------------
start_service server
snapshot "$PID" "$T/before"
load -p "$PID" "${longer[@]}" "$SVC/server_hook_patch.so"
unload -p "$PID" "${longer[@]}" "$ID"

# rights FILE: of what is mapped of it, each kind once
rights() {
	awk -v file="$1" 'index($0, file) { print $2 }' "/proc/$PID/maps" | sort -u | xargs
}
# place FILE: where the first of it lies
place() {
	awk -v file="$1" 'index($0, file) { sub(/-.*/, "", $1); print $1; exit }' "/proc/$PID/maps"
}
: >"$T/paths"
: >"$T/patch"
for round in 1 2 3; do
	load -p "$PID" "${longer[@]}" "$SVC/server_patch.so"
	place /hp-paths >>"$T/paths"
	place "/$ID.so" >>"$T/patch"
	[ "$round" = 3 ] || unload -p "$PID" "${longer[@]}" "$ID"
done
check "paths and slots lie elsewhere every time" test "$(sort -u "$T/paths" | wc -l)" -gt 1
check "so does the patch" test "$(sort -u "$T/patch" | wc -l)" -gt 1
not_both "at rest"
is "paths can be run" "$(rights /hp-paths)" r-xp
is "the page before them, the slots, can be read" \
	"$(awk -v at="$(place /hp-paths)" '{ split($1, a, "-") } a[2] == at { print $2 }' "/proc/$PID/maps")" r--p
writable() {
	awk '/memfd:hp-patch/ && $2 ~ /w/ { print $1 }' "/proc/$PID/maps" |
		while IFS=- read -r lo hi; do echo $((16#$hi - 16#$lo)); done
}
is "what hp has for itself can be written in one page" "$(writable)" 4096
is "of the patch, what a linker makes so" "$(rights "/$ID.so")" 'r--p r-xp rw-p'
unload -p "$PID" "${longer[@]}" "$ID"
as_before "everything is as before" "$PID" "$T/before"

# --- a job that is killed while it writes ------------------------------------------------------------------
# The patch stays, and so would the right to write where the doors are.
stop_hpd
HP_FAULT=bypass-open:kill:2 HP_FAULT_COUNTS=$T/counts start_hpd # 1: the load
load -p "$PID" "${longer[@]}" "$SVC/server_patch.so"
refused 1 "an unload whose job is killed" 'died by SIGKILL' unload -p "$PID" "${longer[@]}" "$ID"
answers "new code runs" "$PID" 'ask 5' 'answer 1005'
is "called as before" "$(way_of "$PID" answer)" "$ID"
is "one page can be written, as before" "$(writable)" 4096
unload -p "$PID" "${longer[@]}" "$ID"
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
