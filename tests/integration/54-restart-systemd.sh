#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 600
# Services of a real systemd are replaced under load: of each type, with Restart=always.  systemd
# goes on to know which process is the main one, and to restart it when it crashes.
#	RESTARTS	(2)
# shellcheck source=tests/integration/systemd-lib.sh
. "$(dirname "$0")/systemd-lib.sh"

rounds=${RESTARTS:-2}
address=tcp:127.0.0.1:$PORT
http="/dev/tcp/127.0.0.1/$PORT"
start_systemd

# of PID FILE: /proc/PID/FILE
of() {
	inside cat "/proc/$1/$2"
}

# caps PID SET: of capabilities
caps() {
	echo "0x$(of "$1" status | awk -v set="$2:" '$1 == set { print $2 }')"
}

# as_it_was NAME BEFORE: unit, main process, group and limits
as_it_was() {
	local name=$1 old=$2

	is "$name: systemd has it active" "$(show "$name" ActiveState) $(show "$name" SubState)" "active running"
	is "$name: its main process is the new one" "$(show "$name" MainPID)" "$MAIN"
	is "$name: in its control group" "$(of "$MAIN" cgroup)" "$(cat "$T/cgroup")"
	is "$name: with its limits" "$(of "$MAIN" limits)" "$(cat "$T/limits")"
	is "$name: and its environment" "$(of "$MAIN" environ | tr '\0' '\n' | grep ^HP_TEST)" "$HAD"
	is "$name: a child of systemd" "$(inside ps -o ppid= -p "$MAIN" | tr -d ' ')" 1
	is "$name: systemd has not restarted it" "$(show "$name" NRestarts)" 0
	check "$name: $old is gone" wait_until "$PATIENCE" inside test ! -e "/proc/$old"
	check "$name: nothing of hp's is left in its configuration" \
		inside test ! -e "/run/systemd/system/$name.service.d" -a "$(show "$name" NeedDaemonReload)" = no
}

# survives NAME PROTOCOL OPTION…: restarts under load
survives() {
	local name=$1 protocol=$2 old

	shift 2
	begin "$name"
	wait_until "$PATIENCE" bash -c ": >$http"
	of "$MAIN" cgroup >"$T/cgroup"
	of "$MAIN" limits >"$T/limits"
	HAD=$(of "$MAIN" environ | tr '\0' '\n' | grep ^HP_TEST) # "" where the title is written over it
	start_load "$address" 4 "$protocol"
	old=$MAIN
	restarts "$name" "$rounds" --wait "$@"
	as_it_was "$name" "$old"
}

# crashes NAME: systemd hears of it, how, and starts it again
crashes() {
	inside kill -SEGV "$MAIN"
	check "$1: systemd restarts it after a crash" \
		wait_until "$PATIENCE" restarted "$1"
	inside systemctl stop "$1"
}

restarted() {
	[ "$(show "$1" NRestarts)" = 1 ] && [ "$(show "$1" ActiveState)" = active ]
}

common=('Environment="HP_TEST=a b" "WAY=epoll" "REST='"$address"'"' LimitNOFILE=4321 OOMScoreAdjust=100
	WorkingDirectory=/var Restart=always RestartSec=0)

# shellcheck disable=SC2016 # systemd expands them
unit simple "${common[@]}" "ExecStart=$SVC/netsvc "'${WAY} $REST'
survives simple line
is "simple: in the unit's directory" "$(inside readlink "/proc/$MAIN/cwd")" /var
crashes simple

unit filtered "${common[@]}" SystemCallFilter=~@reboot "ExecStart=$SVC/netsvc threads $address"
begin filtered
wait_until "$PATIENCE" bash -c ": >$http"
restart --wait
is "a filter is lost: it is restarted" "$STATUS" 0
like "and told so" "$ERR" 'the old process is under [0-9]+ seccomp filters?, which the new one will not have'
restart --wait
is "again, nothing is lost" "$STATUS $ERR" "0 "
inside systemctl stop filtered

is "hpd may not load modules" "$(($(caps "$(show hpd MainPID)" CapBnd) >> 16 & 1))" 0
unit capable "${common[@]}" 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SYS_MODULE' \
	"ExecStart=$SVC/netsvc threads $address"
