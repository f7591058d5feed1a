#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each of the three ways to write an entry, under threads that call it all the time.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service methods 3
answers "all old" "$PID" ask 'pun=1 int3=2 stop=3'
snapshot "$PID" "$T/before"

for way in pun int3 stop; do
	hp --json check -p "$PID" --replace "new_any=by_$way" "$SVC/shorts_patch.so"
	is "check says $way" "$(jq -r '.. | .method? // empty' <<<"$OUT")" "$way"
	old='pun=1 int3=2 stop=3'
	new=${old/"$way"=[0-9]/"$way"=77}
	for quiesce in gate watch auto auto auto auto; do
		load -p "$PID" --quiesce "$quiesce" --park 500ms --replace "new_any=by_$way" "$SVC/shorts_patch.so"
		answers "by_$way is new ($quiesce)" "$PID" ask "$new"
		unload -p "$PID" --quiesce "$quiesce" --park 500ms "$ID"
		answers "by_$way is old ($quiesce)" "$PID" ask "$old"
	done
done
as_before "everything is as before" "$PID" "$T/before"
refused 3 "--no-stop forbids the third" 'no-stop' \
	load -p "$PID" --no-stop --replace new_any=by_stop "$SVC/shorts_patch.so"
load -p "$PID" --no-stop --replace new_any=by_int3 "$SVC/shorts_patch.so"
unload -p "$PID" "$ID"

as_before "everything is as before, at the end" "$PID" "$T/before"
end_service "$PID"
