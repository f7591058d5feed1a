#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 900
#
# The fault matrix: hp dies, fails or hangs at each of its fault points (userspace/base/fault.h),
# while a service works.  Whatever happens to hp, the service goes on, all old or all new; hpd, or
# the next one, puts it right; nothing of hp's is left in the service or the kernel; and a load and
# an unload work as if nothing had happened.
#
# The table of points is hpd's own.  A round without a fault finds out which scenario passes which
# points: one that no scenario passes is a failure.
#
#	FAULTS		what is done at the points: "kill error hang", at the Nth passage "kill:N", and
#			what befalls others while the
#			process at the point hangs: "hpd-killed hpd-stopped gatekeeper-killed
#			gatekeeper-stopped job-stopped keeper-killed agent-killed target-killed
#			all-killed" (kill for all, two others in turn)
#	SCENARIOS	each point in every scenario that passes it ("all"), or in the first one of every
#			service ("services"), not in the first one alone
#	POINTS, SCENARIO_NAMES	those whose name matches this regular expression
#	TURN		which points have the others' turn (the day of the year)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"

EVERY='kill kill:2 kill:3 error hang hpd-killed hpd-stopped gatekeeper-killed
	gatekeeper-stopped job-stopped keeper-killed agent-killed target-killed all-killed'
EVERY=${EVERY//$'\n'/}
[ "${FAULTS:-}" != all ] || FAULTS=$EVERY
TURN=${TURN:-$(date +%-j)}
# A thread may be parked for so long.  Beside it the service measures what the machine alone kept a
# thread waiting for (control_us).
PARK_MS=200
LATE_MS=100

# --- scenarios ---------------------------------------------------------------------------------------
# Each is a service, a patch, what "ask" answers before and after, and what is done.
declare -A SERVICE=() PATCH=() ASK=() OLD=() NEW=() HOW=()

scenario() {
	ORDER+=("$1")
	SERVICE[$1]=$2 PATCH[$1]=$3 ASK[$1]=$4 OLD[$1]=$5 NEW[$1]=$6 HOW[$1]=$7
}
ORDER=()
scenario gate 'verify 2 all' verify_patch ask old new '--quiesce gate'
scenario watch 'verify 2 epoll,nanosleep,' verify_patch ask old new '--quiesce watch'
scenario int3 'methods 2' shorts_patch ask 'pun=1 int3=2 stop=3' 'pun=1 int3=77 stop=3' \
	'--quiesce gate --replace new_any=by_int3'
scenario stop 'methods 2' shorts_patch ask 'pun=1 int3=2 stop=3' 'pun=1 int3=2 stop=77' \
	'--quiesce gate --replace new_any=by_stop'
scenario hooks server server_hook_patch 'ask 5' 'answer 6' 'answer 1005' ''
scenario init server server_init_patch 'ask 5' 'answer 6' 'answer 1005' ''
scenario cxx cxx cxx_patch '' caught_old caught_new '--timeout 20s'
scenario retained retained retained_patch set '' '' ''
scenario late 'verify 2 all' verify_patch ask old new '--quiesce gate --park 20ms --timeout 1s'
scenario again 'verify 2 poll,' verify_patch ask old new '--quiesce gate'
# Over LOWER, which goes from below it.
scenario stack server server_patch 'ask 5' 'answer 6' 'answer 1005' '--quiesce gate'
LOWER=$(sha256sum <"$SVC/server_patch2.so" | cut -d' ' -f1)

# q ARGS…: hpctl; its answer is judged by what it leaves
q() {
	local status

	timeout -k 5 30 "$O/hpctl" --socket "$T/hpd.sock" "$@" </dev/null >>"$T/q.out" 2>&1
	status=$?
	printf 'hpctl %s: %d\n' "${*:1:3}" "$status" >>"$T/q.out"
	[ "$status" != 124 ] || who_waits >>"$T/q.out"
}

# Where everybody is, when hpctl was not answered in time.
who_waits() {
	local pid

	HUNG=1
	for pid in $(ours | cut -d' ' -f1) "$(cat "$T/hpd.pid")" "$PID"; do
		echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline") $(grep ^State "/proc/$pid/status")"
		head -n 4 "/proc/$pid/stack"
	done
}
HUNG=0

# shellcheck disable=SC2086 # HOW is words
load_it() {
	q load -p "$PID" --park "${PARK_MS}ms" ${HOW[$1]} "$SVC/${PATCH[$1]}.so"
}
unload_it() {
	local how=${HOW[$1]%% --replace*}

	# shellcheck disable=SC2086
	q unload -p "$PID" --park "${PARK_MS}ms" $how "$ID"
}

# drive SCENARIO: what is done while the fault waits for its moment
drive() {
	[ "$1" != stack ] || q load -p "$PID" --park "${PARK_MS}ms" "$SVC/server_patch2.so"
	[ "$1" != again ] || die_half_way "$1"
	load_it "$1"
	case $1 in
	stack)
		q unload -p "$PID" --park "${PARK_MS}ms" "$LOWER"
		# as hpctl says when it was left half-way; else there is no such patch any more
		q unload -p "$PID" --park "${PARK_MS}ms" "$LOWER"
		;;
	retained) tell "$PID" set ;;
	late) # its call may have ended just when the gate was closed
		for _ in 1 2 3 4; do
			passed gate-given-up 1 && break
			unload_it "$1"
			load_it "$1"
		done
		tell "$PID" 'slow 0'
		;;
	esac
	unload_it "$1"
}

