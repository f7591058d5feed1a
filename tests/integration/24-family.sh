#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One command for many processes: descendants, all that run a file, all that have a patch.
# SAN:
#	CHURN_ROUNDS	loads and unloads while children are forked all the while (15)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

rounds=${CHURN_ROUNDS:-15}
patience=(--park 2s --timeout 30s)
start_hpd

workers_of() {
	awk '/^worker/ { print $2 }' "${SVC_OUT[$1]}" | sort -un
}
# what work(0) gave last in each worker and in the parent: "1 1 1 1"
lasts_of() {
	local from

	from=$(out_size "$1")
	ask "$1" workers '^parent' || return 1
	tail -c +$((from + 1)) "${SVC_OUT[$1]}" | awk '{ print $4 }' | sort -u | xargs
}
all_are() {
	[ "$(lasts_of "$1")" = "$2" ]
}
# result_of PID: in the last table
result_of() {
	awk -v p="$1" '$1 == p { print $3 }' <<<"$ERR"
}
patches_of() {
	hp --json list "$@"
	jq -r '.patches | length' <<<"$OUT"
}

# --- a parent and what descends from it ----------------------------------------------------------
start_service prefork 5
parent=$PID
mapfile -t workers < <(workers_of "$parent")
for pid in "$parent" "${workers[@]}"; do
	snapshot "$pid" "$T/before.$pid" children
done
load -p "$parent" --children "${patience[@]}" "$SVC/prefork_patch.so"
id=$ID
is "the table has a row for each" "$(grep -cE '^ +[0-9]+ +prefork +loaded' <<<"$ERR")" 6
like "and a sum" "$ERR" '^hpctl: loaded 6 of 6 processes$'
check "all of them are new" wait_until "$PATIENCE" all_are "$parent" 1000
is "list --children has all" "$(patches_of -p "$parent" --children)" 6
is "list of two has two" "$(patches_of -p "$parent" -p "${workers[0]}")" 2
load -p "$parent" --children "${patience[@]}" "$SVC/prefork_patch.so"
like "once more is no failure: it is so already" "$ERR" '^hpctl: already-loaded 6 of 6 processes$'

