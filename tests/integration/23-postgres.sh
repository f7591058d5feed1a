#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Debian's PostgreSQL: two functions are replaced and put back in the postmaster and all that it
# forked, by one command each, while clients add numbers, and others come and go.
#	PG_ROUNDS	(5)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

pg=$(find /usr/lib/postgresql -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
need "PostgreSQL is not installed" test -n "$pg" -a -x "$pg/postgres"
rounds=${PG_ROUNDS:-5}
as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups env -C "$T/pg")
chmod a+x "$T"
mkdir "$T/pg"
chown postgres: "$T/pg"
if ! "${as_postgres[@]}" "$pg/initdb" -D "$T/pg/data" -A trust -N >"$T/initdb.log" 2>&1; then
	not_ok "a data directory" "$(tail -n 5 "$T/initdb.log")"
	exit 1
fi
start_hpd
"${as_postgres[@]}" "$pg/postgres" -D "$T/pg/data" -k "$T/pg" -c listen_addresses= -c fsync=off \
	-c autovacuum_naptime=1 >"$T/pg.log" 2>&1 </dev/null &
postmaster=$!
clients=()
trap 'kill -INT "$postmaster"; wait "$postmaster"; at_end' EXIT
sql() {
	timeout 30 "$pg/psql" -h "$T/pg" -U postgres -XAtq "$@"
}
check "PostgreSQL serves" wait_until "$PATIENCE" sql -c 'SELECT 1'
before=$(sql -c 'SELECT version()')
like "its own version" "$before" '^PostgreSQL'

# Three sessions that stay, each a row an answer: a sum that is always the same, and the version.
for i in 1 2 3; do
	yes 'SELECT (SELECT sum(i + 1) FROM generate_series(1, 1000) i), version();' |
		"$pg/psql" -h "$T/pg" -U postgres -XAtq >"$T/client$i" 2>&1 &
	clients+=($!)
	own $!
done
answered() {
	for i in 1 2 3; do
		[ "$(wc -l <"$T/client$i")" -ge $((${seen[$i]:-0} + $1)) ] || return 1
	done
}
now() {
	for i in 1 2 3; do
		seen[i]=$(wc -l <"$T/client$i")
	done
}
# What each session says from now on, but for the answer that was under way.
says() {
	now
	wait_until "$PATIENCE" answered 5 || return 1
	for i in 1 2 3; do
		tail -n +$((seen[i] + 3)) "$T/client$i" | head -n 2
	done | cut -d '|' -f 2 | sort -u
}
seen=()
now
check "the sessions are answered" wait_until "$PATIENCE" answered 20
mapfile -t children < <(pgrep -P "$postmaster")
check "it has forked: ${#children[@]}" test "${#children[@]}" -ge 6
"$SVC/peek" text "$postmaster" | grep -v uprobes >"$T/text"

failed=0 wrong=0
for ((i = 0; i < rounds; i++)); do
	hp load -p "$postmaster" --children --park 1s --timeout 30s "$SVC/postgres_patch.so"
	[ "$STATUS" = 0 ] || { failed=$((failed + 1)); echo "# $ERR"; }
	[ "$(grep -c ' loaded  ' <<<"$ERR")" -ge 7 ] || wrong=$((wrong + 1))
	id=$OUT
	[ "$(says)" = patched ] || wrong=$((wrong + 1))
	[ "$(sql -c 'SELECT version()')" = patched ] || wrong=$((wrong + 1))
	hp unload --exe "$pg/postgres" --park 1s --timeout 30s "$id"
	[ "$STATUS" = 0 ] || { failed=$((failed + 1)); echo "# $ERR"; }
	[ "$(says)" = "$before" ] || wrong=$((wrong + 1))
	[ "$(sql -c 'SELECT version()')" = "$before" ] || wrong=$((wrong + 1))
done
is "$rounds rounds in the postmaster and its children" "$failed" 0
is "the sessions, and the new ones, answered as they should" "$wrong" 0
check "the sessions are alive" kill -0 "${clients[@]}"
kill -TERM "${clients[@]}"
wait "${clients[@]}" 2>/dev/null
# The last line may have been cut by the end of its client.
is "every sum was right" "$(cat "$T"/client? | grep -v '^$' | grep -cvE '^501500\|')" 0
is "PostgreSQL logged no crash" "$(grep -cE 'PANIC|terminated by signal|server process' "$T/pg.log")" 0
hp list --exe "$pg/postgres"
is "nothing is left" "$STATUS $OUT" '0 '
"$SVC/peek" text "$postmaster" | grep -v uprobes >"$T/text.now"
same "the text of the postmaster is what it was" "$T/text" "$T/text.now"
