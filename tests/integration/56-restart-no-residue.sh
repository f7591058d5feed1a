#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 600 (Go compiles its library once)
# --no-residue: the new program is traced until it is ready, and then nothing of hp is left in it.  (With
# RESTART_OPTIONS=--no-residue 30, 31, 33 and 51 are tests of that as well.)
#	RESTARTS	(1)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

need "nginx, redis-server or Go's compiler is not installed" command -v nginx redis-server go
rounds=${RESTARTS:-1}
address=tcp:127.0.0.1:$PORT
new=("$SVC/netsvc" epoll)
OPTIONS=(--no-residue)
start_hpd

# --- nothing is left ------------------------------------------------------------------------------------
# what_is_left: of hp, in the service and beside it
what_is_left() {
	local pid

	for pid in "$MAIN" $(pgrep -P "$MAIN"); do
		grep -hE '^(TracerPid|Seccomp):' "/proc/$pid"/task/*/status | grep -vE '\s0$'
		tr '\0' '\n' <"/proc/$pid/environ" | grep '^NOTIFY_SOCKET='
	done
	grep -l "\"pid\": *$MAIN\\b" /run/hp/restart/* 2>/dev/null
}
# shellcheck disable=SC2317 # called by name
nothing_is_left() {
	[ -z "$(what_is_left)" ]
}
# clean NAME
clean() {
	wait_until "$PATIENCE" nothing_is_left
	is "$1: nothing of hp is left" "$(what_is_left)" ""
}

# shape NAME ADDRESS WAY OPTION…
shape() {
	local name=$1 address=$2

	shift 2
	start_netsvc "$@" "$address"
	# Idle, every thread is asked to stop where it waits: a stray EINTR would end the server.
	restart --wait
	is "$name: a restart of an idle one" "$STATUS $ERR" "0 "
	check "$name: it notices nothing" kill -0 "$MAIN"
	start_load "$address" 2
	restarts "$name" "$rounds" --wait
	clean "$name"
	end_server
}
shape "threads in accept" "$address" threads
shape "a SO_REUSEPORT socket a process" "$address" workers
shape "preforked children" "$address" prefork
shape "epoll, told before the bind" "$address" epoll early
shape "a unix socket, which the old one removes" "unix:$T/socket" epoll unlink
shape "UDP, threads in recvfrom" "udp:127.0.0.1:$PORT" threads

nginx_conf "127.0.0.1:$PORT reuseport"
start_daemon "$T/nginx.pid" nginx -c "$T/nginx.conf"
start_load "$address" 2 http
restarts "nginx in the background, a SO_REUSEPORT socket a worker" "$rounds" --wait \
	--pidfile "$T/nginx.pid" -- "${COMMAND[@]}"
is "its pid file names the last generation" "$(cat "$T/nginx.pid")" "$MAIN"
is "its workers have given up their rights" "$(pgrep -P "$MAIN" -u root)" ""
clean "nginx"
end_server

start_server redis-server --bind 127.0.0.1 --port "$PORT" --save '' --appendonly no --dir "$T"
wait_until "$PATIENCE" bash -c ": >/dev/tcp/127.0.0.1/$PORT"
start_load "$address" 2 redis
restarts redis-server "$rounds" --wait -- "${COMMAND[@]}"
clean "redis-server"
end_server

build_go "the server in Go is built" tests/services/goserver.go "$T/goserver"
start_server "$T/goserver" "$address"
wait_until "$PATIENCE" curl -s -o "$T/out" "http://localhost:$PORT/"
start_load "$address" 2 http
restarts "Go" "$rounds" --wait
clean "Go"
end_server

# --- the new one does not come up ------------------------------------------------------------------------
# only_one: nothing is left of a new one
only_one() {
	[ "$(pgrep -f "netsvc .*$address\$")" = "$MAIN" ]
}
# unharmed NAME
unharmed() {
	check "$1: nothing is left of the new one" wait_until "$PATIENCE" only_one
	grows "$LOAD" answered 50 || not_ok "$1: the old one serves on" "$VERDICT"
}
# fails STATUS NAME REGEX OPTION…
fails() {
	local status=$1 name=$2 regex=$3

	shift 3
	refused "$status" "$name" "$regex" restart "$MAIN" --no-residue "$@"
	unharmed "$name"
}
start_netsvc epoll "$address"
start_load "$address" 2
for stage in start bind listen; do
	fails 1 "the new one dies at $stage" 'died by SIGABRT before it was ready' \
		-- "${new[@]}" "die=$stage" "$address"
done
fails 4 "the new one is never ready" 'not ready in time: it does not wait at tcp 127' \
	--ready-timeout 1s -- "${new[@]}" hang=bind "$address"
fails 3 "the new one listens elsewhere too" "also listens at tcp 127.0.0.1:$((PORT + 1))" \
	-- "${new[@]}" "tcp:127.0.0.1:$((PORT + 1))" "$address"
printf '#!/no/such/interpreter\n' >"$T/script"
chmod +x "$T/script"
fails 1 "a command that cannot be executed" 'cannot execute .*script' -- "$T/script"
fails 1 "io_uring binds: the address is taken" 'exited with status' -- "${new[@]}" uring "$address"

# --- hp is killed ----------------------------------------------------------------------------------------
# killed COMMAND STAGE: when the new one is there
killed() {
	local from

	from=$(stat -c %s "$T/server.out")
	"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" --no-residue \
		-- "${new[@]}" "hold=$2:$T/never" "$address" >"$T/first" 2>"$T/first.err" &
	first=$!
	wait_line "$T/server.out" "^$2 " "$from"
	SUPERVISOR=$(jq -r "select(.old == $MAIN) | .supervisor" /run/hp/restart/*)
	"$1"
	wait "$first"
	unharmed "$1 when the new one is at $2"
}
killed kill_both start
killed kill_supervisor bind
killed kill_both listen
restart --wait
is "and then it is restarted" "$STATUS $ERR" "0 "
end_service "$LOAD"
clean "after all that"
end_server
