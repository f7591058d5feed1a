#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN:
# Targets that would keep whoever looks at them for hours, or end him: code without end, a file that is cut off
# while it is read.  A list of all has the others as they are, hpd starts, and no job dies.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service server
honest=$PID
start_service forger endless
endless=$PID
start_service forger cut_off
cut_off=$PID
start_service server
behind=$PID
expect 0 "all of them are patched" --json load -p "$honest" -p "$endless" -p "$cut_off" -p "$behind" \
	"$SVC/server_patch.so"
ID=$(jq -r '.result.hp_id // .hp_id' <<<"$OUT")
for pid in "$endless" "$cut_off"; do
	ask "$pid" forge '^it says' || not_ok "it lies" "no answer"
done

told() {
	jq -r ".unknown_ledgers[] | select(.pid == $1) | .detail" <<<"$OUT"
}

no_crash() {
	is "$1: no job died" "$(grep -hE 'died by SIG|exited with|did not end in time' "$T/hpd.log" | sort | uniq -c)" ''
}

all_are_told() {
	expect 0 "$1: a list of all" list --json
	is "$1: it has the honest ones as they are" \
		"$(jq -r ".patches[] | select(.pid == $honest or .pid == $behind) | .hp_id + .state" <<<"$OUT")" \
		"${ID}active"$'\n'"${ID}active"
	like "$1: the endless one is told of in a line" "$(told "$endless")" 'to look at it takes too long'
	no_crash "$1"
}

SECONDS=0
all_are_told "lies"
at_most "it took no longer than one may hold it up" "$SECONDS" 20
expect 0 "the guard looks at all" status --json
is "and has the honest ones" "$(jq "[.targets[] | select(.pid == $honest or .pid == $behind)] | length" <<<"$OUT")" 2
stop_hpd
start_hpd
expect 0 "a new hpd has them, too" status --json
is "both" "$(jq "[.targets[] | select(.pid == $honest or .pid == $behind)] | length" <<<"$OUT")" 2
no_crash "a new hpd"
for pid in "$honest" "$behind"; do
	unload -p "$pid" "$ID"
	end_service "$pid"
done
kill -KILL "$endless" "$cut_off"
wait "$endless" "$cut_off" 2>/dev/null
unset "SVC_IN[$endless]" "SVC_IN[$cut_off]"
