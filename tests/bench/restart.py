#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/bench/restart.py SOCKET OUT [MOST]: what a restart costs, beside other ways to replace a
server: requests that were lost, and the time from the order until the old process is gone; what it
leaves behind: a filter in the new process, and its supervisor; and how much longer the new one takes
to start where nothing is left behind, because it is traced.  A table on stdout; OUT is an object of
JSON.  With MOST below 1000 there are fewer rounds."""
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

NETSVC = "build/tests/services/netsvc"
NETLOAD = "build/tests/services/netload"
SYSCALLS = "build/tests/bench/syscalls"
CLIENTS = "4"
# Enough for each restart to be under load.
BETWEEN = 200
# Thousands of system calls until it listens.
PYTHON = """
import asyncio, sys
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
LOST = ("refused", "reset", "early_end", "late", "other")


class Program:
    """One that says "ready", and may be asked by lines."""

    def __init__(self, *words, **more):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, **more)
        self.pid = self.process.pid
        self.hear("ready")

    def hear(self, word):
        for line in self.process.stdout:
            if line.startswith(word):
                return line
        raise SystemExit(f"restart.py: {self.process.args} ended before it said '{word}'")

    def verdict(self):
        self.process.stdin.write("verdict\n")
        self.process.stdin.flush()
        return json.loads(self.hear("{"))

    def end(self):
        self.process.terminate()
        self.process.wait()


class Adopted:
    """One that hp has started: no child of ours.  It writes where the one before wrote."""

    def __init__(self, pid, before):
        self.pid = pid
        self.before = before

    def end(self):
        pidfd = os.pidfd_open(self.pid)
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        select.select([pidfd], [], [])
        os.close(pidfd)


def stop_start(old, start):
    old.end()
    return start()


def overlap(old, start):
    new = start()
    old.end()
    return new


class ByHp:
    def __init__(self, hpd, *options):
        self.hpd = hpd
        self.options = options
        self.ready_ms = 0

    def __call__(self, old, _):
        answer = subprocess.run(["build/hpctl", "--socket", self.hpd, "restart", "--json", "--wait",
                                 "--ready-timeout", "80s", *self.options, str(old.pid)],
                                stdout=subprocess.PIPE, text=True, check=True)
        answer = json.loads(answer.stdout)
        self.ready_ms = answer["ready_ns"] / 1e6
        return Adopted(answer["pid"], old)


def load_until(client, more):
    begin = client.verdict()["answered"]
    while client.verdict()["answered"] < begin + more:
        time.sleep(0.01)


def switch(name, replace, start, address, rounds):
    """Rounds of replacements under load."""
    server, times = start(), []
    client = Program(NETLOAD, address, CLIENTS)
    for _ in range(rounds):
        load_until(client, BETWEEN)
        began = time.monotonic()
        server = replace(server, start)
        times.append((time.monotonic() - began) * 1e3)
    load_until(client, BETWEEN)
    end = client.verdict()
    client.end()
    server.end()
    times.sort()
    row = {"way": name, "restarts": rounds, "answered": end["answered"],
           "lost": {key: end[key] for key in LOST}, "ms": times[rounds // 2], "ms_most": times[-1]}
    print(f"{name:<24} {rounds:8d} {row['answered']:9d} {sum(row['lost'].values()):6d} "
          f"{row['ms']:9.1f} {row['ms_most']:9.1f}", flush=True)
    return row


def free_port():
    """Below those that the kernel gives away."""
    for port in range(20000 + os.getpid() % 10000, 32000):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)):
                return port
    raise SystemExit("restart.py: every port is taken")


def measure_switches(by_hp, traced, rounds):
    port = free_port()
    address = f"tcp:127.0.0.1:{port}"
    print(f"\n{'a restart by':<24} {'restarts':>8} {'requests':>9} {'lost':>6} {'ms':>9} {'at most':>9}")
    threads = lambda: Program(NETSVC, "threads", address)
    rows = [switch("stop, then start", stop_start, threads, address, rounds),
            switch("SO_REUSEPORT overlap", overlap, lambda: Program(NETSVC, "reuseport", address),
                   address, rounds)]
    with socket.create_server(("127.0.0.1", port), backlog=1024) as s:
        inherits = lambda: Program(NETSVC, "threads", f"inherit={s.fileno()}", address,
                                   pass_fds=[s.fileno()])
        rows.append(switch("inherited descriptor", overlap, inherits, address, rounds))
    rows.append(switch("hpctl restart", by_hp, threads, address, rounds))
    rows.append(switch("… --no-residue", traced, threads, address, rounds))
    return rows


def ask_costs(port):
    with socket.create_connection(("127.0.0.1", port)) as s, s.makefile() as answer:
        return json.loads(answer.read())


def supervisor_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def measure_residue(by_hp):
    port = free_port()
    server = Program(SYSCALLS, str(port))
    before = ask_costs(port)
    server = by_hp(server, None)
    after = ask_costs(port)
    kb = private_kb(supervisor_of(server.pid))
    server.end()
    print(f"\n{'ns a system call':<24} {'before':>8} {'restarted':>9} {'more':>6}")
    for call, ns in before.items():
        print(f"{call:<24} {ns:8.1f} {after[call]:9.1f} {after[call] - ns:6.1f}")
    print(f"\nthe supervisor's own memory: {kb} kB")
    return {"ns_before": before, "ns_restarted": after, "supervisor_kb": kb}


def starts(name, words, ways, rounds):
    """Without a load; each way in turn, for the machine changes."""
    server = Program(*words)
    times = {way: [] for way in ways}
    for _ in range(rounds):
        for way, replace in ways.items():
            server = replace(server, None)
            times[way].append(replace.ready_ms)
    server.end()
    row = {"server": name} | {way: sorted(ms)[rounds // 2] for way, ms in times.items()}
    print(f"{name:<24} {row['filter']:12.1f} {row['traced']:12.1f}", flush=True)
    return row


def measure_starts(by_hp, traced, rounds):
    ways = {"filter": by_hp, "traced": traced}
    port = str(free_port())
    print(f"\n{'ready in, ms, idle':<24} {'by a filter':>12} {'--no-residue':>12}")
    return [starts("netsvc", [NETSVC, "threads", f"tcp:127.0.0.1:{port}"], ways, rounds),
            starts("Python, asyncio", [sys.executable, "-c", PYTHON, port], ways, rounds)]


def main():
    hpd, out, most = sys.argv[1], sys.argv[2], int((sys.argv + ["1000"])[3])
    by_hp, traced = ByHp(hpd), ByHp(hpd, "--no-residue")
    rounds = 20 if most >= 1000 else 5
    result = {"switches": measure_switches(by_hp, traced, rounds),
              "starts": measure_starts(by_hp, traced, rounds),
              "residue": measure_residue(by_hp)}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
