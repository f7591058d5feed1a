# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# systemd-lib.sh – a real systemd as PID 1 of a pid namespace, with D-Bus, hpd as its unit, and units
# of the test's own, on top of restart-lib.sh.  It has the machine's files and network, a control
# group, mounts and a /run of its own, and none of the machine's units.
# shellcheck source=tests/integration/restart-lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/restart-lib.sh"

need "systemd or dbus-daemon is not installed" test -x /lib/systemd/systemd -a -x /usr/bin/dbus-daemon
need "there is no cgroup2 hierarchy" findmnt -n -t cgroup2

# Their numbers are those of systemd's pid namespace: here they are somebody else's.
generation() {
	:
}

UNITS=$T/units
INIT=''
GROUP=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/hp-test-$$

# Whatever is left in it ends with it.
end_systemd() {
	[ -n "$INIT" ] && kill -KILL "$INIT" 2>/dev/null
	echo 1 >"$GROUP/cgroup.kill"
	while read -r group; do
		wait_until "$PATIENCE" rmdir "$group"
	done < <(find "$GROUP" -depth -type d)
}

# Goes on as PID 1.
be_systemd() {
	set -e
	mount --make-rprivate /
	mount -t proc proc /proc
	mount --bind -o ro /proc/sys /proc/sys
	mount -t tmpfs tmpfs /run
	mkdir -p /var/lib/hp
	mount -t tmpfs tmpfs /var/lib/hp
	mountpoint -q /sys/fs/cgroup && umount -R /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	export container=hp-test SYSTEMD_UNIT_PATH=$UNITS:/run/systemd/system SYSTEMD_LOG_TARGET=null
	export SYSTEMD_GENERATOR_PATH=$UNITS/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=$UNITS/none
	exec /lib/systemd/systemd --system --unit=default.target --show-status=0 </dev/null
}

# unit NAME LINE…: a service, with what is Debian's habit
unit() {
	local name=$1

	shift
	{
		printf '[Service]\nStandardOutput=append:%s\nStandardError=append:%s\n' \
			"$T/server.out" "$T/server.out"
		printf '%s\n' "$@"
	} >"$UNITS/$name.service"
}

write_units() {
	local name

	mkdir "$UNITS"
	for name in sysinit basic shutdown default; do
		printf '[Unit]\nDefaultDependencies=no\n' >"$UNITS/$name.target"
	done
	printf 'Wants=dbus.socket hpd.socket\n' >>"$UNITS/default.target"
	cp /lib/systemd/system/dbus.service /lib/systemd/system/dbus.socket "$UNITS"
	# The group is made by the package.
	sed "/^SocketGroup/d; s|^ListenStream=.*|ListenStream=$T/hpd.sock|" tools/systemd/hpd.socket >"$UNITS/hpd.socket"
	sed "s|@BINDIR@/hpd|$(realpath "$O")/hpd --socket $T/hpd.sock|" tools/systemd/hpd.service.in >"$UNITS/hpd.service"
	printf 'StandardOutput=append:%s\nStandardError=append:%s\n' "$T/hpd.log" "$T/hpd.log" >"$T/logs"
	sed -i "/^\[Service\]/r $T/logs" "$UNITS/hpd.service"
}

# A command in there; pids are its own.
inside() {
	nsenter -t "$INIT" -m -p -C -i -u --wd="$PWD" "$@"
}

# hpctl too.
eval "lib_$(declare -f hp)"
hp() {
	# shellcheck disable=SC2034 # lib.sh uses it
	local AS=(nsenter -t "$INIT" -m -p -C -i -u "--wd=$PWD")

	lib_hp "$@"
}

show() {
	inside systemctl show "$1" -p "$2" --value
}

# start_systemd: what unit() wrote comes later, by begin()
start_systemd() {
	local fifo=$T/init

	write_units
	mkdir "$GROUP"
	# shellcheck disable=SC2154 # it is assigned there
	trap 'ended=$?; end_systemd; (exit "$ended"); at_end' EXIT
	mkfifo "$fifo"
	export UNITS
	export -f be_systemd
	(
		echo "$BASHPID" >"$GROUP/cgroup.procs"
		exec unshare --pid --mount --cgroup --uts --ipc --fork --kill-child \
			bash -c "be_systemd 2>'$T/init.log'"
	) 2>/dev/null &
	disown # its end is no news
	INIT=''
	wait_until "$PATIENCE" find_init "$!"
	if ! wait_until "$PATIENCE" inside systemctl is-active -q dbus.socket hpd.socket; then
		not_ok "systemd comes up" "$(cat "$T/init.log")" "$(inside systemctl list-units --no-pager)"
		exit 1
	fi
}

# find_init PARENT: INIT, once it is systemd
find_init() {
	INIT=$(pgrep -P "$1") && grep -qx systemd "/proc/$INIT/comm"
}

# begin NAME: starts it; MAIN is its main process
begin() {
	inside systemctl start "$1" || { not_ok "$1 starts" "$(inside systemctl status --no-pager "$1")"; exit 1; }
	MAIN=$(show "$1" MainPID)
}
