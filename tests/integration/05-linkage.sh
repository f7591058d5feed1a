#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The same service linked in every way, and a patch with data, constructors, an IFUNC, TLS, HP_ORIG.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd

# try PATCH ANSWER
try() {
	load -p "$PID" "$SVC/$1.so" || return
	answers "$1 answers" "$PID" 'ask 5' "answer $2"
	check "$1 works on" grows "$PID" calls 500
	unload -p "$PID" "$ID"
	answers "$1: back" "$PID" 'ask 5' 'answer 6'
}

for service in server server-nopie server-static server-static-pie server-stripped server-endbr; do
	start_service "$service"
	echo "# $service"
	answers "$service: old" "$PID" 'ask 5' 'answer 6'
	snapshot "$PID" "$T/before"
	if [ "$service" = server-stripped ]; then
		# counter and answer() are in .dynsym; nothing else is
		try server_patch 1005
	else
		try server_patch 1005
		try server_orig_patch 1005
	fi
	as_before "$service: everything is as before" "$PID" "$T/before"
	end_service "$PID"
done

start_service server
snapshot "$PID" "$T/before"
try server_init_patch 1005
is "constructors ran before, destructors after" \
	"$(grep '^patch:' "${SVC_OUT[$PID]}" | tr '\n' ';')" 'patch: init_array;patch: fini_array;'
load -p "$PID" --replace new_answer=answer --ref Counter=counter "$SVC/server_plain_patch.so"
verdict "$PID"
counter=$(field counter)
check "a variable by the ref map" grows "$PID" counter 10
at_most "moves forward" "$counter" "$(field counter)"
unload -p "$PID" "$ID"
hp --json list
load -p "$PID" "$SVC/server_orig_patch.so"
hp --json list -p "$PID"
like "metadata is listed" "$OUT" 'CVE-2026-0001'
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"

start_service server-split
refused 3 "a program without symbols says so" 'answer' load -p "$PID" "$SVC/server_patch.so"
build_id=$(readelf -n "$SVC/server-split" | awk '/Build ID:/ { print $3 }')
debug=/usr/lib/debug/.build-id/${build_id:0:2}/${build_id:2}.debug
mkdir -p "$(dirname "$debug")"
cp "$SVC/server-split.debug" "$debug"
trap 'rm -f "$debug"; rmdir -p --ignore-fail-on-non-empty "$(dirname "$debug")"; at_end' EXIT
try server_patch 1005
end_service "$PID"
