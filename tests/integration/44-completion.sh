#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What bash and zsh offer behind "hpctl …": the verbs and options of --help, processes, patches.
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