begin capable
wait_until "$PATIENCE" bash -c ": >$http"
restart --wait
is "a capability is lost that hpd has not: it is restarted" "$STATUS" 0
like "and told so" "$ERR" 'is without the capabilities 0x10000,'
is "the other one is there" "$(caps "$MAIN" CapBnd)" 0x0000000000000400
inside systemctl stop capable

# What is mounted on the path of a socket takes capabilities, and entering the service's namespace.
unit private "${common[@]}" TemporaryFileSystem=/mnt "ExecStart=$SVC/netsvc epoll unlink unix:/mnt/socket"
begin private
wait_until "$PATIENCE" inside test -S "/proc/$MAIN/root/mnt/socket"
restart --wait
is "a unix socket in mounts of its own: it is restarted" "$STATUS $ERR" "0 "
check "its path is there" inside test -S "/proc/$MAIN/root/mnt/socket"
is "and no mount point" "$(of "$MAIN" mountinfo | grep -c ' /mnt/socket ')" 0
inside systemctl stop private

unit crashing "${common[@]}" Restart=on-failure "ExecStart=$SVC/netsvc threads $address"
survives crashing line
crashes crashing

# Who has given up root does not say what root executes next.
printf 'FILE="of a" file\nHP_TEST=file\n' >"$T/env"
# shellcheck disable=SC2016 # systemd expands them
unit fallen "${common[@]}" UMask=0027 "RuntimeDirectory=fallen also" "EnvironmentFile=$T/env" WatchdogSec=1h \
	"ExecStart=$SVC/netsvc threads user=65534 "'environ=HP_TEST=evil tag=${HP_TEST} $REST'
begin fallen
wait_until "$PATIENCE" bash -c ": >$http"
like "fallen: the old one has written over its environment" "$(of "$MAIN" environ | tr '\0' '\n')" '^HP_TEST=evil'
refused 3 "fallen: root's, by a command that lies where it is" 'name the whole path' restart "$MAIN" -- ./netsvc
restart --wait -- "$SVC/netsvc" threads "$address"
is "fallen: it is restarted" "$STATUS" 0
like "fallen: and told that it has systemd's environment" "$ERR" "systemd's is taken instead"
is "fallen: as root" "$(inside ps -o user= -p "$MAIN")" root
environment=$(of "$MAIN" environ | tr '\0' '\n')
is "fallen: nothing but systemd's" "$(grep -E '^(HP_TEST|FILE|RUNTIME_DIRECTORY|WATCHDOG_USEC|WAY)=' <<<"$environment" | LC_ALL=C sort | paste -sd' ')" \
	"FILE=of afile HP_TEST=file RUNTIME_DIRECTORY=/run/also:/run/fallen WATCHDOG_USEC=3600000000 WAY=epoll"
is "fallen: in systemd's directory" "$(inside readlink "/proc/$MAIN/cwd")" /var
is "fallen: with systemd's umask" "$(of "$MAIN" status | awk '/^Umask/ { print $2 }')" 0027
inside systemctl stop fallen
begin fallen
wait_until "$PATIENCE" bash -c ": >$http"
restart --wait
is "fallen: by systemd's words it is restarted" "$STATUS" 0
like "fallen: with the variables that systemd has" "$(of "$MAIN" cmdline | tr '\0' ' ')" ' tag=file '
inside systemctl stop fallen

# Nor does root that has given up its capabilities: they are the unit's.
# shellcheck disable=SC2016 # systemd expands them
unit shorn "${common[@]}" "ExecStart=$SVC/netsvc threads shorn environ=HP_TEST=evil "'$REST'
begin shorn
wait_until "$PATIENCE" bash -c ": >$http"
is "shorn: root without capabilities" "$(caps "$MAIN" CapPrm)" 0x0000000000000000
restart --wait -- "$SVC/netsvc" threads "$address"
is "shorn: it is restarted" "$STATUS" 0
is "shorn: with what systemd would start it with" "$(caps "$MAIN" CapPrm)" "$(caps "$MAIN" CapBnd)"
like "shorn: and told that it has systemd's environment" "$ERR" "systemd's is taken instead"
is "shorn: that is so" "$(of "$MAIN" environ | tr '\0' '\n' | grep ^HP_TEST)" "HP_TEST=a b"
inside systemctl stop shorn
unit noroot "${common[@]}" SecureBits=noroot "ExecStart=$SVC/netsvc threads $address"
begin noroot
wait_until "$PATIENCE" bash -c ": >$http"
is "noroot: systemd starts it without capabilities" "$(caps "$MAIN" CapPrm)" 0x0000000000000000
restart --wait
is "noroot: so does hp" "$STATUS $(caps "$MAIN" CapPrm)" "0 0x0000000000000000"
inside systemctl stop noroot

