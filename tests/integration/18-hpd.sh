#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hpd comes and goes; what is patched stays, and is found again from the targets themselves.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service server
snapshot "$PID" "$T/before"
load -p "$PID" "$SVC/server_patch.so"
"$O/hpd" --socket "$T/hpd.sock" --state-dir "$T/state" >"$T/second" 2>&1 </dev/null
is "a second hpd on the same socket refuses" "$(($? != 0))" 1
like "and says why" "$(cat "$T/second")" "$T/hpd.sock"
expect 0 "the first still serves" list -p "$PID"

stop_hpd
answers "without hpd the patch stays" "$PID" 'ask 5' 'answer 1005'
start_hpd
hp --json list -p "$PID"
is "a new hpd finds it" "$(jq -r '.patches[0].hp_id' <<<"$OUT")" "$ID"
is "with its file" "$(jq -r '.patches[0].file' <<<"$OUT")" "$SVC/server_patch.so"
unload -p "$PID" "$ID"
answers "and can unload it" "$PID" 'ask 5' 'answer 6'
as_before "everything is as before" "$PID" "$T/before"

load -p "$PID" "$SVC/server_patch.so"
kill -KILL "$HPD"
wait "$HPD" 2>/dev/null
check "hpd's helpers end with it" wait_until "$PATIENCE" no_session_members "$HPD"
HPD=''
answers "hpd was killed; the patch stays" "$PID" 'ask 5' 'answer 1005'
start_hpd
hp --json list
is "the next hpd finds it in whatever process" \
	"$(jq -r --argjson p "$PID" '.patches[] | select(.pid == $p).hp_id' <<<"$OUT")" "$ID"
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"
still_right "the service did not notice" "$PID"

# A private hpd, started by hpctl on the usual socket when nobody serves it.
stop_hpd
if [ -S /run/hp/hpd.sock ]; then
	skip_test "without an hpd, hpctl starts a private one" "somebody serves /run/hp/hpd.sock"
else
	private() {
		env -u HP_SOCKET timeout 60 "$O/hpctl" "$@" >"$T/o" 2>"$T/e"
		STATUS=$?
		OUT=$(cat "$T/o")
		ERR=$(cat "$T/e")
	}
	private load -p "$PID" "$SVC/server_patch.so"
	is "without an hpd, hpctl starts a private one" "$STATUS $ERR" "0 "
	answers "which loads" "$PID" 'ask 5' 'answer 1005'
	private unload -p "$PID" "$OUT"
	is "and unloads" "$STATUS $ERR" "0 "
	as_before "everything is as before" "$PID" "$T/before"
	check "it ends when nobody needs it" wait_until 60 test ! -S /run/hp/hpd.sock
fi
end_service "$PID"
