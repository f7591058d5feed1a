#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A parent and its workers: each is a target of its own; children inherit.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service prefork 3
parent=$PID
mapfile -t workers < <(awk '/^worker/ { print $2 }' "${SVC_OUT[$parent]}")
is "three workers" "${#workers[@]}" 3

# workers_say REGEX-OF-PID LAST
last_of() {
	local from

	from=$(out_size "$parent")
	ask "$parent" workers '^parent'
	tail -c +$((from + 1)) "${SVC_OUT[$parent]}" | awk -v p="$1" '$2 == p { print $4 }'
}
last_is() {
	[ "$(last_of "$1")" = "$2" ]
}

for worker in "${workers[@]}"; do
	snapshot "$worker" "$T/before.$worker"
done
load -p "${workers[0]}" "$SVC/prefork_patch.so"
first=$ID
check "the patched worker is new" wait_until 10 last_is "${workers[0]}" 1000
is "the others are old" "$(last_of "${workers[1]}") $(last_of "${workers[2]}")" '1 1'
is "the parent is old" "$(last_of "$parent")" 1
load -p "${workers[1]}" "$SVC/prefork_patch.so"
is "the same patch in another process is the same id" "$ID" "$first"
hp list
like "list without a pid names both: ${workers[0]}" "$OUT" "\\b${workers[0]}\\b"
like "list without a pid names both: ${workers[1]}" "$OUT" "\\b${workers[1]}\\b"
unload -p "${workers[0]}" "$first"
unload -p "${workers[1]}" "$first"
check "old again" wait_until 10 last_is "${workers[0]}" 1
for worker in "${workers[@]}"; do
	as_before "worker $worker is as before" "$worker" "$T/before.$worker"
done

snapshot "$parent" "$T/before" children
load -p "$parent" "$SVC/prefork_patch.so"
is "the parent is new" "$(last_of "$parent")" 1000
ask "$parent" spawn '^worker'
child=${REPLY#worker }
check "a child that it forks inherits the new code" wait_until 10 last_is "$child" 1000
hp --json list -p "$child"
check "and is listed so" jq -e '.patches[0].inherited' <<<"$OUT"
unload -p "$parent" "$ID"
is "the parent is old" "$(last_of "$parent")" 1
is "the child keeps what it has" "$(last_of "$child")" 1000
check "which is unloaded from it by itself" hp unload -p "$child" "$first"
is "status" "$STATUS $ERR" '0 '
check "the child is old" wait_until 10 last_is "$child" 1
as_before "the parent is as before" "$parent" "$T/before" children
end_service "$parent"
