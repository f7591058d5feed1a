#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Restarts back to back while connections of every earlier generation are open; what is open at the
# deadline is reported; servers that go to the background, and with other rights.
#	GENERATIONS_WANTED	(4)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

wanted=${GENERATIONS_WANTED:-4}
address=tcp:127.0.0.1:$PORT
start_hpd
start_netsvc epoll "$address"
start_load "$address" 2
holders=() mains=()
failed=0
for ((i = 0; i < wanted; i++)); do
	start_service netload "$address" 0
	holders+=("$PID")
	mains+=("$MAIN")
	ask "$PID" hold '^said' || failed=$((failed + 1))
	restart --drain-timeout 300s || { echo "# $ERR"; failed=$((failed + 1)); }
done
is "$wanted restarts, each with a connection open" "$failed" 0
check "the last generation serves" grows "$LOAD" answered 50
for i in "${!holders[@]}"; do
	answers "generation $((i + 1)) serves its connection" "${holders[$i]}" more "said ${mains[$i]} 1"
done
hp list
is "all of them are listed as draining" "$(grep -c 'draining, 1 connection open' <<<"$OUT")" "$wanted"
like "and the last one as serving" "$OUT" "process $MAIN \(netsvc\), serving since .*, generation $((wanted + 1))\$"
refused 3 "one that was replaced" "was replaced by process ${mains[1]}" restart "${mains[0]}"
for i in "${!holders[@]}"; do
	tell "${holders[$i]}" drop
	check "generation $((i + 1)) ends with its connection" wait_until "$PATIENCE" gone "${mains[$i]}"
	end_service "${holders[$i]}"
done

start_service netload "$address" 0
holder=$PID
ask "$holder" hold '^said'
"$O/hpctl" --socket "$T/hpd.sock" --json watch >"$T/events" &
watch=$!
restart --drain-timeout 1s --wait
is "a drain that does not end by itself" "$STATUS" 0
like "hpctl tells how many connections were cut off" "$ERR" '1 connection of the old process was cut off'
check "an event names each" wait_line "$T/events" "\"step\":\"open\".*tcp 127.0.0.1:$PORT from 127.0.0.1 port [0-9]+, open for at least 1"
kill "$watch"
wait "$watch" 2>/dev/null
end_service "$holder"
end_service "$LOAD"
end_server

# A listing of /proc misses most of such a line of descendants.
start_netsvc epoll "$address"
start_load "$address" 2
restarts "a server that forks 300 times while it starts" 1 --wait -- "$SVC/netsvc" epoll forks=300 "$address"
end_server

start_daemon "$T/pid" "$SVC/netsvc" epoll daemon unlink "pidfile=$T/pid" "$address"
start_load "$address" 2
restarts "a server in the background" 2 --wait --pidfile "$T/pid"
is "its pid file is right" "$(cat "$T/pid")" "$MAIN"
end_server

# lingers NAME WAY…: whoever forked goes on until it may go
lingers() {
	local name=$1

	shift
	rm -f "$T/pid" "$T/go"
	start_netsvc epoll "$address"
	restart --wait -- "$SVC/netsvc" epoll "$@" "linger=$T/go" "pidfile=$T/pid" "$address"
	is "$name: it serves" "$STATUS $ERR" "0 "
	FIRST=$MAIN
	MAIN=$(cat "$T/pid")
	own "$MAIN"
}
lingers "a parent that lingers" daemon
is "the one in the background is the service" "$FIRST" "$MAIN"
touch "$T/go"
end_server
# shellcheck disable=SC2317 # called by name
is_listed() {
	hp list
	grep -q "process $MAIN (netsvc), serving since .*, generation 2" <<<"$OUT"
}
lingers "a parent that lingers, of the same session" forks=1
touch "$T/go"
check "its child is the service when it is gone" wait_until "$PATIENCE" is_listed
restart --wait -- "$SVC/netsvc" epoll "$address"
is "and can be restarted" "$STATUS $ERR" "0 "
end_server

chmod 755 "$T"
start_netsvc threads user=65534 "$address"
start_load "$address" 2
restart
is "one that gave up its rights starts with those that it has" \
	"$STATUS $ERR $(awk '/^Uid/ { print $2 }' "/proc/$MAIN/status")" "0  65534"
refused 3 "nor is its command line root's" 'its own word' restart "$MAIN" --user root
restart --user root --exec-env EMPTY --wait -- "$SVC/netsvc" threads "$address"
is "or with those of --user" "$STATUS $ERR $(awk '/^Uid/ { print $2 }' "/proc/$MAIN/status")" "0  0"
end_service "$LOAD"
end_server
