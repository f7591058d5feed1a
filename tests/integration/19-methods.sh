#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each of the three ways to write an entry, under threads that call it all the time.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service methods 3
answers "all old" "$PID" ask 'pun=1 int3=2 stop=3'
snapshot "$PID" "$T/before"

# both_ways WAY QUIESCE
both_ways() {
	local old='pun=1 int3=2 stop=3'
	local new=${old/"$1"=[0-9]/"$1"=77}

	load -p "$PID" --quiesce "$2" --park 500ms --replace "new_any=by_$1" "$SVC/shorts_patch.so"
	answers "by_$1 is new ($2)" "$PID" ask "$new"
	unload -p "$PID" --quiesce "$2" --park 500ms "$ID"
	answers "by_$1 is old ($2)" "$PID" ask "$old"
}

for way in pun int3 stop; do
	hp --json check -p "$PID" --replace "new_any=by_$way" "$SVC/shorts_patch.so"
	is "check says $way" "$(jq -r '.. | .method? // empty' <<<"$OUT")" "$way"
	for quiesce in gate watch auto auto auto auto; do
		both_ways "$way" "$quiesce"
	done
done
as_before "everything is as before" "$PID" "$T/before"
refused 3 "--no-stop forbids the third" 'no-stop' \
	load -p "$PID" --no-stop --replace new_any=by_stop "$SVC/shorts_patch.so"
load -p "$PID" --no-stop --replace new_any=by_int3 "$SVC/shorts_patch.so"
unload -p "$PID" "$ID"

as_before "everything is as before, at the end" "$PID" "$T/before"
end_service "$PID"

start_service methods 3 guarded
answers "many stacks in one mapping: all old" "$PID" ask 'pun=1 int3=2 stop=3'
snapshot "$PID" "$T/before"
for way in pun int3 stop; do
	both_ways "$way" auto
done
as_before "everything is as before in one mapping" "$PID" "$T/before"
end_service "$PID"
