#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# --help, which is made from the table of verbs, the manual and completion say the same; and what
# bash and zsh offer behind "hpctl …": verbs, options, processes, patches.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/completion/hpctl.bash
. tools/completion/hpctl.bash

# The words of standard input, in order, on one line.
in_order() {
	tr -s ' ' '\n' | grep . | LC_ALL=C sort | paste -sd ' '
}

# offers NAME WANTED WORDS…: behind these words, of which the last is being typed
offers() {
	local name=$1 wanted=$2

	shift 2
	COMP_WORDS=("$PWD/$O/hpctl" "$@")
	COMP_CWORD=$#
	_hpctl "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	is "$name" "$(printf '%s\n' "${COMPREPLY[@]}" | in_order)" "$(in_order <<<"$wanted")"
}

# the same of zsh, whose compadd is made to say what it gets
zsh_offers() {
	local name=$1 wanted=$2

	shift 2
	# shellcheck disable=SC2016 # zsh's variables
	is "$name" "$(HP_COMPLETION=$PWD/tools/completion/hpctl.bash zsh -f -c '
		compadd() { while [ "$1" != -- ]; do shift; done; shift; print -rl -- "$@" }
		words=("$@")
		CURRENT=$#words
		. tools/completion/_hpctl' zsh "$PWD/$O/hpctl" "$@" | in_order)" \
		"$(in_order <<<"$wanted")"
}

need "zsh" command -v zsh
mapfile -t verbs < <("$O/hpctl" --help | awk '/^  [a-z]/ { print $1 }')
check "there are verbs" test "${#verbs[@]}" -gt 8
offers "all verbs" "${verbs[*]}" ''
zsh_offers "zsh: all verbs" "${verbs[*]}" ''
offers "a verb by its beginning" 'unload' unl
offers "a verb behind an option" 'unload' --socket /x unl
for verb in "${verbs[@]}"; do
	offers "options of $verb" "$("$O/hpctl" "$verb" --help | grep -E '^  (-.,|   ) --' |
		grep -oE '^ *(-[a-z], )?--[a-z-]+' | grep -oE -- '--?[a-z][a-z-]*')" "$verb" -
done
offers "an option by its beginning" '--timeout' load --ti
offers "the values of an option" 'quiesce relaxed' load --mode ''
zsh_offers "zsh: the values of an option" 'auto watch gate' load --quiesce ''
offers "a word that an option takes is no verb" 'quiesce' load --mode q

# --- the manual -------------------------------------------------------------------------------------------
# options COMMAND…: the long options of its --help, of which those of every verb are left out
options() {
	"$@" --help | grep -oE '^  (-., |    )--[a-z-]+' | grep -oE -- '--[a-z-]+' |
		grep -vxF -f "$T/everywhere"
}

# words_of FILE FROM: the long options that stand in the section that begins with that line
words_of() {
	awk -v from="$2" 'on && /^\.S[sh]/ { exit } $0 == from { on = 1 } on' "$1" | grep -oE 'Fl Fl [a-z-]+' | sed 's/Fl Fl /--/'
}

: >"$T/everywhere"
words_of docs/man/hpctl.1 '.Ss Options of every verb' >"$T/words"
is "the options of every verb are in the manual" "$(in_order <"$T/words")" "$(options "$O/hpctl" | in_order)"
cp "$T/words" "$T/everywhere"
is "the verbs are in its synopsis" \
	"$(awk '/^\.Sh/ { on = $2 == "SYNOPSIS" } on && /^\.Cm/ && nm { print $2 } { nm = on && /^\.Nm/ }' \
		docs/man/hpctl.1 | sort -u | in_order)" "$(in_order <<<"${verbs[*]}")"
is "and each is described" \
	"$(awk '/^\.S[sh]/ { on = $0 == ".Ss Verbs" } on && /^\.It Cm/ { print $3 }' docs/man/hpctl.1 | in_order)" \
	"$(in_order <<<"${verbs[*]}")"
# "Options of load and check": what either of them has, but for those that pick processes.
words_of docs/man/hpctl.1 '.Ss Processes' | sort -u >"$T/processes"
with_options=()
while read -r of; do
	mapfile -t of < <(tr -s ' ' '\n' <<<"${of//[ ,]and / }")
	is "the options of ${of[*]} are in the manual" \
		"$(words_of docs/man/hpctl.1 "$(grep -E "^\.Ss Options of ${of[0]}( |\$)" docs/man/hpctl.1)" | sort -u | in_order)" \
		"$(for verb in "${of[@]}"; do options "$O/hpctl" "$verb"; done | grep -vxF -f "$T/processes" | sort -u | in_order)"
	with_options+=("${of[@]}")
done < <(sed -n 's/^\.Ss Options of //p' docs/man/hpctl.1 | grep -v '^every verb')
for verb in "${verbs[@]}"; do
	grep -qxF -- "$verb" <<<"$(printf '%s\n' "${with_options[@]}")" ||
		is "$verb has no options of its own" "$(options "$O/hpctl" "$verb" | grep -vxF -f "$T/processes")" ''
done
: >"$T/everywhere"
is "hpd's options are in its manual" \
	"$(words_of docs/man/hpd.8 '.Sh DESCRIPTION' | sort -u | in_order)" \
	"$("$O/hpd" --help | grep -oE '^ +(-., )?--[a-z-]+ ' | grep -oE -- '--[a-z-]+' | sort -u | in_order)"

: >"$T/fix.so"
offers "files" "$T/fix.so" load -p 1 "$T/fi"

start_hpd
start_service server
export HP_SOCKET=$T/hpd.sock
load -p "$PID" "$SVC/server_patch.so"
offers "processes that are patched" "$PID" unload -p ''
offers "their patches" "$ID" unload -p "$PID" ''
offers "patches by the beginning of the id" "$ID" unload -p "$PID" "${ID:0:5}"
zsh_offers "zsh: patches" "$ID" unload -p "$PID" ''
# shellcheck disable=SC2154 # offers() fills COMPREPLY
check "processes that could be" bash -c ". tools/completion/hpctl.bash; _hpctl_pids $O/hpctl load | grep -qx $PID"
unload -p "$PID" "$ID"
offers "none any more" '' unload -p "$PID" ''
HP_SOCKET=$T/nobody.sock
offers "no hpd, and none is started" '' unload -p "$PID" ''
check "… none" test ! -e "$T/nobody.sock"
end_service "$PID"
