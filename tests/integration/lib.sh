# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lib.sh – what the integration tests share.  A test sources it, calls start_hpd, start_service, hp
# and the checks below, and ends; the plan, the shutdown and its checks come by themselves.
#
#	HP_BUILD	the build of hpd and hpctl to test (build)
#	HP_MUST_RUN=1	what would be skipped is a failure
#	HP_KEEP=1	the temporary folder stays
set -u

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
O=${HP_BUILD:-build}
SVC=$PWD/build/tests/services
T=$(mktemp -d /tmp/hp-test.XXXXXX)
# How long anything may take that is waited for; a hang is a failure, never a wait.
PATIENCE=${HP_PATIENCE:-20}

N=0
FAILED=0
SERVICES=0
HPD=''
declare -A SVC_IN=() SVC_OUT=()
PID=0
STATUS=0 OUT='' ERR='' VERDICT='' REPLY='' ID=''

# --- TAP ---------------------------------------------------------------------------------------------
ok() {
	N=$((N + 1))
	printf 'ok %d - %s\n' "$N" "$1"
}

# not_ok NAME DETAIL…: a detail a line
not_ok() {
	local name=$1 line

	shift
	N=$((N + 1))
	FAILED=$((FAILED + 1))
	printf 'not ok %d - %s\n' "$N" "$name"
	while IFS= read -r line; do
		printf '#   %s\n' "$line"
	done <<<"$(printf '%s\n' "$@")"
}

# check NAME COMMAND…
check() {
	local name=$1

	shift
	if "$@" >"$T/check.out" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "failed: $*" "$(head -c 3000 "$T/check.out")"
	fi
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "got:    $2" "wanted: $3"
	fi
}

# like NAME TEXT REGEX
like() {
	if grep -qE -- "$3" <<<"$2"; then
		ok "$1"
	else
		not_ok "$1" "got:         $2" "should match: $3"
	fi
}

# at_most NAME NUMBER LIMIT
at_most() {
	if [ "$2" -le "$3" ] 2>/dev/null; then
		ok "$1"
	else
		not_ok "$1" "$2 is more than $3"
	fi
}

skip_test() {
	if [ "${HP_MUST_RUN:-0}" = 1 ]; then
		not_ok "$1" "skipped, but HP_MUST_RUN=1: $2"
		return
	fi
	N=$((N + 1))
	printf 'ok %d - %s # SKIP %s\n' "$N" "$1" "$2"
}

# need REASON COMMAND…: without it the whole script is skipped.
need() {
	local reason=$1

	shift
	if "$@" >/dev/null 2>&1; then
		return
	fi
	if [ "${HP_MUST_RUN:-0}" = 1 ]; then
		not_ok "$reason" "needed: $*"
		exit 1
	fi
	printf '1..0 # SKIP %s\n' "$reason"
	trap - EXIT
	rm -rf "$T"
	exit 77
}

# build_go NAME FILE.go OUTPUT: with a cache that lasts
build_go() {
	local go=$PWD/build/go

	mkdir -p "$go"
	GOCACHE=$go/cache GOPATH=$go GO111MODULE=off GOFLAGS='' CGO_ENABLED=0 \
		check "$1" go build -o "$3" "$2"
}

# as_nobody COMMAND…: as a user who has no rights
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# --- waiting: always for something, never for a time -----------------------------------------------------
# wait_until SECONDS COMMAND…
wait_until() {
	local end=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -ge "$end" ] && return 1
		sleep 0.02
	done
}

# wait_line FILE REGEX [FROM_BYTE]: the first such line, in REPLY
wait_line() {
	local file=$1 regex=$2 from=${3:-0} end=$((SECONDS + PATIENCE))

	until REPLY=$(tail -c +$((from + 1)) "$file" | grep -m1 -E -- "$regex"); do
		[ "$SECONDS" -ge "$end" ] && return 1
		sleep 0.02
	done
}

gone() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# --- hpd and hpctl -----------------------------------------------------------------------------------------
HPD_ARGS=()
HPD_BY=()
# A private hpd, with HPD_ARGS, by way of HPD_BY (a command and its arguments, which must exec), in a
# session of its own, whose members are counted at the end
start_hpd() {
	local fd

	mkfifo "$T/ready"
	exec {fd}<>"$T/ready"
	setsid "${HPD_BY[@]}" "$O/hpd" --socket "$T/hpd.sock" --state-dir "$T/state" --below $$ --ready-fd 9 "${HPD_ARGS[@]}" \
		9>"$T/ready" >"$T/hpd.log" 2>&1 </dev/null {fd}>&- &
	HPD=$!
	if ! read -r -t "$PATIENCE" -N 1 -u "$fd"; then
		not_ok "hpd says that it is ready" "$(tail -n 20 "$T/hpd.log")"
		exit 1
	fi
	exec {fd}>&-
	rm "$T/ready"
}

