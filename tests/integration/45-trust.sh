#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Who may load what into which process: the policy, and signatures as minisign makes them.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

ALICE=61001 BOB=61002
as_root() { AS=(); }
as_alice() { AS=(setpriv "--reuid=$ALICE" "--regid=$ALICE" --clear-groups); }
as_bob() { AS=(setpriv "--reuid=$BOB" "--regid=$BOB" --clear-groups); }

# denied NAME REGEX ARGS…: with exit status 5, and said in hpd's log
denied() {
	local name=$1 regex=$2 from

	shift 2
	from=$(stat -c %s "$T/hpd.log")
	refused 5 "$name" "$regex" "$@"
	check "… and hpd's log says so" wait_line "$T/hpd.log" "$regex" "$from"
}

need "minisign" command -v minisign
chmod 755 "$T"
mkdir "$T/keys"
minisign -G -W -p "$T/one.pub" -s "$T/one.key" >/dev/null
minisign -G -W -p "$T/other.pub" -s "$T/other.key" >/dev/null
printf '%s\n' secret secret | minisign -G -p "$T/locked.pub" -s "$T/locked.key" >/dev/null 2>&1
key_id=$(head -n 1 "$T/one.pub" | grep -oE '[0-9A-F]{16}$')
cp "$SVC/server_patch.so" "$T/p.so"
printf 'allow root\n' >"$T/policy.conf"

# --- hpctl and minisign understand each other ----------------------------------------------------------
minisign -S -s "$T/one.key" -m "$T/p.so" -t 'for server' >/dev/null
expect 0 "verify what minisign signed" verify --key "$T/one.pub" "$T/p.so"
like "names key and comment" "$OUT" "$key_id"
like "names the comment" "$OUT" 'for server'
refused 5 "verify by another key" 'not trusted' verify --key "$T/other.pub" "$T/p.so"
minisign -S -l -s "$T/one.key" -m "$T/p.so" -x "$T/legacy.sig" >/dev/null
expect 0 "verify minisign's old form" verify --key "$T/one.pub" --signature "$T/legacy.sig" "$T/p.so"
expect 0 "sign" sign --key "$T/one.key" --signature "$T/our.sig" --expires 2099-01-31 "$T/p.so"
check "minisign takes it" minisign -V -p "$T/one.pub" -m "$T/p.so" -x "$T/our.sig"
expect 0 "the date is shown" verify --json --key "$T/one.pub" --signature "$T/our.sig" "$T/p.so"
is "until when" "$(jq -r .expires <<<"$OUT")" 2099-01-31
check "sign with a password" bash -c \
	"echo secret | $O/hpctl sign --key $T/locked.key --signature $T/locked.sig $T/p.so"
check "minisign takes that too" minisign -V -p "$T/locked.pub" -m "$T/p.so" -x "$T/locked.sig"
refused 5 "a wrong password" 'needs a password|wrong password' \
	sign --key "$T/locked.key" --signature "$T/x" "$T/p.so"
check "… signs nothing" test ! -e "$T/x"
refused 5 "a date that is none" 'YYYY-MM-DD' sign --key "$T/one.key" --expires soon "$T/p.so"
rm "$T/p.so.minisig"

# --- the policy itself ---------------------------------------------------------------------------------
printf 'allow everybody\n' >"$T/bad.conf"
refused 2 "policy check names the line" "bad.conf, line 1.*everybody" policy check "$T/bad.conf"
mkdir "$T/hers"
chown "$ALICE" "$T/hers"
printf 'allow root\nallow user %s exe %s\n' "$ALICE" "$T/hers/server" >"$T/bad.conf"
refused 5 "a program that she can have any file be" \
	"bad.conf, line 2: exe $T/hers/server: the directory $T/hers belongs to uid $ALICE" \
	policy check "$T/bad.conf"
chmod g+w "$T/bad.conf"
refused 5 "a policy that others can write" 'others than root' policy check "$T/bad.conf"
"$O/hpd" --socket "$T/x.sock" --state-dir "$T/state" --policy "$T/bad.conf" >"$T/x.log" 2>&1
is "hpd does not start with it" $? 5

HPD_ARGS=(--policy "$T/policy.conf")
start_hpd
start_service server
roots=$PID
as_alice
start_service server
alices=$PID
as_root
check "a copy where root alone can put one" cp "$SVC/server" "$T/server"
SVC=$T start_service server
served=$PID
is "a socket for root and the group hp" "$(stat -c %a "$T/hpd.sock")" 660

