#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Debian's nginx: two functions are replaced and put back in master and workers, by one command each,
# while clients ask for a file all the time.
#	NGINX_ROUNDS	(10)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

need "nginx is not installed" which nginx curl
rounds=${NGINX_ROUNDS:-10}
nginx_conf "unix:$T/nginx.sock"
start_hpd
nginx -g 'daemon off;' -c "$T/nginx.conf" >"$T/nginx.log" 2>&1 </dev/null &
nginx=$!
clients=()
trap 'kill -TERM "$nginx"; wait "$nginx"; at_end' EXIT
get() {
	curl -s --unix-socket "$T/nginx.sock" "$@" http://nginx/file
}
modified() {
	get -o /dev/null -D - | tr -d '\r' | sed -n 's/^Last-Modified: //p'
}
check "nginx serves" wait_until "$PATIENCE" get -f -o "$T/file"
mapfile -t workers < <(pgrep -P "$nginx")
is "two workers" "${#workers[@]}" 2
before=$(modified)
epoch='Thu, 01 Jan 1970 00:00:00 GMT'
# Many requests on one connection each; one line an answer.
for i in 1 2; do
	curl -s --unix-socket "$T/nginx.sock" -o /dev/null -w '%{http_code}\n' \
		'http://nginx/file?[1-2000000]' >"$T/client$i" 2>"$T/client$i.err" &
	clients+=($!)
	own $!
done
answered() {
	[ "$(cat "$T"/client? | wc -l)" -ge "$1" ]
}
check "clients are answered" wait_until "$PATIENCE" answered 1000
for pid in "$nginx" "${workers[@]}"; do
	"$SVC/peek" text "$pid" | grep -v uprobes >"$T/text.$pid"
	check "process $pid has text" test -s "$T/text.$pid"
done

wrong=0 failed=0
for ((i = 0; i < rounds; i++)); do
	hp load -p "$nginx" --children --all-or-nothing --park 500ms "$SVC/nginx_patch.so"
	[ "$STATUS $(grep -c ' loaded  ' <<<"$ERR")" = '0 3' ] || { failed=$((failed + 1)); echo "# $ERR"; }
	id=$OUT
	[ "$(modified)" = "$epoch" ] || wrong=$((wrong + 1))
	answers=$(cat "$T"/client? | wc -l)
	wait_until "$PATIENCE" answered $((answers + 500)) || wrong=$((wrong + 1))
	hp unload -p "$nginx" --children --park 500ms "$id"
	[ "$STATUS" = 0 ] || { failed=$((failed + 1)); echo "# $ERR"; }
	[ "$(modified)" = "$before" ] || wrong=$((wrong + 1))
done
is "$rounds rounds in master and workers" "$failed" 0
is "every answer was the one of the moment" "$wrong" 0
check "the clients are alive" kill -0 "${clients[@]}"
kill -TERM "${clients[@]}"
wait "${clients[@]}" 2>/dev/null
# The last line may have been cut by the end of its client.
is "every answer was 200" "$(cat "$T"/client? | grep -cvE '^2(0(0)?)?$')" 0
nginx_is_content
for pid in "$nginx" "${workers[@]}"; do
	"$SVC/peek" text "$pid" | grep -v uprobes >"$T/text.now"
	same "the text of process $pid is what it was" "$T/text.$pid" "$T/text.now"
done
