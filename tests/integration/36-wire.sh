#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SAN: also under the sanitizers
# hpctl serve: every request that was recorded from hotgo, answered byte for byte; who may ask.
. "$(dirname "$0")/lib.sh"

GOLDEN=$PWD/tests/golden/hotgo/http.txt
RECORDED_ID=2ecdc9f8d0c8a27073a814c11cfb95db53f3bcf0ab0a290610f37bdf9888e9e0
TOKEN=0123456789abcdef-wire

# start_in FOLDER NAME ARGS…: a service whose directory that is
start_in() {
	local here=$PWD

	cd "$1" || exit 1
	shift
	start_service "$@"
	cd "$here" || exit 1
}

# serve ARGS…: the address in ADDR
serve() {
	expect 0 "serve $*" serve --timeout 60s --park 20s "$@" || exit 1
	ADDR=$OUT
}

# request CURL-ARGS…: status line, headers but Date, body; every byte, as they were recorded
request() {
	timeout 60 curl -s -i "$@" | sed '/^Date: .* GMT\r$/d'
}

# flat: the lines of stdin as one
flat() {
	tr -d '\r' | tr '\n' '|'
}

# replay CURL-LINE: the arguments of a recorded request, whose quotes are lost
replay() {
	local url=${1##* } options=${1% *} data

	url=http://$ADDR${url#http://127.0.0.1:18080}
	case "$1" in
	"-d "*)
		data=${options#-d}
		data=${data# }
		request -d "${data//$RECORDED_ID/$WIRE_ID}" "$url" | sed "s/$WIRE_ID/$RECORDED_ID/g"
		;;
	"-X DELETE "*) request -X DELETE "$url" | sed "s/$WIRE_ID/$RECORDED_ID/g" ;;
	"-I "*) request -I "$url" ;;
	*) request "$url" | sed "s/$WIRE_ID/$RECORDED_ID/g" ;;
	esac
}

start_hpd
mkdir "$T/wire"
for name in hp bl al au pan sig; do
	cp "$SVC/wire_$name.so" "$T/wire/$name.so"
done
WIRE_ID=$(sha256sum "$T/wire/hp.so" | cut -d' ' -f1)
start_in "$T/wire" ticker 20
snapshot "$PID" "$T/before"
serve -p "$PID" --http 127.0.0.1:0
like "serve prints the address" "$ADDR" '^127\.0\.0\.1:[0-9]+$'

# The recording: a request's line, its answer, [end].
n=0
while IFS= read -r line; do
	case "$line" in
	"## curl "*)
		what=${line#\#\# curl }
		wanted=''
		;;
	"[end]")
		n=$((n + 1))
		{ replay "$what"; } >"$T/got"
		printf '%s' "$wanted" >"$T/wanted"
		same "as recorded: ${what:0:90}" "$T/wanted" "$T/got"
		;;
	*) wanted+=$line$'\n' ;;
	esac
done <"$GOLDEN"
is "all of the recording" "$n" "$(grep -c '^## curl' "$GOLDEN")"
check "the recording did not end early" [ "$n" -ge 30 ]

# What the recording leaves out: where Date stands, and the line ends.
curl -s -i "http://$ADDR/hp/v1/info" >"$T/raw"
like "Date comes first, then what the server adds" "$(head -c 400 "$T/raw" | od -An -c | tr -d ' \n')" \
	'^HTTP/1\.1200OK\\r\\nDate:[A-Z][a-z]{2},[0-9]{2}[A-Z][a-z]{2}[0-9]{4}[0-9:]{8}GMT\\r\\nContent-Length:[0-9]+\\r\\nContent-Type:text/plain;charset=utf-8\\r\\n\\r\\n'

# The last recorded load is still there: hpctl sees what the wire does, and the other way round.
expect 0 "hpctl sees it" list -q -p "$PID"
is "by its id" "$(sort -u <<<"$OUT")" "$WIRE_ID"
is "unloaded by HTTP" "$(request -d "{\"hp_id\":\"$WIRE_ID\"}" "http://$ADDR/hp/v1/unload" | tail -n 1)" \
	'{"hp_id":"","error":""}'
load -p "$PID" "$SVC/ticker_patch.so" --timeout 60s --park 20s --replace NewFunc1=func1 \
	--ref Global=globalValue --ref Func2Ref=func2
