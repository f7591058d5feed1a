#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Servers of every shape are replaced under load, one connection a request, and no request is
# refused, reset or lost.
#	RESTARTS	(2)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

rounds=${RESTARTS:-2}
start_hpd

# shape NAME "ADDRESS…" WAY OPTION…
shape() {
	local name=$1 address addresses loads=()

	read -ra addresses <<<"$2"
	shift 2
	start_netsvc "$@" "${addresses[@]}"
	for address in "${addresses[@]}" ${MORE_LOAD:+"$MORE_LOAD"}; do
		start_load "$address" 4
		loads+=("$LOAD")
	done
	LOADS=("${loads[@]}")
	restarts "$name" "$rounds" --wait
	end_server
}
shape "threads in accept" tcp:127.0.0.1:$PORT threads
shape "a SO_REUSEPORT socket a thread" tcp:127.0.0.1:$PORT reuseport
shape "a SO_REUSEPORT socket a process" tcp:127.0.0.1:$PORT workers
shape "preforked children" tcp:127.0.0.1:$PORT prefork
shape "epoll" tcp:127.0.0.1:$PORT epoll
shape "epoll, told before the bind" tcp:127.0.0.1:$PORT epoll early
shape "poll" tcp:127.0.0.1:$PORT poll
shape "select" tcp:127.0.0.1:$PORT select
shape "IPv6" "tcp6:[::1]:$PORT" epoll v6only
MORE_LOAD=tcp:127.0.0.1:$PORT shape "IPv6 and IPv4 in one socket" "tcp6:[::]:$PORT" threads
shape "IPv6 and IPv4 in two sockets" "tcp6:[::]:$PORT tcp:0.0.0.0:$PORT" epoll v6only
shape "both, a SO_REUSEPORT socket a process" "tcp6:[::]:$PORT tcp:0.0.0.0:$PORT" workers v6only
shape "a unix socket, which the old one removes" "unix:$T/socket" epoll unlink
shape "a unix socket, threads in accept" "unix:$T/socket" threads unlink
shape "UDP, epoll" udp:127.0.0.1:$PORT epoll
shape "UDP, poll" udp:127.0.0.1:$PORT poll
shape "UDP, threads in recvfrom" udp:127.0.0.1:$PORT threads
shape "UDP over IPv6" "udp6:[::1]:$PORT" prefork
shape "an abstract unix socket" "unix:@hp-test-$PORT" epoll
