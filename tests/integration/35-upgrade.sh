#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Programs written for it: hp/upgrade.h under load.  The service is the manual's example, the load
# opens a connection for each request, and nothing of it may be refused, reset or cut short.
. "$(dirname "$0")/lib.sh"

RESTARTS=${RESTARTS:-10}

# The program "on disk", which is replaced as a deployment does it: by a rename.
deploy() {
	cp "$1" "$T/service.new" && mv "$T/service.new" "$T/service"
}

# start ARGS…: the service, once it serves; PID
start() {
	rm -f "$T/pid"
	"$T/service" "$@" "$T/pid" 2>>"$T/service.err" &
	PID=$!
	wait_until "$PATIENCE" grep -qx "$PID" "$T/pid"
}

# A port that nobody has, below those that the kernel gives away.
start_on_port() {
	local tries

	for tries in 1 2 3 4 5 6 7 8 9; do
		PORT=$((20000 + RANDOM % 10000))
		start "127.0.0.1:$PORT" && return
		echo "# port $PORT was taken (try $tries)"
	done
	not_ok "the service starts" "$(cat "$T/service.err")"
	exit 1
}

answer() {
	curl -s --max-time "$PATIENCE" "http://127.0.0.1:$PORT/"
}

# upgrade PID: SIGHUP, until another process has written its pid; NEW
upgrade() {
	kill -HUP "$1"
	wait_until "$PATIENCE" pid_is_not "$1" && NEW=$(cat "$T/pid")
}

pid_is_not() {
	[ "$(cat "$T/pid")" != "$1" ]
}

# fails NAME REGEX: an upgrade that fails says so, and changes nothing
fails() {
	local from

	from=$(stat -c %s "$T/service.err")
	kill -HUP "$PID"
	if wait_line "$T/service.err" 'upgrade failed' "$from"; then
		like "$1" "$REPLY" "$2"
	else
		not_ok "$1" "nothing was said"
	fi
	is "$1: the old process serves" "$(answer)" "$(printf 'step  1, version  2, process %10d' "$PID")"
	is "$1: the pid file names it" "$(cat "$T/pid")" "$PID"
}

# --- under load -------------------------------------------------------------------------------------
deploy "$SVC/graceful"
start_on_port
FIRST=$PID
start_service netload "tcp:127.0.0.1:$PORT" 4 graceful
LOAD=$PID
PID=$FIRST
grows "$LOAD" answered 50

# A request that takes 20 seconds, once it is under way.
slow() {
	: >"$T/slow.$1"
	curl -sN --max-time 100 "http://127.0.0.1:$PORT/slow" >"$T/slow.$1" &
	SLOW+=($!)
	wait_line "$T/slow.$1" 'step  1'
}
SLOW=()
slow first
is "the request is the first process's" "${REPLY##* }" "$FIRST"
done_so_far=0
for ((i = 1; i <= RESTARTS; i++)); do
	[ "$i" != 3 ] || slow third
	[ "$i" != 5 ] || deploy "$SVC/graceful-2"
	grows "$LOAD" answered 20 && upgrade "$PID" && done_so_far=$i
	PID=$NEW
done
is "$RESTARTS upgrades under load" "$done_so_far" "$RESTARTS"
like "the program on disk is what runs" "$(answer)" "version  2, process +$PID\$"
grows "$LOAD" answered 50

printf '#!/bin/sh\nexit 3\n' >"$T/bad"
chmod +x "$T/bad"
deploy "$T/bad"
fails "one that fails while it starts" 'child pid=[0-9]+ exited: exit status 3$'
printf '#!/bin/sh\nkill -SEGV $$\n' >"$T/bad"
deploy "$T/bad"
fails "one that crashes" 'child pid=[0-9]+ exited: signal: segmentation fault$'
rm "$T/service"
fails "one that is not there" "can't start child: can't start process .*/service: execve: No such file"
deploy "$SVC/graceful-2"
grows "$LOAD" answered 20

# Nothing was refused, reset or cut short.
end_service "$LOAD"

# SIGTERM: what is under way ends; see below.
slow last
is "the request is the last process's" "${REPLY##* }" "$PID"
kill -TERM "$PID"
LAST=$PID

# --- a unix socket, given up and inherited ------------------------------------------------------------
start "$T/sock"
check "the unix socket is there" [ -S "$T/sock" ]
upgrade "$PID"
wait "$PID"
is "the old process ends" $? 0
check "its socket stays for the new one" [ -S "$T/sock" ]
like "which serves it" "$(curl -s --unix-socket "$T/sock" http://local/)" "process +$NEW\$"
kill -INT "$NEW"
check "SIGINT ends it" wait_until "$PATIENCE" gone "$NEW"
check "and removes its socket" [ ! -e "$T/sock" ]

# --- as a user builds it ------------------------------------------------------------------------------
PREFIX=$T/usr
check "make install" make -s install DESTDIR= PREFIX="$PREFIX"
export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig
# What the manual shows is what was tested here.
mkdir "$T/examples"
cp tests/services/graceful.c "$T/examples/service.c"
examples docs/man/hp-upgrade.3 /usr/bin/service="$SVC/graceful"
check "its unit is one" systemd-analyze verify --man=no --recursive-errors=no "$T/examples/service.service"
# shellcheck disable=SC2046 # words
check "the example builds with the installed header and library" \
	gcc -Wall -Werror -pthread -o "$T/example" "$PWD/tests/services/graceful.c" \
	$(pkg-config --cflags --libs hp-upgrade)
like "it uses the shared library" "$(objdump -p "$T/example")" 'NEEDED +libhp-upgrade.so.1'
# shellcheck disable=SC2046 # words
check "it links statically too" \
	gcc -Wall -Werror -pthread -o "$T/example-static" "$PWD/tests/services/graceful.c" \
	$(pkg-config --cflags hp-upgrade) "$PREFIX/lib/libhp-upgrade.a"
is "the library needs libc alone" \
	"$(objdump -p "$PREFIX/lib/libhp-upgrade.so.1" | awk '/NEEDED/ { print $2 }' | xargs)" libc.so.6
grep -oE '\bhp_upgrade_[a-z_]+\(' include/hp/upgrade.h | tr -d '(' | sort -u >"$T/declared"
nm -D --defined-only "$PREFIX/lib/libhp-upgrade.so.1" | sed -n 's/.* T \(.*\)@@HP_UPGRADE_1$/\1/p' | sort >"$T/shared"
nm -g --defined-only "$PREFIX/lib/libhp-upgrade.a" | sed -n 's/.* T //p' | sort >"$T/static"
same "the shared library shows what the header declares" "$T/declared" "$T/shared"
same "and so does the archive" "$T/declared" "$T/static"
deploy "$T/example"
export LD_LIBRARY_PATH=$PREFIX/lib
start_on_port
upgrade "$PID"
like "it upgrades" "$(answer)" "process +$NEW\$"
kill -TERM "$NEW"
check "and ends" wait_until "$PATIENCE" gone "$NEW"

# --- what was under way all the time --------------------------------------------------------------------
wait "${SLOW[@]}"
for which in first third last; do
	is "the slow request of the $which process has all its steps" \
		"$(grep -c '^step' "$T/slow.$which")" 20
	is "and was answered by one process" \
		"$(sed 's/.*process *//' "$T/slow.$which" | sort -u | wc -l)" 1
done
check "the last process ends once its work is done" wait_until "$PATIENCE" gone "$LAST"
wait "$FIRST"
is "and so did the first" $? 0
