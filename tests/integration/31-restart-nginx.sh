#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Debian's nginx is replaced under load by its own drain, and by hp's.
#	RESTARTS	(2)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

need "nginx is not installed" which nginx
rounds=${RESTARTS:-2}
nginx_conf "127.0.0.1:$PORT"
start_hpd
start_server nginx -g 'daemon off;' -c "$T/nginx.conf"
check "nginx serves" wait_until "$PATIENCE" curl -sf -o "$T/file" "http://127.0.0.1:$PORT/file"
refused 3 "its title is no command line" 'master process.*behind --' restart "$MAIN"

nginx=(--wait --pidfile "$T/nginx.pid" -- "${COMMAND[@]}")
start_load "tcp:127.0.0.1:$PORT" 4 http
restarts "nginx, graceful, as hp knows it" "$rounds" "${nginx[@]}"
is "the pid file names the last generation" "$(cat "$T/nginx.pid")" "$MAIN"
start_load "tcp:127.0.0.1:$PORT" 4 http
restarts "nginx, external" "$rounds" --drain external "${nginx[@]}"
is "the pid file names the last generation" "$(cat "$T/nginx.pid")" "$MAIN"
hp list
like "list shows the generations" "$OUT" "process $MAIN \(nginx\), serving since .*, generation $((2 * rounds + 1))"
end_server

# A socket a worker, and in the background.
nginx_conf "127.0.0.1:$PORT reuseport"
rm -f "$T/nginx.pid"
start_daemon "$T/nginx.pid" nginx -c "$T/nginx.conf"
start_load "tcp:127.0.0.1:$PORT" 4 http
restarts "nginx in the background, a SO_REUSEPORT socket a worker" "$rounds" --wait --pidfile "$T/nginx.pid" \
	-- "${COMMAND[@]}"
is "its pid file names the last generation" "$(cat "$T/nginx.pid")" "$MAIN"
end_server
nginx_is_content
