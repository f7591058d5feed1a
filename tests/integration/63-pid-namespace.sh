#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hpd in a pid namespace of its own, as in a container, with a service there: the kernel's numbers of threads
# are others, so nothing is looked at by them.
if [ "${1:-}" != inside ]; then
	exec unshare --pid --fork --kill-child --mount-proc "$0" inside
fi
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
hp doctor
like "doctor says what is missing there" "$OUT" 'bpf .*pid namespace of its own'
start_service server
snapshot "$PID" "$T/before"
load -p "$PID" "$SVC/server_patch.so"
answers "the new code runs" "$PID" 'ask 5' 'answer 1005'
unload -p "$PID" "$ID"
answers "the old code runs" "$PID" 'ask 5' 'answer 6'
as_before "nothing is left" "$PID" "$T/before"
end_service "$PID"
