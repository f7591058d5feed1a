#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The four hooks: their order, what they see, and what follows when one fails.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service server
out=${SVC_OUT[$PID]}
snapshot "$PID" "$T/before"

# hooks FROM: what they printed since then
hooks() {
	tail -c +$(($1 + 1)) "$out" | grep '^hook' | sed 's/hook: //' | tr '\n' ';'
}

from=$(out_size "$PID")
load -p "$PID" "$SVC/server_hook_patch.so"
is "BeforeLoad sees old code, AfterLoad new" "$(hooks "$from")" 'before load 1;after load 1000;'
from=$(out_size "$PID")
unload -p "$PID" "$ID"
is "BeforeUnload sees new code, AfterUnload old" "$(hooks "$from")" 'before unload 1000;after unload 1;'
as_before "everything is as before" "$PID" "$T/before"

from=$(out_size "$PID")
refused 3 "a BeforeLoad that fails" 'HPBeforeLoad.*7' load -p "$PID" "$SVC/hook_before_load.so"
is "nothing else ran" "$(hooks "$from")" 'before load 1;'
answers "old code" "$PID" 'ask 5' 'answer 6'
as_before "a failed BeforeLoad leaves nothing" "$PID" "$T/before"

from=$(out_size "$PID")
refused 3 "an AfterLoad that fails" 'HPAfterLoad.*7' load -p "$PID" "$SVC/hook_after_load.so"
like "it was rolled back" "$(hooks "$from")" '^before load 1;after load 1000;'
answers "old code" "$PID" 'ask 5' 'answer 6'
hp --json list -p "$PID"
is "and is not listed" "$(jq '.patches | length' <<<"$OUT")" 0
as_before "a failed AfterLoad leaves nothing" "$PID" "$T/before"

load -p "$PID" "$SVC/hook_before_unload.so"
refused 3 "a BeforeUnload that fails" 'HPBeforeUnload.*7' unload -p "$PID" "$ID"
answers "the patch stays" "$PID" 'ask 5' 'answer 1005'
hp --json list -p "$PID"
is "and is listed" "$(jq -r '[.patches[].hp_id] | join(" ")' <<<"$OUT")" "$ID"
end_service "$PID"

start_service server
out=${SVC_OUT[$PID]}
snapshot "$PID" "$T/before"
load -p "$PID" "$SVC/hook_after_unload.so"
from=$(out_size "$PID")
hp unload -p "$PID" "$ID"
like "an AfterUnload that fails is reported" "$OUT$ERR" 'HPAfterUnload.*7'
is "both ran" "$(hooks "$from")" 'before unload 1000;after unload 1;'
answers "but the patch is gone" "$PID" 'ask 5' 'answer 6'
hp --json list -p "$PID"
is "and leaves no ghost" "$(jq '.patches | length' <<<"$OUT")" 0
as_before "nor anything else" "$PID" "$T/before"

refused 3 "a hook that crashes is caught" 'HPBeforeLoad.*SIG(ILL|TRAP)' \
	load -p "$PID" "$SVC/hook_crash.so"
answers "the target lives" "$PID" 'ask 5' 'answer 6'
as_before "and is as before" "$PID" "$T/before"
end_service "$PID"
