#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hpd under a service manager: the socket handed over, readiness, watchdog, the units.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# listen_for FILE: what is sent to a notification socket, a line a word
listen_for() {
	python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
os.write(1, b"bound\n")
while True:
	os.write(1, s.recv(4096) + b"\n")' "$T/notify" >"$1" &
	LISTENER=$!
	wait_line "$1" '^bound$'
}

end_listener() {
	kill "$LISTENER"
	wait "$LISTENER" 2>/dev/null
	rm -f "$T/notify"
}

need "systemd-socket-activate" command -v systemd-socket-activate
make -s install PREFIX="$T/usr" UNITDIR="$T/units" >"$T/make.log" 2>&1 ||
	not_ok "make install" "$(tail "$T/make.log")"
check "the units are units" systemd-analyze verify --man=no --recursive-errors=no "$T/units/hpd.service" \
	"$T/units/hpd.socket"

# --- the socket is handed over -----------------------------------------------------------------------------
listen_for "$T/said"
systemd-socket-activate -l "$T/hpd.sock" -E NOTIFY_SOCKET="$T/notify" -E WATCHDOG_USEC=200000 \
	"$O/hpd" --socket "$T/hpd.sock" --state-dir "$T/state" >"$T/hpd.log" 2>&1 </dev/null &
HPD=$!
check "the socket is there before hpd" wait_until "$PATIENCE" test -S "$T/hpd.sock"
inode=$(stat -c %i "$T/hpd.sock")
start_service server
# The first request starts it.
load -p "$PID" "$SVC/server_patch.so"
check "says that it is ready" wait_line "$T/said" '^READY=1$'
check "says that it is alive" wait_until "$PATIENCE" \
	bash -c "[ \$(grep -c '^WATCHDOG=1\$' $T/said) -ge 3 ]"
unload -p "$PID" "$ID"
kill -TERM "$HPD"
check "says that it ends" wait_line "$T/said" '^STOPPING=1$'
wait "$HPD"
is "it ended well" $? 0
HPD=''
is "the socket's name is the manager's" "$(stat -c %i "$T/hpd.sock" 2>&1)" "$inode"
end_listener

# --- something else is -------------------------------------------------------------------------------------
systemd-socket-activate -l "$T/other.sock" "$O/hpd" --socket "$T/hpd2.sock" --state-dir "$T/state" \
	>"$T/other.log" 2>&1 </dev/null &
other=$!
check "another socket" wait_until "$PATIENCE" test -S "$T/other.sock"
timeout 10 curl -s --unix-socket "$T/other.sock" http://x/ >/dev/null
wait "$other"
is "is refused" $? 2
like "by name" "$(cat "$T/other.log")" 'not the listening socket .*/hpd2.sock'
end_service "$PID"
