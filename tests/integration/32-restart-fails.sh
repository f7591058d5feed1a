#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A new program that does not come up, or that may not: the old one serves on as if nothing had been.
# hpd killed at every step: one generation serves.
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

address=tcp:127.0.0.1:$PORT
new=("$SVC/netsvc" epoll)
start_hpd

# unharmed NAME: the old process serves, alone, and nothing of a new one is left
unharmed() {
	local left

	left=$(pgrep -f "netsvc .*$address\$" | grep -vx "$MAIN")
	is "$1: nothing is left of the new one" "$left" ""
	grows "$LOAD" answered 50 || not_ok "$1: the old one serves on" "$VERDICT"
}

# fails STATUS NAME REGEX OPTION…
fails() {
	local status=$1 name=$2 regex=$3

	shift 3
	refused "$status" "$name" "$regex" restart "$MAIN" "$@"
	unharmed "$name"
}

start_netsvc threads "$address"
start_load "$address" 4
for stage in start bind listen; do
	fails 1 "the new one dies at $stage" 'died by SIGABRT before it was ready' \
		-- "${new[@]}" "die=$stage" "$address"
	fails 4 "the new one hangs at $stage" 'not ready in time: it does not (wait|listen) at tcp 127' \
		--ready-timeout 1s -- "${new[@]}" "hang=$stage" "$address"
done
fails 1 "the new one ends with a status" 'exited with status 7 before' -- sh -c 'exit 7'
fails 1 "the new one ends well, but early" 'ended before it was ready' -- true
fails 1 "a command that is not there" "no program 'no-such-program'" -- no-such-program
fails 3 "the new one listens elsewhere too" 'also listens at tcp 127.0.0.1:'"$((PORT + 1))" \
	-- "${new[@]}" "tcp:127.0.0.1:$((PORT + 1))" "$address"
fails 4 "the new one listens elsewhere only" "does not listen at tcp 127.0.0.1:$PORT" \
	--ready-timeout 1s -- "${new[@]}" "tcp:127.0.0.1:$((PORT + 1))"
fails 4 "READY=1 is waited for" 'did not say READY=1' --ready notify --ready-timeout 1s \
	-- "${new[@]}" "$address"
fails 2 "an odd drain" 'must be "external" or "graceful"' --drain slowly
fails 2 "an odd signal" 'must be "external" or "graceful"' --drain graceful:SIGNOTHING
fails 2 "a user who is not there" "no user 'nobody-such'" --user nobody-such
refused 1 "a process that is not there" 'no process' restart 4194304
refused 3 "one without listeners" 'has no listeners' restart "$LOAD"
refused 3 "hpd" 'is hp itself' restart "$HPD"
unshare -n "$SVC/netsvc" epoll "$address" >"$T/netns.out" &
other=$!
own "$other"
wait_line "$T/netns.out" "^ready"
refused 3 "another network namespace" 'another net namespace' restart "$other"
kill -KILL "$other"
wait "$other" 2>/dev/null

"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" -- "${new[@]}" "hold=bind:$T/go" "$address" \
	>"$T/first" 2>"$T/first.err" &
first=$!
wait_line "$T/server.out" '^bind '
refused 3 "a second restart while one runs" 'being restarted already' restart "$MAIN"
touch "$T/go"
wait "$first"
is "the first goes on" "$?" 0
old=$MAIN
MAIN=$(cat "$T/first")
own "$MAIN"
check "and serves" grows "$LOAD" answered 50
wait_until "$PATIENCE" gone "$old"
rm "$T/go"

# kill_hpd: with SIGKILL, and a new one takes its place
kill_hpd() {
	kill -KILL "$HPD"
	wait "$HPD" 2>/dev/null
	HPD=''
	start_hpd
}

for stage in start bind listen; do
	from=$(stat -c %s "$T/server.out")
	"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" \
		-- "${new[@]}" "hold=$stage:$T/never" "$address" >"$T/first" 2>"$T/first.err" &
	first=$!
	wait_line "$T/server.out" "^$stage " "$from"
	kill_hpd
	wait "$first"
	is "hpd killed when the new one is at $stage: hpctl says so" "$?" 5
	only_one() {
		[ "$(pgrep -cf "netsvc .*$address\$")" = 1 ]
	}
	wait_until "$PATIENCE" only_one
	unharmed "hpd killed when the new one is at $stage"
done

start_service netload "$address" 0
holder=$PID
ask "$holder" hold '^said'
is "a connection of the old one" "$REPLY" "said $MAIN 1"
old=$MAIN
restart -- "${new[@]}" "$address"
is "a restart while it is open" "$STATUS $ERR" "0 "
kill_hpd
check "hpd killed while the old one drains: the new one serves" grows "$LOAD" answered 50
ask "$holder" more '^said'
is "and the connection of the old one is served" "$REPLY" "said $old 1"
hp list
like "the drain is listed by the next hpd" "$OUT" "process $old: draining, 1 connection open"
hp list --exe "$(readlink "/proc/$old/exe")"
like "with the processes of its program" "$OUT" "process $old: draining, 1 connection open"
hp --json list --exe "$(readlink /proc/$$/exe)"
is "and not with another's" "$(jq -c .generations <<<"$OUT")" '[]'
tell "$holder" drop
check "the old one ends with its last connection" wait_until "$PATIENCE" gone "$old"
kill_hpd
restart -- "${new[@]}" "$address"
is "a restart of what another hpd started" "$STATUS $ERR" "0 "
check "and it serves" grows "$LOAD" answered 50

