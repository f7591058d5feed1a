#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 400 (Go compiles its library once)
# Every example of hp-restart(7) is run as it stands there, on a machine with systemd where these
# programs serve.
# shellcheck source=tests/integration/systemd-lib.sh
. "$(dirname "$0")/systemd-lib.sh"
need "nginx, haproxy, redis-server, memcached or Go's compiler is not installed" \
	which nginx haproxy redis-server redis-cli memcached python3 go

PATH=$PATH:/usr/sbin
mkdir -p "$T/run" "$T/tmp"
build_go "the server is built" tests/services/goserver.go "$T/goserver"
chmod -R a+rwX "$T"

cat >"$T/nginx.conf" <<END
worker_processes 2; pid $T/run/nginx.pid; error_log $T/error.log; events { }
http {
	access_log off;
	client_body_temp_path $T/tmp/body; proxy_temp_path $T/tmp/proxy;
	fastcgi_temp_path $T/tmp/fcgi; uwsgi_temp_path $T/tmp/uwsgi; scgi_temp_path $T/tmp/scgi;
	server { listen 127.0.0.1:$PORT; return 200 nginx; }
}
END
haproxy_config $((PORT + 1)) haproxy
cat >"$T/redis.conf" <<END
port 0
unixsocket $T/run/redis.sock
daemonize yes
pidfile $T/run/redis.pid
dir $T/tmp
END
cat >"$T/server.py" <<END
import http.server
http.server.ThreadingHTTPServer(("127.0.0.1", $((PORT + 2))), http.server.SimpleHTTPRequestHandler).serve_forever()
END

start_systemd
unit app Restart=always "ExecStart=$SVC/netsvc epoll tcp:127.0.0.1:$((PORT + 3))"
begin app
app=$MAIN
# As an administrator has started them, in a session.
by_hand() {
	inside systemd-run -q --scope "$@"
}
ln -s "$SVC/netsvc" "$T/myserver"
by_hand nginx -c "$T/nginx.conf"
by_hand haproxy -W -D -f "$T/haproxy.cfg" -p "$T/run/haproxy.pid"
by_hand redis-server "$T/redis.conf"
by_hand memcached -d -u nobody -l 127.0.0.1 -p $((PORT + 4)) -P "$T/run/memcached.pid"
background() {
	by_hand setsid "$@" >>"$T/server.out" 2>&1 </dev/null &
	disown
}
background "$T/goserver" tcp:127.0.0.1:$((PORT + 5))
background python3 "$T/server.py"
background "$T/myserver" threads tcp:127.0.0.1:$((PORT + 6))

all_serve() {
	local port

	for port in {0..6}; do
		: >"/dev/tcp/127.0.0.1/$((PORT + port))" || return 1
	done
}
check "all of them serve" wait_until "$PATIENCE" all_serve
check "redis has something" inside redis-cli -s "$T/run/redis.sock" set greeting hello
pids() {
	{
		cat "$T"/run/*.pid
		inside pgrep -xo 'goserver|myserver'
		inside pgrep -of 'python3.*server.py'
	} | sort
}
pids >"$T/pids.before"

# In there.
# shellcheck disable=SC2016 # they are the words of the function
eval "$(declare -f examples | sed 's/"$tool" "$file"/inside &/')"
examples docs/man/hp-restart.7 "4243=?" "/run/nginx.pid=$T/run/nginx.pid" "/etc/nginx/nginx.conf=$T/nginx.conf" \
	"/run/haproxy.pid=$T/run/haproxy.pid" "/run/redis/redis-server.pid=$T/run/redis.pid" \
	"/etc/redis/redis.conf=$T/redis.conf" "/run/redis/redis.sock=$T/run/redis.sock" \
	"/run/memcached.pid=$T/run/memcached.pid"

check "all of them serve" wait_until "$PATIENCE" all_serve
is "nobody is the one that was" "$(pids | comm -12 - "$T/pids.before")" ""
check "nor is the unit's main process" test "$(show app MainPID)" != "$app"
