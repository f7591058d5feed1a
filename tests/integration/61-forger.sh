#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN:
# TIMEOUT: 300
# Targets that write into hp's ledger in their memory what is not so, one lie each, or ever others while
# hp looks.  hpd and its jobs live, each target is told of in words, and nobody but the liar is touched.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

patience=(--park 1s --timeout 3s)
declare -A of=() # pid -> its lie
liars=()

start_hpd
start_service server
honest=$PID
snapshot "$honest" "$T/before"
start_service server
bystander=$PID
snapshot "$bystander" "$T/bystander"
for lie in $("$SVC/forger"); do
	start_service forger "$lie"
	of[$PID]=$lie
	[ "$lie" = crowd_of_functions ] && talker=$PID
	liars+=("$PID")
done
storm=("${liars[@]:0:3}") # honest, but for the storm

with_p() {
	printf -- '-p %s ' "$@"
}
# no_crash NAME: neither hpd nor what it had do the work has ended but by an answer.  (A look of the guard at
# all of them may be late on a busy machine.)
no_crash() {
	local said='died by SIG|exited with|(list|load) did not end in time|says too much|ERROR: AddressSanitizer|runtime error'

	if gone "$HPD"; then
		not_ok "$1: hpd lives" "$(tail -n 40 "$T/hpd.log")"
		exit 1
	fi
	is "$1: no job died" "$(grep -hE "$said" "$T/hpd.log" <<<"$OUT$ERR" | sort | uniq -c)" ''
}
# shellcheck disable=SC2046 # words
hp --json load $(with_p "$honest" "${liars[@]}") "${patience[@]}" "$SVC/server_patch.so"
is "all of them are patched" "$STATUS" 0
ID=$(jq -r '.result.hp_id // .hp_id' <<<"$OUT")
for pid in "${liars[@]}"; do
	ask "$pid" forge '^it says' || not_ok "${of[$pid]}: it lies" "no answer"
done

# --- whoever looks ------------------------------------------------------------------------------------------
tell_of() {
	expect 0 "$1: a list of all" list --json
	is "$1: has the honest one as it is" \
		"$(jq -r ".patches[] | select(.pid == $honest) | [.hp_id, .state, .functions[0].old] | join(\" \")" <<<"$OUT")" \
		"$ID active answer"
	no_crash "$1: list"
	LIST=$OUT
	expect 0 "$1: a status of all" status --json
	no_crash "$1: status"
}
tell_of "lies"
is "whoever says more than there is room for is told of in one line" \
	"$(jq -r '.unknown_ledgers[] | select(.detail | test("more to tell")) | .pid' <<<"$LIST")" "$talker"
is "and nobody with more than 16 areas that do not hold" \
	"$(jq '[.unknown_ledgers | group_by(.pid)[] | length] | max <= 16' <<<"$LIST")" true
for pid in "${storm[@]}"; do
	ask "$pid" storm '^it says' || not_ok "storm" "no answer"
done
for round in 1 2; do
	tell_of "storm $round"
done
hp unload -p "${storm[0]}" "${patience[@]}" "$ID"
hp unload -p "${storm[1]}" "${patience[@]}" "$ID"
no_crash "unloads in a storm"
for pid in "${storm[@]}"; do
	tell "$pid" calm
done

# --- whoever puts right --------------------------------------------------------------------------------------
stop_hpd
start_hpd
tell_of "a new hpd"

# --- whoever takes out ---------------------------------------------------------------------------------------
# shellcheck disable=SC2046 # words
hp --json unload $(with_p "${liars[@]}") --discard "${patience[@]}" "$ID"
no_crash "unload"
is "every process has its outcome" \
	"$(jq -r '[.. | objects | select(.pid? and .result?) | .pid] | unique | length' <<<"$OUT")" "${#liars[@]}"
is "and those that were refused a sentence" \
	"$(jq -r '[.. | objects | select(.pid? and .error?) | .error.text | length] | min > 20' <<<"$OUT")" true
tell_of "at the end"

# --- nobody else ---------------------------------------------------------------------------------------------
as_before "the process beside them is as it was" "$bystander" "$T/bystander"
unload -p "$honest" "${patience[@]}" "$ID"
as_before "the honest one too, when its patch is out" "$honest" "$T/before"
harmed=''
for pid in "${liars[@]}"; do
	if gone "$pid"; then
		harmed+="${of[$pid]} "
	elif ! verdict "$pid" || [ "$(field intact)" != true ]; then
		not_ok "${of[$pid]}: only what it said was touched" "$VERDICT"
	fi
done
printf '# ended by their own lies: %s\n' "$harmed"
end_service "$bystander"
end_service "$honest"
