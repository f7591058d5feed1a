#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN:
# hpd is replaced by another build, as `systemctl restart hpd` does it, in the middle of a load and at
# rest; and a process that an hp of another version has patched.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

long=(--park 500ms --timeout 20s)

# --- another build -------------------------------------------------------------------------------------
mkdir "$T/other"
version=$("$O/hpd" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')
other=9${version:1}
sed "s/\\b$version\\b/$other/g" "$O/hpd" >"$T/other/hpd"
chmod +x "$T/other/hpd"
cp "$O/hpctl" "$O/hpd-front" "$T/other/"

is_at() {
	hp --json status
	is "hpd is of version $1" "$(jq -r .hpd.version <<<"$OUT")" "$1"
}
# replace FOLDER: by the hpd that is there
replace() {
	local O=$1

	stop_hpd
	start_hpd
}
points=$("$O/hpd" --fault-points | wc -l)
a_job_hangs() {
	JOB=$(od -An -t u4 -j $((4 * points)) -N 4 "$T/counts" | tr -d ' ')
	[ "${JOB:-0}" != 0 ]
}

HP_FAULT=phase-loading:hang HP_FAULT_COUNTS=$T/counts start_hpd
start_service verify 2 all
snapshot "$PID" "$T/before"
is_at "$version"
"$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" "${long[@]}" "$SVC/verify_patch.so" \
	>"$T/first.out" 2>"$T/first.err" </dev/null &
client=$!
check "a load is in the middle" wait_until "$PATIENCE" a_job_hangs
kill -TERM "$HPD"
check "hpd is told to end, and takes nobody on" wait_until "$PATIENCE" test ! -e "$T/hpd.sock"
kill -CONT "$JOB"
wait "$client"
is "the load that was under way is done" "$? $(cat "$T/first.err")" '0 '
ID=$(cat "$T/first.out")
check "and then hpd has ended" wait_until "$PATIENCE" gone "$HPD"
wait "$HPD"
is "well" $? 0
HPD=''

O=$T/other start_hpd
is_at "$other"
hp --json list -p "$PID"
is "the other build finds the patch" "$(jq -rc '.patches[] | [.hp_id, .state]' <<<"$OUT")" "[\"$ID\",\"active\"]"
answers "which is in force" "$PID" ask new
refused 3 "and knows it" 'already loaded' load -p "$PID" "$SVC/verify_patch.so"
unload -p "$PID" "${long[@]}" "$ID"
answers "it unloads what the other one loaded" "$PID" ask old
as_before "to the last byte" "$PID" "$T/before"
load -p "$PID" "${long[@]}" "$SVC/verify_patch.so"
replace "$O"
is_at "$version"
hp list -p "$PID" -q
is "and back" "$OUT" "$ID"
HP_FAULT=job-done:kill HP_FAULT_COUNTS=$T/killed-counts replace "$O"
is "who kills the job that looks what was left has it looked for again" \
	"$(grep -oE 'it is not known which|patches found in running processes: 1' "$T/hpd.log")" \
	$'it is not known which\npatches found in running processes: 1'
unload -p "$PID" "${long[@]}" "$ID"
as_before "to the last byte" "$PID" "$T/before"
still_right "the service noticed nothing" "$PID"

# --- a fork of the old one ------------------------------------------------------------------------------
# A job that has not run since hpd was killed has all that hpd had open.  That one does not come to
# running before the next hpd is done.
stop_hpd
rm "$T/counts"
HP_FAULT=job-forked:hang:3 HP_FAULT_COUNTS=$T/counts start_hpd # 1: what is patched? 2: the load
load -p "$PID" "${long[@]}" "$SVC/verify_patch.so"
"$O/hpctl" --socket "$T/hpd.sock" list -p "$PID" >"$T/first.out" 2>&1 </dev/null &
client=$!
check "a job is forked, and does not run" wait_until "$PATIENCE" a_job_hangs
left=$JOB
kill -KILL "$HPD"
wait "$HPD"
start_hpd
check "it is still there when the next hpd is" kill -0 "$left"
like "which found the patch" "$(cat "$T/hpd.log")" 'patches found in running processes: 1'
unload -p "$PID" "${long[@]}" "$ID"
answers "and may take it out" "$PID" ask old
as_before "to the last byte" "$PID" "$T/before"
check "all the while it was there" kill -0 "$left"
kill -CONT "$left"
check "when it runs it ends" wait_until "$PATIENCE" gone "$left"
wait "$client"

# --- another version -----------------------------------------------------------------------------------
# What such a ledger looks like: the version where it always is, and everything else unlike ours.
ledger_at() {
	echo $((16#$(awk '/\/memfd:hp-patch-/ && $3 == "00000000" { sub(/-.*/, ""); print }' "/proc/$PID/maps")))
}
# poke OFFSET BYTE: in the ledger
poke() {
	# shellcheck disable=SC2059 # an escape
	printf "\\x$2" | dd of="/proc/$PID/mem" bs=1 seek=$((AT + $1)) conv=notrunc status=none
}
VERSION_AT=64 MAGIC_AT=48

load -p "$PID" "${long[@]}" "$SVC/verify_patch.so"
AT=$(ledger_at)
stop_hpd
version=$(number "$PID" "$AT + $VERSION_AT" x1)
poke $VERSION_AT 4d
snapshot "$PID" "$T/patched"
start_hpd
like "hpd says so when it starts" "$(cat "$T/hpd.log")" \
	"process $PID is patched by another version of hp \(ledger version 77, patch ${ID:0:16}…\): it is left alone"
hp list -p "$PID"
like "list says so" "$OUT" "^process $PID \(verify\), patched by another version of hp \(ledger version 77"
hp --json list
is "to scripts too" "$(jq -c ".unknown_ledgers[] | select(.pid == $PID) | [.hp_id_begins, .ledger_version]" <<<"$OUT")" \
	"[\"${ID:0:16}\",77]"
is "and not as if it knew the patch" "$(jq '.patches | length' <<<"$OUT")" 0
for what in "load -p $PID $SVC/verify_patch.so" "check -p $PID $SVC/verify_patch.so" "unload -p $PID $ID"; do
	# shellcheck disable=SC2086 # words
	refused 3 "${what%% *} is refused" "process $PID is patched by another version of hp \(ledger version 77.*nothing is changed" $what
done
poke $MAGIC_AT 00
# shellcheck disable=SC2086
refused 3 "a ledger that does not even tell its version" 'another version of hp \(ledger unknown' unload -p "$PID" "$ID"
poke $MAGIC_AT 70
as_before "nothing was written" "$PID" "$T/patched"
answers "the patch is in force still" "$PID" ask new

poke $VERSION_AT "$version"
hp list -p "$PID" -q
is "the hp of that version finds it again" "$OUT" "$ID"
unload -p "$PID" "${long[@]}" "$ID"
as_before "and takes it out" "$PID" "$T/before"

# --- another hpd ----------------------------------------------------------------------------------------
# One whose /run/hp is another, so that it does not see what the first one has claimed there.
load -p "$PID" "${long[@]}" "$SVC/verify_patch.so"
first=$HPD
# shellcheck disable=SC2016 # $1 is the inner shell's
setsid unshare -m bash -c 'mount -t tmpfs none /run/hp && exec "$@"' bash "$O/hpd" --socket "$T/other.sock" \
	--state-dir "$T/other" --below $$ >"$T/other.log" 2>&1 </dev/null &
second=$!
check "a second hpd, in a mount namespace of its own" wait_until "$PATIENCE" test -S "$T/other.sock"
beside() {
	timeout 60 "$O/hpctl" --socket "$T/other.sock" "$@" 2>&1 </dev/null
}
like "sees the patch" "$(beside list -p "$PID" -q)" "^$ID\$"
like "but does not take it out" "$(beside unload -p "$PID" "$ID" | tr '\n' ' '; echo "status ${PIPESTATUS[0]}")" \
	"process $PID is served by another hpd.*status 3"
kill -TERM "$second"
wait "$second"
is "it ends as it should" "$?" 0
HPD=$first
unload -p "$PID" "${long[@]}" "$ID"
as_before "the first one does" "$PID" "$T/before"
end_service "$PID"
