#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A function that is left by longjmp, pthread_exit and cancellation, while it is watched.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service jumper
grows "$PID" cancels 5
snapshot "$PID" "$T/before" threads

for quiesce in watch gate auto watch gate auto; do
	load -p "$PID" --quiesce "$quiesce" --timeout 20s "$SVC/jumper_patch.so"
	check "new code ($quiesce)" grows "$PID" new_calls 50
	check "is left by cancellation too" grows "$PID" cancels 5
	unload -p "$PID" --quiesce "$quiesce" --timeout 20s "$ID"
done
verdict "$PID"
new=$(field new_calls)
check "old code" grows "$PID" cancels 5
is "and nothing new any more" "$(field new_calls)" "$new"
end_service "$PID"
