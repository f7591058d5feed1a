#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The same path with new content; the same content twice; a patch over another.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service server
snapshot "$PID" "$T/before"
cp "$SVC/server_patch.so" "$T/p.so"
load -p "$PID" "$T/p.so"
first=$ID
answers "the first content" "$PID" 'ask 5' 'answer 1005'
refused 3 "the same again" 'already loaded' load -p "$PID" "$T/p.so"
like "names the id" "$ERR" "${first:0:8}"

# overwritten in place, under the feet of the running target
cat "$SVC/server_patch2.so" >"$T/p.so"
answers "overwriting the file hurts nobody" "$PID" 'ask 5' 'answer 1005'
unload -p "$PID" "$first"
load -p "$PID" "$T/p.so"
check "new content, new id" test "$ID" != "$first"
answers "the new content" "$PID" 'ask 5' 'answer 2005'
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"
rm "$T/p.so"

# One function, two patches (21-stack has all of it).
load -p "$PID" "$SVC/server_patch.so"
first=$ID
load -p "$PID" "$SVC/server_patch2.so"
answers "the later one is on top" "$PID" 'ask 5' 'answer 2005'
refused 3 "a prefix that names no patch" 'not loaded|no patch' unload -p "$PID" ffff0000ffff
refused 2 "an empty id" '.' unload -p "$PID" ''
unload -p "$PID" "$first"
answers "it stays when the first goes" "$PID" 'ask 5' 'answer 2005'
unload -p "$PID" "$ID"
answers "and nothing is revived" "$PID" 'ask 5' 'answer 6'
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
