#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Every example of README and of the manual is run as it stands there: tests/examples --help says
# how.  What the pages call 4242 is a process of tests/services/service.c; its socket and its journal
# are where they are on any machine, in a mount namespace of this test.
# shellcheck source=tests/integration/lib.sh
if [ "${1:-}" != inside ]; then
	exec unshare -m "$0" inside
fi
. "$(dirname "$0")/lib.sh"

need "systemd-journald" test -x /lib/systemd/systemd-journald
JOURNALD=''
trap '[ -z "$JOURNALD" ] || kill "$JOURNALD"; at_end' EXIT

mkdir -p /run/hp /run/log /run/systemd /var/log/journal
mount --bind "$T" /run/hp
for dir in /run/log /run/systemd /var/log/journal; do
	mount -t tmpfs none "$dir"
done
/lib/systemd/systemd-journald >"$T/journald.log" 2>&1 &
JOURNALD=$!
wait_until "$PATIENCE" test -S /run/systemd/journal/stdout || not_ok "journald serves" "$(cat "$T/journald.log")"
# The users and groups of hp-policy(5).
for file in passwd group; do
	cp "/etc/$file" "$T/$file"
	mount --bind "$T/$file" "/etc/$file"
done
echo 'deploy:x:4242:4242::/:/bin/false' >>/etc/passwd
echo 'db:x:4243:' >>/etc/group

# As systemd would start it.
# shellcheck disable=SC2016 # the inner shell's
HPD_BY=(systemd-cat -t hpd bash -c 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$0" "$@"')
start_hpd
mkdir "$T/examples"
ln -s "$PWD/include" "$T/examples"
cd "$T/examples" || exit 1
start_service service
cd - >/dev/null || exit 1
snapshot "$PID" "$T/before"
export C_INCLUDE_PATH=$PWD/include # as if it were installed
WORDS=("4242=$PID" "3f9a=?" "81d2=?" "/srv=$T/examples")

# Of each page nothing stays loaded.
unload_all() {
	local id

	hp -q list -p "$PID"
	for id in $OUT; do
		unload -p "$PID" "$id" --park 5s --timeout 20s
	done
}

# page FILE WORD=TEXT…
page() {
	local file=$1

	shift
	examples "$file" "${WORDS[@]}" "$@"
	unload_all
	as_before "nothing is left of ${file##*/}" "$PID" "$T/before"
}

# What is wrong is found.
cat >"$T/wrong.md" <<'END'
```
true
```
<!-- example: none -->
```
```
<!-- example: commands -->
```
true
false
```
<!-- example: session -->
```
$ echo 3f9a0000000000001
3f9a...
$ echo 3f9a0000000000002
3f9a...
```
<!-- example: session -->
```
$ printf 'one\ntwo\n'
one
```
<!-- example: session -->
```
$ (exit 3)
$ echo $?
4
```
<!-- example: part of tests/services/service.c -->
```
int limit = 11;
```
END
is "an example that is wrong is told" \
	"$(tests/examples "$T/wrong.md" 3f9a=? | grep -cE '^not ok')/$(grep -c '^```$' "$T/wrong.md")" 7/14

page README.md
page docs/man/hp-patch.5 /usr/local/share/hp/hp-gdb.py="$PWD/tools/gdb/hp-gdb.py"
page docs/man/hp-policy.5

# The patches of hpctl(1): one for what it shows, and one for a function that does not return.
cat >"$T/examples/fix.c" <<'END'
#include <hp/patch.h>

extern int limit;
int *Global;

HP_NEW int allowed_fixed(int n)
{
	return n <= limit;
}
HP_REPLACE(allowed_fixed, "allowed");

HP_NEW void NewFunc1(void)
{
	*Global += 15;
}
END
cat >"$T/examples/stuck.c" <<'END'
#include <hp/patch.h>

HP_NEW void other_loop(void)
{
}
HP_REPLACE(other_loop, "serve_loop");
END
for patch in fix stuck; do
	check "$patch.c compiles" gcc -O2 -g -shared -fPIC -o "$T/examples/$patch.so" "$T/examples/$patch.c"
done
page docs/man/hpctl.1 127.0.0.1:8080="127.0.0.1:$((20000 + $$ % 12000))" /usr/sbin/nginx="$SVC/service"
page docs/man/hpd.8
is "hpd(8) has the message ids that hpd has" \
	"$(sed -nE 's/^([0-9a-f]{32})  .*/\1/p' docs/man/hpd.8 | sort)" \
	"$(sed -nE 's/^#define HP_MESSAGE_.*"(.*)"/\1/p' userspace/base/log.h | sort)"
end_service "$PID"

# No page is forgotten; those that are not here are in a test of their own.
for file in docs/man/*.[1-8]; do
	is "a test runs the examples of ${file##*/}" \
		"$(cat tests/integration/[0-9]*.sh | grep -cE "^(examples|page) $file( |\$)")" 1
done
