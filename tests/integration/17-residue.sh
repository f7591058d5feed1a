#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# After an unload nothing is left: in the target, in hpd, in the kernel; with 1 and 300 threads,
# 1 and 100 functions.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# What the kernel holds for the processes of this hpd.
kernel_objects() {
	local pids

	pids=$(ps -o pid= -s "$HPD" | tr -d ' ' | paste -sd,)
	bpftool -j link list | jq -c ".[] | select([.pids[]?.pid] | any(. as \$p | [$pids] | index(\$p)))" |
		wc -l
	bpftool -j map list | jq -c ".[] | select([.pids[]?.pid] | any(. as \$p | [$pids] | index(\$p)))" |
		wc -l
}
hpd_has() {
	find "/proc/$HPD/fd" -type l | wc -l
}
hpd_idle() {
	[ -z "$(session_of "$HPD")" ]
}

start_hpd
targets=0
for setting in "1 1" "1 100" "300 10"; do
	read -r threads functions <<<"$setting"
	start_service many "$threads" working
	targets+=" $PID"
	check "$threads threads work" grows "$PID" calls 200
	snapshot "$PID" "$T/before"
	# once, so that what stays for good is there: the kernel's mappings, hpd's own
	load -p "$PID" --park 1s "$SVC/many_patch_$functions.so"
	unload -p "$PID" --park 1s "$ID"
	as_before "once: everything is as before" "$PID" "$T/before"
	wait_until "$PATIENCE" hpd_idle
	kernel_objects >"$T/kernel.before"
	fds=$(hpd_has)
	read -r rss dirty < <("$SVC/peek" rss "$PID")
	for quiesce in auto watch gate auto watch gate; do
		load -p "$PID" --quiesce "$quiesce" --timeout 20s --park 1s "$SVC/many_patch_$functions.so"
		answers "$functions functions are new" "$PID" ask "new $functions"
		unload -p "$PID" --quiesce "$quiesce" --timeout 20s --park 1s "$ID"
		answers "none is new" "$PID" ask 'new 0'
	done
	as_before "everything is as before" "$PID" "$T/before"
	check "hpd's helpers ended" wait_until "$PATIENCE" hpd_idle
	kernel_objects >"$T/kernel.after"
	same "BPF links and maps of hpd are what they were" "$T/kernel.before" "$T/kernel.after"
	# It may have made its spare pair of slots since: eight maps, once.
	at_most "hpd holds no more descriptors (from $fds)" "$(hpd_has)" $((fds + 8))
	read -r rss2 dirty2 < <("$SVC/peek" rss "$PID")
	at_most "the target's dirty memory did not grow (kB, from $dirty)" "$dirty2" $((dirty + 64))
	at_most "its resident memory did not grow (kB, from $rss)" "$rss2" $((rss + 512))
	check "nothing is pinned" test ! -e "/sys/fs/bpf/hp/$PID"
	end_service "$PID"
done
hp --json list
is "no patch of theirs is listed" \
	"$(jq --argjson p "[${targets// /,}]" '[.patches[] | select(.pid as $q | $p | index($q))] | length' <<<"$OUT")" 0