unit jailed "${common[@]}" "ExecStart=$SVC/netsvc threads user=65534 chroot=$T/jail $address"
mkdir "$T/jail"
begin jailed
wait_until "$PATIENCE" bash -c ": >$http"
refused 3 "what lies in another root is not executed as root" 'another root directory' restart "$MAIN"
inside systemctl stop jailed

unit forking "${common[@]}" Type=forking "PIDFile=$T/daemon.pid" \
	"ExecStart=$SVC/netsvc epoll daemon pidfile=$T/daemon.pid $address"
survives forking line
is "forking: the pid file" "$(cat "$T/daemon.pid")" "$MAIN"
crashes forking

mkdir "$T/www" "$T/tmp"
echo hello >"$T/www/file"
chmod -R a+rX "$T"
cat >"$T/nginx.conf" <<END
worker_processes 2; pid $T/nginx.pid; error_log $T/error.log; events { }
http {
	access_log off;
	client_body_temp_path $T/tmp/body; proxy_temp_path $T/tmp/proxy;
	fastcgi_temp_path $T/tmp/fcgi; uwsgi_temp_path $T/tmp/uwsgi; scgi_temp_path $T/tmp/scgi;
	server { listen 127.0.0.1:$PORT; root $T/www; }
}
END
unit nginx "${common[@]}" Type=forking "PIDFile=$T/nginx.pid" KillMode=mixed "ExecStart=/usr/sbin/nginx -c $T/nginx.conf"
survives nginx http
is "nginx: the pid file" "$(cat "$T/nginx.pid")" "$MAIN"
inside systemctl stop nginx

unit redis "${common[@]}" Type=notify User=nobody \
	"ExecStart=/usr/bin/redis-server --bind 127.0.0.1 --port $PORT --save '' --supervised systemd"
survives redis redis
is "redis: its user" "$(inside ps -o user= -p "$MAIN")" nobody
crashes redis

# Home is what the machine says, not the process.
cp "$SVC/netsvc" "$T/netsvc"
unit home "${common[@]}" User=daemon 'WorkingDirectory=~' "ExecStart=$T/netsvc threads environ=HOME=$T/jail $address"
begin home
wait_until "$PATIENCE" bash -c ": >$http"
is "home: systemd starts it in daemon's" "$(inside readlink "/proc/$MAIN/cwd")" "$(getent passwd daemon | cut -d: -f6)"
restart --wait
is "home: so does hp" "$STATUS $(inside readlink "/proc/$MAIN/cwd")" "0 $(getent passwd daemon | cut -d: -f6)"
inside systemctl stop home

mkdir "$T/behind"
ln -s behind "$T/link"
unit linked "${common[@]}" "WorkingDirectory=$T/link" "ExecStart=$SVC/netsvc threads $address"
begin linked
wait_until "$PATIENCE" bash -c ": >$http"
restart --wait
is "a directory that is a link" "$STATUS $(inside readlink "/proc/$MAIN/cwd")" "0 $T/behind"
inside systemctl stop linked
unit missing "${common[@]}" "WorkingDirectory=-$T/missing" "ExecStart=$SVC/netsvc threads $address"
begin missing
wait_until "$PATIENCE" bash -c ": >$http"
restart --wait
is "one that may be missing" "$STATUS $(inside readlink "/proc/$MAIN/cwd")" "0 /"
inside systemctl stop missing

# Speaks to systemd all the time, also when it ends; who is heard is not only the main process.
cat >"$T/server.py" <<END
import asyncio, os, signal, socket

