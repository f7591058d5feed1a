#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Entries that cannot be written are refused by name; odd ones that can be moved work.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service shorts
old='neighbour=5 three_close=0 three_roomy=0 loop_entry=10 loop_head=10 jump_entry=7 rip_entry=8 call_entry=9 jcc_entry=10 jrcxz_entry=11'
answers "all old" "$PID" ask "$old"
snapshot "$PID" "$T/before"

for fn in ret_close three_close; do
	refused 3 "$fn is too short" "$fn" load -p "$PID" --replace "new_any=$fn" "$SVC/shorts_patch.so"
done
refused 3 "a loop to the first byte" 'loop_entry' \
	load -p "$PID" --replace new_any=loop_entry "$SVC/shorts_patch.so"
refused 3 "an instruction that cannot be moved" 'jrcxz' \
	load -p "$PID" --replace new_any=jrcxz_entry "$SVC/shorts_patch.so"
answers "still all old" "$PID" ask "$old"
as_before "refusals changed nothing" "$PID" "$T/before"

for fn in three_roomy rip_entry call_entry jcc_entry jump_entry; do
	load -p "$PID" --replace "new_any=$fn" "$SVC/shorts_patch.so" || continue
	ask "$PID" ask '^neighbour='
	like "$fn is new" "$REPLY" "\\b$fn=77\\b"
	check "$fn: all go on" grows "$PID" calls 500
	unload -p "$PID" "$ID"
	answers "$fn: back" "$PID" ask "$old"
done

# Its loop begins inside the bytes that a five-byte jump would overwrite: by a pun, or not at all.
hp load -p "$PID" --replace new_any=loop_head "$SVC/shorts_patch.so"
if [ "$STATUS" = 0 ]; then
	id=$OUT
	ask "$PID" ask '^neighbour='
	like "loop_head is new" "$REPLY" '\bloop_head=77\b'
	unload -p "$PID" "$id"
else
	is "loop_head is refused" "$STATUS" 3
	like "by name" "$ERR" 'loop_head'
fi
answers "all old at the end" "$PID" ask "$old"
as_before "everything is as before" "$PID" "$T/before"

tell "$PID" overwrite
check "somebody else changes an entry" wait_line "${SVC_OUT[$PID]}" '^overwritten$'
refused 3 "which is refused then" 'jcc_entry' \
	load -p "$PID" --replace new_any=jcc_entry "$SVC/shorts_patch.so"
end_service "$PID"