# A first hpd dies in the middle of a load; the one that has the fault puts that right.
die_half_way() {
	local client

	HP_FAULT=phase-loading:hang HP_FAULT_COUNTS=$T/half try_start_hpd
	load_it "$1" &
	client=$!
	wait_until "$PATIENCE" somebody_hangs "$T/half"
	hpd_dies
	wait "$client"
	HP_FAULT=${FAULT:-planned:hang:1000} HP_FAULT_COUNTS=$T/counts fault_hpd
}
# somebody_hangs COUNTS: HANGER, the word behind the counts
somebody_hangs() {
	HANGER=$(od -An -v -t u4 -j $((4 * ${#NAMES[@]})) -N 4 "$1" 2>/dev/null | tr -d ' ')
	[ "${HANGER:-0}" != 0 ]
}

# begin SCENARIO: what comes before hpd has its fault
begin() {
	ID=$(sha256sum <"$SVC/${PATCH[$1]}.so" | cut -d' ' -f1)
	if [ -z "${AT[$1]:-}" ]; then
		# shellcheck disable=SC2086
		start_service ${SERVICE[$1]}
		AT[$1]=$PID
		settle_service "$1"
		snapshot "$PID" "$T/$1.before"
	fi
	PID=${AT[$1]}
	[ "$1" != late ] || tell "$PID" 'slow 1000'
	[[ ${SERVICE[$1]} != verify* ]] || tell "$PID" since
}
declare -A AT=()

# Its threads are all there and sleep where they sleep.
settle_service() {
	case $1 in
	cxx) grows "$PID" caught_old 10 ;;
	late) tell "$PID" 'slow 1' && tell "$PID" 'slow 0' ;;
	esac
	verdict "$PID"
}

# says SCENARIO: old or new, as the service behaves; the answer in REPLY
says() {
	local now

	if [ "$1" = cxx ]; then
		for now in old new; do
			PATIENCE=2 grows "$PID" "caught_$now" 20 && REPLY=$now && return
		done
		return 1
	fi
	if [ "$1" = retained ]; then
		tell "$PID" set
		ask "$PID" say '.'
		case $REPLY in *program) REPLY=old ;; *patch) REPLY=new ;; esac
		return
	fi
	ask "$PID" "${ASK[$1]}" '.' || return
	case $REPLY in
	"${OLD[$1]}") REPLY=old ;;
	"${NEW[$1]}") REPLY=new ;;
	'answer 2005') REPLY=lower ;;
	esac
}

# --- hpd and its processes ------------------------------------------------------------------------------
fault_hpd() {
	: >"$T/hpd.log"
	try_start_hpd
}

