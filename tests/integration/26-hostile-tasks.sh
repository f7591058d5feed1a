#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Targets whose threads make it hard: many, busy, stopped, frozen, in uninterruptible waits, in other
# processes, on stacks of their own.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hostile.sh
. tests/integration/hostile.sh

start_hpd

works busy
works rseq
works spin
works threads
works sharer
works vfork children
refuses no-main-thread 3 'main thread .* has ended'

# --- that cannot run now ------------------------------------------------------------------------------
state_is() {
	grep -q "^State:.$2" "/proc/$1/status"
}

start stopped
kill -STOP "$TARGET"
wait_until "$PATIENCE" state_is "$TARGET" T
says_no "a stopped target" 3 'stopped by a signal.*SIGCONT'
kill -CONT "$TARGET"
load -p "$TARGET" "${LONG[@]}" "$PATCH"
kill -STOP "$TARGET"
wait_until "$PATIENCE" state_is "$TARGET" T
refused 3 "an unload from a stopped target" 'SIGCONT' unload -p "$TARGET" --timeout 1s "$ID"
kill -CONT "$TARGET"
answers "the patch is still in it" "$PID" 'ask 5' 'answer 1005'
unload -p "$TARGET" "${LONG[@]}" "$ID"
as_before "everything is as before" "$TARGET" "$T/before"
end_service "$PID"

# frozen NAME FOLDER FILE FREEZE THAW READS REGEX
frozen() {
	local group=$2/hp-test.$$

	if ! mkdir "$group" 2>/dev/null; then
		skip_test "a target frozen by $1" "no such cgroups here"
		return
	fi
	# shellcheck disable=SC2064 # now
	trap "echo $5 >'$group/$3'; at_end" EXIT
	start stopped
	echo "$PID" >"$group/cgroup.procs"
	echo "$4" >"$group/$3"
	check "$1: it is frozen" wait_until "$PATIENCE" grep -q "$7" "$group/$6"
	says_no "$1" 3 'frozen by its cgroup'
	echo "$5" >"$group/$3"
	goes_both_ways "$1"
	end_service "$PID"
	trap at_end EXIT
	check "$1: nobody is left in it" wait_until "$PATIENCE" rmdir "$group"
}

v2=/sys/fs/cgroup
[ -e $v2/cgroup.procs ] || v2=/sys/fs/cgroup/unified
frozen "cgroup v2" $v2 cgroup.freeze 1 0 cgroup.events 'frozen 1'
if [ -e /sys/fs/cgroup/freezer ]; then
	frozen "cgroup v1" /sys/fs/cgroup/freezer freezer.state FROZEN THAWED freezer.state FROZEN
fi

start_service hostile uninterruptible
TARGET=$PID
check "it waits for its child" wait_until "$PATIENCE" state_is "$PID" D
snapshot "$PID" "$T/before" children
refused 3 "an uninterruptible wait" '1 thread in vfork' load -p "$PID" --timeout 1s "$PATCH"
tell "$PID" ''
answers "it goes on" "$PID" 'ask 5' 'answer 6'
goes_both_ways uninterruptible children
end_service "$PID"

# --- who is inside, and is not seen as a thread is ----------------------------------------------------------
PLAIN=$SVC/server_plain_patch.so
MAP=(--replace new_answer=linger)

start sharer-inside
sharer=$(pgrep -P "$PID")
PATCH=$PLAIN says_no "a call in a process that shares the memory" 4 "$sharer.*linger" "${MAP[@]}"
ask "$PID" leave 'may leave'
load -p "$PID" "${LONG[@]}" "$PLAIN" "${MAP[@]}"
unload -p "$PID" "${LONG[@]}" "$ID"
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"

start coroutine
says_no "a thread on a coroutine's stack" 4 'coroutine.*relaxed'
expect 0 "check" check -p "$PID" --mode relaxed "$PATCH"
like "what is not seen is said" "$OUT" \
	'hostile has coroutines \(swapcontext\): a call in one that is suspended is not seen'
expect 0 "explain" explain -p "$PID" answer
like "by explain too" "$OUT" \
	'^hostile has coroutines \(swapcontext\): a call in one that is suspended is not seen'
load -v -p "$PID" "${LONG[@]}" --mode relaxed "$PATCH"
like "by the load as well" "$ERR" 'a call in one that is suspended is not seen'
answers "relaxed it can be loaded" "$PID" 'ask 5' 'answer 1005'
refused 4 "but not unloaded" 'stack that cannot be read to its root' \
	unload -p "$PID" --timeout 1s "$ID"
answers "the patch is still in it" "$PID" 'ask 5' 'answer 1005'
end_service "$PID"

# --- a debugger -----------------------------------------------------------------------------------------
# All threads are gdb's, and stand still.
start_service server
snapshot "$PID" "$T/before"
mkfifo "$T/gdb.go"
gdb -nx -batch -p "$PID" -ex "shell echo attached; read line <$T/gdb.go" -ex detach >"$T/gdb.out" 2>&1 </dev/null &
gdb=$!
check "gdb is attached" wait_line "$T/gdb.out" '^attached'
refused 5 "the debugger is named" "traced by process $gdb" load -p "$PID" --timeout 1s "$PATCH"
echo >"$T/gdb.go"
wait "$gdb"
load -p "$PID" "${LONG[@]}" "$PATCH"
unload -p "$PID" "${LONG[@]}" "$ID"
as_before "when it has left all is as ever" "$PID" "$T/before"
end_service "$PID"
