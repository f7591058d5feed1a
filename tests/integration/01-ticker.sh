#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The original example, in C: maps in the request, four hooks, load, list, unload.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

maps=(--replace NewFunc1=func1 --ref Global=globalValue --ref Func2Ref=func2)
start_hpd
start_service ticker 50
out=${SVC_OUT[$PID]}
wait_line "$out" '^func1: 100$'
snapshot "$PID" "$T/before"

expect 0 "list of a target without patches" list -p "$PID"
expect 0 "check says what load would do" check -p "$PID" "$SVC/ticker_patch.so" "${maps[@]}"
like "check names the function" "$OUT$ERR" 'func1'
as_before "check changed nothing" "$PID" "$T/before"

load -p "$PID" "$SVC/ticker_patch.so" "${maps[@]}"
check "the new function runs" wait_line "$out" '^New Func: 100$'
check "and calls the target's func2 by its pointer, the variable moved" wait_line "$out" '^func2: 115$'
check "and again" wait_line "$out" '^New Func: 130$'
is "hp_id is the file's SHA-256" "$ID" "$(sha256sum "$SVC/ticker_patch.so" | cut -d' ' -f1)"
is "hooks ran once, in their order" "$(grep '^hook' "$out" | tr '\n' ';')" \
	"hook: before load;hook: after load;"
is "HPBeforeLoad ran before new code" "$(grep -m1 -nE '^(hook: before load|New)' "$out" | cut -d: -f2-)" \
	"hook: before load"

hp list -p "$PID"
like "list names the patch" "$OUT" "${ID:0:8}"
like "list names the function" "$OUT" 'func1'
hp --json list -p "$PID"
check "list --json is one document" jq -e . <<<"$OUT"
like "list --json has the id" "$OUT" "$ID"
expect 0 "status" status -p "$PID"
refused 3 "the same content again is refused" 'already loaded' \
	load -p "$PID" "$SVC/ticker_patch.so" "${maps[@]}"
cp "$SVC/ticker_patch.so" "$T/copy.so"
refused 3 "also under another name" 'already loaded' load -p "$PID" "$T/copy.so" "${maps[@]}"

unload -p "$PID" "${ID:0:12}"
from=$(out_size "$PID")
check "the old function runs again" wait_line "$out" '^func1: ' "$from"
is "no new code after the unload" "$(tail -c +$((from + 1)) "$out" | grep -c '^New')" 0
is "unload hooks ran, in their order" "$(grep '^hook' "$out" | tail -n 2 | tr '\n' ';')" \
	"hook: before unload;hook: after unload;"
hp list -p "$PID"
is "list is empty again" "$(grep -c "${ID:0:8}" <<<"$OUT")" 0
refused 3 "unloading it again is refused" 'not loaded' unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"

printf '{"hp_file":"%s","replace_config":{"NewFunc1":"func1"},"ref_config":{"Global":"globalValue","Func2Ref":"func2"}}' \
	"$SVC/ticker_patch.so" >"$T/config.json"
from=$(out_size "$PID")
expect 0 "hotgo's document as --config" load -p "$PID" --config "$T/config.json"
check "loads the same" wait_line "$out" '^New Func: ' "$from"
unload -p "$PID" "$OUT"
end_service "$PID"