# policy LINE…: the new rules of an hpd that has its policy in $T/policy.conf, in force
policy() {
	local from

	printf '%s\n' "$@" >"$T/policy.conf"
	from=$(stat -c %s "$T/hpd.log")
	kill -HUP "$HPD"
	wait_line "$T/hpd.log" 'SIGHUP: the policy' "$from"
}

session_of() {
	ps -o pid= -s "$1" | tr -d ' ' | grep -v "^$HPD\$"
}

no_session_members() {
	[ -z "$(ps -o pid= -s "$1")" ]
}

stop_hpd() {
	local status log=$T/hpd.log pid=$HPD

	[ -n "$HPD" ] || return
	HPD=''
	if gone "$pid"; then
		wait "$pid"
		not_ok "hpd is alive at the end" "it ended with status $?" "$(tail -n 40 "$log")"
		return
	fi
	kill -TERM "$pid"
	if ! wait_until "$PATIENCE" gone "$pid"; then
		kill -KILL "$pid"
		not_ok "hpd ends when it is told to" "$(tail -n 40 "$log")"
	fi
	wait "$pid"
	status=$?
	is "hpd lived until it was told to end" "$status" 0
	[ "$status" = 0 ] || sed 's/^/# hpd: /' "$log" | tail -n 40
	if ! wait_until "$PATIENCE" no_session_members "$pid"; then
		not_ok "hpd leaves no process behind" "$(ps -o pid,ppid,stat,args -s "$pid")"
	fi
}

# hp ARGS…: hpctl with this hpd, by way of AS (a command and its arguments); STATUS, OUT, ERR
AS=()
hp() {
	timeout -k 5 90 "${AS[@]}" "$O/hpctl" --socket "$T/hpd.sock" "$@" >"$T/hp.out" 2>"$T/hp.err" </dev/null
	STATUS=$?
	OUT=$(cat "$T/hp.out")
	ERR=$(cat "$T/hp.err")
}

# expect STATUS NAME ARGS…
expect() {
	local status=$1 name=$2

	shift 2
	hp "$@"
	if [ "$STATUS" = "$status" ]; then
		ok "$name"
	else
		not_ok "$name" "hpctl $*" "status $STATUS, expected $status" "stdout: $OUT" "stderr: $ERR"
		return 1
	fi
}

# refused STATUS NAME REGEX ARGS…: nothing on stdout, one sentence on stderr that matches
refused() {
	local status=$1 name=$2 regex=$3

	shift 3
	hp "$@"
	if [ "$STATUS" = "$status" ] && grep -qiE -- "$regex" <<<"$ERR" && [ -z "$OUT" ]; then
		ok "$name"
	else
		not_ok "$name" "hpctl $*" "status $STATUS, expected $status" "stdout: $OUT" \
			"stderr: $ERR" "should match: $regex"
		# what came after it would fail for another reason
		[ "$1 $STATUS" != "load 0" ] || hp unload -p "$3" "$OUT"
		return 1
	fi
}

# load ARGS…: a load that must succeed; the id in ID
load() {
	ID=''
	expect 0 "load ${*##*/}" load "$@" || return 1
	ID=$OUT
	if ! grep -qxE '[0-9a-f]{64}' <<<"$ID"; then
		not_ok "load prints the hp_id alone" "stdout: $OUT"
		return 1
	fi
}

unload() {
	expect 0 "unload" unload "$@" || return 1
	[ -z "$ERR" ] || printf '# %s\n' "$ERR"
}

# --- processes ----------------------------------------------------------------------------------------------
# What is ended with the test, by number and start time: a number alone is soon another process's, since
# a machine that runs tests goes through all of them in minutes.
declare -A OWN

# start_time PID: nothing when it is gone (proc_pid_stat(5): field 22, behind a name that may have blanks)
start_time() {
	local stat

	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return
	read -ra stat <<<"${stat##*) }"
	echo "${stat[19]}"
}

own() {
	OWN[$1]=$(start_time "$1")
}

kill_own() {
	[ -n "${OWN[$1]}" ] && [ "$(start_time "$1")" = "${OWN[$1]}" ] && kill -KILL "$1"
}