ask "$parent" spawn '^worker'
child=${REPLY#worker }
check "a child that is forked later is new" wait_until "$PATIENCE" all_are "$parent" 1000
hp --json list -p "$child"
check "and listed as one that inherits" jq -e '.patches[0].inherited and .patches[0].state == "active"' <<<"$OUT"
expect 0 "unload from all" unload -p "$parent" --children "${patience[@]}" "${id:0:12}"
like "the child too" "$ERR" '^hpctl: unloaded 7 of 7 processes$'
check "all of them are old" wait_until "$PATIENCE" all_are "$parent" 1
for pid in "$parent" "${workers[@]}"; do
	as_before "process $pid is as before" "$pid" "$T/before.$pid" children
done
refused 3 "where nobody has it, that is said" "no process has patch" unload --all "$id"

# --- what fails in some ------------------------------------------------------------------------------
start_service ticker
other=$PID
snapshot "$other" "$T/before.other"
hp load -p "$parent" -p "$other" "${patience[@]}" "$SVC/prefork_patch.so"
is "done in some and refused in others is 6" "$STATUS" 6
is "the id is on stdout, for it is in force" "$OUT" "$id"
is "the table says where" "$(result_of "$parent") $(result_of "$other")" 'loaded failed'
like "and why" "$ERR" "^ +$other +ticker +failed +.*work.* not found"
hp unload -p "$parent" -p "$other" "${patience[@]}" "$id"
is "unloaded where it was" "$STATUS $(result_of "$parent") $(result_of "$other")" '0 unloaded not-loaded'

hp load -p "$parent" -p "$other" -p "${workers[0]}" --all-or-nothing "${patience[@]}" \
	"$SVC/prefork_patch.so"
is "all or nothing: refused, as by the one that refused" "$STATUS" 3
is "nothing is on stdout" "$OUT" ''
is "where it was loaded it is unloaded again" \
	"$(result_of "$parent" | grep -cE '^(unloaded-again|not-begun)$') $(result_of "$other")" '1 failed'
is "no process has it" "$(patches_of -p "$parent" --children)" 0
for pid in "$parent" "${workers[0]}"; do
	as_before "process $pid is as before" "$pid" "$T/before.$pid" children
done
as_before "the one that refused was not touched" "$other" "$T/before.other"

hp load -p "$other" -p 4194304 "$SVC/prefork_patch.so"
is "failed everywhere is the worst of them" "$STATUS" 3
is "nothing is on stdout" "$OUT" ''
refused 2 "one way to say who" "only one of -p, --exe and --all" \
	load -p "$parent" --exe "$SVC/ticker" "$SVC/prefork_patch.so"
refused 2 "whose children" "goes with -p" load --children --exe /bin/true "$SVC/prefork_patch.so"
refused 1 "a file that nobody runs" "no process runs" load --exe "$SVC/peek" "$SVC/prefork_patch.so"
refused 1 "a patch that is not there, told once" "No such file" \
	load -p "$parent" --children /nonexistent.so
refused 3 "all, of a patch that does not say for what" "needs-build-id" \
	load --all "$SVC/prefork_patch.so"
end_service "$other"
end_service "$parent"

# --- all that run a file --------------------------------------------------------------------------------
cp "$SVC/prefork" "$T/service"
real=$SVC
SVC=$T
start_service service 2
old=$PID
ln -s service "$T/alias"
cp "$real/prefork" "$T/fresh"
mv "$T/fresh" "$T/service" # as a package upgrade does it
start_service service 2
new=$PID
SVC=$real
hp --json load --exe "$T/alias" "${patience[@]}" "$SVC/prefork_patch.so"
is "by the file, whatever it is called" "$STATUS $(jq -r .done <<<"$OUT")" '0 6'
is "those that run the old one too" \
	"$(jq -r --argjson p "$old" '.targets[] | select(.pid == $p) | .result' <<<"$OUT")" loaded
check "all of the old program are new" wait_until "$PATIENCE" all_are "$old" 1000
check "and of the new one" wait_until "$PATIENCE" all_are "$new" 1000
is "list --exe" "$(patches_of --exe "$T/service")" 6
# a copy is another file
expect 0 "list of another file with the same content" --json list -p "$old"
hp list --exe "$SVC/prefork"
is "which nobody runs" "$STATUS" 1
hp unload --all "${patience[@]}" "$id"
is "unload --all finds them by the patch" "$STATUS $(grep -c '^ .* unloaded ' <<<"$ERR")" '0 6'
check "old again" wait_until "$PATIENCE" all_are "$old" 1
check "old again, too" wait_until "$PATIENCE" all_are "$new" 1
end_service "$old"
end_service "$new"

# --- children are forked all the while -------------------------------------------------------------------
start_service prefork 3
parent=$PID
snapshot "$parent" "$T/before" children
tell "$parent" churn
failed=0 unlike=0
for ((i = 0; i < rounds; i++)); do
	hp load -p "$parent" --children "${patience[@]}" "$SVC/prefork_patch.so"
	[ "$STATUS" = 0 ] || { failed=$((failed + 1)); printf '# %s\n' "$ERR"; }
	wait_until "$PATIENCE" all_are "$parent" 1000 || unlike=$((unlike + 1))
	hp unload -p "$parent" --children "${patience[@]}" "$id"
	[ "$STATUS" = 0 ] || { failed=$((failed + 1)); printf '# %s\n' "$ERR"; }
	wait_until "$PATIENCE" all_are "$parent" 1 || unlike=$((unlike + 1))
done
is "$rounds loads and unloads while children are forked" "$failed" 0
is "each of them was in force in all that stay" "$unlike" 0
tell "$parent" rest
still_right "no child went back and forth, or crashed" "$parent"
check "many were forked" test "$(field forks)" -ge 500
as_before "the parent is as before" "$parent" "$T/before" children
end_service "$parent"
