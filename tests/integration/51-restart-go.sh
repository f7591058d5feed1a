#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 400 (Go compiles its library once)
# Go programs, which call the kernel by themselves and not through libc, are replaced under load.
#	RESTARTS	(3)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"
need "Go's compiler is not installed" command -v go

rounds=${RESTARTS:-3}
build_go "the server is built" tests/services/goserver.go "$T/goserver"
start_hpd

# served NAME ADDRESS-OF-LOAD ADDRESS…: the command line is its own, so none is named
served() {
	local name=$1 address=$2

	shift 2
	start_server "$T/goserver" "$@"
	wait_until "$PATIENCE" curl -s -o "$T/out" "http://localhost:$PORT/"
	start_load "$address" 4 http
	restarts "$name" "$rounds" --wait
}

served "Go, net/http" "tcp:127.0.0.1:$PORT" "tcp:127.0.0.1:$PORT" "unix:$T/socket"
# What a client keeps open is served by whom it has called, and the drain ends with it.
exec {kept}<>"/dev/tcp/127.0.0.1/$PORT"
printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' >&"$kept"
wait_for_body() {
	local line

	while IFS= read -r -t "$PATIENCE" -u "$kept" line; do
		case "$line" in hello*) BODY=$line && return ;; esac
	done
}
wait_for_body
old=$MAIN
is "a connection of the old one" "$BODY" "hello from $old"
restart
is "a restart while it is open" "$STATUS $ERR" "0 "
like "the unix socket is the new one's" "$(curl -s --unix-socket "$T/socket" http://a/)" "hello from $MAIN"
printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' >&"$kept"
wait_for_body
is "the connection is served by the old one" "$BODY" "hello from $old"
exec {kept}>&-
check "which then ends" wait_until "$PATIENCE" gone "$old"
end_server

served "Go, two SO_REUSEPORT sockets" "tcp:127.0.0.1:$PORT" "reuseport:127.0.0.1:$PORT" "reuseport:127.0.0.1:$PORT"
end_server
served "Go, every address" "tcp6:[::1]:$PORT" "tcp::$PORT"
end_server