is "info lists what hpctl loaded" "$(request "http://$ADDR/hp/v1/info" | tail -n 1)" \
	"[{\"hp_id\":\"$ID\",\"config\":{\"hp_file\":\"$SVC/ticker_patch.so\",\"replace_config\":{\"NewFunc1\":\"func1\"},\"ref_config\":{\"Func2Ref\":\"func2\",\"Global\":\"globalValue\"}}}]"
unload -p "$PID" "$ID" --timeout 60s --park 20s

# The sentences that were not recorded.
wire_load() {
	request -d "$1" "http://$ADDR/hp/v1/load" | tail -n 1
}
is "a symbol that the process has not" \
	"$(wire_load '{"hp_file":"./hp.so","replace_config":{"NewFunc1":"main.nope"}}')" \
	'{"hp_id":"","error":"symbol main.nope not found"}'
is "a symbol that the patch has not" \
	"$(wire_load '{"hp_file":"./hp.so","replace_config":{"Nope":"main.func1"}}')" \
	'{"hp_id":"","error":"plugin: symbol Nope not found in plugin ./hp.so"}'
is "a name that is empty" "$(wire_load '{"hp_file":"./hp.so","replace_config":{"NewFunc1":""}}')" \
	'{"hp_id":"","error":"field \"replace\": member \"NewFunc1\": neither its name nor its value may be empty"}'
# Of each byte that is no UTF-8 three are made.
bytes=$(head -c 1300 /dev/zero | tr '\0' '\377')
{
	printf '{"hp_file":"./hp.so","replace_config":{"N":"o"'
	printf ",\"N%d\":\"$bytes\"" {1..300}
	printf '}}'
} >"$T/large"
is "more text than the monitor takes" "$(wire_load @"$T/large")" \
	'{"hp_id":"","error":"the request has: too much text"}'
is "front is not ended for what clients say" "$(grep -c 'is killed' "$T/hpd.log")" 0
is "a name with a NUL" "$(wire_load '{"hp_file":"a\u0000b"}')" \
	'{"hp_id":"","error":"open a\u0000b: invalid argument"}'
like "HPAfterUnload that fails: loaded" "$(wire_load '{"hp_file":"./au.so"}')" '"error":""'
id=$(sha256sum "$T/wire/au.so" | cut -d' ' -f1)
is "unloaded with its error" \
	"$(request -d "{\"hp_id\":\"$id\"}" "http://$ADDR/hp/v1/unload" | sed -n '1p;$p' | flat)" \
	'HTTP/1.1 500 Internal Server Error|{"hp_id":"","error":"au fails"}|'
is "and not listed" "$(request "http://$ADDR/hp/v1/info" | tail -n 1)" null
is "CONNECT is for RPC only" "$(request "http://$ADDR/hp" | flat)" \
	'HTTP/1.1 405 Method Not Allowed|Content-Type: text/plain; charset=utf-8|Content-Length: 17||405 must CONNECT|'
refused 3 "hpctl tells a hook's sentence as well" 'HPBeforeLoad returned 1: bl fails' \
	load -p "$PID" "$T/wire/bl.so" --timeout 60s --park 20s

# Several at once; listed; stopped.
first=$ADDR
serve -p "$PID" --http '[::1]:0'
second=$ADDR
like "an address of IPv6" "$second" '^\[::1\]:[0-9]+$'
is "both answer" "$(request "http://$second/hp/v1/info" | tail -n 1)" null
expect 0 "serve --list" --json serve --list
is "shows both" "$(jq -r '[.listeners[].http] | sort | join(" ")' <<<"$OUT")" "$first $second"
refused 1 "an address that is taken" "listen on $first: address already in use" \
	serve -p "$PID" --http "$first"
expect 0 "serve --stop" serve --stop "$second"
closed() {
	! curl -s -m 5 "http://$1/hp/v1/info" >/dev/null
}
check "is closed" wait_until "$PATIENCE" closed "$second"
refused 3 "stopped already" "nothing is served on" serve --stop "$second"
ADDR=$first

# Who may ask.
like "another user" "$(as_nobody curl -s -i "http://$ADDR/hp/v1/info")" 'HTTP/1.1 403 Forbidden'
like "is told why" "$(as_nobody curl -s "http://$ADDR/hp/v1/info")" 'uid 65534 may not use this'
check "… and hpd's log says who asked what" wait_line "$T/hpd.log" \
	"list, asked for by 127.0.0.1:[0-9]+ of uid 65534 at $ADDR: uid 65534 may not use this"