# As start_hpd, but it may die or hang of its fault before it is ready.
try_start_hpd() {
	local from

	from=$(stat -c %s "$T/hpd.log" 2>/dev/null || echo 0)
	setsid "$O/hpd" --socket "$T/hpd.sock" --state-dir "$T/state" --below $$ --ready-fd 9 \
		9>/dev/null >>"$T/hpd.log" 2>&1 </dev/null &
	HPD=$!
	disown "$HPD" # its death is no news
	echo "$HPD" >"$T/hpd.pid"
	wait_until "$PATIENCE" begun "$from"
}
begun() {
	tail -c +$(($1 + 1)) "$T/hpd.log" | grep -q 'hpd: serving' || gone "$HPD" || somebody_hangs "$T/counts"
}

hpd_dies() {
	kill -KILL "$HPD" 2>/dev/null
	wait_until "$PATIENCE" no_session_members "$HPD"
}

# What runs in this mount namespace under a name of hp's, but for hpd itself: other tests may be at
# work on this machine in namespaces of their own.
MNT=$(readlink /proc/self/ns/mnt)
# The front is a part of hpd, and ends with it.
ours() {
	"$SVC/peek" hp "$MNT" | grep -v ' hpd-front$'
}
none_of_ours() {
	[ -z "$(ours)" ]
}
# pid of the first that is called so
one_of_ours() {
	ours | awk -v name="$1" '$3 ~ name { print $1; exit }'
}

# How often each point was passed, in COUNT.  (Nobody waits for a process substitution: bash 5.2 takes a
# later child for it that is given its number, and then waits for that for ever.)
counts() {
	COUNT=()
	[ ! -s "$T/counts" ] || mapfile -t COUNT <<<"$(od -An -v -t u4 -w4 "$T/counts")"
}
# passed POINT N: so often at least
passed() {
	counts
	[ "${COUNT[INDEX[$1]]:-0}" -ge "$2" ]
}

# --- one cell of the matrix --------------------------------------------------------------------------------
# The process at the point hangs: something befalls another one, and then it goes on.
befall() {
	local point=$1 what=$2 nth=$3 victim='' job gatekeeper

	wait_until "$PATIENCE" reached_hanging "$point" "$nth" || return
	HPD=$(cat "$T/hpd.pid")
	job=$(one_of_ours '^hpd-(load|unload|recover|list)')
	[ "${WHO[$point]}" != job ] || job=$HANGER
	case $what in
	hang) # the gate has to open by itself: the service answers, though the job does not
		[[ $BORROWED == *" $point "* ]] || says "$SCENARIO"
		echo "while it hung: $REPLY" >>"$T/q.out"
		;;
	hpd-killed) victim=$HPD ;;
	hpd-stopped) kill -STOP "$HPD" ;;
	gatekeeper-killed) victim=$(one_of_ours '^hp-gatekeeper') ;;
	gatekeeper-stopped)
		gatekeeper=$(one_of_ours '^hp-gatekeeper')
		[ -z "$gatekeeper" ] || kill -STOP "$gatekeeper"
		;;
	job-stopped) # hpd lets it go on, and that is what it waits for
		[ -z "$job" ] || kill -STOP "$job"
		[ "${WHO[$point]}" != job ] || return
		;;
	keeper-killed) victim=$(one_of_ours '^hp-probes') ;;
	agent-killed) victim=$(one_of_ours '^hp-agent') ;;
	target-killed) victim=$PID ;;
	all-killed) # as the kill of a cgroup may do: the keeper, which would mend, first
		# shellcheck disable=SC2046,SC2086 # words; a job that has not begun has not its name yet
		kill -KILL $(ours | awk '$3 !~ /agent/ { print $1 }' | sort -rn) "$HPD" $job
		wait_until 5 gone "$HPD" # it takes its probes along, which may take a while
		says "$SCENARIO"
		echo "without any hp: $REPLY" >>"$T/q.out"
		return
		;;
	esac
	[ -z "$victim" ] || kill -KILL "$victim"
	[ -z "$victim" ] || wait_until 5 gone "$victim"
	# What hangs under a filter does so for ever (base/fault.c).  Where no job waits for such a keeper any more,
	# and of a reader, for which it waits for 90 seconds, a person ends it.
	case $point$what in
	keeper-end* | keeper-mended* | keeper-detached* | keeper-*hpd-killed | keeper-*target-killed)
		victim=$(one_of_ours '^hp-probes')
		[ -z "$victim" ] || kill -KILL "$victim"
		;;
	reader-*)
		while victim=$(one_of_ours '^hpd-reader') && [ -n "$victim" ]; do
			kill -KILL "$victim"
			wait_until 5 gone "$victim"
		done
		;;
	esac
	if [ "$what" = hpd-stopped ]; then
		[ -z "$job" ] || kill -CONT "$job"
		wait_until 3 gone "${job:-0}"
		kill -CONT "$HPD"
	elif [ "${WHO[$point]}" = hpd ]; then
		kill -CONT "$HPD" 2>/dev/null
	elif [ -n "$job" ]; then
		kill -CONT "$job" 2>/dev/null
	fi
}
# Threads of the service are stopped there, and stay so until the job goes on.
BORROWED=' borrowed borrow-call borrow-mask borrow-regs agent-born agent-alone call-begun call-back
 entry-stopped entry-stop agent-reaped '
