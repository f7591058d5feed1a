# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# bash completion for hpctl(1).  Verbs and options are asked of hpctl itself (--help), so that they
# are those of the installed version; processes and patches of hpd, if one runs: none is started.

# _hpctl_verbs HPCTL
_hpctl_verbs() {
	"$1" --help 2>/dev/null | sed -nE 's/^  ([a-z]+) +[^ ].*/\1/p'
}

# _hpctl_options HPCTL [VERB]: a line an option: its names, then what it takes
_hpctl_options() {
	"$@" --help 2>/dev/null | sed -nE 's/^  (-[a-z], |    )(--[a-z-]+)( ([A-Z][^ ]*))? .*/\1 \2 \4/p' | tr -d ,
}

# _hpctl_takes HPCTL VERB OPTION: what the option takes, "" for nothing
_hpctl_takes() {
	_hpctl_options "$1" ${2:+"$2"} | awk -v "o=$3" '
		{ arg = $NF ~ /^-/ ? "" : $NF; for (i = 1; i <= NF; i++) if ($i == o) print arg }'
}

# What hpd lists, by the socket that the command line names.
_hpctl_list() {
	local hpctl=$1 i socket=${HP_SOCKET:-/run/hp/hpd.sock}

	shift
	for ((i = 1; i + 1 < ${#COMP_WORDS[@]}; i++)); do
		[ "${COMP_WORDS[i]}" = --socket ] && socket=${COMP_WORDS[i + 1]}
	done
	timeout 5 "$hpctl" --socket "$socket" list "$@" 2>/dev/null
}

# The processes that VERB can be meant for.
_hpctl_pids() {
	case $2 in
	unload | list | status | watch) _hpctl_list "$1" | sed -nE 's/^ +process ([0-9]+) .*/\1/p' ;;
	*) for pid in /proc/[0-9]*/exe; do
		# kernel threads have none
		readlink -q "$pid" >/dev/null && pid=${pid#/proc/} && echo "${pid%/exe}"
	done ;;
	esac
}

# The values of an option that takes $2.
_hpctl_values() {
	case $2 in
	PID) _hpctl_pids "$1" "$3" ;;
	MODE) printf '%s\n' quiesce relaxed ;;
	WAY) printf '%s\n' auto watch gate ;;
	esac
}

_hpctl() {
	local hpctl=$1 cur=$2 prev=$3 verb='' takes='' verbs i

	COMPREPLY=()
	verbs=$(_hpctl_verbs "$hpctl")
	for ((i = 1; i < COMP_CWORD; i++)); do
		grep -qxF -- "${COMP_WORDS[i]}" <<<"$verbs" && verb=${COMP_WORDS[i]} && break
	done
	[[ $prev == -* ]] && takes=$(_hpctl_takes "$hpctl" "$verb" "$prev")
	case $takes in
	FILE* | PATH | DIR) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && return ;;
	?*) mapfile -t COMPREPLY < <(compgen -W "$(_hpctl_values "$hpctl" "$takes" "$verb")" -- "$cur") && return ;;
	esac
	case $cur,$verb in
	-*) mapfile -t COMPREPLY < <(compgen -W "$(_hpctl_options "$hpctl" ${verb:+"$verb"} | grep -oE -- '--?[a-z][a-z-]*')" -- "$cur") ;;
	*,) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	*,unload) mapfile -t COMPREPLY < <(compgen -W "$(_hpctl_list "$hpctl" -q)" -- "$cur") ;;
	*,policy) mapfile -t COMPREPLY < <(compgen -W check -- "$cur") ;;
	*,explain | *,list | *,status | *,watch | *,doctor) ;;
	*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -o filenames -F _hpctl hpctl
