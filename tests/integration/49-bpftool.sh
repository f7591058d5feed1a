#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The counts of calls in flight as bpftool shows them: fields by name, functions by name, and right,
# during a load and while somebody watches, in a service under load.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# The pinned maps as one document: {"function": {"in_flight": …, "calls": …}}, and the session.
# bpftool prints what it knows by BTF as "formatted".
counts() {
	local pins=/sys/fs/bpf/hp/$PID

	bpftool -j map dump pinned "$pins/inflight" >"$T/inflight.json" &&
		bpftool -j map dump pinned "$pins/session" >"$T/session.json" &&
		bpftool -j map dump pinned "$pins/names" >"$T/names.json" &&
		jq -cn --slurpfile c "$T/inflight.json" --slurpfile n "$T/names.json" \
			--slurpfile s "$T/session.json" '
			[$n[0][].formatted | {(.key | tostring): .value.name}] | add as $name |
			{functions: [$c[0][].formatted | select($name[.key | tostring] != "") |
				{($name[.key | tostring]): .value}] | add,
			 nameless: [$c[0][].formatted | select($name[.key | tostring] == "") | .value.calls] | add,
			 session: $s[0][0].formatted.value}'
}

# now FILTER: whether that is true of what bpftool shows; the document is in REPLY
now() {
	REPLY=$(counts) && jq -e "$1" <<<"$REPLY"
}

# shows NAME FILTER: it comes to be so
shows() {
	if wait_until "$PATIENCE" now "$2"; then
		ok "$1"
	else
		not_ok "$1" "$2" "$REPLY"
	fi
}

start_hpd

# --- during a load ------------------------------------------------------------------------------------------
# One thread calls all the time, another is held inside the old function.
start_service backtrace
tell "$PID" hold
inside() {
	hp --json explain -p "$PID" wait_released
	[ "$(jq '.inside | length' <<<"$OUT")" = 1 ]
}
check "a thread is held inside" wait_until "$PATIENCE" inside
"$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" --quiesce watch --park 10s --timeout 60s \
	"$SVC/backtrace_patch.so" >"$T/load.out" 2>"$T/load.err" &
loading=$!
# The holder's call began before the probes, the other thread's come and go.
shows "a load counts the calls of the old function, by its name" \
	'.functions.step.calls > 100 and (.functions | keys == ["step"])'
shows "the one that is held is among them, and no more than there are threads" \
	'.functions.step.in_flight | . == 1 or . == 2'
is "nothing is counted without a name" "$(jq .nameless <<<"$REPLY")" 0
tell "$PID" release
wait "$loading"
is "the load ends well" "$? $(cat "$T/load.err")" "0 "
ID=$(cat "$T/load.out")
shows "nobody counts any more" '.session.session == 0'

# --- while somebody watches ------------------------------------------------------------------------------
"$O/hpctl" --socket "$T/hpd.sock" watch -p "$PID" --calls >"$T/watch.out" 2>&1 &
watcher=$!
shows "a watch counts the calls of the new function" '.functions.new_step.calls > 100'
is "and of no other" "$(jq -c '.functions | keys' <<<"$REPLY")" '["new_step"]'
is "calls go by a path that is counted" "$(way_of "$PID" step)" path
# The thread that calls is at most once inside, the one that is held exactly once.
tell "$PID" hold
shows "the one that is held is in flight" \
	'.functions.new_step.in_flight >= 1 and .session.total >= 1'
sums=$(for _ in 1 2 3 4 5; do counts; done | jq -s '
	all(.[]; .functions.new_step.in_flight | . >= 1 and . <= 2)')
is "and stays" "$sums" true
# What is read first may only be less than what is read later: entries is read behind calls.
is "calls and entries agree" "$(counts | jq '.functions.new_step.calls <= .session.entries and
	.session.overflow == 0')" true
check "hpctl shows the same" \
	wait_until "$PATIENCE" grep -qE '^ +[12] +[0-9.-]+ +[0-9]+  new_step$' "$T/watch.out"

# --- what the maps say of themselves ---------------------------------------------------------------------
bpftool -j map show pinned "/sys/fs/bpf/hp/$PID/inflight" >"$T/show.json"
is "the map is called inflight" "$(jq -r .name "$T/show.json")" inflight
btf=$(bpftool btf dump id "$(jq .btf_id "$T/show.json")" format c)
like "its BTF describes the record" "$(tr -s ' \t\n' ' ' <<<"$btf")" \
	'struct hp_inflight \{ __s64 in_flight; __u64 calls; \}'
# Counting goes on, for bpftool has read only.
before=$(jq .functions.new_step.calls <<<"$REPLY")
shows "the count goes on" ".functions.new_step.calls > $before"
tell "$PID" release
kill "$watcher"
wait "$watcher" 2>/dev/null
shows "the watch is over" '.session.session == 0'
at_rest() {
	[ "$(way_of "$PID" step)" = "$ID" ]
}
check "calls jump past it again" wait_until "$PATIENCE" at_rest
unload -p "$PID" "$ID" --park 10s --timeout 60s

# --- names as long as C++ makes them ----------------------------------------------------------------------
name=$(printf 'f%.0s' {1..159})
cat >"$T/long.c" <<-END
	#include <hp/patch.h>
	HP_NEW int $name(int x) { return x + 1001; }
	HP_REPLACE($name, "step");
END
check "a patch with a name of 159 bytes" gcc -O2 -shared -fPIC -Iinclude -o "$T/long.so" "$T/long.c"
load -p "$PID" "$T/long.so" --park 10s --timeout 60s
"$O/hpctl" --socket "$T/hpd.sock" watch -p "$PID" --calls >"$T/watch.out" 2>&1 &
watcher=$!
shows "is whole" ".functions.$name.calls > 0"
is "calls go by the path that is counted" "$(way_of "$PID" step)" path
check "the job that counts is killed" kill -KILL "$(pgrep -P "$HPD" -x hpd-watch)"
wait "$watcher" 2>/dev/null
check "calls jump past it again" wait_until "$PATIENCE" at_rest
unload -p "$PID" "$ID" --park 10s --timeout 60s
end_service "$PID"
pins_gone() {
	[ ! -e "/sys/fs/bpf/hp/$PID" ]
}
check "nothing is pinned for a process that has ended" wait_until "$PATIENCE" pins_gone
