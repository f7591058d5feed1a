#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hpctl top on a terminal (tmux's): what it shows, keys, sizes, and how it leaves; and that calls are
# counted only while somebody looks.
. "$(dirname "$0")/lib.sh"
need "tmux is not installed" command -v tmux

# A terminal of its own, and nothing of the user's configuration.
term() {
	tmux -S "$T/tmux" -f /dev/null "$@"
}

no_server() {
	! term list-sessions
}

# The next one must not meet a server that is about to end.
end_term() {
	term kill-server 2>/dev/null
	wait_until "$PATIENCE" no_server
	rm -f "$T/tmux"
}

# start_top COLUMNS LINES ARGS…: the shell in it tells the exit status
start_top() {
	local columns=$1 lines=$2

	shift 2
	end_term
	term new-session -d -x "$columns" -y "$lines" \
		"env -u TMUX TERM=${TERMINAL:-screen} '$PWD/$O/hpctl' --socket '$T/hpd.sock' top $* 2>'$T/top.err'; echo \"status \$?\"; stty -a | tr ';' '\\n' | grep -E 'echo|icanon'; exec sleep 600"
}

screen() {
	term capture-pane -p
}

shows() {
	screen | grep -qE -- "$1"
}

# see NAME REGEX: it comes to be on the screen
see() {
	if wait_until "$PATIENCE" shows "$2"; then
		ok "$1"
	else
		not_ok "$1" "no '$2' in:" "$(screen)" "$(cat "$T/top.err")"
	fi
}

call_watchers() {
	hp --json status
	jq '[.targets[].call_watchers] | add // 0' <<<"$OUT"
}

counted_by() {
	[ "$(call_watchers)" = "$1" ]
}

start_hpd
start_top 120 30
see "hpd and what it has" 'hpctl top: hpd [0-9.]+, up .*0 processes, 0 patches'
see "nothing to be seen" 'no process has a patch'

start_service server
load -p "$PID" "$SVC/server_patch.so" --park 5s --timeout 20s
see "the process with its patch" ">? +$PID server +1 +[1-9]+ open"
see "how long the transition took" "$PID server +1 +[0-9]+ open +- +[0-9.]+ (us|ms|s)"
see "events as they happen" "$PID done load, quiescent in [0-9.]+ (us|ms|s), longest park"
is "nobody counts before somebody looks" "$(call_watchers)" 0
term send-keys Enter
see "looking counts" "calls in $PID"
see "calls by function" 'CALLS/S +IN FLIGHT +FUNCTION'
check "by a watch in hpd" wait_until "$PATIENCE" counted_by 1
see "a rate" '^ +[0-9]+\.[0-9] +[0-9]+ +[a-z]'
see "and its cost" 'counting costs'

# Sizes.
term resize-window -x 80 -y 24
see "smaller" "> +$PID server"
term resize-window -x 20 -y 4
see "very small" 'hpctl top'
term resize-window -x 120 -y 40
see "large again" 'events'
see "with the calls" "calls in $PID"
is "it still runs" "$(screen | grep -c '^status')" 0

term send-keys Enter
see "no longer looking" 'Enter counts the calls'
check "ends the counting" wait_until "$PATIENCE" counted_by 0

# Another process; looking ends where one turns away.
FIRST=$PID
start_service server
load -p "$PID" "$SVC/server_patch2.so" --park 5s --timeout 20s
see "two processes" "2 processes, 2 patches"
term send-keys Enter
check "counted" wait_until "$PATIENCE" counted_by 1
if [ "$FIRST" -lt "$PID" ]; then term send-keys Down; else term send-keys Up; fi
see "the other one is selected" "^> +$PID "
check "and nobody is counted" wait_until "$PATIENCE" counted_by 0
end_service "$FIRST"
see "one that ended is gone" '1 process, 1 patch'

