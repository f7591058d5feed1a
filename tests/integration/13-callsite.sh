#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What gcc let callers assume of the old body: programs that break when nobody asks.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service ipa_ra
tell "$PID" naive
check "without the check results go wrong" wait_line "${SVC_OUT[$PID]}" '^naive: wrong$'
kill -KILL "$PID"
wait "$PID" 2>/dev/null
unset "SVC_IN[$PID]"
start_service stackalign
tell "$PID" naive
check "without the check it crashes" wait_until "$PATIENCE" gone "$PID"
wait "$PID" 2>/dev/null
is "by SIGSEGV" "$?" 139
unset "SVC_IN[$PID]"

start_service ipa_ra
snapshot "$PID" "$T/before"
refused 3 "a live register is refused naming the caller" 'keeps_registers' \
	load -p "$PID" "$SVC/ipa_ra_patch.so"
like "and the register" "$ERR" 'rsi|rdx|esi|edx'
refused 3 "check says the same" 'keeps_registers' check -p "$PID" "$SVC/ipa_ra_patch.so"
as_before "refusals changed nothing" "$PID" "$T/before"
end_service "$PID"

start_service stackalign
snapshot "$PID" "$T/before"
refused 3 "a caller that skips alignment is refused by name" 'skips_alignment' \
	load -p "$PID" "$SVC/stackalign_plain.so"
like "with the remedy" "$ERR" 'HP_NEW|align'
as_before "refusals changed nothing" "$PID" "$T/before"
load -p "$PID" "$SVC/stackalign_patch.so"
check "with HP_NEW it works" grows "$PID" calls 200
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
