#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# tests/bench/scale.sh SOCKET HPD-PID OUT [MOST]: what a load costs against the number of patches on one
# process, of functions in one patch, and of processes in one command: 1, 10, 100 and, for the last
# two, 1,000, but not more than MOST.  A table on stdout; OUT is an array of JSON.
set -uo pipefail
socket=$1 hpd=$2 out=$3 most=${4:-1000}
svc=$PWD/build/tests/services
work=$(mktemp -d /tmp/hp-scale.XXXXXX)
park=(--park 2s --timeout 60s)
rounds=5

end() {
	[ -z "${service:-}" ] || kill -KILL "$service" 2>/dev/null
	rm -rf "$work"
}
trap end EXIT

# start NAME ARGS…: service
start() {
	coproc "$svc/$1" "${@:2}"
	service=$COPROC_PID
	read -r -u "${COPROC[0]}" _
}
stop() {
	local pid=$service

	echo quit >&"${COPROC[1]}"
	service=
	wait "$pid"
}

hp() {
	build/hpctl --socket "$socket" -q "$@"
}
now_us() {
	echo "${EPOCHREALTIME/./}"
}
# spent_ms: CPU time of hpd and of its jobs that have ended
spent_ms() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13 + $14 + $15) * 1000 / hz) }' \
		"/proc/$hpd/stat"
}
rss_kb() {
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}
dirty_kb() {
	awk '/^Private_Dirty/ { print $2 }' "/proc/$1/smaps_rollup"
}
median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# row WHAT N LOAD_US UNLOAD_US CPU_MS TARGET_KB: times are of all N
row() {
	printf '%-10s %5d %10.1f %10.2f %10.1f %10.2f %9d %8d\n' "$1" "$2" "${3}e-3" \
		"$(bc -l <<<"$3 / 1000 / $2")" "${4}e-3" "$(bc -l <<<"$5 / $2")" "$6" "$(rss_kb "$hpd")"
	jq -n --arg what "$1" '{what: $what, n: $ARGS.positional[0], load_us: $ARGS.positional[1],
		unload_us: $ARGS.positional[2], cpu_ms: $ARGS.positional[3],
		target_dirty_kb: $ARGS.positional[4], hpd_rss_kb: $ARGS.positional[5]}' \
		--jsonargs "$2" "$3" "$4" "$5" "$6" "$(rss_kb "$hpd")" >>"$work/rows"
}

# The Nth patch of N, and the first that is unloaded of them; the times of these alone.
patches() {
	local n=$1 k loads=() unloads=() ids=() before dirty cpu

	start many 1 working
	dirty=$(dirty_kb "$service")
	for ((k = 0; k < n; k++)); do
		[ -e "$work/p$k.so" ] || gcc -Iinclude -O2 -shared -fPIC -Wno-missing-prototypes \
			-o "$work/p$k.so" -x c - <<-END
				#include <hp/patch.h>
				HP_NEW int new_$k(int x) { return x + $k + 1001; }
				HP_REPLACE(new_$k, "fn_$k");
			END
	done
	cpu=$(spent_ms)
	for ((k = 0; k < n; k++)); do
		before=$(now_us)
		ids+=("$(hp load -p "$service" "${park[@]}" "$work/p$k.so")")
		loads+=($(($(now_us) - before)))
	done
	cpu=$(($(spent_ms) - cpu))
	dirty=$(($(dirty_kb "$service") - dirty))
	for k in "${ids[@]}"; do
		before=$(now_us)
		hp unload -p "$service" "${park[@]}" "$k" >/dev/null
		unloads+=($(($(now_us) - before)))
	done
	stop
	row patches "$n" $((${loads[*]/%/+}0)) $((${unloads[*]/%/+}0)) "$cpu" "$dirty"
}

functions() {
	local n=$1 i before id dirty cpu

	start many 1 working
	rm -f "$work/load" "$work/unload"
	cpu=$(spent_ms)
	for ((i = 0; i < rounds; i++)); do
		dirty=$(dirty_kb "$service")
		before=$(now_us)
		id=$(hp load -p "$service" "${park[@]}" "$svc/many_patch_$n.so")
		echo $(($(now_us) - before)) >>"$work/load"
		dirty=$(($(dirty_kb "$service") - dirty))
		before=$(now_us)
		hp unload -p "$service" "${park[@]}" "$id" >/dev/null
		echo $(($(now_us) - before)) >>"$work/unload"
	done
	cpu=$((($(spent_ms) - cpu) / 2 / rounds))
	stop
	row functions "$n" "$(median <"$work/load")" "$(median <"$work/unload")" "$cpu" "$dirty"
}

processes() {
	local n=$1 before load unload id dirty cpu

	start prefork $((n - 1))
	dirty=$(dirty_kb "$service")
	cpu=$(spent_ms)
	before=$(now_us)
	id=$(hp load -p "$service" --children "${park[@]}" "$svc/prefork_patch.so")
	load=$(($(now_us) - before))
	cpu=$(($(spent_ms) - cpu))
	dirty=$(($(dirty_kb "$service") - dirty))
	before=$(now_us)
	hp unload -p "$service" --children "${park[@]}" "$id" >/dev/null
	unload=$(($(now_us) - before))
	stop
	row processes "$n" "$load" "$unload" "$cpu" "$dirty"
}

printf '\nMilliseconds, of all of them; CPU time is hpd'\''s and its jobs'\'', a one.\n\n'
printf '%-10s %5s %10s %10s %10s %10s %9s %8s\n' what n load 'a one' unload 'CPU a one' 'dirty kB' 'hpd kB'
for n in 1 10 100; do
	[ "$n" -gt "$most" ] || patches "$n"
done
for n in 1 10 100 1000; do
	[ "$n" -gt "$most" ] || functions "$n"
done
for n in 1 10 100 1000; do
	[ "$n" -gt "$most" ] || processes "$n"
done
jq -s . "$work/rows" >"$out"
