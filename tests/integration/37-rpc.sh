#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240 (Go compiles its library once)
# An unchanged client of Go's net/rpc loads, lists and unloads a patch in a C service.
. "$(dirname "$0")/lib.sh"
need "Go's compiler is not installed" command -v go

build_go "the client is built" tests/services/hotgo_client.go "$T/client"

start_hpd
start_service ticker 20
snapshot "$PID" "$T/before"
expect 0 "serve" serve -p "$PID" --http 127.0.0.1:0 --timeout 60s --park 20s
ADDR=$OUT
cp "$SVC/wire_hp.so" "$T/hp.so"
timeout 100 "$T/client" "$ADDR" "$T/hp.so" >"$T/client.out" 2>&1
is "the client found everything right" "$?" 0
while IFS= read -r line; do
	case "$line" in
	"ok "*) ok "client: ${line#ok }" ;;
	*) not_ok "client" "$line" ;;
	esac
done <"$T/client.out"
grows "$PID" ticks 2
still_right "the service did not notice" "$PID"

# The recorded client, as it was; and strangers.
exec {sock}<>"/dev/tcp/${ADDR%:*}/${ADDR##*:}"
head -c 22 tests/golden/hotgo/rpc_client.bin >&"$sock"
is "CONNECT is answered" "$(timeout 20 head -c 34 <&"$sock")" 'HTTP/1.0 200 Connected to Go RPC'
printf '\xfb\x7f\xff\xff\xff\xff' >&"$sock"
is "a message of 2 GB ends the connection" "$(timeout 20 cat <&"$sock" | wc -c)" 0
exec {sock}>&-
is "another user may not connect" "$(as_nobody \
	curl -s -o /dev/null -w '%{http_code}' -X CONNECT --request-target /hp "http://$ADDR/")" 403
as_before "nothing is left in the process" "$PID" "$T/before"
end_service "$PID"
