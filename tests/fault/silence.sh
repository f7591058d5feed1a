#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 300
# A reader that hangs is waited for no longer than hpd waits for the job that asked it: the refusal says what
# hung, and the target is as before.  It takes a minute and a half: `make soak`.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"

HP_FAULT=reader-asked:hang HP_FAULT_COUNTS=$T/counts start_hpd
start_service server
snapshot "$PID" "$T/before"
SECONDS=0
ERR=$(timeout 200 "$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" "$SVC/server_patch.so" 2>&1)
is "a load whose reader hangs is refused" "$?" 3
like "and told which" "$ERR" 'the process that reads it said nothing of its .* for 90 s'
at_most "in the reader's time" "$SECONDS" 110
as_before "the target is as before" "$PID" "$T/before"
is "the next load works" "$(
	hp load -p "$PID" "$SVC/server_patch.so"
	echo "$STATUS"
)" 0
end_service "$PID"
