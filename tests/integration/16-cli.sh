#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN: this test runs against the sanitized build too.
# The command line is a contract: help, usage errors, streams, JSON, permissions.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
expect 0 "--help" --help
like "--help goes to stdout" "$OUT" 'load'
is "and nothing to stderr" "$ERR" ''
expect 0 "--version" --version
for verb in load unload list status check explain watch doctor; do
	expect 0 "$verb --help" "$verb" --help
	like "$verb --help names the verb" "$OUT" "hpctl $verb"
done
while read -r args; do
	# shellcheck disable=SC2086 # the arguments are words
	refused 2 "usage: hpctl $args" '.' $args
done <<'END'

nosuchverb
lo
load
load -p
load -p 1
load x.so
load -p 1 a.so b.so
load --nosuch -p 1 x.so
load -p 1 x.so --mode later
load -p 1 x.so --quiesce perhaps
load -p 1 x.so --timeout soon
load -p 1 x.so --timeout -1s
load -p 1 x.so --replace nothing
load -p 1 x.so --replace =b
load -p 1 x.so --ref a=
unload
unload -p 1
unload abc
list nothing
explain -p 1
explain
check -p 1
END
like "a usage error points to the help" "$ERR" 'help'

start_service server
confined=0
case $O in */asan*) confined=1 ;; esac # no filter in a build for a sanitizer
expect "$confined" "doctor" doctor
hp --json doctor
check "doctor --json is JSON" jq -e . <<<"$OUT"
check "doctor says that text has to be written" \
	jq -e '.checks[] | select(.name == "proc-mem") | .essential and (.cost | test("no process can be patched"))' <<<"$OUT"
hp --json status
check "status --json is JSON" jq -e . <<<"$OUT"
hp --json list
check "list --json is JSON" jq -e . <<<"$OUT"
hp --json check -p "$PID" "$SVC/server_patch.so"
check "check --json is JSON" jq -e . <<<"$OUT"
like "check names the method" "$OUT" '"(pun|int3|stop)"'
hp --json load -p "$PID" /nothere.so
is "an error with --json: status" "$STATUS" 1
is "is one document that says the status" "$(jq -r .error.status <<<"$OUT$ERR")" 1
hp --json load -p "$PID" "$SVC/server_patch.so"
is "load --json" "$STATUS" 0
id=$(jq -r '.hp_id' <<<"$OUT")
like "has the id" "$id" '^[0-9a-f]{64}$'
hp --json explain -p "$PID" answer
check "explain --json is JSON" jq -e . <<<"$OUT"

# Events: a watcher sees the unload.
timeout 60 "$O/hpctl" --socket "$T/hpd.sock" --json watch -p "$PID" >"$T/watch.out" 2>"$T/watch.err" &
watcher=$!
watcher_is_there() {
	hp --json status
	[ -s "$T/watch.out" ] || [ "$(jq '.hpd.clients' <<<"$OUT")" -ge 2 ]
}
wait_until 5 watcher_is_there
expect 0 "unload by a prefix" unload -p "$PID" "${id:0:6}"
check "the watcher was told" wait_line "$T/watch.out" 'unload'
check "one JSON document a line" jq -e . "$T/watch.out"
kill -TERM "$watcher"
wait "$watcher" 2>/dev/null
expect 0 "-q load is quiet" -q load -p "$PID" "$SVC/server_patch.so"
is "on stderr" "$ERR" ''
expect 0 "-q unload is quiet" -q unload -p "$PID" "$OUT"
is "no colour without a terminal" "$(printf %s "$OUT$ERR" | grep -c $'\e')" 0

# Who may what.
cp "$O/hpctl" "$T/hpctl"
chmod 755 "$T" "$T/hpctl"
as_nobody timeout 20 "$T/hpctl" --socket "$T/hpd.sock" load -p "$PID" "$SVC/server_patch.so" \
	>"$T/nobody.out" 2>"$T/nobody.err"
is "nobody may not reach hpd" "$? $(cat "$T/nobody.out")" "5 "
like "and is told" "$(cat "$T/nobody.err")" 'permi|denied|root'
as_nobody timeout 20 "$T/hpctl" --socket "$T/nothere.sock" load -p "$PID" "$SVC/server_patch.so" \
	>"$T/nobody.out" 2>"$T/nobody.err"
is "without hpd nobody may not start one" "$? $(cat "$T/nobody.out")" "5 "
like "and is told" "$(cat "$T/nobody.err")" 'hpd'
chmod 666 "$T/hpd.sock"
as_nobody timeout 20 "$T/hpctl" --socket "$T/hpd.sock" load -p "$PID" "$SVC/server_patch.so" \
	>"$T/nobody.out" 2>"$T/nobody.err"
is "another user's process is refused" "$? $(cat "$T/nobody.out")" "5 "
chmod 660 "$T/hpd.sock"
timeout 20 "$O/hpctl" --socket "$T" list >"$T/o" 2>"$T/e"
is "a socket that is none" "$? $(cat "$T/o")" "5 "
HP_SOCKET=$T/hpd.sock timeout 20 "$O/hpctl" list >"$T/o" 2>"$T/e"
is "HP_SOCKET" "$? $(cat "$T/e")" "0 "
still_right "the service did not notice" "$PID"
end_service "$PID"
