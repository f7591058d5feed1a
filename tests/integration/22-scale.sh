#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Many: processes in one command, functions in one patch, patches on one process.  What a load costs
# is told by the CPU time of hpd and its jobs, and must not grow faster than the number: twice as many
# may cost no more than three times as much (the rest is what it costs to begin, and noise).
# TIMEOUT: 600
#	SCALE_PROCESSES	(50)
#	SCALE_FUNCTIONS	(600; one of the many_patch_N.so)
#	SCALE_PATCHES	(20; with 256, as many as there may be, one more is tried)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

processes=${SCALE_PROCESSES:-50}
functions=${SCALE_FUNCTIONS:-600}
patches=${SCALE_PATCHES:-20}
patience=(--park 5s --timeout 60s)
hz=$(getconf CLK_TCK)
start_hpd

# CPU time of hpd and of its jobs that have ended, in ms
spent() {
	awk -v hz="$hz" '{ sub(/.*\) /, ""); print int(($12 + $13 + $14 + $15) * 1000 / hz) }' "/proc/$HPD/stat"
}
# costs NAME COMMAND…: COST
costs() {
	local name=$1 before

	shift
	before=$(spent)
	"$@"
	COST=$(($(spent) - before))
	printf '# %s: %d ms of CPU, %d kB of hpd\n' "$name" "$COST" \
		"$(awk '/^VmRSS/ { print $2 }' "/proc/$HPD/status")"
}
# grows NAME HALF WHOLE
linear() {
	at_most "$1 cost no more than three times half of them" "$3" $((3 * $2 + 100))
}

# --- processes -----------------------------------------------------------------------------------------
load_all() {
	hp load -p "$1" --children "${patience[@]}" "$SVC/prefork_patch.so"
	id=$OUT
}
unload_all() {
	hp unload --all "${patience[@]}" "$id"
}
start_service prefork $((processes / 2 - 1))
half=$PID
start_service prefork $((processes - 1))
whole=$PID
costs "load into $((processes / 2))" load_all "$half"
is "into half of them" "$STATUS $(tail -n 1 <<<"$ERR")" \
	"0 hpctl: loaded $((processes / 2)) of $((processes / 2)) processes"
first=$COST
costs "unload" unload_all
undo=$COST
costs "load into $processes" load_all "$whole"
is "into $processes" "$STATUS $(tail -n 1 <<<"$ERR")" \
	"0 hpctl: loaded $processes of $processes processes"
linear "loads into many processes" "$first" "$COST"
costs "unload" unload_all
is "out of them" "$STATUS" 0
linear "unloads from many" "$undo" "$COST"
end_service "$half"
end_service "$whole"

# --- functions --------------------------------------------------------------------------------------------
start_service many 1 working
pid=$PID
snapshot "$pid" "$T/before"
load -p "$pid" "${patience[@]}" "$SVC/many_patch_100.so" # once, so that all is warm
unload -p "$pid" "${patience[@]}" "$ID"
load_functions() {
	load -p "$pid" "${patience[@]}" "$SVC/many_patch_$1.so"
}
costs "load of 100 functions" load_functions 100
first=$COST
unload -p "$pid" "${patience[@]}" "$ID"
costs "load of $functions functions" load_functions "$functions"
answers "all of them are new" "$pid" ask "new $functions"
at_most "functions cost no more than in proportion" "$COST" \
	$((2 * first * functions / 100 + 200))
hp --json list -p "$pid"
is "list has them" "$(jq '.patches[0].functions | length' <<<"$OUT")" "$functions"
costs "unload" unload -p "$pid" "${patience[@]}" "$ID"
answers "all of them are old" "$pid" ask "new 0"
as_before "nothing is left" "$pid" "$T/before"

# --- patches ---------------------------------------------------------------------------------------------
patch() {
	printf '#include <hp/patch.h>\nHP_NEW int new_%d(int x) { return x + %d + 1001; }\nHP_REPLACE(new_%d, "fn_%d");\n' \
		"$1" "$1" "$1" "$1" | gcc -Iinclude -O2 -shared -fPIC -Wno-missing-prototypes -o "$T/p$1.so" -x c -
}
ids=()
load_some() {
	local k

	for ((k = $1; k < $2; k++)); do
		patch "$k"
		hp load -p "$pid" "${patience[@]}" "$T/p$k.so"
		[ "$STATUS" = 0 ] || { echo "# $ERR"; return; }
		ids+=("$OUT")
	done
}
costs "load of $((patches / 2)) patches" load_some 0 $((patches / 2))
first=$COST
costs "load of $((patches - patches / 2)) more" load_some $((patches / 2)) "$patches"
is "$patches patches on one process" "${#ids[@]}" "$patches"
linear "the second half of the patches" "$first" "$COST"
answers "all of them are in force" "$pid" ask "new $patches"
hp --json list -p "$pid"
is "list has them" "$(jq '.patches | length' <<<"$OUT")" "$patches"
if [ "$patches" = 256 ]; then
	patch 256
	snapshot "$pid" "$T/full"
	refused 3 "one more is refused" "process $pid \(many\) has 256 patches, and more than 256" \
		load -p "$pid" "${patience[@]}" "$T/p256.so"
	as_before "before anything is written" "$pid" "$T/full"
fi
failed=0
for id in "${ids[@]}"; do
	hp unload -p "$pid" "${patience[@]}" "$id"
	[ "$STATUS" = 0 ] || failed=$((failed + 1))
done
is "each of them is unloaded" "$failed" 0
answers "all is old" "$pid" ask "new 0"
as_before "nothing is left" "$pid" "$T/before"
end_service "$pid"
