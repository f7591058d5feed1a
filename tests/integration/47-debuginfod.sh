#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A stripped program whose symbols a debuginfod server has: asked only where $DEBUGINFOD_URLS says so,
# and only for names that nothing else knows.  In a network of its own, where only loopback is.
if [ -z "${HP_OWN_NETWORK-}" ]; then
	HP_OWN_NETWORK=1 exec unshare -n "$0"
fi
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

need "no loopback in a new network" ip link set lo up
url=http://127.0.0.1:8002
build_id=$(readelf -n "$SVC/server-split" | awk '/Build ID:/ { print $3 }')
mkdir "$T/debug"
cp "$SVC/server-split.debug" "$T/debug"
debuginfod -F -p 8002 -d :memory: "$T/debug" >"$T/debuginfod.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server"; at_end' EXIT
has_it() {
	curl -sf -o /dev/null "$url/buildid/$build_id/debuginfo"
}
check "a server has the file" wait_until "$PATIENCE" has_it

asked() {
	grep -c "buildid/$build_id/debuginfo" "$T/debuginfod.log"
}

export DEBUGINFOD_CACHE_PATH=$T/cache
unset DEBUGINFOD_URLS
start_hpd
start_service server-split
before=$(asked)
refused 3 "without servers the program has no symbols" 'symbol answer not found' \
	load -p "$PID" "$SVC/server_patch.so"
is "and nobody was asked" "$(asked)" "$before"
end_service "$PID"
stop_hpd

export DEBUGINFOD_URLS=$url
start_hpd
start_service server
load -p "$PID" "$SVC/server_patch.so"
unload -p "$PID" "$ID"
end_service "$PID"
is "nobody is asked for what is known" "$(asked)" "$before"

start_service server-split
snapshot "$PID" "$T/before"
load -p "$PID" "$SVC/server_patch.so"
answers "with servers it is patched" "$PID" 'ask 5' 'answer 1005'
is "one was asked" "$(($(asked) > before))" 1
unload -p "$PID" "$ID"
answers "and unpatched" "$PID" 'ask 5' 'answer 6'
as_before "everything is as before" "$PID" "$T/before"

kill "$server"
wait "$server"
load -p "$PID" "$SVC/server_patch.so"
ok "what was fetched is kept"
unload -p "$PID" "$ID"
rm -r "$T/cache"
refused 3 "a server that is gone" 'symbol answer not found' load -p "$PID" "$SVC/server_patch.so"
end_service "$PID"
