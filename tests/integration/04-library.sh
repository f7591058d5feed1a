#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Functions of a shared library, static ones of one name, and by address.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service libsvc
answers "all old" "$PID" ask 'foo=1 foo.c=10 bar.c=20 own=30'
snapshot "$PID" "$T/before"

# replace NEW=OLD PATCH ANSWER
replace() {
	load -p "$PID" --replace "$1" "$SVC/$2.so" || return
	answers "$1" "$PID" ask "$3"
	unload -p "$PID" "$ID"
	answers "$1: back" "$PID" ask 'foo=1 foo.c=10 bar.c=20 own=30'
}

replace plus_foo=foo libsvc_foo_c 'foo=1001 foo.c=10 bar.c=20 own=30'
replace plus_foo=libfoo.so.1:foo libsvc_foo_c 'foo=1001 foo.c=10 bar.c=20 own=30'
replace plus=foo.c:helper libsvc_foo_c 'foo=1 foo.c=1010 bar.c=20 own=30'
replace plus=bar.c:helper libsvc_bar_c 'foo=1 foo.c=10 bar.c=1020 own=30'
replace plus=libsvc.c:helper libsvc_own 'foo=1 foo.c=10 bar.c=20 own=1030'
address=0x$(nm "$SVC/libsvc" | awk '$3 == "helper" { print $1 }')
replace "plus=@$address" libsvc_own 'foo=1 foo.c=10 bar.c=20 own=1030'
address=0x$(nm -D "$SVC/libfoo.so.1" | awk '$3 == "foo" { print $1 }')
replace "plus_foo=libfoo.so.1:@$address" libsvc_foo_c 'foo=1001 foo.c=10 bar.c=20 own=30'

refused 3 "two statics of one name: the candidates are listed" 'foo\.c:helper' \
	load -p "$PID" --replace plus=libfoo.so.1:helper "$SVC/libsvc_foo_c.so"
like "all of them" "$ERR" 'bar\.c:helper'
refused 3 "a library that is not there" 'libnothere' \
	load -p "$PID" --replace plus=libnothere.so.1:foo "$SVC/libsvc_foo_c.so"

load -p "$PID" --replace plus_foo=foo "$SVC/libsvc_foo_c.so"
first=$ID
load -p "$PID" --replace plus=bar.c:helper "$SVC/libsvc_bar_c.so"
answers "two patches at once" "$PID" ask 'foo=1001 foo.c=10 bar.c=1020 own=30'
unload -p "$PID" "$first"
answers "the first away, the second stays" "$PID" ask 'foo=1 foo.c=10 bar.c=1020 own=30'
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
