#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN:
# Targets that would keep whoever looks at them for hours, or end him: code without end, a file that is cut off
# while it is read, memory that does not answer.  A list of all has the others as they are, the guard looks at
# them, hpd starts, and no job dies.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

PATIENCE=60 # each start of hpd has a list of all, which may be held up for 40 s
start_hpd
start_service server
honest=$PID
start_service forger endless
endless=$PID
start_service forger cut_off
cut_off=$PID
start_service forger silent
silent=$PID
start_service server
behind=$PID
expect 0 "all of them are patched" --json load -p "$honest" -p "$endless" -p "$cut_off" -p "$silent" -p "$behind" \
	"$SVC/server_patch.so"
ID=$(jq -r '.result.hp_id // .hp_id' <<<"$OUT")
for pid in "$endless" "$cut_off" "$silent"; do
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
	like "$1: and the silent one" "$(told "$silent")" 'to look at it takes too long'
	no_crash "$1"
}

SECONDS=0
all_are_told "lies"
at_most "it took no longer than they may hold it up" "$SECONDS" 40
guard() {
	jq -r ".targets[] | select(.pid == $1) | .guard.$2" <<<"$OUT"
}
expect 0 "the guard looks at all" status --json
is "and has the honest ones" "$(guard "$honest" set_atomic) $(guard "$behind" set_atomic)" 'true true'
is "to the end" "$(guard "$honest" 'looked != null') $(guard "$behind" 'looked != null')" 'true true'
is "of the silent one it knows nothing" "$(guard "$silent" set_atomic) $(guard "$silent" 'lost > 0')" 'false true'
no_crash "the guard"
stop_hpd
start_hpd
expect 0 "a new hpd has them, too" status --json
is "both" "$(jq "[.targets[] | select(.pid == $honest or .pid == $behind)] | length" <<<"$OUT")" 2
no_crash "a new hpd"
for pid in "$honest" "$behind"; do
	unload -p "$pid" "$ID"
	end_service "$pid"
done
for pid in "$endless" "$cut_off" "$silent"; do
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	unset "SVC_IN[$pid]"
done
true
