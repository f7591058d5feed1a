#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Who may not restart a process nor hinder it, what a new program may not do, and that the old one is
# not touched before the new one is ready.
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "$0")/restart-lib.sh"

ALICE=61001
address=tcp:127.0.0.1:$PORT
new=("$SVC/netsvc" epoll)
chmod 755 "$T"
printf 'allow root\nallow user %s to see,load,unload\n' "$ALICE" >"$T/policy.conf"
HPD_ARGS=(--policy "$T/policy.conf")
start_hpd
start_netsvc epoll "$address"
snapshot "$MAIN" "$T/before"

# --- not touched ---------------------------------------------------------------------------------------
for stage in start bind listen; do
	from=$(stat -c %s "$T/server.out")
	"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" --ready-timeout 80s \
		-- "${new[@]}" "hold=$stage:$T/never" "$address" >"$T/first" 2>&1 &
	first=$!
	wait_line "$T/server.out" "^$stage " "$from"
	as_before "the new one is at $stage: the old one is as it was" "$MAIN" "$T/before"
	is "and is not traced" "$(sed -n 's/^TracerPid:\t//p' "/proc/$MAIN/status")" 0
	# Its end is the supervisor's business.
	kill -KILL "$(pgrep -f "^$SVC/netsvc epoll hold=$stage:$T/never")"
	wait "$first"
	is "it is killed: hpctl says so" "$?" 1
	as_before "and the old one is as it was" "$MAIN" "$T/before"
done

# --- not permitted -------------------------------------------------------------------------------------
as_alice() {
	# shellcheck disable=SC2034 # hp() uses it
	local AS=(setpriv "--reuid=$ALICE" "--regid=$ALICE" --clear-groups)

	"$@"
}
as_alice refused 5 "one who may load, not restart" 'not permitted|may not' restart "$MAIN"
policy 'allow root' "allow user $ALICE to restart"
as_alice refused 5 "one who may restart, but not what he likes" 'only root may say' restart "$MAIN" -- id
as_alice refused 5 "nor as whom" 'only root may say' restart "$MAIN" --user root
as_before "the old one is as it was" "$MAIN" "$T/before"
old=$MAIN
as_alice hp restart "$MAIN" --ready-timeout 80s --wait
is "as it was started, he may" "$STATUS $ERR" "0 "
MAIN=$OUT
own "$MAIN"
is "with the rights that it had" "$(stat -c %u "/proc/$MAIN")" "$(id -u)"
check "the old one is gone" gone "$old"

# --- other addresses -----------------------------------------------------------------------------------
start_load "$address" 4
more=tcp:127.0.0.1:$((PORT + 1))
refused 3 "the new one listens elsewhere too" "also listens at tcp 127.0.0.1:$((PORT + 1))" \
	restart "$MAIN" -- "${new[@]}" "$more" "$address"
restart --allow-new-binds -- "${new[@]}" "$more" "$address"
is "unless that is allowed" "$STATUS $ERR" "0 "
exec {sock}<>"/dev/tcp/127.0.0.1/$((PORT + 1))"
echo one >&"$sock"
is "and it serves there" "$(timeout 20 cat <&"$sock")" "$MAIN 1"
exec {sock}>&-
refused 4 "one that has no more of that" "does not listen at tcp 127.0.0.1:$((PORT + 1))" \
	restart "$MAIN" --ready-timeout 1s -- "${new[@]}" "$address"
grows "$LOAD" answered 50 || not_ok "the old one serves on" "$VERDICT"
end_service "$LOAD"
end_server

# --- past the filter -----------------------------------------------------------------------------------
start_netsvc threads "$address"
start_load "$address" 4
refused 1 "io_uring binds: the address is taken" 'exited with status' \
	restart "$MAIN" -- "${new[@]}" uring "$address"
