#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# libhp as a user has it: installed, found by pkg-config, linked both ways; and Python, which needs
# no library.
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

PREFIX=$T/usr
check "make install" make -s install DESTDIR= PREFIX="$PREFIX"
export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig LD_LIBRARY_PATH=$PREFIX/lib

# --- what is installed ------------------------------------------------------------------------------
# shellcheck disable=SC2046 # words
check "a program builds with the installed headers and library" \
	gcc -Wall -Wextra -Werror -o "$T/hpuser" tests/services/hpuser.c $(pkg-config --cflags --libs hp)
like "it uses the shared library" "$(objdump -p "$T/hpuser")" 'NEEDED +libhp.so.1'
# shellcheck disable=SC2046
check "it links statically too" \
	gcc -Wall -Wextra -Werror -o "$T/hpuser-static" tests/services/hpuser.c \
	$(pkg-config --cflags hp) "$PREFIX/lib/libhp.a" -ljansson -lhttp_parser
for header in hp upgrade err patch; do
	check "hp/$header.h is C++ too" \
		g++ -Wall -Wextra -Werror -fsyntax-only -x c++ -I"$PREFIX/include" "$PREFIX/include/hp/$header.h"
done
cat include/hp/hp.h include/hp/err.h | grep -oE '\bhp_(client|events|err)_[a-z_]+\(' | tr -d '(' |
	sort -u >"$T/declared"
nm -D --defined-only "$PREFIX/lib/libhp.so.1" | sed -n 's/.* T \(.*\)@@HP_1$/\1/p' | sort >"$T/shared"
nm -g --defined-only "$PREFIX/lib/libhp.a" | sed -n 's/.* T //p' | sort >"$T/static"
same "the shared library shows what the headers declare" "$T/declared" "$T/shared"
same "and so does the archive" "$T/declared" "$T/static"
check "nothing of it prints" test -z "$(nm -D "$PREFIX/lib/libhp.so.1" | grep -wE 'printf|puts|stdout|stderr|perror|__printf_chk|__fprintf_chk')"

# --- what it does -----------------------------------------------------------------------------------
start_hpd
start_service ticker 50
PATCH=$SVC/ticker_patch.so
HASH=$(sha256sum "$PATCH" | cut -d' ' -f1)
snapshot "$PID" "$T/before"

# uses NAME PROGRAM: loads, is told that it is loaded, lists, unloads
uses() {
	local out

	out=$(timeout -k 5 90 "$2" "$T/hpd.sock" "$PID" patch "$PATCH" 2>&1)
	is "$1: it ends well" $? 0
	is "$1: it loads, lists and unloads" "$(grep -v '^event' <<<"$out")" \
		"$(printf 'loaded %s\nalready %s\nactive: NewFunc1 for func1\nunloaded' "$HASH" "$HASH")"
	like "$1: it sees what happens" "$out" "^event done of $PID\$"
	as_before "$1: everything is as before" "$PID" "$T/before"
}
uses shared "$T/hpuser"
uses static "$T/hpuser-static"
is "the hooks ran in the process" "$(grep -c "^hook: after load" "${SVC_OUT[$PID]}")" 2

out=$("$T/hpuser" "$T/none.sock" "$PID" patch "$PATCH")
is "without an hpd its status is hpctl's" $? 5
like "and it says so" "$out" "^open: no hpd serves $T/none.sock: .*\(unreachable\)$"
out=$("$T/hpuser" "$T/hpd.sock" 4194303 patch "$PATCH")
is "without the process, too" $? 1
like "and hpd's sentence is there" "$out" '^check: .*4194303.*\(target-gone\)$'
out=$("$T/hpuser" "$T/hpd.sock" "$PID" patch "$T/none.so")
is "without the patch, too" $? 1
like "with its name" "$out" "^check: .*$T/none.so.*\(no-file\)$"

out=$("$T/hpuser" "$T/hpd.sock" "$PID" serve "127.0.0.1:$PORT")
is "hotgo's server is begun" "$? $out" "0 "
is "and answers" "$(curl -s --max-time "$PATIENCE" "http://127.0.0.1:$PORT/hp/v1/info")" null
out=$("$T/hpuser" "$T/hpd.sock" "$PID" serve "127.0.0.1:$PORT")
is "its address is taken now" $? 1
like "and hpd says so" "$out" "^serve: .*127.0.0.1:$PORT"
expect 0 "it ends" serve --stop "127.0.0.1:$PORT"

start_netsvc threads "tcp:127.0.0.1:$PORT"
TICKER=$PID
start_load "tcp:127.0.0.1:$PORT" 2
out=$(timeout -k 5 90 "$T/hpuser" "$T/hpd.sock" "$MAIN" restart)
like "a process is restarted" "$out" '^[0-9]+ generation 2$'
OLD=$MAIN MAIN=${out%% *}
own "$MAIN"
check "the old process has gone" wait_until "$PATIENCE" gone "$OLD"
grows "$LOAD" answered 20 || not_ok "the new one serves" "$VERDICT"
end_service "$LOAD"
end_server
PID=$TICKER

# --- the manual -------------------------------------------------------------------------------------
mkdir "$T/examples"
cp tests/services/hpuser.c "$T/examples/program.c"
examples docs/man/hp.3 4242="$PID" 3f9a=? /run/hp/hpd.sock="$T/hpd.sock" /srv/fix.so="$PATCH"
as_before "and leaves nothing" "$PID" "$T/before"
end_service "$PID"