# --- services -----------------------------------------------------------------------------------------------
# start_service NAME ARGS…: PID; by way of AS, which must exec
start_service() {
	local name=$1 in out fd

	shift
	SERVICES=$((SERVICES + 1))
	in=$T/$SERVICES.in
	out=$T/$SERVICES.out
	: >"$out"
	mkfifo "$in"
	exec {fd}<>"$in"
	"${AS[@]}" "$SVC/$name" "$@" <"$in" >"$out" 2>"$out.err" {fd}>&- &
	PID=$!
	own "$PID"
	SVC_IN[$PID]=$fd
	SVC_OUT[$PID]=$out
	if ! wait_line "$out" "^ready $PID\$"; then
		not_ok "$name says that it is ready" "$(cat "$out" "$out.err")"
		exit 1
	fi
}

out_size() {
	stat -c %s "${SVC_OUT[$1]}"
}

# tell PID LINE
tell() {
	printf '%s\n' "$2" >&"${SVC_IN[$1]}"
}

# ask PID LINE REGEX: what it answers, in REPLY
ask() {
	local from

	from=$(out_size "$1")
	tell "$1" "$2"
	wait_line "${SVC_OUT[$1]}" "$3" "$from"
}

# answers NAME PID LINE WANTED
answers() {
	if ask "$2" "$3" '.'; then
		is "$1" "$REPLY" "$4"
	else
		not_ok "$1" "no answer from $2"
	fi
}

# verdict PID: its line of JSON, in VERDICT
verdict() {
	VERDICT=''
	ask "$1" verdict '^\{"service"' && VERDICT=$REPLY
}

# field NAME: of VERDICT
field() {
	jq -r ".$1" <<<"$VERDICT"
}

# grows PID FIELD MORE: waits until a counter of the verdict has grown so much
grows() {
	local begin end=$((SECONDS + PATIENCE))

	verdict "$1" || return 1
	begin=$(field "$2")
	while verdict "$1"; do
		[ "$(field "$2")" -ge $((begin + $3)) ] && return 0
		[ "$SECONDS" -ge "$end" ] && return 1
		sleep 0.02
	done
	return 1
}

# still_right NAME PID: its verdict so far
still_right() {
	if verdict "$2" && [ "$(field ok)" = true ]; then
		ok "$1"
	else
		not_ok "$1" "$VERDICT" "$(tail -n 5 "${SVC_OUT[$2]}.err")"
	fi
}

# end_service PID: told to quit; its last verdict is checked
end_service() {
	local pid=$1 in=${SVC_IN[$1]} status

	tell "$pid" quit
	if ! wait_until "$PATIENCE" gone "$pid"; then
		kill -KILL "$pid"
		not_ok "the service ends when it is told to" "pid $pid"
	fi
	wait "$pid" 2>/dev/null
	status=$?
	VERDICT=$(grep '^{"service"' "${SVC_OUT[$pid]}" | tail -n 1)
	if [ "$status" = 0 ] && [ "$(field ok)" = true ]; then
		ok "$(field service) found nothing wrong: $VERDICT"
	else
		not_ok "the service found nothing wrong" "status $status" "$VERDICT" \
			"$(tail -n 10 "${SVC_OUT[$pid]}.err")"
	fi
	exec {in}>&-
	unset "SVC_IN[$pid]" "OWN[$pid]"
}

# --- examples -------------------------------------------------------------------------------------------------
# examples FILE WORD=TEXT…: runs those of a manual page or of README (tests/examples), in $T/examples,
# with this hpd and the hpctl under test, which waits longer than its defaults where nothing else is said.
examples() {
	local file=$PWD/$1 tool=$PWD/tests/examples line name='' details=()

	shift
	mkdir -p "$T/bin" "$T/examples"
	cat >"$T/bin/hpctl" <<-END
		#!/bin/sh
		case \$1 in load | unload) verb=\$1 && shift && exec "$PWD/$O/hpctl" "\$verb" --park 5s --timeout 30s "\$@" ;; esac
		exec "$PWD/$O/hpctl" "\$@"
	END
	chmod +x "$T/bin/hpctl"
	(cd "$T/examples" && PATH=$T/bin:$PATH HP_SOCKET=$T/hpd.sock "$tool" "$file" "$@") >"$T/examples.tap" 2>&1
	STATUS=$?
	while IFS= read -r line; do
		if [ "$line" != "${line#\#   }" ]; then
			details+=("${line#\#   }")
			continue
		fi
		[ -z "$name" ] || not_ok "$name" "${details[@]}"
		name='' details=()
		case $line in
		'not ok '*) name=${line#* - } ;;
		'ok '*) ok "${line#* - }" ;;
		'1..'*) STATUS='' ;;
		esac
	done <"$T/examples.tap"
	[ -z "$STATUS" ] || not_ok "tests/examples $file comes to its end" "$(tail -n 5 "$T/examples.tap")"
}

