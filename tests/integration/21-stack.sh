#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN:
# Several patches on the same functions, loaded and unloaded in every order under load.
# A is on f and g, B on g and h, C on all three; each calls what is below it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

declare -A id=() on=([A]=fg [B]=gh [C]=fgh)
stack='' # what is loaded, the lowest first
longer=(--park 500ms --timeout 20s)

# layers FN: what a call of it should go through
layers() {
	local fn=$1 i way=''

	for ((i = ${#stack} - 1; i >= 0; i--)); do
		case ${on[${stack:i:1}]} in *"$fn"*) way+=${stack:i:1} ;; esac
	done
	echo "$fn=${way}o"
}

# in_force: does the service say so too, and nothing of what is unloaded is left?
in_force() {
	local fn

	for fn in f g h; do
		ask "$PID" "ask $fn" '^[fgh]=' || return 1
		[ "$REPLY" = "$(layers $fn)" ] || {
			echo "loaded: $stack; $REPLY, not $(layers $fn)"
			return 1
		}
	done
}

# put A|B|C, take A|B|C
put() {
	hp load -p "$PID" "${longer[@]}" "$SVC/stack_${1,,}.so"
	[ "$STATUS" = 0 ] || {
		echo "load $1 over '$stack': $STATUS $ERR"
		return 1
	}
	id[$1]=$OUT
	stack+=$1
	in_force
}

take() {
	hp unload -p "$PID" "${longer[@]}" "${id[$1]}"
	[ "$STATUS $ERR" = '0 ' ] || {
		echo "unload $1 of '$stack': $STATUS $ERR"
		return 1
	}
	stack=${stack/$1/}
	in_force
}

# round LOADS UNLOADS: letters
round() {
	local i

	for ((i = 0; i < ${#1}; i++)); do
		put "${1:i:1}" || return 1
	done
	for ((i = 0; i < ${#2}; i++)); do
		take "${2:i:1}" || return 1
	done
}

start_hpd
start_service stack
snapshot "$PID" "$T/before"

for order in ABC ACB BAC BCA CAB CBA; do
	check "loaded as ABC, unloaded as $order" round ABC "$order"
	as_before "everything is as before" "$PID" "$T/before"
done
check "loaded as CBA, unloaded as BCA" round CBA BCA
check "loaded as BAC, unloaded as ACB" round BAC ACB
as_before "everything is as before" "$PID" "$T/before"
still_right "no call saw a patch in part, or met one without it" "$PID"

# What lies below is as it was before the one above came.
check "A" put A
is "at rest a call jumps past the path block" "$(way_of "$PID" f)" "${id[A]}"
snapshot "$PID" "$T/with-A"
check "and B over it" put B
is "to what is on top" "$(way_of "$PID" f) $(way_of "$PID" g)" "${id[A]} ${id[B]}"
hp --json list -p "$PID"
is "both are active: each is on top somewhere" \
	"$(jq -rc '[.patches[] | .state]' <<<"$OUT")" '["active","active"]'
check "C over both" put C
hp --json list -p "$PID"
is "those below are superseded" "$(jq -rc '[.patches[] | .state]' <<<"$OUT")" \
	'["superseded","superseded","active"]'
is "by C, wherever they are" \
	"$(jq -rc '[.patches[:2][].functions[].superseded_by] | unique' <<<"$OUT")" "[\"${id[C]}\"]"
hp list -p "$PID"
like "list says it to people" "$OUT" "f .*superseded by ${id[C]:0:16}"
check "B goes from between them" take B
check "and comes back on top of C" put B
check "C goes from between them" take C
check "B goes from the top" take B
as_before "A alone is as it was" "$PID" "$T/with-A"
is "and called as it was" "$(way_of "$PID" f) $(way_of "$PID" g)" "${id[A]} ${id[A]}"
refused 3 "the same one twice" 'already loaded' load -p "$PID" "$SVC/stack_a.so"
check "A goes" take A
as_before "everything is as before" "$PID" "$T/before"

# --- what a patch says of others ------------------------------------------------------------------
# build NAME FLAGS…: a patch of its own
build() {
	cc -O2 -shared -fPIC -Iinclude -Itests/services -o "$T/$1.so" tests/services/stack_patch.c "${@:2}"
}

only_a=(-DLAYER=A -DON_F -DON_G) only_b=(-DLAYER=B -DON_G -DON_H)
all_c=(-DLAYER=C -DON_F -DON_G -DON_H)
a=$(sha256sum <"$SVC/stack_a.so" | cut -d' ' -f1)
build needs_a "${only_b[@]}" "-DREQUIRES=\"${a:0:12}\""
refused 3 "what is required is not there" "requires patch ${a:0:12}, which is not active" \
	load -p "$PID" "$T/needs_a.so"
check "A" put A
load -p "$PID" "${longer[@]}" "$T/needs_a.so"
id[B]=$ID stack=AB
check "then it loads over A" in_force
refused 3 "A is required" "${a:0:16}.*required by patch ${ID:0:16}" unload -p "$PID" "${longer[@]}" "$a"
check "and stays" in_force
build instead_of_a "${all_c[@]}" "-DSUPERSEDES=\"$a\""
refused 3 "what is required cannot be superseded" "required by patch ${ID:0:16}" \
	load -p "$PID" "${longer[@]}" "$T/instead_of_a.so"
refused 3 "check says so too" "required by patch ${ID:0:16}" check -p "$PID" "$T/instead_of_a.so"
check "nothing changed" in_force
build no_id "${all_c[@]}" '-DSUPERSEDES="A"'
refused 3 "what is no hp_id" "'A', which is no hp_id" load -p "$PID" "$T/no_id.so"
check "the one that requires goes first" take B
check "then A can go" take A
as_before "everything is as before" "$PID" "$T/before"

check "A" put A
check "B" put B
hp --json load -p "$PID" "${longer[@]}" "$T/instead_of_a.so"
id[C]=$(jq -r .hp_id <<<"$OUT") stack=BC
is "A is unloaded by the load of what supersedes it" \
	"$(jq -c .superseded <<<"$OUT")" "[{\"hp_id\":\"$a\",\"state\":\"unloaded\",\"detail\":\"\"}]"
check "and is gone" in_force
hp --json list -p "$PID"
is "from the list too" "$(jq '.patches | length' <<<"$OUT")" 2
check "B goes from below" take B
check "C goes" take C
as_before "everything is as before" "$PID" "$T/before"

build stubborn "${only_a[@]}" -DSTUBBORN
load -p "$PID" "${longer[@]}" "$T/stubborn.so"
stubborn=$ID
build instead "${all_c[@]}" "-DSUPERSEDES=\"$stubborn\""
load -p "$PID" "${longer[@]}" "$T/instead.so"
like "a superseded patch that refuses to go stays below, and the load says so" "$ERR" \
	"${stubborn:0:12}.*stays loaded below it: HPBeforeUnload returned 7"
id[C]=$ID stack=AC
check "below" in_force
check "C goes" take C
refused 3 "the stubborn one refuses still" 'HPBeforeUnload returned 7' unload -p "$PID" "${longer[@]}" "$stubborn"
still_right "no call noticed anything" "$PID"
end_service "$PID"

# Each version of a patch supersedes the one before.  From the first on no call may answer as the
# program itself does: neither while the next one goes live nor while the last one goes.
start_service stress 4 2000 1
snapshot "$PID" "$T/before" children
expecting() {
	ask "$PID" "expect $1" "^expecting $1"
}
supersede() {
	local v last=''

	for ((v = 1; v <= 6; v++)); do
		cc -O2 -shared -fPIC -Iinclude -Itests/services -o "$T/v$v.so" -DVERSION=$v \
			${last:+-DSUPERSEDES="\"$last\""} tests/services/stress_patch.c || return
		hp load -p "$PID" "${longer[@]}" "$T/v$v.so"
		[ "$STATUS" = 0 ] || {
			echo "$ERR"
			return 1
		}
		last=$OUT
		[ "$v" != 1 ] || expecting new || return
	done
	hp list -p "$PID" -q
	[ "$OUT" = "$last" ] || {
		echo "listed: $OUT, not $last alone"
		return 1
	}
	ID=$last
	expecting any
}
check "six versions, each of which supersedes the one before" supersede
verdict "$PID"
is "no call met the program's own code in between" "$(field late) $(field mixed) $(field overlap)" '0 0 0'
unload -p "$PID" "${longer[@]}" "$ID"
as_before "everything is as before" "$PID" "$T/before" children
end_service "$PID"

# --- hpd is killed ------------------------------------------------------------------------------------
# At every step: tests/fault/matrix.sh, scenario stack.  Here at whatever moment, with all its
# processes, so that nobody ends what was begun.
kill_all_of_hpd() {
	local session=$HPD

	# shellcheck disable=SC2046
	kill -KILL "$HPD" $(session_of "$HPD") 2>/dev/null
	wait "$HPD" 2>/dev/null
	HPD=''
	wait_until "$PATIENCE" no_session_members "$session"
}

# What is in force, by the list; false while something is half-way.
learn_stack() {
	local x state

	hp --json list -p "$PID"
	[ "$STATUS" = 0 ] || return
	stack=''
	while read -r x state; do
		case $state in *loading) return 1 ;; esac
		stack+=${letter[$x]}
	done < <(jq -r '.patches[] | "\(.hp_id) \(.state)"' <<<"$OUT")
}

declare -A letter=()
for x in A B C; do
	id[$x]=$(sha256sum <"$SVC/stack_${x,,}.so" | cut -d' ' -f1)
	letter[${id[$x]}]=$x
done
start_service stack
snapshot "$PID" "$T/before"
stack=''
put A && put B && put C
kill_all_of_hpd
check "hpd was killed; all three stay" in_force
start_hpd
check "the next one takes out the middle" take B
check "and the lowest" take A

# A few of them here; KILLS=500 for a long night.
killed() {
	local i x

	for ((i = 0; i < ${KILLS:-6}; i++)); do
		x=$(printf 'A\nB\nC\n' | shuf -n 1)
		if [[ $stack = *$x* ]]; then
			"$O/hpctl" --socket "$T/hpd.sock" unload -p "$PID" "${longer[@]}" "${id[$x]}"
		else
			"$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" "${longer[@]}" "$SVC/stack_${x,,}.so"
		fi >/dev/null 2>&1 </dev/null &
		sleep "0.0$((RANDOM % 90 + 10))"
		kill_all_of_hpd || return
		wait $! # hpctl hears of its end
		start_hpd
		wait_until "$PATIENCE" learn_stack || {
			echo "not put right after the kill at $x over '$stack': $OUT"
			return 1
		}
		in_force || return
	done
}
check "killed while it worked, hpd puts the stack right" killed
printf '# left by the kills: %s\n' "$stack"
while [ -n "$stack" ] && take "${stack:0:1}"; do :; done
is "all of it can be unloaded" "$stack" ''
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"

# --- two clients -----------------------------------------------------------------------------------------
# Operations on one process come one after the other; another process does not wait for them.
start_service eventloop
busy=$PID
start_service server
begun() {
	hp --json status
	jq -e --argjson p "$busy" \
		'.targets[] | select(.pid == $p).jobs[] | select(.kind == "load")' <<<"$OUT"
}
"$O/hpctl" --socket "$T/hpd.sock" load -p "$busy" --timeout 6s "$SVC/eventloop_patch.so" \
	>/dev/null 2>"$T/first.err" </dev/null &
first=$!
check "a load waits for its moment in one process" wait_until "$PATIENCE" begun
load -p "$PID" "$SVC/server_patch.so"
answers "meanwhile another process is patched" "$PID" 'ask 5' 'answer 1005'
unload -p "$PID" "$ID"
check "the first has not ended" kill -0 "$first"
refused 3 "who asks for the same process" 'not loaded' unload -p "$busy" 00000000
check "waited for its end" wait_until 1 gone "$first"
like "which was a refusal" "$(cat "$T/first.err")" 'serve_loop'
end_service "$PID"
end_service "$busy"
