#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Debian's nginx is replaced under load by its own drain, and by hp's.
#	RESTARTS	(3)
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

need "nginx is not installed" which nginx
rounds=${RESTARTS:-3}
mkdir "$T/www" "$T/tmp"
echo hello >"$T/www/file"
chmod -R a+rX "$T"
cat >"$T/nginx.conf" <<END
daemon off; worker_processes 2; pid $T/nginx.pid; error_log $T/error.log;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path $T/tmp/body; proxy_temp_path $T/tmp/proxy;
	fastcgi_temp_path $T/tmp/fcgi; uwsgi_temp_path $T/tmp/uwsgi; scgi_temp_path $T/tmp/scgi;
	server { listen 127.0.0.1:$PORT; root $T/www; }
}
END
start_hpd
start_server nginx -c "$T/nginx.conf"
check "nginx serves" wait_until "$PATIENCE" curl -sf -o "$T/file" "http://127.0.0.1:$PORT/file"
refused 3 "its title is no command line" 'master process.*behind --' restart "$MAIN"

nginx=(--wait --pidfile "$T/nginx.pid" -- "${COMMAND[@]}")
start_load "tcp:127.0.0.1:$PORT" 4 http
restarts "graceful, as hp knows nginx" "$rounds" "${nginx[@]}"
is "the pid file names the last generation" "$(cat "$T/nginx.pid")" "$MAIN"
start_load "tcp:127.0.0.1:$PORT" 4 http
restarts "external" "$rounds" --drain external "${nginx[@]}"
is "the pid file names the last generation" "$(cat "$T/nginx.pid")" "$MAIN"
hp list
like "list shows the generations" "$OUT" "process $MAIN \(nginx\), serving since .*, generation $((2 * rounds + 1))"
end_server
is "nginx logged nothing but its start" "$(grep -cE '\[(alert|crit|error)\]' "$T/error.log")" 0
