#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The Debian packages: built, clean, installed, used, purged.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

packages=(hp libhp1 libhp-dev)

installed() {
	dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | grep -q ' installed$'
}

# what dpkg would run at the start of a service does not run it (Debian policy 9.3.3)
purge() {
	dpkg --purge libhp-dev libhp1 hp >"$T/purge.log" 2>&1
}

need "root may install packages" test "$(id -u)" = 0
if installed; then
	not_ok "no package of hp is installed before" "${packages[*]}: they would be replaced and purged"
	exit 1
fi
tools/deb >"$T/deb.log" 2>&1
is "make deb builds them, and lintian finds nothing" $? 0
[ "$FAILED" = 0 ] || {
	sed 's/^/# /' "$T/deb.log"
	exit 1
}
mapfile -t debs < <(ls build/deb/{hp,libhp1,libhp-dev}_*.deb)
is "three packages" "${#debs[@]}" 3

trap 'purge; at_end' EXIT
check "they install" dpkg -i "${debs[@]}"
check "the group is there" getent group hp
is "nothing is missing or changed" "$(dpkg --verify "${packages[@]}")" ''
check "the unit" test -e /lib/systemd/system/hpd.service
check "the manual" man -w hpctl
cat >"$T/fix.c" <<'END'
#include <hp/patch.h>
HP_NEW long new_answer(long a) { return a + 1000; }
HP_REPLACE(new_answer, "answer");
END
check "a patch compiles against the headers" gcc -O2 -shared -fPIC -o "$T/fix.so" "$T/fix.c"
cat >"$T/use.c" <<'END'
#include <hp/upgrade.h>
int main(void) { return 0; }
END
check "a program against the library" bash -c \
	"gcc -o $T/use $T/use.c \$(pkg-config --cflags --libs hp-upgrade) && $T/use"

O=/usr/bin
start_hpd
start_service server
answers "before" "$PID" 'ask 5' 'answer 6'
load -p "$PID" "$T/fix.so"
answers "patched by what was installed" "$PID" 'ask 5' 'answer 1005'
unload -p "$PID" "$ID"
end_service "$PID"
stop_hpd

check "they are purged" purge
trap at_end EXIT
is "nothing is left" "$(dpkg-query -W -f '${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | sort -u)" ''
check "no file" bash -c '! ls -d /usr/bin/hpctl /usr/bin/hpd /usr/include/hp /etc/hp /usr/share/hp 2>/dev/null | grep .'
