#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Code of a patch that crashes, loops, exits, throws or waits for a lock: the target lives, and what
# cannot be promised is said with exit status 6.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hostile.sh
. tests/integration/hostile.sh

start_hpd

# What never comes back is waited for that long, and all that comes before it has to be done by then.
ENOUGH=(--timeout 3s)

# leaves STATUS HOW REGEX: a hook that misbehaves; old code runs, and everything is as before
leaves() {
	local time=("${LONG[@]}")

	[[ $2 != loop_* ]] || time=("${ENOUGH[@]}")
	PATCH=$SVC/rude_$2.so
	refused "$1" "$2" "$3" load -p "$PID" "${time[@]}" "$PATCH"
	answers "$2: old code runs" "$PID" 'ask 5' 'answer 6'
	as_before "$2: nothing is left" "$PID" "$T/before"
}

start plain
leaves 3 crash_before-load 'HPBeforeLoad: .*crashed with SIGSEGV at address'
leaves 3 loop_before-load 'HPBeforeLoad: .*not back in time and was abandoned'
leaves 3 _exit_before-load 'HPBeforeLoad: .*tried to end the process'
leaves 3 execve_before-load 'HPBeforeLoad: .*tried to execute another program'
leaves 3 crash_after-load 'HPAfterLoad: .*crashed with SIGSEGV'
leaves 3 crash_constructor 'init_array: .*crashed with SIGSEGV'
# In the middle of libc nobody knows what it held.
leaves 6 strlen_before-load 'HPBeforeLoad: .*SIGSEGV.* within .*libc.*lock'
leaves 6 abort_before-load 'HPBeforeLoad: .*was aborted, within .*libc.*lock'
leaves 6 exit_before-load 'HPBeforeLoad: .*tried to end the process, within .*libc.*lock'
load -p "$PID" "${LONG[@]}" "$SVC/rude_crash_before-unload.so"
refused 3 "a BeforeUnload that crashes" 'HPBeforeUnload: .*crashed' unload -p "$PID" "$ID"
answers "the patch stays" "$PID" 'ask 5' 'answer 1005'
end_service "$PID"

start plain
load -p "$PID" "${LONG[@]}" "$SVC/rude_crash_after-unload.so"
hp unload -p "$PID" "$ID"
like "an AfterUnload that crashes is reported" "$OUT$ERR" 'HPAfterUnload: .*crashed'
answers "but old code runs" "$PID" 'ask 5' 'answer 6'
as_before "and the patch is gone" "$PID" "$T/before"
end_service "$PID"

start plain
refused 6 "a hook that ends its thread" 'HPBeforeLoad: .*tried to end its thread, within .*lock' \
	load -p "$PID" "$SVC/rude_pthread-exit_before-load.so"
answers "old code runs" "$PID" 'ask 5' 'answer 6'
end_service "$PID"

start_service cxx
snapshot "$PID" "$T/before"
refused 6 "a hook that throws" 'HPBeforeLoad: .*was aborted, within' load -p "$PID" "$SVC/cxx_rude.so"
still_right "the exception reaches nobody" "$PID"
as_before "nothing is left" "$PID" "$T/before"
end_service "$PID"

# A lock that the target holds: the hook waits in libc, from where it is not taken away.
start locked threads
refused 6 "a hook that wants a lock" 'HPBeforeLoad: .*not back in time and is within .*runs on' \
	load -p "$PID" "${ENOUGH[@]}" "$SVC/rude_lock_before-load.so"
kill -USR1 "$PID"
answers "it goes on when it has the lock" "$PID" 'ask 5' 'answer 6'
taken_out() {
	hp --json list -p "$PID" && jq -e '.patches == []' <<<"$OUT"
}
check "hpd takes the patch out then" wait_until "$PATIENCE" taken_out
as_before "nothing is left" "$PID" "$T/before" threads
end_service "$PID"

# New code that crashes is the program's own crash; what is known of it is told.  The kernel's log
# may leave a line out when there are many.
crashed_in_patch() {
	local events=$T/events

	start_service hostile alone
	: >"$events"
	"$O/hpctl" --socket "$T/hpd.sock" --json watch >"$events" </dev/null &
	watcher=$!
	hp load -p "$PID" "${LONG[@]}" "$SVC/rude_crash_new-code.so"
	ID=$OUT
	tell "$PID" 'ask 5'
	wait_until "$PATIENCE" gone "$PID"
	wait "$PID" 2>/dev/null
	unset "SVC_IN[$PID]"
	wait_line "$events" '"target-gone"'
	kill "$watcher"
	wait "$watcher" 2>/dev/null
	jq -e --arg id "$ID" --arg pid "$PID" \
		'select(.event == "target-gone" and .pid == ($pid | tonumber) and .hp_id == $id and
			(.detail | contains("segfault")))' <<<"$REPLY" >/dev/null
}
if grep -qx 1 /proc/sys/debug/exception-trace && [ -r /dev/kmsg ]; then
	check "the event of its end names the patch it crashed in" wait_until 60 crashed_in_patch
	like "and the log does" "$(cat "$T/hpd.log")" "process $PID crashed in patch ${ID:0:12}"
else
	skip_test "the event of its end names the patch it crashed in" "the kernel logs no faults"
fi