# both_serve NAME OPTION…: the old one is traced, by the new one, so that hp cannot reach into it
both_serve() {
	local name=$1 old=$MAIN

	shift
	hp "$@" restart "$MAIN" -- "${new[@]}" "seize=$old:$T/detach" "$address"
	is "$name: it says so" "$STATUS" 6
	MAIN=$(grep -oE '^[0-9]+$|"result":.*"pid":[0-9]+' <<<"$OUT" | grep -oE '[0-9]+$')
	own "$MAIN"
	like "$name: the new process is named" "$OUT$ERR" "process $MAIN serves, but the old one, $old, could not"
	check "$name: it serves" kill -0 "$MAIN"
	touch "$T/detach"
	check "$name: the old one is drained when it can be" wait_until "$PATIENCE" gone "$old"
	rm "$T/detach"
}
both_serve "both serve"
both_serve "both serve, told as JSON" --json
end_service "$LOAD"
end_service "$holder"
end_server

# A SO_REUSEPORT group: the queue of a socket that nobody takes would be lost.
workers() {
	echo "$SVC/netsvc" workers "workers=$1" v6only "tcp6:[::]:$PORT" "tcp:0.0.0.0:$PORT"
}
# shellcheck disable=SC2046 # words
start_server $(workers 3)
wait_line "$T/server.out" "^ready $MAIN\$"
start_load "$address" 2
# shellcheck disable=SC2046 # words
refused 4 "fewer sockets of a SO_REUSEPORT group" 'has 2 of the 3 listeners at tcp .*, has 2 of the 3 listeners at tcp ' \
	restart "$MAIN" --ready notify -- $(workers 2) notify=/
refused 1 "one socket for both where there were two" 'exited with status 3 before' \
	restart "$MAIN" -- "$SVC/netsvc" epoll "tcp6:[::]:$PORT"
# shellcheck disable=SC2046 # words
restarts "more sockets" 1 --wait -- $(workers 4)
# shellcheck disable=SC2046 # words
restart -- $(workers 4)
is "and all of them are handed on" "$STATUS $ERR" "0 "
end_server

# The supervisor killed: a path that it has made a mount point would be in the next program's way.
supervisor_of() {
	jq -r "select(.old == $1) | .supervisor" /run/hp/restart/*
}
# shellcheck disable=SC2317 # called by name
is_free() {
	! grep -qF " $T/socket " /proc/self/mountinfo
}
address=unix:$T/socket
start_netsvc epoll unlink "$address"
start_load "$address" 2
# killed_early NAME COMMAND: the new one is at bind, the supervisor is $SUPERVISOR
killed_early() {
	"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" \
		-- "${new[@]}" unlink "hold=bind:$T/never" "$address" >"$T/first" 2>"$T/first.err" &
	first=$!
	wait_line "$T/server.out" '^bind '
	check "$1: the path is a mount point before" grep -F " $T/socket " /proc/self/mountinfo
	SUPERVISOR=$(supervisor_of "$MAIN")
	"$2"
	wait "$first"
	check "$1: the path is free" wait_until "$PATIENCE" is_free
	check "$1: the new one is gone" wait_until "$PATIENCE" only_one
	unharmed "$1"
	: >"$T/server.out"
}
killed_early "supervisor killed before the switch" kill_supervisor
killed_early "supervisor and hpd killed before the switch" kill_both

# killed_late DRAIN_TIMEOUT: while the old one, $OLD, drains
killed_late() {
	start_service netload "$address" 0
	holder=$PID
	ask "$holder" hold '^said'
	OLD=$MAIN
	restart --drain-timeout "$1" -- "${new[@]}" unlink "$address"
	is "a restart while a connection is open" "$STATUS $ERR" "0 "
	SUPERVISOR=$(supervisor_of "$OLD")
	kill_both
}
# shellcheck disable=SC2317 # called by name
is_listed() {
	hp list
	grep -q "process $OLD: draining" <<<"$OUT"
}
killed_late 300s
check "supervisor and hpd killed while the old one drains: it is listed" wait_until "$PATIENCE" is_listed
answers "its connection is served" "$holder" more "said $OLD 1"
kill "$OLD"
check "the path is free when it ends" wait_until "$PATIENCE" is_free
check "and there" test -S "$T/socket"
end_service "$holder"
killed_late 1s
check "the old one is ended at the deadline" wait_until "$PATIENCE" gone "$OLD"
check "the path is free then" wait_until "$PATIENCE" is_free
check "the new one serves" grows "$LOAD" answered 50
end_service "$holder"
restart -- "${new[@]}" unlink "$address"
is "and can be restarted" "$STATUS $ERR" "0 "
end_service "$LOAD"
end_server
