# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# restart-lib.sh – what the tests of restarts share, on top of lib.sh: services of which hp starts
# new generations, and clients that count what becomes of each request.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What the current service is: its main process, and the words that start it.
MAIN=''
COMMAND=()
LOADS=()
READY_NS=0
# Of every restart: RESTART_OPTIONS=--no-residue makes each of these scripts a test of that.
read -ra OPTIONS <<<"${RESTART_OPTIONS:-}"
# A port for this run: tests of several worktrees may run at a time.
# shellcheck disable=SC2034 # the tests use it
PORT=$((20000 + $$ % 12000))

# start_server WORD…: MAIN, as a child of ours; its output goes to $T/server.out
start_server() {
	# shellcheck disable=SC2034 # the tests use it
	COMMAND=("$@")
	"$@" >>"$T/server.out" 2>&1 </dev/null &
	MAIN=$!
	own "$MAIN"
}

# start_daemon PIDFILE WORD…: of a server that goes to the background and writes its pid
start_daemon() {
	local pidfile=$1

	shift
	# shellcheck disable=SC2034 # the tests use it
	COMMAND=("$@")
	"$@" >>"$T/server.out" 2>&1 </dev/null
	wait_until "$PATIENCE" test -s "$pidfile" || not_ok "$1 writes its pid" "$(tail -n 5 "$T/server.out")"
	MAIN=$(cat "$pidfile")
	own "$MAIN"
}

# haproxy_config PORT WORD: $T/haproxy.cfg, which has WORD answered
haproxy_config() {
	cat >"$T/haproxy.cfg" <<-END
		defaults
			mode http
			timeout connect 5s
			timeout client 30s
			timeout server 30s
		frontend f
			bind 127.0.0.1:$1
			http-request return status 200 content-type text/plain string $2
	END
}

# start_netsvc WAY OPTION…
start_netsvc() {
	start_server "$SVC/netsvc" "$@"
	if ! wait_line "$T/server.out" "^ready $MAIN\$"; then
		not_ok "netsvc $* is ready" "$(tail -n 5 "$T/server.out")"
		exit 1
	fi
}

# start_load ADDRESS THREADS [PROTOCOL]: LOAD, which restarts() goes by; the first request was answered
start_load() {
	start_service netload "$@"
	LOAD=$PID
	LOADS=("$LOAD")
	grows "$LOAD" answered 20 || not_ok "the load reaches $1" "$VERDICT"
}

# Each generation is ended with the test.
generation() {
	own "$1"
}

# restart OPTION… [-- WORD…]: like hp(), MAIN is the new one, and READY_NS what it took until the switch
restart() {
	hp --json restart "$MAIN" --ready-timeout 80s "${OPTIONS[@]}" "$@"
	if [ "$STATUS" != 0 ]; then
		[ -n "$ERR" ] || ERR=$(jq -r .error.text <<<"$OUT")
		return 1
	fi
	MAIN=$(jq .pid <<<"$OUT")
	READY_NS=$(jq .ready_ns <<<"$OUT")
	generation "$MAIN"
}

all_grow() {
	local load

	for load in "${LOADS[@]}"; do
		grows "$load" answered 50 || return 1
	done
}

# restarts NAME ROUNDS OPTION…: each must succeed, serve, and lose nothing; ends the loads
restarts() {
	local name=$1 rounds=$2 i=0 why='' ready=() load answered=0 lost=0

	shift 2
	while [ "$i" -lt "$rounds" ]; do
		restart "$@" || { why="status $STATUS: $ERR"; break; }
		all_grow || { why="nothing is answered: $VERDICT"; break; }
		ready+=("$READY_NS")
		i=$((i + 1))
	done
	is "$name: $rounds restarts" "$i $why" "$rounds "
	for load in "${LOADS[@]}"; do
		end_service "$load"
		answered=$((answered + $(field answered)))
		lost=$((lost + $(field 'refused + .reset + .early_end + .late + .other')))
	done
	printf '# figures: %s | %d | %d | %d | %s\n' "$name" "$i" "$answered" "$lost" \
		"$(printf '%s\n' "${ready[@]}" | sort -n | awk '
			{ ms[NR] = $1 / 1e6 }
			END { if (NR) printf "%.0f | %.0f", ms[int((NR + 1) / 2)], ms[NR] }')"
}

nobody_listens() {
	[ -z "$(ss -Hlntu "sport = :$PORT")" ]
}

# end_server: the last generation, told to end; its children end a moment later
end_server() {
	kill -TERM "$MAIN" 2>/dev/null
	wait_until "$PATIENCE" gone "$MAIN" || not_ok "$MAIN ends when it is told to"
	wait_until "$PATIENCE" nobody_listens || not_ok "its port is free" "$(ss -Hlntup "sport = :$PORT")"
	: >"$T/server.out"
}

# Who kills hp: SUPERVISOR alone, or before it hpd, which cannot put it right any more
kill_supervisor() {
	kill -KILL "$SUPERVISOR"
}
kill_both() {
	kill -STOP "$SUPERVISOR"
	kill -KILL "$HPD"
	wait "$HPD" 2>/dev/null
	HPD=''
	kill -KILL "$SUPERVISOR"
	start_hpd
}
