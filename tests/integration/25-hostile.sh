#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Targets that make themselves hard to patch: by filters, rights, namespaces and limits.  Either load
# and unload work and the service notices nothing, or hp refuses, says why, and nothing has changed.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

. tests/integration/hostile.sh

start_hpd
works plain
works filter-deny
refuses filter-allow 3 'seccomp filter .* does not allow clone'
works strict-thread
refuses strict 3 'seccomp'
works dispatch
refuses dispatch-alone 3 'Syscall User Dispatch'
works uid
works not-dumpable
works uid-not-dumpable
works no-new-privs
works jail
works memfd-sealed
works memfd-enforced
works mdwe
works mlockall
refuses no-locked-memory 3 'RLIMIT_MEMLOCK'
refuses no-memory 3 'RLIMIT_AS'
refuses no-processes 3 'RLIMIT_NPROC'
works few-descriptors
refuses no-descriptors 3 'RLIMIT_NOFILE'
refuses unshared 3 'new pid namespace'
works storm
works guarded
works guarded-spin
refuses traced 5 'traced by process'