grows "$LOAD" answered 50 || not_ok "the old one serves on" "$VERDICT"
end_service "$LOAD"
end_server
start_netsvc reuseport "$address"
snapshot "$MAIN" "$T/before"
refused 3 "io_uring binds beside the old one" 'by a socket of its own.*io_uring' \
	restart "$MAIN" -- "$SVC/netsvc" reuseport uring "$address"
as_before "the old one is as it was" "$MAIN" "$T/before"
is "nothing is left of the new one" "$(pgrep -f "^$SVC/netsvc.*uring")" ""
end_server

# --- a stranger at the socket to which the new one says READY=1 -------------------------------------------
cat >"$T/stranger.py" <<'END'
import resource, socket, sys

sockets = []

# The names that the next processes would have
def squat():
    first = int(open("/proc/loadavg").read().split()[-1])
    most = int(open("/proc/sys/kernel/pid_max").read())
    for i in range(3000):
        sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sockets[-1].bind("\0hp-notify-%d" % ((first + i) % most))

# As fast as it is read
def flood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"READY=1", "\0" + sys.argv[2])
        print("flooding", flush=True)
        try:
            while True:
                s.sendto(b"READY=1", "\0" + sys.argv[2])
        except ConnectionRefusedError:
            pass

if sys.argv[1] == "squat":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))
    squat()
    print("squatting", flush=True)
    sys.stdin.read()
else:
    flood()