# --- who -------------------------------------------------------------------------------------------------
policy 'allow root' "allow user $ALICE exe /nowhere"
is "a socket for everybody, when the policy speaks of others" "$(stat -c %a "$T/hpd.sock")" 666
as_bob
denied "a stranger" "uid $BOB may not use hpd" list
as_alice
denied "not that program" "uid $ALICE may not load a patch in a process of .*server" \
	load -p "$alices" "$T/p.so"
as_root
policy 'allow root' 'allow owner'
as_alice
load -p "$alices" "$T/p.so"
denied "not root's process" "uid $ALICE may not load" load -p "$roots" "$T/p.so"
expect 0 "she sees hers" list -p "$alices"
denied "not root's patches" "uid $ALICE may not look" list -p "$roots"
refused 5 "what is of no one process" "uid $ALICE may not look" status
check "… with who asked what" wait_line "$T/hpd.log" \
	"status, asked for by process [0-9]+ of uid $ALICE: uid $ALICE may not look"
unload -p "$alices" "$ID"
as_root
load -p "$roots" "$T/p.so"
as_alice
expect 0 "her list of everything" list --json
is "… is of nothing" "$(jq '.patches | length' <<<"$OUT")" 0
as_root
expect 0 "status" status --json
is "… which takes nothing out of what hpd knows" \
	"$(jq --argjson pid "$roots" '.targets[] | select(.pid == $pid).patches' <<<"$OUT")" 1
unload -p "$roots" "$ID"
as_alice
cp "$T/p.so" "$T/secret.so"
chmod 600 "$T/secret.so"
refused 1 "hpd reads no file for her that she may not read" 'secret.so: Permission denied' \
	load -p "$alices" "$T/secret.so"
as_bob
denied "what is hers is not his" "uid $BOB may not load" load -p "$alices" "$T/p.so"
as_root
policy 'deny root to load' 'allow root'
denied "even root" 'line 1 of the policy' load -p "$roots" "$T/p.so"
policy 'allow root' "allow user $BOB to see,load exe $T/server"
as_bob
load -p "$served" "$T/p.so"
denied "loading is not unloading" "uid $BOB may not unload" unload -p "$served" "$ID"
denied "another file" "uid $BOB may not load" load -p "$roots" "$T/p.so"
as_root
unload -p "$served" "$ID"
end_service "$served"
printf 'permit all\n' >"$T/policy.conf"
kill -HUP "$HPD"
check "a policy that is wrong changes nothing" wait_line "$T/hpd.log" 'stays as it was.*line 1'
load -p "$roots" "$T/p.so"
unload -p "$roots" "$ID"

# --- signed ------------------------------------------------------------------------------------------------
policy "keys $T/keys" 'require signed' 'allow root'
denied "no signature" 'requires a signature' load -p "$roots" "$T/p.so"
cp "$T/our.sig" "$T/p.so.minisig"
denied "a key that is not trusted" "$key_id, which is not trusted" load -p "$roots" "$T/p.so"
cp "$T/one.pub" "$T/keys/release.pub"
load -p "$roots" "$T/p.so"
expect 0 "list" list --json -p "$roots"
is "list says whose signature it is" "$(jq -Sc .patches[0].signature <<<"$OUT")" \
	"{\"expires\":\"2099-01-31\",\"key\":\"release\",\"key_id\":\"$key_id\"}"
unload -p "$roots" "$ID"
printf x >>"$T/p.so"
denied "another file than was signed" 'not what was signed' load -p "$roots" "$T/p.so"
cp "$SVC/server_patch.so" "$T/p.so"
expect 0 "sign until a day that is over" sign --key "$T/one.key" --expires 2020-02-29 "$T/p.so"
denied "an expired signature" 'expired' load -p "$roots" "$T/p.so"
cp "$T/our.sig" "$T/p.so.minisig"
sed -i '1s/$/ expires:2020-02-29/' "$T/keys/release.pub"
denied "an expired key" "key $key_id has expired" load -p "$roots" "$T/p.so"
chmod 666 "$T/keys/release.pub"
denied "a key that others can write" 'others than root' load -p "$roots" "$T/p.so"
rm "$T/keys/release.pub"
cp "$T/other.pub" "$T/keys/"
policy "keys $T/keys" 'allow root signed by 0000000000000000'
minisign -S -s "$T/other.key" -m "$T/p.so" >/dev/null
denied "trusted, but not for this" 'signed by another key' load -p "$roots" "$T/p.so"

end_service "$alices"
end_service "$roots"
