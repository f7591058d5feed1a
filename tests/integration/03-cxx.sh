#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# C++ exceptions across the border between old and new code, both ways, and while being watched.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service cxx
grows "$PID" caught_old 100
snapshot "$PID" "$T/before"

load -p "$PID" "$SVC/cxx_middle.so"
check "an exception of old code passes through the new function" grows "$PID" caught_old 200
check "whose destructor runs" test "$(field destroyed_new)" -gt 0
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"

load -p "$PID" "$SVC/cxx_thrower.so"
check "an exception of new code is caught by old code" grows "$PID" caught_new 200
unload -p "$PID" "$ID"

for quiesce in watch gate; do
	load -p "$PID" --quiesce "$quiesce" --timeout 20s "$SVC/cxx_patch.so"
	check "both at once ($quiesce)" grows "$PID" caught_new 200
	unload -p "$PID" --quiesce "$quiesce" --timeout 20s "$ID"
	check "old again ($quiesce)" grows "$PID" caught_old 200
done
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