BORROWED=${BORROWED//$'\n'/}

reached_hanging() {
	passed "$1" "$2" || return
	[[ ${WHO[$1]} == *keeper || ${WHO[$1]} == reader ]] || somebody_hangs "$T/counts"
}

# The state in which everything is put right: no patch, or one that is active.
at_rest() {
	local state

	hp --json list -p "$PID" && [ "$STATUS" = 0 ] || return
	state=$(jq -r '[.patches[].state] | unique | join(" ")' <<<"$OUT")
	LISTED=$state
	TOP=$(jq -r '[.patches[] | select(.state == "active").hp_id] | last // ""' <<<"$OUT")
	[ -z "$state" ] || [ "$state" = active ] || [ "$state" = retained ] ||
		[ "$state" = 'active superseded' ]
}
LISTED='' TOP=''

complain() {
	WHY+=("$@")
}

# judge: after whatever happened
judge() {
	local s=$1

	WHY=()
	[ "$HUNG" = 0 ] || complain "hpctl was not answered in 30 s"
	HUNG=0
	if gone "$PID"; then
		complain "the service is gone"
		return
	fi
	if gone "$HPD"; then
		unset HP_FAULT HP_FAULT_COUNTS
		try_start_hpd
	fi
	! grep 'runs another program' "$T/hpd.log" || complain "no service does"
	wait_until "$PATIENCE" at_rest || complain "not put right: list says '$LISTED' $ERR"
	says "$s" || complain "the service does not answer"
	case $LISTED:$TOP in
	active*:"$LOWER") [ "$REPLY" = lower ] || complain "the lower patch is on top, but it says $REPLY" ;;
	active*:*) [ "$REPLY" = new ] || complain "listed as active, but it says $REPLY" ;;
	*) [ "$REPLY" = old ] || complain "nothing is listed, but it says $REPLY" ;;
	esac
	within_budget "$s"
	[ "$s" != late ] || tell "$PID" 'slow 0'
	[ "$s" != retained ] || tell "$PID" forget
	while [ -n "$LISTED" ] && [ ${#WHY[@]} = 0 ]; do
		right unload "unload" "${TOP:-$ID}"
		at_rest
	done
	clean "$s" "after it was put right"
	right load "load again"
	says "$s"
	[ "$REPLY" = new ] || complain "loaded again, but it says $REPLY"
	[ "$s" != retained ] || tell "$PID" forget
	right unload "unload again"
	says "$s"
	[ "$REPLY" = old ] || complain "unloaded again, but it says $REPLY"
	[ "$s" != retained ] || tell "$PID" forget
	clean "$s" "at the end"
	verdict "$PID"
	[ "$(field ok)" = true ] || complain "$VERDICT" "$(tail -n 5 "${SVC_OUT[$PID]}.err")"
}

# No thread was parked for longer than it may; what comes after this parks with a budget of its own.
within_budget() {
	local longest control

	[[ ${SERVICE[$1]} == verify* && $1 != late ]] && verdict "$PID" || return
	longest=$(field longest_us) control=$(field control_us)
	[ "$longest" -le $((1000 * (PARK_MS + LATE_MS) + control)) ] ||
		complain "a call took $longest us, where the machine alone made one take $control"
}

# right load|unload WHAT [ID]: must work
right() {
	local s=$SCENARIO

	# shellcheck disable=SC2086
	if [ "$1" = load ]; then
		hp load -p "$PID" --timeout 20s --park 1s ${HOW[$s]//--park 20ms --timeout 1s/} "$SVC/${PATCH[$s]}.so"
	else
		hp unload -p "$PID" --timeout 20s --park 1s "${3:-$ID}"
	fi
	[ "$STATUS" = 0 ] || complain "$2: status $STATUS: $ERR"
}

no_uffd() {
	! grep -q '^VmFlags:.* um\b' "/proc/$PID/smaps"
}
no_pins() {
	[ ! -e "/sys/fs/bpf/hp/$PID" ]
}
clean() {
	wait_until 10 none_of_ours || complain "$2: $(ours | tr '\n' ' ')"
	wait_until 10 no_pins || complain "$2: pins are left"
	no_uffd || complain "$2: a userfaultfd is left"
	until_same "$T/$1.before" || complain "$2: $(diff "$T/$1.before" "$T/now" | head -n 8)"
}
until_same() {
	local end=$((SECONDS + 10))

	until snapshot "$PID" "$T/now" && cmp -s "$1" "$T/now"; do
		[ "$SECONDS" -ge "$end" ] && return 1
		sleep 0.05
	done
}

# cell SCENARIO POINT WHAT[:NTH]
cell() {
	local point=$2 what=${3%:*} nth=1 name="$2 $3 ($1)" action=hang waiter=''

	[[ $3 != *:* ]] || nth=${3#*:}

	SCENARIO=$1
	case $what in kill | error) action=$what ;; esac
	rm -f "$T/counts" "$T/half" "$T/q.out"
	BEGAN=$((${EPOCHREALTIME/./} / 1000))
	begin "$1"
	FAULT=$point:$action:$nth
	[ "$1" = again ] || HP_FAULT=$FAULT HP_FAULT_COUNTS=$T/counts fault_hpd
	if [ "$action" = hang ]; then
		befall "$point" "$what" "$nth" &
		waiter=$!
	fi
	drive "$1"
	[ -z "$waiter" ] || wait "$waiter"
	HPD=$(cat "$T/hpd.pid")
	# A probe keeper passes its own when it has been left alone, behind the answer.
	if ! wait_until 5 passed "$point" "$nth"; then
		WHY=("the point was not reached")
		verdict_of_cell "$name"
	elif [ "$what" = target-killed ]; then
		judge_killed "$1"
		verdict_of_cell "$name"
	else
		judge "$1"
		verdict_of_cell "$name"
	fi
	[ ${#WHY[@]} = 0 ] || forget_service "$1"
	hpd_dies
	HPD=''
}

judge_killed() {
	WHY=()
	wait_until 10 gone "$PID" || complain "the service was not killed"
	if gone "$HPD"; then
		try_start_hpd
	fi
	wait_until 20 none_of_ours || complain "left: $(ours | tr '\n' ' ')"
	wait_until 10 no_pins || complain "pins are left"
	expect_serving
	forget_service "$1"
}
expect_serving() {
	hp --json list
	[ "$STATUS" = 0 ] || complain "hpd does not serve: $ERR"
}

forget_service() {
	local pid=${AT[$1]:-} in

	[ -n "$pid" ] || return
	in=${SVC_IN[$pid]}
	disown "$pid"
	kill_own "$pid"
	exec {in}>&-
	unset "SVC_IN[$pid]" "OWN[$pid]" "AT[$1]"
}

verdict_of_cell() {
	if [ ${#WHY[@]} = 0 ]; then
		ok "$1 $((${EPOCHREALTIME/./} / 1000 - BEGAN)) ms"
	else
		not_ok "$1" "${WHY[@]}" "--- what was done:" "$(cat "$T/q.out" 2>/dev/null)" \
			"--- hpd:" "$(tail -n 12 "$T/hpd.log")"
	fi
}

# --- the matrix ------------------------------------------------------------------------------------------------
declare -A INDEX=() WHO=() CAN=()
NAMES=()
while IFS=$'\t' read -r name who can _; do
	INDEX[$name]=${#NAMES[@]} WHO[$name]=$who CAN[$name]=$can
	NAMES+=("$name")
done < <("$O/hpd" --fault-points)

# Probe keepers detach when the answer is out already.
no_keeper() {
	[ -z "$(one_of_ours '^hp-probes')" ]
}

# survey SCENARIO: which points does it pass?
survey() {
	SCENARIO=$1 FAULT=''
	rm -f "$T/counts" "$T/half" "$T/q.out"
	BEGAN=$((${EPOCHREALTIME/./} / 1000))
	begin "$1"
	[ "$1" = again ] || HP_FAULT_COUNTS=$T/counts fault_hpd
	drive "$1"
	wait_until "$PATIENCE" no_keeper
	counts
	SURVEYED=("${COUNT[@]}")
	judge "$1"
	verdict_of_cell "no fault ($1)"
	[ ${#WHY[@]} = 0 ] || forget_service "$1"
	hpd_dies
	HPD=''
}

# faults_of POINT: what is done there
faults_of() {
	local what i=${INDEX[$1]}

	# where threads wait for hp, and the one step in which something must outlive it
	case ${FAULTS:-}$1 in
	borrowed | agent-reaped) echo job-stopped ;;
	gate-shown) echo gatekeeper-stopped ;;
	entry-held | entry-tail | entry-head) echo all-killed ;;
	esac

	TURN=$((TURN + 1))
	for what in ${FAULTS:-kill error hang}; do
		case $what in
		error) [[ ${CAN[$1]} == *error* ]] || continue ;;
		*:*) ((SURVEYED[i] >= ${what#*:})) || continue ;;
		esac
		case ${FAULTS:-}$((TURN % 8))$what in
		[0-35-7]hang | [1-7]error) ;; # not its turn
		*) echo "$what" ;;
		esac
	done
}

# passed_before SCENARIO POINT: and that is enough
passed_before() {
	case ${SCENARIOS:-} in
	all) false ;;
	services) [[ ${PASSED[$2]:-} == *" ${SERVICE[$1]%% *}:"* ]] ;;
	*) [ -n "${PASSED[$2]:-}" ] ;;
	esac
}

# The scenarios that a point is for, each behind its service.
declare -A PASSED=()
for s in "${ORDER[@]}"; do
	[[ $s =~ ^(${SCENARIO_NAMES:-.*})$ ]] || continue
	survey "$s"
	FIRST=()
	for name in "${NAMES[@]}"; do
		i=${INDEX[$name]}
		((SURVEYED[i] > 0)) || continue
		[ -n "${PASSED[$name]:-}" ] || FIRST+=("$name")
		passed_before "$s" "$name" || PASSED[$name]+=" ${SERVICE[$s]%% *}:$s "
	done
	printf '# %s is the first to pass: %s\n' "$s" "${FIRST[*]}"
	for name in "${NAMES[@]}"; do
		[[ ${PASSED[$name]:-} == *":$s "* && $name =~ ${POINTS:-.} ]] || continue
		for what in $(faults_of "$name"); do
			cell "$s" "$name" "$what"
		done
	done
	[ -z "${AT[$s]:-}" ] || end_service "${AT[$s]}"
done
for name in "${NAMES[@]}"; do
	[ -n "${PASSED[$name]:-}" ] || [ -n "${SCENARIO_NAMES:-}" ] ||
		not_ok "$name is passed by some scenario" "by none of: ${ORDER[*]}"
done
