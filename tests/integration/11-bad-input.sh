#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN: this test runs against the sanitized build too.
#
# What must be refused: one clear sentence, the right status, nothing touched, hpd alive.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
start_service server
snapshot "$PID" "$T/before"

# bytes FILE OFFSET HEX…: a copy of server_patch.so with these bytes in it
forge() {
	local file=$T/$1 offset=$2

	shift 2
	cp "$SVC/server_patch.so" "$file"
	printf '%b' "$(printf '\\x%s' "$@")" | dd of="$file" bs=1 seek="$offset" conv=notrunc status=none
	echo "$file"
}
mkdir "$T/folder"
echo "no patch at all" >"$T/text.so"
: >"$T/empty.so"
head -c 40 "$SVC/server_patch.so" >"$T/cut40.so"
head -c 300 "$SVC/server_patch.so" >"$T/cut300.so"
head -c 5000 "$SVC/server_patch.so" >"$T/cut5000.so"
mkfifo "$T/fifo.so"
machine=$(forge machine.so 18 b7 00)
class=$(forge class.so 4 01)
endian=$(forge endian.so 5 02)
phoff=$(forge phoff.so 32 ff ff ff ff ff ff ff 7f)
phnum=$(forge phnum.so 56 ff ff)
shoff=$(forge shoff.so 40 f0 ff ff ff ff ff ff ff)
# the first program header's p_filesz and p_vaddr
filesz=$(forge filesz.so $((64 + 32)) ff ff ff ff ff ff ff 7f)
vaddr=$(forge vaddr.so $((64 + 16)) 00 f0 ff ff ff ff ff ff)

# STATUS | REGEX of the sentence | FILE | more arguments
while IFS='|' read -r status regex file more; do
	[ -n "$status" ] || continue
	# shellcheck disable=SC2086 # the arguments are words
	refused "$status" "${file##*/} $more" "$regex" load -p "$PID" "$file" $more
done <<END
1|no such file|$T/nothere.so|
1|directory|$T/folder|
1|regular file|$T/fifo.so|
3|ELF|$T/text.so|
3|empty|$T/empty.so|
3|ELF|$T/cut40.so|
3|.|$T/cut300.so|
3|.|$T/cut5000.so|
3|machine|$machine|
3|32-bit|$class|
3|big endian|$endian|
3|.|$phoff|
3|.|$phnum|
3|.|$shoff|
3|.|$filesz|
3|.|$vaddr|
3|executable|$SVC/server|
3|executable|$SVC/server-static|
3|object|$SVC/server_patch.o|
3|no_such_new|$SVC/server_plain_patch.so|--replace no_such_new=answer
3|did you mean.*new_answer|$SVC/server_plain_patch.so|--replace new_anser=answer
3|no_such_old|$SVC/server_plain_patch.so|--replace new_answer=no_such_old
3|did you mean.*answer|$SVC/server_plain_patch.so|--replace new_answer=anwser
3|counter.*function|$SVC/server_plain_patch.so|--replace new_answer=counter
3|a_variable.*function|$SVC/server_plain_patch.so|--replace a_variable=answer
3|no_such_var|$SVC/server_plain_patch.so|--replace new_answer=answer --ref no_such_var=counter
3|no_such_symbol|$SVC/server_plain_patch.so|--replace new_answer=answer --ref Counter=no_such_symbol
3|new_answer is not|$SVC/server_plain_patch.so|--replace new_answer=answer --ref new_answer=counter
3|nothing.*replace|$SVC/server_plain_patch.so|
3|of_the_patch|$SVC/bad_tls.so|
3|own_number|$SVC/bad_tls_gd.so|
3|no_such_function_anywhere|$SVC/bad_undefined.so|
3|text|$SVC/bad_textrel.so|
3|build.id|$SVC/bad_build_id.so|
3|no_such_old_function|$SVC/bad_old_name.so|
3|libunloaded\.so\.3|$SVC/bad_needed.so|
END

echo '{"hp_file":' >"$T/broken.json"
echo '[1,2]' >"$T/array.json"
echo '{"hp_file":"x","replace_config":{"a":1}}' >"$T/types.json"
for config in broken array types nothere; do
	hp load -p "$PID" --config "$T/$config.json"
	is "--config $config.json" "$((STATUS == 1 || STATUS == 2)) ${OUT:-nothing}" "1 nothing"
	like "says what is wrong with it" "$ERR" "$config.json|JSON"
done

gone_pid=$(sh -c 'echo $$')
refused 1 "a pid that is gone" "$gone_pid" load -p "$gone_pid" "$SVC/server_patch.so"
refused 1 "list of a pid that is gone" "$gone_pid" list -p "$gone_pid"
refused 1 "status of a pid that is gone" "no process $gone_pid" status -p "$gone_pid"
refused 1 "watch of a pid that is gone" "no process $gone_pid" watch -p "$gone_pid"
refused 1 "a policy that is not there" 'nothere: No such file' policy check "$T/nothere"
refused 3 "a kernel thread" 'kernel' load -p 2 "$SVC/server_patch.so"
refused 3 "hp itself" 'hp' load -p "$HPD" "$SVC/server_patch.so"
refused 2 "pid 0" 'pid' load -p 0 "$SVC/server_patch.so"
refused 2 "a negative pid" 'pid' load -p -5 "$SVC/server_patch.so"
refused 2 "a pid that is none" 'pid' load -p twelve "$SVC/server_patch.so"
refused 2 "a pid beyond all" 'pid' load -p 99999999999999999999 "$SVC/server_patch.so"
tid=$(find "/proc/$PID/task" -mindepth 1 -maxdepth 1 ! -name "$PID" -printf '%f\n' -quit)
hp load -p "$tid" "$SVC/server_patch.so"
is "a thread's id" "$((STATUS == 1 || STATUS == 3)) ${OUT:-nothing}" "1 nothing"
like "says whose thread it is" "$ERR" "$PID"
sleep 300 &
zombie_parent=$!
sh -c 'sleep 0 & exec sleep 300' &
parent=$!
zombie() {
	ps -o pid=,stat= --ppid "$parent" | awk '$2 ~ /^Z/ { print $1; found = 1 } END { exit !found }'
}
wait_until 5 zombie
hp load -p "$(zombie)" "$SVC/server_patch.so"
is "a zombie is gone" "$STATUS ${OUT:-nothing}" "1 nothing"
kill "$parent" "$zombie_parent"
wait "$parent" "$zombie_parent" 2>/dev/null