# nginx_conf LISTEN: $T/nginx.conf, of two workers that serve "hello" as /file there
nginx_conf() {
	mkdir -p "$T/www" "$T/tmp"
	echo hello >"$T/www/file"
	chmod -R a+rX "$T"
	cat >"$T/nginx.conf" <<-END
		worker_processes 2; pid $T/nginx.pid; error_log $T/error.log;
		events { worker_connections 512; }
		http {
			access_log off; keepalive_requests 100000;
			client_body_temp_path $T/tmp/body; proxy_temp_path $T/tmp/proxy;
			fastcgi_temp_path $T/tmp/fcgi; uwsgi_temp_path $T/tmp/uwsgi; scgi_temp_path $T/tmp/scgi;
			server { listen $1; root $T/www; }
		}
	END
}

nginx_is_content() {
	is "nginx logged nothing but its start" "$(grep -cE '\[(alert|crit|error)\]' "$T/error.log")" 0
}

# --- before and after -----------------------------------------------------------------------------------------
# What the kernel's uprobes leave behind is an exception by name (DESIGN P6); heap and stack grow.
maps_of() {
	grep -vE '\[(heap|stack|uprobes|uprobes-trampoline)\]' "/proc/$1/maps"
}

threads_of() {
	grep -HE '^Sig(Blk|Ign|Cgt)' "/proc/$1/task"/*/status 2>/dev/null |
		sed 's,^/proc/[0-9]*/task/\([0-9]*\)/status:,thread \1 ,'
}

fds_of() {
	local fd

	for fd in "/proc/$1/fd"/*; do
		echo "fd ${fd##*/} $(readlink "$fd")"
	done
}

children_of() {
	ps -o pid=,stat=,comm= --ppid "$1" | sed 's/^/child /'
}

# snapshot PID FILE [WITHOUT…]: maps, text bytes, descriptors, threads with their masks, children
snapshot() {
	local pid=$1 file=$2 without=${3:-none}

	{
		maps_of "$pid"
		"$SVC/peek" text "$pid" | grep -v '\[uprobes' | sed 's/^/text /'
		fds_of "$pid"
		[ "$without" = threads ] || threads_of "$pid"
		[ "$without" = children ] || children_of "$pid"
		[ -e "/sys/fs/bpf/hp/$pid" ] && echo "pins of $pid"
		true
	} >"$file"
}

# number PID ADDR TYPE: what lies there, as od(1) types it
number() {
	dd if="/proc/$1/mem" bs=1 skip=$(($2)) count="${3:1}" status=none | od -An -t"$3" | tr -d ' '
}

# way_of PID FUNCTION: where the stub of a patched function jumps to: the hp_id of the patch whose code
# that is, or "path"
way_of() {
	local stub door word range file

	hp --json list -p "$1"
	stub=$(jq -r --arg fn "$2" 'first(.patches[].functions[] | select(.old == $fn)).stub' <<<"$OUT")
	door=$((stub + 6 + $(number "$1" "$stub + 2" d4)))
	word=16#$(number "$1" "$door" x8)
	while read -r range _ _ _ _ file; do
		((word >= 16#${range%-*} && word < 16#${range#*-})) || continue
		case $file in
		*/patches/*.so) basename "$file" .so ;;
		*) echo path ;;
		esac
	done <"/proc/$1/maps"
}

# same NAME FILE FILE
same() {
	if diff -u "$2" "$3" >"$T/diff"; then
		ok "$1"
	else
		not_ok "$1" "$(cat "$T/diff")"
	fi
}

# as_before NAME PID FILE [WITHOUT]: what is taken down off the critical path may take a moment
as_before() {
	local end=$((SECONDS + PATIENCE))

	until snapshot "$2" "$T/now" "${4:-none}" && cmp -s "$3" "$T/now"; do
		[ "$SECONDS" -ge "$end" ] && break
		sleep 0.05
	done
	same "$1" "$3" "$T/now"
}

# --- the end ------------------------------------------------------------------------------------------------------
at_end() {
	local status=$? pid

	trap - EXIT
	for pid in "${!OWN[@]}"; do
		kill_own "$pid" && wait "$pid" 2>/dev/null
	done
	stop_hpd
	[ "${HP_KEEP:-0}" = 1 ] || rm -rf "$T"
	printf '1..%d\n' "$N"
	[ "$FAILED" = 0 ] || exit 1
	exit "$status"
}
trap at_end EXIT
trap 'exit 130' INT TERM
