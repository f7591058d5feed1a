#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A function that is always in flight: refused in quiesce mode by name, while all others run on.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service eventloop
grows "$PID" ticks 10
snapshot "$PID" "$T/before"

for quiesce in auto watch gate; do
	refused 4 "quiesce ($quiesce) says who is inside" 'serve_loop' \
		load -p "$PID" --quiesce "$quiesce" --timeout 1s "$SVC/eventloop_patch.so"
	like "names the thread" "$ERR" "$PID|eventloop"
	still_right "no one noticed" "$PID"
done
at_most "no call of another function took long (us)" "$(field longest_us)" 100000
as_before "refusals changed nothing" "$PID" "$T/before"

expect 0 "explain" explain -p "$PID" serve_loop
like "explain shows the stack of who is inside" "$OUT" 'serve_loop'
like "from its root" "$OUT" 'main'

expect 0 "relaxed mode takes it" load -p "$PID" --mode relaxed "$SVC/eventloop_patch.so"
id=$OUT
like "and says that calls in flight stay on old code" "$ERR" 'old code'
answers "which they do" "$PID" generation 'generation 0'
hp --json list -p "$PID"
is "list says how many threads still are in it" \
	"$(jq '[.patches[].functions[].old_calls] | add' <<<"$OUT")" 1
tell "$PID" again
is_new() {
	verdict "$PID" && [ "$(field generation)" = 1 ]
}
check "the next call is new" wait_until 10 is_new
hp --json list -p "$PID"
is "nobody is in old code any more" "$(jq '[.patches[].functions[].old_calls] | add' <<<"$OUT")" 0

is "calls jump to it past the path block" "$(way_of "$PID" serve_loop)" "$id"
refused 4 "unload while new code is in flight" 'serve_loop' unload -p "$PID" --timeout 1s "$id"
is "they do again" "$(way_of "$PID" serve_loop)" "$id"
answers "new code stays" "$PID" generation 'generation 1'
timeout 60 "$O/hpctl" --socket "$T/hpd.sock" unload -p "$PID" --timeout 20s "$id" \
	>"$T/unload.out" 2>"$T/unload.err" &
unloading=$!
nudge() {
	tell "$PID" again
	gone "$unloading"
}
check "unload waits for the function to be left" wait_until 20 nudge
wait "$unloading"
is "and then succeeds" "$? $(cat "$T/unload.err")" "0 "
tell "$PID" again
grows "$PID" ticks 5
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
