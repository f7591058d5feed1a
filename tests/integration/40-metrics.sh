#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# /hp/v2/metrics as Prometheus reads it, and logs that say each step with its time.
. "$(dirname "$0")/lib.sh"
need "promtool is not installed" command -v promtool

metrics() {
	curl -s --max-time 20 --unix-socket "$T/hpd.sock" http://hpd/hp/v2/metrics >"$T/metrics"
}

# value NAME [LABELS]: of a sample; empty when there is none
value() {
	awk -v name="$1${2:+{$2\}}" '$1 == name { print $2 }' "$T/metrics"
}

start_hpd
like "the type is Prometheus'" "$(curl -s -i --unix-socket "$T/hpd.sock" http://hpd/hp/v2/metrics | tr -d '\r')" \
	'^Content-Type: text/plain; version=0\.0\.4; charset=utf-8$'
metrics
check "promtool finds nothing wrong before anything was done" promtool check metrics <"$T/metrics"
is "no load yet" "$(value hp_operations_total 'operation="load",result="done"')" 0

start_service server
load -p "$PID" "$SVC/server_patch.so" --park 5s --timeout 20s
refused 3 "a second time" 'already loaded' load -p "$PID" "$SVC/server_patch.so"
refused 1 "no file" 'nothere' load -p "$PID" /nothere.so
metrics
check "promtool finds nothing wrong" promtool check metrics <"$T/metrics"
is "loads by result: done" "$(value hp_operations_total 'operation="load",result="done"')" 1
is "loads by result: already loaded" "$(value hp_operations_total 'operation="load",result="already-loaded"')" 1
hp --json list -p "$PID"
functions=$(jq '[.patches[].functions[]] | length' <<<"$OUT")
labels="pid=\"$PID\",comm=\"server\""
is "patches of the process" "$(value hp_patches "$labels")" 1
is "patched functions of the process" "$(value hp_patched_functions "$labels")" "$functions"
is "the time for quiescence was observed" "$(value hp_quiescence_seconds_count 'operation="load"')" 1
is "every bucket is there" "$(grep -c '^hp_park_seconds_bucket{operation="load"' "$T/metrics")" 17
is "and the last holds all" "$(value hp_park_seconds_bucket 'operation="load",le="+Inf"')" 1
# shellcheck disable=SC2016 # the fields are awk's
check "the sum is a time" awk '/^hp_operation_seconds_sum{operation="load"}/ { exit !($2 > 0 && $2 < 60) }' \
	"$T/metrics"
for name in process_cpu_seconds_total process_resident_memory_bytes process_start_time_seconds \
	hp_jobs_cpu_seconds_total hp_requests_total hp_clients; do
	# shellcheck disable=SC2016 # the fields are awk's
	check "$name is more than 0" awk -v n="$name" '$1 == n { found = $2 > 0 } END { exit !found }' "$T/metrics"
done

unload -p "$PID" "$ID" --park 5s --timeout 20s
metrics
is "unloads" "$(value hp_operations_total 'operation="unload",result="done"')" 1
like "nothing is patched any more" "$(value hp_patched_functions "$labels")" '^0?$'

# While calls are counted they are to be seen.
end_service "$PID"
start_service backtrace
load -p "$PID" "$SVC/backtrace_patch.so" --park 5s --timeout 20s
tell "$PID" hold
"$O/hpctl" --socket "$T/hpd.sock" watch -p "$PID" --calls >"$T/watch.out" 2>&1 &
watcher=$!
counted() {
	metrics
	case $(value hp_calls_in_flight "pid=\"$PID\",comm=\"backtrace\"") in 1 | 2) ;; *) false ;; esac
}
check "calls in flight, while they are counted" wait_until "$PATIENCE" counted
kill "$watcher"
wait "$watcher" 2>/dev/null
tell "$PID" release
end_service "$PID"
forgotten() {
	metrics && ! grep -q "pid=\"$PID\"" "$T/metrics"
}
check "a process that is gone is not told" wait_until "$PATIENCE" forgotten
check "promtool still finds nothing wrong" promtool check metrics <"$T/metrics"

# hpd(8) names what there is, and nothing else.
is "every metric is in the manual" \
	"$(sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$T/metrics" | sort | xargs)" \
	"$(awk '/^\.S[hs]/ { on = $2 == "METRICS" } on && /^\.It (hp|process)_/' docs/man/hpd.8 | grep -oE '(hp|process)_[a-z_]+' | sort | xargs)"

# -v: each step with its time, from hpctl and from hpd.
start_service server
hp -v load -p "$PID" "$SVC/server_patch.so" --park 5s --timeout 20s
for step in plan map entry; do
	like "hpctl -v says how long the step $step took" "$ERR" "^$step +[0-9.]+ (us|ms|s)"
done
expect 0 "out again" unload -p "$PID" "$OUT" --park 5s --timeout 20s
stop_hpd
"$O/hpd" -v --socket "$T/hpd.sock" --state-dir "$T/state" >"$T/verbose.log" 2>&1 </dev/null &
verbose=$!
check "hpd -v serves" wait_line "$T/verbose.log" 'serving'
load -p "$PID" "$SVC/server_patch.so" --park 5s --timeout 20s
like "hpd -v logs each step with its time" "$(cat "$T/verbose.log")" \
	"^<7>hpd: load in process $PID: plan: [0-9.]+ ms"
expect 0 "out again" unload -p "$PID" "$ID" --park 5s --timeout 20s
kill "$verbose"
wait "$verbose"
is "it ends" "$?" 0
end_service "$PID"
