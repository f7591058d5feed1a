#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Targets that make themselves hard to patch: by filters, rights, namespaces and limits.  Either load
# and unload work and the service notices nothing, or hp refuses, says why, and nothing has changed.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd

# start NAME: the target in TARGET
start() {
	start_service hostile "$1"
	TARGET=$(awk '/^serves/ { print $2 }' "${SVC_OUT[$PID]}")
	TARGET=${TARGET:-$PID}
	answers "$1: it serves" "$PID" 'ask 5' 'answer 6'
	snapshot "$TARGET" "$T/before"
}

# works NAME: a hostile target that can be patched
works() {
	start "$1"
	load -p "$TARGET" --park 2s --timeout 10s "$SVC/server_patch.so"
	answers "$1: the new code runs" "$PID" 'ask 5' 'answer 1005'
	unload -p "$TARGET" --park 2s --timeout 10s "$ID"
	answers "$1: the old code runs" "$PID" 'ask 5' 'answer 6'
	as_before "$1: everything is as before" "$TARGET" "$T/before"
	end_service "$PID"
}

# refuses NAME STATUS REGEX: one that cannot
refuses() {
	start "$1"
	refused "$2" "$1 is refused, and told why" "$3" load -p "$TARGET" --timeout 1s "$SVC/server_patch.so"
	answers "$1: the old code runs" "$PID" 'ask 5' 'answer 6'
	as_before "$1: everything is as before" "$TARGET" "$T/before"
	end_service "$PID"
}

works plain
works filter-deny
refuses filter-allow 3 'seccomp filter .* does not allow clone'
works strict-thread
refuses strict 3 'seccomp'
works uid
works not-dumpable
works uid-not-dumpable
works no-new-privs
works jail
works mdwe
works mlockall
refuses no-locked-memory 3 'RLIMIT_MEMLOCK'
refuses no-memory 3 'RLIMIT_AS'
refuses no-processes 3 'RLIMIT_NPROC'
works few-descriptors
refuses no-descriptors 3 'RLIMIT_NOFILE'
refuses unshared 3 'new pid namespace'
works storm
refuses traced 5 'traced by process'
