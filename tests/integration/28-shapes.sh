#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One program in the shapes that other compilers, linkers and settings give it: patched and unpatched
# while four threads call it; a thread inside is seen wherever the compiler put the place.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd

# maps NAME…: the replace map
maps() {
	local name

	for name in "$@"; do
		printf -- '--replace new_%s=%s ' "$name" "$name"
	done
}

# every OFFSET NAME…: what "all" answers when those are OFFSET higher
every() {
	local offset=$1 name add

	shift
	for name in plain rare choice bare_choice ends tail same_a same_b by_hand by_hand_untold by_hand_loop; do
		add=0
		[[ " $* " == *" $name "* ]] && add=$offset
		printf '%s=%d ' "$name" $((2 + add))
	done | sed 's/ $//'
}

# seen NAME…: a thread that waits inside each is found there
seen() {
	local name

	for name in "$@"; do
		ask "$PID" "hold $name" '^holds'
		wait_until "$PATIENCE" inside "$name" || return 1
		[ "$name" = ends ] || ask "$PID" release '^released' || return 1
	done
}
inside() {
	hp explain -p "$PID" "$1"
	grep -q "is inside $1" <<<"$OUT"
}

for shape in plain O0 Os cet pfe pfe5 mfentry lto noplt gold-icf lld-icf clang pgo pgo-stripped static; do
	start_service "shapes-$shape"
	snapshot "$PID" "$T/before"
	names=(plain rare choice bare_choice ends tail same_a same_b by_hand)
	along= # is new because what it is made of is
	case $shape in
	Os) # nothing is aligned
		# shellcheck disable=SC2046 # words
		refused 3 "$shape: neighbours" 'tail lies within five bytes of rare' \
			load -p "$PID" $(maps "${names[@]}") "$SVC/shapes_patch.so"
		names=(plain rare choice bare_choice ends same_a same_b by_hand)
		along='tail' # which calls plain
		;;
	*-icf)
		# shellcheck disable=SC2046 # words
		refused 3 "$shape: two functions of one body" 'same_a and.*|same_b' \
			load -p "$PID" $(maps same_a same_b) "$SVC/shapes_patch.so"
		names=(plain rare choice bare_choice ends tail same_a by_hand)
		along=same_b
		# shellcheck disable=SC2046 # words
		expect 0 "$shape: check" check -p "$PID" $(maps "${names[@]}") "$SVC/shapes_patch.so"
		like "$shape: tells who shares a body" "$OUT$ERR" 'shares its body with same_b'
		;;
	esac
	# shellcheck disable=SC2046 # words
	if load -p "$PID" $(maps "${names[@]}") --park 500ms --timeout 20s "$SVC/shapes_patch.so"; then
		answers "$shape: new" "$PID" all "$(every 1000 "${names[@]}" $along)"
		check "$shape: it works on" grows "$PID" calls 500
		unload -p "$PID" --park 500ms --timeout 20s "$ID"
		answers "$shape: old again" "$PID" all "$(every 0)"
	fi
	refused 3 "$shape: a loop to the entry" 'by_hand_loop branches back' \
		load -p "$PID" --replace new_by_hand_loop=by_hand_loop "$SVC/shapes_patch.so"
	refused 3 "$shape: a function without an end" 'how long by_hand_untold is' \
		load -p "$PID" --replace new_by_hand_untold=by_hand_untold "$SVC/shapes_patch.so"
	as_before "$shape: everything is as before" "$PID" "$T/before"
	check "$shape: a thread inside is seen" seen plain rare choice bare_choice ends
	end_service "$PID"
done