like "a page in a browser" "$(request -H 'Origin: http://x' "http://$ADDR/hp/v1/info")" '^HTTP/1.1 403'
refused 5 "an address for everybody" 'other machines' serve -p "$PID" --http 0.0.0.0:0
refused 5 "needs a token" 'needs a token' serve -p "$PID" --http 0.0.0.0:0 --allow-remote
check "… and that is in the log" wait_line "$T/hpd.log" \
	"serve, asked for by process [0-9]+ of uid 0: .*needs a token"
echo short >"$T/short"
refused 2 "that is long enough" '16 to 128 characters' \
	serve -p "$PID" --http 127.0.0.1:0 --token-file "$T/short"
refused 2 "no address" 'no address' serve -p "$PID" --http nowhere
refused 1 "no such process" 'no such process' serve -p 4194304 --http 127.0.0.1:0
printf '%s\n' "$TOKEN" >"$T/token"
serve -p "$PID" --http 0.0.0.0:0 --allow-remote --token-file "$T/token"
port=${ADDR##*:}
like "without the token" "$(request "http://127.0.0.1:$port/hp/v1/info" | flat)" \
	'^HTTP/1.1 401 Unauthorized.*WWW-Authenticate: Bearer'
like "with another" "$(request -H "Authorization: Bearer ${TOKEN}x" "http://127.0.0.1:$port/hp/v1/info")" \
	'^HTTP/1.1 401'
is "with it, as any user" \
	"$(as_nobody curl -s -H "Authorization: Bearer $TOKEN" "http://127.0.0.1:$port/hp/v1/info")" null
as_before "nothing is left in the process" "$PID" "$T/before"
end_service "$PID"
check "its listeners end with it" wait_until "$PATIENCE" closed "$first"

# A process of another user: that one may ask, and files are opened with that one's rights.
cat >"$T/ticker-nobody" <<END
#!/bin/sh
# SPDX-License-Identifier: MIT
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$SVC/ticker" "\$@"
END
chmod 755 "$T/ticker-nobody" "$T" "$T/wire"
chmod 600 "$T/wire/bl.so"
chmod 644 "$T/wire/hp.so"
real=$SVC
SVC=$T
start_in "$T/wire" ticker-nobody 1000
SVC=$real
serve -p "$PID" --http localhost:0
is "its owner may ask" "$(as_nobody curl -s "http://$ADDR/hp/v1/info")" null
is "a file that it may not read" "$(wire_load '{"hp_file":"./bl.so"}')" \
	'{"hp_id":"","error":"open ./bl.so: permission denied"}'
is "one that it may" "$(wire_load '{"hp_file":"./hp.so"}')" "{\"hp_id\":\"$WIRE_ID\",\"error\":\"\"}"
is "and out again" "$(request -d "{\"hp_id\":\"$WIRE_ID\"}" "http://$ADDR/hp/v1/unload" | tail -n 1)" \
	'{"hp_id":"","error":""}'
end_service "$PID"

# One that executes a set-user-id program: neither its owner nor the token are for what that may.
mkdir "$T/suid"
cp "$SVC/ticker" "$T/suid/"
chmod 4755 "$T/suid/ticker"
cat >"$T/riser" <<END
#!/bin/sh
# SPDX-License-Identifier: MIT
exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \
	'echo ready \$\$; read line; exec "$T/suid/ticker" 1000'
END
chmod 755 "$T/riser"
SVC=$T
start_service riser
SVC=$real
serve -p "$PID" --http 127.0.0.1:0 --token-file "$T/token"
with_token() {
	request -H "Authorization: Bearer $TOKEN" "http://$ADDR/hp/v1/info"
}
is "with the token" "$(with_token | tail -n 1)" null
ask "$PID" go "^ready $PID\$"
is "it runs as root now" "$(stat -c %U "/proc/$PID")" root
like "the token is not for that" "$(with_token | flat)" \
	'^HTTP/1.1 [45].*rights of uid 65534 alone'
refused 5 "nor can it be served so" 'rights of several users' \
	serve -p "$PID" --http 127.0.0.1:0 --token-file "$T/token"
expect 0 "hpctl's root may" list -p "$PID"
end_service "$PID"
