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

# Not a terminal, or one that cannot be drawn on.
start_hpd
refused 2 "no terminal" 'needs a terminal' top
TERMINAL=nosuchterminal start_top 80 24
see "an unknown terminal" '^status 1$'
like "is said" "$(cat "$T/top.err")" 'cannot be drawn on'
end_term
