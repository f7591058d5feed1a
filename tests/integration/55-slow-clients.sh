#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Clients that are slow, endless or many: each of the limits that hpd(8) names cuts them off, and
# nobody else notices.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

start_hpd
# Results, a line each, from the program below.
n=0
while IFS= read -r line; do
	n=$((n + 1))
	case $line in
	'ok '*) ok "${line#ok }" ;;
	*) not_ok "${line#not ok }" "$(tail -n 20 "$T/slow.err")" ;;
	esac
done < <(python3 - "$T/hpd.sock" docs/man/hpd.8 "$PATIENCE" 2>"$T/slow.err" <<'END'
import re, resource, socket, sys, threading, time

path, manual, patience = sys.argv[1], open(sys.argv[2]).read(), float(sys.argv[3])
limits = " ".join(re.search(r"^Limits: (.*?)\.\nWho", manual, re.M | re.S)[1].split())

def limit(unit):
    found = re.search(r"([0-9,]+) " + unit, limits)
    if not found:
        sys.exit(f"hpd(8) names no limit of '{unit}': {limits}")
    return int(found[1].replace(",", ""))

seconds = limit("seconds for a request")

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(seconds + patience)
    return s

def answer(s):
    """The status of what comes up to the end of the connection; 0: it is closed without."""
    got = b""
    try:
        while data := s.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    except socket.timeout:
        return "not cut off"
    return int(got.split()[1]) if got.startswith(b"HTTP/1.1 ") else 0

def result(name, got, wanted):
    # one write: a line stays whole beside those of other threads
    sys.stdout.write(f"{'ok' if got in wanted else 'not ok'} {name}: {got}\n")
    sys.stdout.flush()

def sends(data):
    def client():
        s = connect()
        try:
            s.sendall(data)
        except BrokenPipeError:
            pass
        return answer(s)
    return client

def drips(head, byte):
    """A byte a second, without an end: what is sent is never late, the whole is."""
    def client():
        s = connect()
        s.sendall(head)
        s.settimeout(1)
        for _ in range(seconds + int(patience)):
            try:
                s.sendall(byte)
                if s.recv(1, socket.MSG_PEEK) is not None:
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        else:
            return "not cut off"
        return answer(s)
    return client

def endless_body():
    """Chunks, as fast as they are taken."""
    s = connect()
    s.sendall(b"POST /hp/v2/load HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        for _ in range(100000):
            s.sendall(b"1000\r\n" + 4096 * b" " + b"\r\n")
        return "not cut off"
    except OSError:
        return answer(s)

def deaf():
    """Asks again and again and never reads."""
    s = connect()
    s.settimeout(seconds + patience)
    try:
        for _ in range(100000):
            s.sendall(b"GET /hp/v2/status HTTP/1.1\r\nHost: h\r\n\r\n")
        return "not cut off"
    except socket.timeout:
        return "not cut off"
    except OSError:
        return 0

def headers(n):
    return b"GET /hp/v2/health HTTP/1.1\r\n" + b"".join(b"H%d: v\r\n" % i for i in range(n - 1)) + b"Connection: close\r\n\r\n"

get = b"GET /hp/v2/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
kb, mb = limit("KB of headers") * 1024, limit("MB") << 20
todo = [
    ("half a request line, then silence", sends(b"GET /hp"), {408}),
    ("headers without an end, then silence", sends(get), {408}),
    ("headers, a byte a second", drips(get + b"X: ", b"x"), {408}),
    ("a body, a byte a second", drips(b"POST /hp/v2/load HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", b" "), {408}),
    ("a body that is announced too large", sends(b"POST /hp/v2/load HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (mb + 1)), {413}),
    ("a body without an end", endless_body, {413, 0}),
    ("a header too long", sends(get + b"X: " + kb * b"x"), {431}),
    (f"{limit('headers')} headers", sends(headers(limit("headers"))), {200}),
    ("one more", sends(headers(limit("headers") + 1)), {431}),
    ("a URL too long", sends(b"GET /" + 8192 * b"x" + b" HTTP/1.1\r\n\r\n"), {414}),
    ("answers that are never read", deaf, {0}),
]
threads = []
for name, client, wanted in todo:
    def run(name=name, client=client, wanted=wanted):
        result(name, client(), wanted)
    threads.append(threading.Thread(target=run))
    threads[-1].start()

# Meanwhile somebody else is answered every time.
asked = wrong = 0
while any(t.is_alive() for t in threads):
    asked += 1
    wrong += sends(get + b"\r\n")() != 200
    time.sleep(0.02)
result("somebody else is answered meanwhile", (asked > 20, wrong), {(True, 0)})

# As many clients as it says are held, and one more is not.
resource.setrlimit(resource.RLIMIT_NOFILE, 2 * [resource.getrlimit(resource.RLIMIT_NOFILE)[1]])
many = [connect() for _ in range(limit("clients"))]
s = many[-1]
s.sendall(b"GET /hp/v2/health HTTP/1.1\r\nHost: h\r\n\r\n")
result(f"the last of {len(many)} clients is answered", s.recv(12).decode(), {"HTTP/1.1 200"})
s = connect()
try:
    s.sendall(get + b"\r\n")
except BrokenPipeError:
    pass
result("one more is not", answer(s), {0, 503})
for c in many:
    c.close()
END
)
is "every client came to its end" "$n" 14
hp status
is "hpd is as before" "$STATUS" 0
