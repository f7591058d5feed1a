#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Services on musl, dynamic and static: another loader, another libc, other threads' beginnings.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
for service in musl musl-static; do
	start_service "$service"
	answers "$service: old" "$PID" 'ask 5' 'answer 6'
	snapshot "$PID" "$T/before"
	refused 3 "$service: a patch that needs glibc" 'needs libc.so.6' load -p "$PID" "$SVC/server_hook_patch.so"
	for quiesce in gate watch; do
		load -p "$PID" --quiesce "$quiesce" --park 500ms --timeout 20s "$SVC/server_patch.so" || continue
		answers "$service: new ($quiesce)" "$PID" 'ask 5' 'answer 1005'
		check "$service: it works on" grows "$PID" calls 500
		unload -p "$PID" --quiesce "$quiesce" --park 500ms --timeout 20s "$ID"
		answers "$service: old again ($quiesce)" "$PID" 'ask 5' 'answer 6'
	done
	# A hook may call libc; that nobody is in the middle of it, no unwind table of musl tells.
	refused 3 "$service: a patch with hooks" 'no unwind information for' \
		load -p "$PID" --timeout 1s "$SVC/server_hook_nolibc.so"
	answers "$service: still old" "$PID" 'ask 5' 'answer 6'
	as_before "$service: everything is as before" "$PID" "$T/before"
	end_service "$PID"
done