# --- HTTP -------------------------------------------------------------------------------------------------
# http CODE NAME CURL-ARGS…
http() {
	local code=$1 name=$2 got

	shift 2
	: >"$T/body"
	got=$(curl -s -o "$T/body" -w '%{http_code}' --max-time 20 --unix-socket "$T/hpd.sock" "$@")
	if [[ " $code " == *" $got "* ]]; then
		ok "$name"
	else
		not_ok "$name" "status $got, expected $code" "$(head -c 500 "$T/body")"
	fi
}
raw() {
	timeout 20 "$SVC/driver" --socket "$T/hpd.sock" --raw
}
http 200 "health" http://hp/hp/v2/health
http 404 "a path that is not there" http://hp/hp/v2/nothing
http 404 "a path with a slash too many" http://hp/hp/v2/health/
http 405 "a method that makes no sense" -X DELETE http://hp/hp/v2/load
http 400 "malformed JSON" -d '{"pid":' http://hp/hp/v2/load
http 400 "JSON that is no object" -d '[]' http://hp/hp/v2/load
http 400 "a field of the wrong type" -d '{"pid":"x","file":5}' http://hp/hp/v2/load
http 400 "a field that nobody knows" -d "{\"pid\":$PID,\"file\":\"/x\",\"colour\":1}" http://hp/hp/v2/load
http 400 "no body" -X POST http://hp/hp/v2/load
printf '{"pid":1,"file":"%0600000d"}' 1 >"$T/long.json"
http '400 413' "a name beyond all" -d "@$T/long.json" http://hp/hp/v2/load
head -c 20000000 /dev/zero | tr '\0' ' ' >"$T/huge.json"
http '400 413 000' "an oversized request" -d "@$T/huge.json" http://hp/hp/v2/load
perl -e 'print "{\"a\":" x 100000' >"$T/deep.json"
http '400 413' "JSON nested too deep" -d "@$T/deep.json" http://hp/hp/v2/load
like "no HTTP at all" "$(printf 'hello\r\n\r\n' | raw)" '^HTTP/1.1 400'
like "an endless header" \
	"$({ printf 'GET /hp/v2/health HTTP/1.1\r\n'; yes 'x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' | head -c 3000000; } | raw)" \
	'^(HTTP/1.1 4|$)'
like "a length that lies" \
	"$(printf 'POST /hp/v2/load HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n' | raw)" '^HTTP/1.1 400'
like "two requests at once" \
	"$(printf 'GET /hp/v2/health HTTP/1.1\r\nHost: x\r\n\r\nGET /hp/v2/health HTTP/1.1\r\nHost: x\r\n\r\n' | raw | grep -c '^HTTP/1.1 200')" '^2$'

# --- targets that go away ------------------------------------------------------------------------------------
target=$PID
# leaves NAME WAY: a load that has to wait, while the target goes
leaves() {
	local name=$1 loading

	start_service eventloop
	timeout 60 "$O/hpctl" --socket "$T/hpd.sock" load -p "$PID" --timeout 20s \
		"$SVC/eventloop_patch.so" >"$T/gone.out" 2>"$T/gone.err" &
	loading=$!
	# hp has begun: something of it is mapped
	wait_until 10 grep -q 'eventloop_patch\|hp-\|/patches/' "/proc/$PID/maps"
	"$2"
	wait "$loading"
	is "a target that $name in the middle" "$? $(cat "$T/gone.out")" "1 "
	like "which is said" "$(cat "$T/gone.err")" '.'
}
by_kill() {
	kill -KILL "$PID"
}
by_exec() {
	local from

	from=$(out_size "$PID")
	tell "$PID" exec
	wait_line "${SVC_OUT[$PID]}" '^ready' "$from"
}
leaves "is killed" by_kill
leaves "becomes another program" by_exec
answers "the other program works" "$PID" say 'text at first'
is "nothing of hp is in it" "$(grep -c 'hp-\|/patches/' "/proc/$PID/maps")" 0
no_children() {
	[ -z "$(children_of "$PID")" ]
}
check "no dead agent is left to it" wait_until "$PATIENCE" no_children
end_service "$PID"
PID=$target
still_right "the server did not notice any of it" "$PID"
as_before "and is as before" "$PID" "$T/before"
load -p "$PID" "$SVC/server_patch.so"
answers "a good patch still loads" "$PID" 'ask 5' 'answer 1005'
unload -p "$PID" "$ID"
as_before "everything is as before" "$PID" "$T/before"
end_service "$PID"