def say(text):
    name = os.environ["NOTIFY_SOCKET"]
    if name[0] == "@":
        name = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), name)

async def serve(reader, writer):
    await reader.readline()
    writer.write(b"hello\n")
    await writer.drain()
    writer.close()

async def main():
    end, also = asyncio.Event(), ""

    def claim():
        nonlocal also
        also = " and claims another"
        say("MAINPID=%s\nSTATUS=%d serves%s" % (open("$T/claimed").read(), os.getpid(), also))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, claim)
    server = await asyncio.start_server(serve, "127.0.0.1", $PORT, backlog=1024)
    say("READY=1\nSTATUS=serving in %d" % os.getpid())
    while not end.is_set():
        say("WATCHDOG=1\nSTATUS=%d serves%s" % (os.getpid(), also))
        try:
            await asyncio.wait_for(end.wait(), int(os.environ["WATCHDOG_USEC"]) / 4e6)
        except asyncio.TimeoutError:
            pass
    say("STOPPING=1")
    server.close()

asyncio.run(main())
END
unit watched "${common[@]}" Type=notify User=nobody NotifyAccess=all WatchdogSec=8s "ExecStart=/usr/bin/python3 $T/server.py"
survives watched line
status() {
	[ "$(show watched StatusText)" = "$MAIN serves$1" ]
}
check "watched: systemd hears what the new one says" wait_until "$PATIENCE" status ""
before=$(show watched WatchdogTimestampMonotonic)
fed() {
	[ "$(show watched WatchdogTimestampMonotonic)" != "$before" ]
}
check "watched: and its watchdog" wait_until "$PATIENCE" fed
# systemd would take any process for the main one, if root said so.
show hpd MainPID >"$T/claimed"
inside kill -USR1 "$MAIN"
check "watched: it says that hpd is its main process" wait_until "$PATIENCE" status " and claims another"
is "watched: that is not taken" "$(show watched MainPID)" "$MAIN"
inside systemctl stop watched
is "watched: it ended well" "$(show watched Result)" success

begin forking
refused 1 "a new one that dies when it has written its pid" 'died by SIGABRT' \
	restart "$MAIN" -- sh -c "echo \$\$ >$T/daemon.pid; exec $SVC/netsvc epoll die=listen $address"
is "the pid file is the old one's" "$(cat "$T/daemon.pid")" "$MAIN"
inside systemctl stop forking

# What a failed restart leaves: all as it was.
begin simple
start_load "$address" 4
refused 1 "a new one that dies" 'died by SIGABRT' restart "$MAIN" -- "$SVC/netsvc" epoll die=listen "$address"
is "the main process is the old one" "$(show simple MainPID)" "$MAIN"
check "its configuration is its own" inside test ! -e /run/systemd/system/simple.service.d
end_service "$LOAD"
inside systemctl stop simple

unit bus "${common[@]}" Type=dbus BusName=org.freedesktop.hp.Test "ExecStart=$SVC/netsvc epoll $address"
inside systemctl start --no-block bus
wait_until "$PATIENCE" bash -c ": >$http"
refused 3 "Type=dbus" 'bus.service is of Type=dbus' restart "$(show bus MainPID)"
inside systemctl stop bus

# hpd itself, over a process that it has patched
mkfifo "$T/patched.in"
exec {patched}<>"$T/patched.in"
unit patched "StandardInput=file:$T/patched.in" "ExecStart=$SVC/verify 1 poll,"
begin patched
wait_line "$T/server.out" '^ready'
hp load -p "$MAIN" --park 1s --timeout 20s "$SVC/verify_patch.so"
is "a unit is patched" "$STATUS $ERR" "0 "
id=$OUT first=$(show hpd MainPID)
inside systemctl restart hpd
check "systemctl restart hpd: another hpd" [ "$(show hpd MainPID)" != "$first" ]
hp list -p "$MAIN" -q
is "that knows the patch" "$OUT" "$id"
hp unload -p "$MAIN" --park 1s --timeout 20s "$id"
is "and unloads it" "$STATUS $ERR" "0 "
inside systemctl stop patched
exec {patched}>&-