# It leaves the terminal as it was: by a key, a signal, and when hpd goes.
term send-keys Enter
check "counted again" wait_until "$PATIENCE" counted_by 1
term send-keys q
see "q ends it" '^status 0$'
see "the terminal echoes again" '(^|[^-a-z])icanon'
is "no line of it is left" "$(screen | grep -c 'hpctl top')" 0
check "nor its probes" wait_until "$PATIENCE" counted_by 0
for signal in TERM INT HUP; do
	start_top 100 20
	see "it runs" 'hpctl top'
	pid=$(pgrep -f "^$PWD/$O/hpctl --socket $T/hpd.sock top")
	kill "-$signal" "$pid"
	see "SIG$signal ends it" '^status 0$'
	see "and leaves the terminal right" '(^|[^-a-z])icanon'
done
start_top 100 20 -p "$PID"
see "one process" "1 process, 1 patch"
unload -p "$PID" "$ID" --park 5s --timeout 20s
end_service "$PID"
stop_hpd
see "when hpd goes, it says so" '^status 5$'
like "in a sentence" "$(cat "$T/top.err")" 'hpd (ends|went away)'

# The same for programs: hpctl --json watch, of everything and of one process with its counts.
start_hpd
start_service backtrace
"$O/hpctl" --socket "$T/hpd.sock" --json watch >"$T/all.json" 2>"$T/all.err" &
watchers=($!)
watching() {
	hp --json status
	[ "$(jq .hpd.clients <<<"$OUT")" -ge 2 ]
}
check "somebody watches" wait_until "$PATIENCE" watching
load -p "$PID" "$SVC/backtrace_patch.so" --quiesce gate --park 5s --timeout 20s
"$O/hpctl" --socket "$T/hpd.sock" --json watch -p "$PID" --calls >"$T/calls.json" 2>"$T/calls.err" &
watchers+=($!)
rated='[.[] | select(.event == "calls") | .functions[0] | select(.calls_per_second > 0)] | length > 1'
rates() {
	jq -se "$rated" "$T/calls.json"
}
check "calls a second" wait_until "$PATIENCE" rates
tell "$PID" hold
in_flight() {
	jq -se '.[-1].functions[0] | .name == "new_step" and .in_flight >= 1' "$T/calls.json"
}
check "calls in flight" wait_until "$PATIENCE" in_flight
is "what the counting costs" "$(tail -n 1 "$T/calls.json" | jq '.cpu_percent >= 0 and .cpu_percent_before >= 0')" true
is "and first the patches that are there" "$(jq -c '[.event, .patches, .functions, .comm]' "$T/calls.json" | head -n 1)" \
	'["patches",1,1,"backtrace"]'
expect 0 "explain while a new function waits" explain -p "$PID" new_step
# functions: of the stacks in OUT
functions() {
	sed -nE 's/^ +#[0-9]+ +0x[0-9a-f]+ ([^ ]+) .*/\1/p' <<<"$OUT" | tr '\n' ' '
}
like "names the patch's functions in the stack" "$(functions)" 'wait_released new_wait new_step middle outer [^ ]*holder'
expect 0 "explain of the function that it replaces" explain -p "$PID" step
like "shows the same thread" "$(functions)" 'wait_released new_wait new_step middle outer [^ ]*holder'
refused 3 "explain of no function" 'symbol new_stepp not found' explain -p "$PID" new_stepp
tell "$PID" release
unload -p "$PID" "$ID" --quiesce gate --park 5s --timeout 20s
check "the stream says when it is done" wait_line "$T/all.json" '"done".*"unload"'
# What top shows of gates and parks: closed, committed, for how long, and the longest park.
is "all that top shows is in it" "$(jq -cs '[.[] | select(.event != "step" or .step == "gate") |
	[.event, .job, .step, .detail, (.patches, .result.gate_ns, .result.longest_park_ns, .result.quiesce_ns | numbers | "n")] |
	map(values) | join(" ")]' "$T/all.json")" \
	'["step load gate closing","step load gate committed","patches n","done load n n n","step unload gate closing","step unload gate committed","patches n","done unload n n n"]'
kill "${watchers[@]}" 2>/dev/null # the one of the calls has ended with the patch
wait "${watchers[@]}" 2>/dev/null
end_service "$PID"
stop_hpd

# Not a terminal, or one that cannot be drawn on.
start_hpd
refused 2 "no terminal" 'needs a terminal' top
TERMINAL=nosuchterminal start_top 80 24
see "an unknown terminal" '^status 1$'
like "is said" "$(cat "$T/top.err")" 'cannot be drawn on'
end_term
