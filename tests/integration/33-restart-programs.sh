#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Programs that nobody wrote to be restarted, as Debian has them: redis, memcached, haproxy, a Python
# asyncio server; under load, and no request is lost.
#	RESTARTS	(1)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

need "redis-server, memcached or haproxy is not installed" which redis-server memcached haproxy python3
rounds=${RESTARTS:-1}
address=tcp:127.0.0.1:$PORT
start_hpd

# loaded NAME PROTOCOL OPTION…: the server just started is restarted
loaded() {
	local name=$1 protocol=$2

	shift 2
	wait_until "$PATIENCE" bash -c ": >/dev/tcp/127.0.0.1/$PORT"
	start_load "$address" 4 "$protocol"
	restarts "$name" "$rounds" --wait "$@" -- "${COMMAND[@]}"
}

# program NAME PROTOCOL OPTION… -- WORD…
program() {
	local name=$1 protocol=$2 options=()

	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	start_server "$@"
	loaded "$name" "$protocol" "${options[@]}"
}

# background NAME PROTOCOL WORD…
background() {
	local name=$1 protocol=$2

	shift 2
	rm -f "$T/pid"
	start_daemon "$T/pid" "$@"
	loaded "$name, in the background" "$protocol" --pidfile "$T/pid"
	is "$name: the pid file names the last generation" "$(cat "$T/pid")" "$MAIN"
	end_server
}

redis=(redis-server --bind 127.0.0.1 --port "$PORT" --save '' --appendonly no --dir "$T")
program redis-server redis -- "${redis[@]}"
refused 3 "redis shows a title, not its command line" 'behind --' restart "$MAIN"
end_server

background redis-server redis "${redis[@]}" --daemonize yes --pidfile "$T/pid"

memcached=(memcached -l 127.0.0.1 -p "$PORT")
program memcached memcached -- "${memcached[@]}" -u root
end_server
background memcached memcached "${memcached[@]}" -u root -d -P "$T/pid"
program "memcached that has given up its rights" memcached -- "${memcached[@]}" -u nobody
is "and the new one has no others" "$(awk '/^Uid/ { print $2 }' "/proc/$MAIN/status")" "$(id -u nobody)"
end_server

haproxy_config "$PORT" hello
program "haproxy, as hp knows it" http -- haproxy -db -f "$T/haproxy.cfg"
end_server
program "haproxy, external" http --drain external -- haproxy -db -f "$T/haproxy.cfg"
end_server
background haproxy http haproxy -D -p "$T/pid" -f "$T/haproxy.cfg"
program "haproxy, master and worker" http -- haproxy -W -f "$T/haproxy.cfg"
restart
is "its command line is its own: no command is needed" "$STATUS $ERR" "0 "
end_server
background "haproxy, master and worker" http haproxy -W -D -p "$T/pid" -f "$T/haproxy.cfg"

cat >"$T/server.py" <<END
import asyncio

async def serve(reader, writer):
    await reader.readline()
    writer.write(b"hello\n")
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", $PORT, backlog=1024)
    async with server:
        await server.serve_forever()

asyncio.run(main())
END
program "Python asyncio" line -- python3 "$T/server.py"
restart
is "its command line is its own: no command is needed" "$STATUS $ERR" "0 "
end_server
