#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 900
#
# hpd, and its jobs, are killed at random moments of loads, unloads and recoveries, under a service
# that verifies itself (tests/services/verify.c).  What is borrowed is the thread that suits best, so
# the kinds of blocked calls take their turns.
#	KILLS	in all (50)
#	SEED	of the random moments
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"

KINDS=(all 'poll,recv,send,' 'epoll,' 'nanosleep,timed-futex,' 'read,timer,' 'sigtimedwait,'
	'semop,io_getevents,timed-epoll,')
WAYS=(auto gate watch)
kills=${KILLS:-50}
SEED=${SEED:-$RANDOM}
a_turn=$(((kills + ${#KINDS[@]} - 1) / ${#KINDS[@]}))

for i in "${!KINDS[@]}"; do
	way=${WAYS[i % ${#WAYS[@]}]}
	kinds=${KINDS[i]}
	mkdir -p "$T/$i"
	# A job that is killed itself between the stop of a thread and its next two system calls leaves
	# an EINTR to calls that do not restart (docs/ARCHITECTURE.md).
	jobs=()
	[[ ,$kinds =~ all|epoll|sigtimedwait|semop ]] || jobs=(--jobs)
	if "$SVC/killer" --hpd "$O/hpd" --dir "$T/$i" --patch "$SVC/verify_patch.so" --kills "$a_turn" \
		--quiesce "$way" --seed "$((SEED + i))" "${jobs[@]}" -- "$SVC/verify" 3 "$kinds" \
		>"$T/killer.out" 2>"$T/killer.err"; then
		ok "$kinds: $(tail -n 1 "$T/killer.out")"
	else
		not_ok "$kinds, $way, SEED=$SEED" "$(tail -n 2 "$T/killer.out")" "$(tail -n 20 "$T/killer.err")" \
			"--- hpd:" "$(tail -n 10 "$T/$i/killed.log")"
	fi
done
