# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# hostile.sh – what the tests of hostile targets share, behind lib.sh.

PATCH=$SVC/server_patch.so
LONG=(--park 2s --timeout 10s)

# start NAME: the target in TARGET
start() {
	start_service hostile "$1"
	TARGET=$(awk '/^serves/ { print $2 }' "${SVC_OUT[$PID]}")
	TARGET=${TARGET:-$PID}
	answers "$1: it serves" "$PID" 'ask 5' 'answer 6'
	snapshot "$TARGET" "$T/before" "${2:-none}"
}

# goes_both_ways NAME [WITHOUT]: load and unload work, and leave nothing
goes_both_ways() {
	load -p "$TARGET" "${LONG[@]}" "$PATCH"
	answers "$1: the new code runs" "$PID" 'ask 5' 'answer 1005'
	unload -p "$TARGET" "${LONG[@]}" "$ID"
	answers "$1: the old code runs" "$PID" 'ask 5' 'answer 6'
	as_before "$1: everything is as before" "$TARGET" "$T/before" "${2:-none}"
}

# works NAME [WITHOUT]: a hostile target that can be patched
works() {
	start "$@"
	goes_both_ways "$@"
	end_service "$PID"
}

# says_no NAME STATUS REGEX ARGS…: a load is refused, and nothing has changed
says_no() {
	refused "$2" "$1 is refused, and told why" "$3" load -p "$TARGET" --timeout 1s "${@:4}" "$PATCH"
	as_before "$1: everything is as before" "$TARGET" "$T/before"
}

# refuses NAME STATUS REGEX: one that cannot be patched
refuses() {
	start "$1"
	says_no "$@"
	answers "$1: the old code runs" "$PID" 'ask 5' 'answer 6'
	end_service "$PID"
}
