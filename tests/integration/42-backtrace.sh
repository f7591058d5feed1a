#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A patched process in the hands of gdb, elfutils, perf, backtrace(3) and the C++ runtime: inside a
# new function, at the gate, in a stub and a moved head; live and in a core dump.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# frames TEXT: the functions of a stack, gdb's or eu-stack's, innermost first
frames() {
	sed -nE 's/^#[0-9]+ +(0x[0-9a-f]+ +)?(in )?([^ (]+).*/\3/p' <<<"$1" | tr '\n' ' '
}

# part N TEXT: what gdb printed between its Nth "next" and the following one
part() {
	awk -v n="$1" '/^next$/ { n-- } n == 0' <<<"$2"
}

# tid_in WCHAN: the thread of the service that sleeps there
tid_in() {
	grep -lx "$1" "/proc/$PID/task"/*/wchan 2>/dev/null | cut -d/ -f5
}

parked() {
	[ -n "$(tid_in handle_userfault)" ]
}

caught_is() {
	verdict "$PID" && [ "$(field caught)" = "$1" ]
}

whole='middle outer (caller|holder)'

ulimit -c unlimited
here=$PWD
start_hpd
cd "$T" || exit 1 # for its core
start_service backtrace
cd "$here" || exit 1
snapshot "$PID" "$T/before"

load -p "$PID" "$SVC/backtrace_patch.so"
from=$(out_size "$PID")
tell "$PID" hold
held() {
	timeout 60 eu-stack -p "$PID" 2>/dev/null | grep -q new_wait
}
check "a thread is inside the new function" wait_until "$PATIENCE" held
# At rest no call meets a path, but while calls are counted.
"$O/hpctl" --socket "$T/hpd.sock" watch -p "$PID" --calls >"$T/watch.out" 2>&1 &
watcher=$!
counted() {
	[ "$(way_of "$PID" step)" = path ]
}
check "calls are counted" wait_until "$PATIENCE" counted
# The last place lies behind a push.
OUT=$(timeout 100 gdb -nx -batch -p "$PID" -x tools/gdb/hp-gdb.py -ex 'thread apply all bt' \
	-ex 'echo \nnext\n' -ex "tbreak *'step.hp_stub'" -ex continue -ex bt \
	-ex 'echo \nnext\n' -ex "tbreak *'step.hp_new'" -ex continue -ex bt \
	-ex 'echo \nnext\n' -ex "tbreak *((char *)&'step.hp_head' + 1)" -ex continue -ex bt 2>&1)
like "gdb: from inside the new function" "$(frames "$(part 0 "$OUT")")" \
	"wait_released new_wait new_step $whole"
like "and its source is known" "$(part 0 "$OUT")" 'new_step .*backtrace_patch.c:[0-9]'
like "gdb: from a stub" "$(frames "$(part 1 "$OUT")")" "^step.hp_stub $whole"
like "gdb: from a path block" "$(frames "$(part 2 "$OUT")")" "^step.hp_new $whole"
like "gdb: from the middle of a moved head" "$(frames "$(part 3 "$OUT")")" \
	"^step.hp_head new_step $whole"
like "eu-stack the same" "$(frames "$(timeout 60 eu-stack -p "$PID" 2>/dev/null)")" \
	"wait_released new_wait new_step $whole"
kill "$watcher"
wait "$watcher" 2>/dev/null
tell "$PID" release
check "the thread goes on" wait_line "${SVC_OUT[$PID]}" '^held$' "$from"

tell "$PID" busy
grows "$PID" calls 1000000
(cd "$T" && timeout 60 perf record -q -F 999 -p "$PID" -o perf.data -- sleep 1 >perf.out 2>&1)
profile=$(cd "$T" && timeout 100 perf report -i perf.data --stdio -s dso,sym 2>/dev/null | grep -v '^#')
like "perf names the new function" "$profile" "$ID.so +\[\.\] new_work"
# hp's own two jumps are seldom met: what perf reads for them is looked at.
paths=$(sed -n 's,.* \(/.*/hp-paths-[0-9]*\.so\)$,\1,p' "/proc/$PID/maps")
like "and finds names for hp's paths" "$(nm "$paths")" ' t hp_new\.0'
like "under a build-id" "$(readelf -n "$paths")" 'Build ID: [0-9a-f]{40}'
unload -p "$PID" "$ID"

# --- at the gate ------------------------------------------------------------------------------------
tell "$PID" hold
held_old() {
	timeout 60 eu-stack -p "$PID" 2>/dev/null | grep -q wait_released
}
check "a thread is inside the old function" wait_until "$PATIENCE" held_old
"$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" --quiesce gate --park 60s --timeout 60s \
	"$SVC/backtrace_patch.so" >"$T/load.out" 2>&1 &
loading=$!
check "another one parks" wait_until "$PATIENCE" parked
hp --json status -p "$PID"
is "status says that the gate is closed" "$(jq '.targets[0].gate_closed' <<<"$OUT")" true
like "eu-stack: from the gate" "$(frames "$(timeout 60 eu-stack -1 -p "$(tid_in handle_userfault)")")" \
	"^hp_gate.0 $whole"
from=$(out_size "$PID")
tell "$PID" trace
check "a signal handler runs while its thread is parked" \
	wait_line "${SVC_OUT[$PID]}" '^trace ends' "$from"
like "backtrace(3): from the gate" "$(tail -c +$((from + 1)) "${SVC_OUT[$PID]}" | tr '\n' ' ')" \
	'\(middle\+.*\(outer\+'
tell "$PID" throw
check "an exception thrown there is caught" wait_until "$PATIENCE" caught_is 1
check "and the thread parks again" wait_until "$PATIENCE" parked
tell "$PID" release
wait "$loading"
is "the load ends well" "$?" 0
hp --json status -p "$PID"
is "status says that the gate is open" "$(jq '.targets[0].gate_closed' <<<"$OUT")" false
unload -p "$PID" "$(cat "$T/load.out")"
as_before "everything is as before" "$PID" "$T/before"

# --- core dump ----------------------------------------------------------------------------------------
tell "$PID" hold
check "a thread is inside the old function again" wait_until "$PATIENCE" held_old
"$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" --quiesce gate --park 60s --timeout 60s \
	"$SVC/backtrace_patch.so" >"$T/load.out" 2>&1 &
loading=$!
check "the other one parks" wait_until "$PATIENCE" parked
kill -ABRT "$PID"
check "it dumps core" wait_until "$PATIENCE" gone "$PID"
wait "$loading"
is "the load says that the target is gone" "$?" 1
in=${SVC_IN[$PID]}
exec {in}>&-
unset "SVC_IN[$PID]"
if grep -q '^[|/]' /proc/sys/kernel/core_pattern; then
	skip_test "the core dump" "core_pattern leads elsewhere"
else
	core=$(find "$T" -maxdepth 1 -name 'core*')
	OUT=$(timeout 60 gdb -nx -batch -x tools/gdb/hp-gdb.py -ex 'thread apply all bt' \
		"$SVC/backtrace" "$core" 2>&1)
	like "gdb: from the gate, in a core dump" "$(frames "$OUT")" "step.hp_gate $whole"
	like "eu-stack the same" "$(frames "$(timeout 60 eu-stack --core="$core" -e "$SVC/backtrace" 2>&1)")" \
		"hp_gate.0 $whole"
fi
