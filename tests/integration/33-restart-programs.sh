#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Programs that nobody wrote to be restarted, as Debian has them: redis, memcached, haproxy, a Python
# asyncio server; under load, and no request is lost.
#	RESTARTS	(2)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

need "redis-server, memcached or haproxy is not installed" which redis-server memcached haproxy python3
rounds=${RESTARTS:-2}
address=tcp:127.0.0.1:$PORT
start_hpd

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
	wait_until "$PATIENCE" bash -c ": >/dev/tcp/127.0.0.1/$PORT"
	start_load "$address" 4 "$protocol"
	restarts "$name" "$rounds" --wait "${options[@]}" -- "${COMMAND[@]}"
}

redis=(redis-server --bind 127.0.0.1 --port "$PORT" --save '' --appendonly no --dir "$T")
program redis-server redis -- "${redis[@]}"
refused 3 "redis shows a title, not its command line" 'behind --' restart "$MAIN"
end_server

program memcached memcached -- memcached -l 127.0.0.1 -p "$PORT" -u root
end_server

cat >"$T/haproxy.cfg" <<END
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend f
	bind 127.0.0.1:$PORT
	http-request return status 200 content-type text/plain string hello
END
program "haproxy, as hp knows it" http -- haproxy -db -f "$T/haproxy.cfg"
end_server
program "haproxy, external" http --drain external -- haproxy -db -f "$T/haproxy.cfg"
end_server

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
