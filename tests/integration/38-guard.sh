#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Somebody else's hand on a patched entry: a uprobe that comes and goes, a mapping that is split under
# it, a page that is dropped, a debugger's breakpoint.  Noticed on a timer and by status, put back
# where that can be done, told.  And an exec, which takes the patches.
# SAN:
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

need "no uprobe events" test -r /sys/bus/event_source/devices/uprobe/type
HPD_ARGS+=(--guard-ms 100)
start_hpd
start_service guarded
pid=$PID
# bytes N: of the entry
bytes() {
	dd if="/proc/$pid/mem" bs=1 skip="$((addr))" count="$1" 2>/dev/null | od -An -tx1 | tr -d ' \n'
}
entry_is() {
	[ "$(bytes 1)" = "$1" ]
}
hp --json check -p "$pid" "$SVC/guarded_patch.so"
addr=$(jq -r '.patches[0].functions[0].addr' <<<"$OUT")
before=$(bytes 8)
load -p "$pid" --park 1s "$SVC/guarded_patch.so"
is "the jump is a pun: one byte" "$(hp --json list -p "$pid"; jq -r '.patches[0].functions[0].method' <<<"$OUT")" pun
"$O/hpctl" --socket "$T/hpd.sock" --json watch -p "$pid" >"$T/events" 2>&1 </dev/null &
watcher=$!

last_is() {
	ask "$pid" ask '^last' && [ "$REPLY" = "last $1" ]
}
PROBE=''
attach() {
	local fd

	rm -f "$T/probe.in"
	mkfifo "$T/probe.in"
	exec {fd}<>"$T/probe.in"
	"$SVC/probe" "$pid" "$addr" <"$T/probe.in" >"$T/probe.out" 2>&1 {fd}>&- &
	PROBE=$!
	PROBE_FD=$fd
	wait_line "$T/probe.out" '^attached'
}
detach() {
	# the last writer's end is the end of its input
	exec {PROBE_FD}>&-
	wait "$PROBE"
}
events() {
	jq -c "select(.event == \"$1\")" "$T/events" 2>/dev/null
}
told() {
	[ "$(events guard | wc -l)" -ge "$1" ]
}
guard() {
	hp --json status -p "$pid"
	jq -r ".targets[0].guard.$1" <<<"$OUT"
}
seen_is() {
	[ "$(guard seen)" -ge "$1" ]
}

check "new code runs" wait_until "$PATIENCE" last_is 1000
is "the guard sees nothing" "$(guard seen) $(guard set_atomic)" '0 true'

check "another tool attaches a uprobe" attach
check "it is noticed" wait_until "$PATIENCE" told 1
like "as a probe" "$(events guard | head -n 1)" '"found":"probe"'
check "and written over" wait_until "$PATIENCE" entry_is e9
check "new code runs while the probe is there" wait_until "$PATIENCE" last_is 1000
check "status tells" seen_is 1
seen=$(guard seen)
check "the mapping is split under it" ask "$pid" split '^done'
check "which is noticed" wait_until "$PATIENCE" seen_is $((seen + 1))
check "and written over" wait_until "$PATIENCE" entry_is e9
check "the tool detaches" detach
like "it found its probe in order" "$(cat "$T/probe.out")" '^hits'
check "new code runs" wait_until "$PATIENCE" last_is 1000

# One who comes again and again has their way for a while, and that is told.
left() {
	events guard | jq -r .detail | grep -q '^left as they are'
}
decided() {
	left || entry_is e9
}
for _ in 1 2 3 4; do
	attach && wait_until "$PATIENCE" decided
	left && break
	detach
	wait_until "$PATIENCE" entry_is e9
done
check "to one who does not give in it is left for a while" entry_is cc
hp status -p "$pid"
like "status says what that means" "$OUT" "entry of work is not hp's: another tool's uprobe"
like "for the set, too" "$OUT" 'do not go live together while this is so'
hp list -p "$pid"
like "list says so" "$OUT" 'ENTRY CHANGED \(probe\)'
check "old code runs" wait_until "$PATIENCE" last_is 1
detach
check "when it is gone the jump is put back" wait_until "$PATIENCE" entry_is e9
check "new code runs" wait_until "$PATIENCE" last_is 1000
hp list -p "$pid"
check "list has nothing to say" test "$STATUS" = 0 -a "${OUT/ENTRY CHANGED/}" = "$OUT"

seen=$(guard seen)
check "the page is dropped" ask "$pid" drop '^done'
check "which is noticed" wait_until "$PATIENCE" seen_is $((seen + 1))
check "and put back" wait_until "$PATIENCE" entry_is e9
check "new code runs" wait_until "$PATIENCE" last_is 1000
is "all is well" "$(guard set_atomic)" true

unload -p "$pid" --park 1s "$ID"
check "old code runs" wait_until "$PATIENCE" last_is 1
is "the entry is the file's" "$(bytes 8)" "$before"
is "nothing of hp's is mapped" "$(grep -cE 'hp-patch|paths-1' "/proc/$pid/maps")" 0
kill -TERM "$watcher"
wait "$watcher" 2>/dev/null
end_service "$pid"

# --- entries of more than a byte ---------------------------------------------------------------
start_service methods 3
pid=$PID
old='pun=1 int3=2 stop=3'
mended() {
	[ "$(guard mended)" -gt "$1" ]
}
for way in int3 stop; do
	load -p "$pid" --park 1s --replace "new_any=by_$way" "$SVC/shorts_patch.so"
	is "the entry is written by $way" "$(hp --json list -p "$pid"; jq -r '.patches[0].functions[0].method' <<<"$OUT")" "$way"
	before=$(guard mended)
	check "its page is dropped" ask "$pid" drop '^dropped'
	check "all of the entry is put back" wait_until "$PATIENCE" mended "$before"
	answers "new code runs" "$pid" ask "${old/"$way"=[0-9]/"$way"=77}"
	unload -p "$pid" --park 1s "$ID"
	answers "old code runs" "$pid" ask "$old"
	is "nothing of hp's is mapped" "$(grep -cE 'hp-patch|paths-1' "/proc/$pid/maps")" 0
done
end_service "$pid"

# --- exec ------------------------------------------------------------------------------------------
start_service prefork 1
parent=$PID
worker=$(awk '/^worker/ { print $2 }' "${SVC_OUT[$parent]}")
load -p "$worker" --park 1s "$SVC/prefork_patch.so"
"$O/hpctl" --socket "$T/hpd.sock" --json watch -p "$worker" >"$T/events" 2>&1 </dev/null &
watcher=$!
dropped() {
	hp list -p "$worker"
	grep -q "process $worker runs another program .*exec.* has lost 1 patch" <<<"$OUT"
}
check "a watcher is told of the patch" wait_line "$T/events" '"event":"patches"'
tell "$parent" "exec /bin/sleep"
check "the list says that an exec took the patch" wait_until "$PATIENCE" dropped
check "an event said so" wait_line "$T/events" '"event":"dropped".*exec'
kill -TERM "$watcher"
wait "$watcher" 2>/dev/null
end_service "$parent"