END
# stranger WORD…: as Alice: STRANGER
stranger() {
	setpriv "--reuid=$ALICE" "--regid=$ALICE" --clear-groups /usr/bin/python3 "$T/stranger.py" "$@" \
		<&"$silence" >"$T/stranger" 2>&1 &
	STRANGER=$!
	own "$STRANGER"
	wait_line "$T/stranger" '^(squatting|flooding)' || not_ok "stranger $*" "$(tail -n 3 "$T/stranger")"
}
# Who floods ends with the socket, too.
end_stranger() {
	kill -KILL "$STRANGER" 2>/dev/null
	wait "$STRANGER" 2>/dev/null
}
# flooded NAME STATUS REGEX OPTION…: a restart in which one sends from the new one's start on
flooded() {
	local name=$1 status=$2 regex=$3 from restart

	shift 3
	from=$(stat -c %s "$T/server.out")
	"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" --ready notify "$@" \
		-- "${new[@]}" "hold=bind:$T/bind" "notify=$T/say" "$address" >"$T/restarted" 2>&1 &
	restart=$!
	wait_line "$T/server.out" '^bind ' "$from"
	stranger flood "$(tr '\0' '\n' <"/proc/${REPLY#bind }/environ" | sed -n 's/^NOTIFY_SOCKET=@//p')"
	touch "$T/bind"
	check "$name: it ends meanwhile" wait_until "$PATIENCE" gone "$restart"
	end_stranger
	wait "$restart"
	is "$name" "$?" "$status"
	like "$name: it says so" "$(cat "$T/restarted")" "$regex"
	rm "$T/bind"
}
mkfifo "$T/silence"
exec {silence}<>"$T/silence"
start_netsvc epoll "$address"
stranger squat
restart --ready notify -- "${new[@]}" notify=/ "$address"
is "a stranger has the names that could be guessed: it is restarted" "$STATUS $ERR" "0 "
end_stranger
flooded "a stranger says READY=1 without end" \
	4 'did not say READY=1' --ready-timeout 1s
touch "$T/say"
flooded "and the new one itself" 0 '^[0-9]+$' --ready-timeout 80s
MAIN=$(cat "$T/restarted")
own "$MAIN"
end_server

# --- a stranger with the old one's number ----------------------------------------------------------------
# Whoever ends his process while the new one starts, and has a process of root's begun, does not have hp
# signal that.
cat >"$T/reborn.py" <<'END'
import ctypes, os, signal, struct, sys

number = ctypes.c_int(int(sys.argv[1]))
# struct clone_args: exit_signal, set_tid, set_tid_size
args = struct.pack("11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1, 0)
pid = ctypes.CDLL(None, use_errno=True).syscall(435, args, len(args))
if pid < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
if pid == 0:
    print("there", flush=True)
    signal.pause()
print("ended by", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
END
start_netsvc epoll "$address"
from=$(stat -c %s "$T/server.out")
"$O/hpctl" --socket "$T/hpd.sock" restart "$MAIN" --wait --drain graceful:SIGUSR1 --ready-timeout 80s \
	-- "${new[@]}" "hold=bind:$T/bind" "$address" >"$T/restarted" 2>&1 &
restart=$!
wait_line "$T/server.out" '^bind ' "$from"
kill -KILL "$MAIN"
wait "$MAIN" 2>/dev/null
/usr/bin/python3 "$T/reborn.py" "$MAIN" >"$T/reborn" 2>&1 &
reborn=$!
wait_line "$T/reborn" '^there' || not_ok "a stranger has the old one's number" "$(cat "$T/reborn")"
touch "$T/bind"
wait "$restart"
is "the old one has ended, and its number is a stranger's: it is restarted" "$?" 0
own "$MAIN"
kill -TERM "$MAIN"
wait "$reborn"
is "hp has not signalled the stranger" "$(tail -n 1 "$T/reborn")" "ended by -15"
rm "$T/bind"
MAIN=$(cat "$T/restarted")
own "$MAIN"
end_server

# --- with the rights that root has given up ----------------------------------------------------------------
caps() {
	awk '$1 == "CapPrm:" { print $2 }' "/proc/$MAIN/status"
}
start_netsvc threads shorn "$address"
is "root has given up its capabilities" "$(caps)" 0000000000000000
restart --wait -- "$SVC/netsvc" threads "$address"
is "it is restarted" "$STATUS" 0
like "and told so" "$ERR" "has given up the capabilities 0x[0-9a-f]+ of root's"
is "the new one has not got them back" "$(caps)" 0000000000000000
restart --wait --user root -- "$SVC/netsvc" threads "$address"
is "unless root says so" "$STATUS $([ "$(caps)" = 0000000000000000 ] && echo none)" "0 "
end_server

# --- with the rights of a set-user-id program ------------------------------------------------------------
# Whoever starts one says what its command line is: it would have been carried out with the rights it got.
mkdir "$T/suid"
cp "$SVC/netsvc" "$T/suid/netsvc"
cp /usr/bin/id "$T/suid/evil"
chmod 755 "$T/suid" "$T/suid/evil"
chmod 4755 "$T/suid/netsvc"
: >"$T/server.out"
# shellcheck disable=SC2016 # the inner shell's
start_server setpriv "--reuid=$ALICE" "--regid=$ALICE" --clear-groups \
	bash -c 'exec -a "$0/evil" "$0/netsvc" epoll "$1"' "$T/suid" "$address"
wait_line "$T/server.out" "^ready $MAIN\$" || not_ok "it is ready" "$(cat "$T/server.out")"
is "it has rights that its user has not" "$(awk '/^Uid:/ { print $2, $3 }' "/proc/$MAIN/status")" "$ALICE 0"
refused 3 "a set-user-id program" 'runs a set-user-id' restart "$MAIN"
is "nothing ran with its rights" "$(grep -c evil "$T/server.out")" 0
kill -KILL "$MAIN"
wait_until "$PATIENCE" gone "$MAIN"
: >"$T/server.out"

# --- the path of a unix socket ---------------------------------------------------------------------------
# A mount is made there, and who has the directory says where that is.
mkdir "$T/s"
start_netsvc epoll "unix:$T/s/null"
mv "$T/s" "$T/t"
ln -s /dev "$T/s"
refused 3 "a path that leads to another file" "'$T/s/null', but another file is at that path" restart "$MAIN"
is "on which nothing is mounted" "$(grep -c ' /dev/null ' /proc/self/mountinfo)" 0
rm "$T/s"
mv "$T/t" "$T/s"
restart --wait -- "$SVC/netsvc" epoll "unix:$T/s/null"
is "it is restarted when it is its own again" "$STATUS $ERR" "0 "
end_server
