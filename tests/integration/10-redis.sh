#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Debian's redis-server: a command's code is replaced and put back while clients hammer it.
#	REDIS_ROUNDS	(10)
#	REDIS_SECONDS	for so long instead, with a park budget for a machine with other work
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

need "redis-server is not installed" which redis-server redis-benchmark redis-cli
rounds=${REDIS_ROUNDS:-10}
seconds=${REDIS_SECONDS:-}
patience=()
[ -z "$seconds" ] || patience=(--park 500ms --timeout 20s)
sock=$T/redis.sock
start_hpd
redis-server --port 0 --unixsocket "$sock" --save '' --appendonly no --daemonize no --dir "$T" \
	>"$T/redis.log" 2>&1 </dev/null &
redis=$!
own "$redis"
redis_cli() {
	redis-cli -s "$sock" "$@"
}
bench=()
wait_until "$PATIENCE" redis_cli ping
stop_clients() {
	local pid

	for pid in "${bench[@]}"; do
		kill -TERM "$pid"
		wait "$pid"
	done
	bench=()
} 2>/dev/null
start_clients() {
	redis-benchmark -s "$sock" -c 30 -n 2000000000 -q ECHO hello >"$T/bench1" 2>&1 &
	bench+=($!)
	own $!
	redis-benchmark -s "$sock" -c 20 -n 2000000000 -q PING >"$T/bench2" 2>&1 &
	bench+=($!)
	own $!
}
calls_of() {
	redis_cli info commandstats | tr -d '\r' | sed -n "s/^cmdstat_$1:calls=\([0-9]*\),.*/\1/p"
}
echo_calls_reach() {
	[ "$(calls_of echo)" -ge "$1" ] 2>/dev/null
}

# One run of clients first, so that memory and descriptors have found their size.
start_clients
wait_until "$PATIENCE" echo_calls_reach 5000
is "ECHO before" "$(redis_cli echo hello)" hello
# A package that is replaced meanwhile is not hp's doing.
text_of_files() {
	"$SVC/peek" text "$redis" | grep -v uprobes | sed 's/ (deleted)$//'
}
maps_of_files() {
	maps_of "$redis" | awk '$6 ~ /^\//' | sed 's/ (deleted)$//'
}
text_of_files >"$T/text.before"
maps_of_files >"$T/maps.before"
threads_of "$redis" >"$T/threads.before"
n_maps() {
	maps_of "$redis" | wc -l
}
maps_before=$(n_maps)

rss_of() {
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}
more() {
	if [ -n "$seconds" ]; then
		((SECONDS - began < seconds))
	else
		((i < rounds))
	fi
}

wrong=0
began=$SECONDS
for ((i = 0; ; i++)); do
	more || break
	# by now whatever grows once has grown
	[ "$i" != 10 ] || rss_before=$(rss_of "$redis") hpd_before=$(rss_of "$HPD")
	hp load -p "$redis" "${patience[@]}" "$SVC/redis_patch.so"
	if [ "$STATUS" != 0 ]; then
		not_ok "load, round $i" "status $STATUS" "$ERR"
		break
	fi
	id=$OUT
	[ "$(redis_cli echo hello)" = patched ] || wrong=$((wrong + 1))
	calls=$(calls_of echo)
	wait_until "$PATIENCE" echo_calls_reach $((calls + 1000)) || wrong=$((wrong + 1))
	hp unload -p "$redis" "${patience[@]}" "$id"
	if [ "$STATUS" != 0 ]; then
		not_ok "unload, round $i" "status $STATUS" "$ERR"
		break
	fi
	[ "$(redis_cli echo hello)" = hello ] || wrong=$((wrong + 1))
done
[ -z "$seconds" ] || rounds=$i
is "$rounds rounds under load, in $((SECONDS - began)) s" "$(more; echo $?)" 1
if [ "$i" -gt 10 ]; then
	at_most "redis grew by $(($(rss_of "$redis") - rss_before)) kB, from $rss_before" \
		"$(rss_of "$redis")" $((rss_before + 4096))
	at_most "hpd grew by $(($(rss_of "$HPD") - hpd_before)) kB, from $hpd_before" \
		"$(rss_of "$HPD")" $((hpd_before + 2048))
fi
printf '# %s commands, %s of them ECHO\n' \
	"$(redis_cli info stats | tr -d '\r' | sed -n 's/^total_commands_processed://p')" "$(calls_of echo)"
is "every reply was the one of the moment" "$wrong" 0
check "the clients are alive" kill -0 "${bench[@]}"
is "no client saw an error" "$(cat "$T"/bench? | tr '\r' '\n' | grep -ciE 'err|clos|refus|reset')" 0
is "no command failed" "$(redis_cli info stats | tr -d '\r' | sed -n 's/^total_error_replies://p')" 0
stop_clients
is "redis answers" "$(redis_cli ping)" PONG

text_is_back() {
	text_of_files >"$T/text.after"
	maps_of_files >"$T/maps.after"
	cmp "$T/text.before" "$T/text.after" && cmp "$T/maps.before" "$T/maps.after"
}
wait_until "$PATIENCE" text_is_back
same "its code is byte for byte what it was" "$T/text.before" "$T/text.after"
same "its files are mapped as they were" "$T/maps.before" "$T/maps.after"
at_most "its anonymous mappings did not pile up" "$(n_maps)" $((maps_before + 2))
threads_of "$redis" >"$T/threads.after"
same "its threads and their signal masks are what they were" "$T/threads.before" "$T/threads.after"
check "no pins are left" test ! -e "/sys/fs/bpf/hp/$redis"
kill -TERM "$redis"
check "redis ends when told to" wait_until "$PATIENCE" gone "$redis"
wait "$redis"
is "with status" "$?" 0
