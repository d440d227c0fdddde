#!/usr/bin/env python3
"""The network of tenants while things go wrong: the proxy is killed again and again, the world
outside delays, loses and reorders packets, and strangers flood a port.

    tests/e2e/test_chaos.py [-v]             short, as CTest runs it
    tests/e2e/test_chaos.py --seconds 60     each of them for about so long
"""
import contextlib
import json
import os
import pathlib
import signal
import sys
import time
import unittest

import network_lab
from harness import wait_until
from network_lab import FAR, INTERFACE, OUTSIDE

ALICE, BOB = "203.0.113.2", "203.0.113.3"
SECONDS = 5

# Connects again and again, says a line, wants it back; prints what became of each as JSON.
DIALER = """
import collections, errno, json, socket, sys, time
print("ready", flush=True)
what, end = collections.Counter(), time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    with socket.socket() as s:
        s.settimeout(60)
        try:
            s.connect((sys.argv[1], int(sys.argv[2])))
        except OSError as failed:
            what["connect " + errno.errorcode.get(failed.errno, "timeout")] += 1
            continue
        try:
            s.sendall(b"hello")
            s.shutdown(socket.SHUT_WR)
            got = s.recv(100)
            what["answered" if got == b"hello" else "ended"] += 1
        except TimeoutError:
            what["hangs"] += 1
        except OSError as failed:
            what["ended"] += 1
print(json.dumps(what), flush=True)
"""
ECHO = """
import socket, sys, threading
server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1000)
print("ready", flush=True)
def serve(client):
    try:
        data = bytearray()
        while chunk := client.recv(1 << 16):
            data += chunk
        client.sendall(data)
    except OSError:
        pass
    client.close()
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""
# A bridge between the interfaces left and right that is worse than a wire. Bounded: a thousand frames wait.
BRIDGE = """
import heapq, random, select, socket, sys, time
delay, loss, reorder = map(float, sys.argv[1:])
ends = []
for name in ("left", "right"):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((name, 0))
    ends.append(s)
print("ready", flush=True)
waiting, number = [], 0
while True:
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, _, to, frame = heapq.heappop(waiting)
        try:
            to.send(frame)
        except OSError:
            pass
    ready, _, _ = select.select(ends, [], [], max(0, waiting[0][0] - now) if waiting else None)
    for s in ready:
        for _ in range(64):
            try:
                frame, (_, _, kind, _, _) = s.recvfrom(70000, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            # ARP and neighbour discovery are left alone: it is TCP and UDP that are tried.
            plain = frame[12:14] == b"\\x08\\x06" or frame[20:21] == b"\\x3a"
            if kind == 4 or len(waiting) > 1000 or (not plain and random.random() < loss):
                continue  # 4: sent by ourselves
            late = 0 if plain else delay * (0.2 if random.random() < reorder else 1)
            number += 1
            heapq.heappush(waiting, (time.monotonic() + late, number, ends[1 - ends.index(s)], frame))
"""
# SYNs from ever other addresses, so many a second; says how many there were.
FLOOD = """
import os, socket, struct, sys, time
target, port, seconds, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def packet(n):
    source = bytes([198, 51, 100, 10 + n % 200])
    to = socket.inet_aton(target)
    tcp = struct.pack("!HHIIBBHHH", 1024 + n * 7 % 60000, port, n * 1009, 0, 0x50, 2, 65535, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(source + to + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
    return struct.pack("!BBHHHBBH", 0x45, 0, 40, n & 0xffff, 0, 64, 6, 0) + source + to + tcp
packets = [packet(n) for n in range(20000)]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
print("ready", flush=True)
began, sent = time.monotonic(), 0
while (now := time.monotonic()) - began < seconds:
    for _ in range(min(500, int((now - began) * rate) - sent)):
        try:
            raw.sendto(packets[sent % len(packets)], (target, 0))
        except OSError:
            pass
        sent += 1
print(sent / seconds, flush=True)
"""


class Chaos(network_lab.NetworkTest):
    def proxies(self):
        found = set()
        for pid in self.bailey.processes():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "bailey-netproxy":
                    found.add(pid)
        return found

    def published(self, name, port):
        wait_until(lambda: port in self.bailey.show(name)["published"], f"{port} is published")

    def outside_python(self, script, *args):
        return self.lab.outside.spawn(self, "python3", "-c", script, *map(str, args))

    def test_the_proxy_is_killed_every_second(self):
        """Nobody is refused; what went over a proxy that died ends, and does not hang."""
        echo = network_lab.Echo(self.lab.outside, OUTSIDE, 7000)
        self.addCleanup(echo.close)
        self.launch("alice", ALICE)
        self.pipe_inside("alice", ECHO, "80")
        self.published("alice", 80)
        dialers = [self.outside_python(DIALER, ALICE, 80, SECONDS) for _ in range(3)]
        dialers += [self.pipe_inside("alice", DIALER, OUTSIDE, "7000", str(SECONDS))
                    for _ in range(2)]
        killed, end = 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            for pid in self.proxies():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            time.sleep(1)
        for dialer in dialers:
            what = json.loads(dialer.stdout.readline())
            self.assertGreater(what.pop("answered", 0), 0)
            self.assertEqual(set(what) - {"ended"}, set(), what)
        self.assertGreater(killed, 1)
        self.assertEqual(self.lab.outside.get(ALICE, 81)[0], "ECONNREFUSED")

    def test_a_syn_flood(self):
        """A hundred thousand a second, as far as this machine can send them: whoever means it is
        served all the while, and nothing is left of the rest."""
        self.launch("alice", ALICE)
        self.pipe_inside("alice", ECHO, "80")
        self.published("alice", 80)
        flood = self.outside_python(FLOOD, ALICE, 80, SECONDS, 100000)
        good = self.outside_python(DIALER, ALICE, 80, SECONDS - 1)
        what = json.loads(good.stdout.readline())
        rate = float(flood.stdout.readline())
        self.assertGreater(what.pop("answered", 0), 5, f"at {rate:.0f} SYNs/s")
        self.assertEqual(what, {}, f"at {rate:.0f} SYNs/s")
        print(f"{rate:.0f} SYNs/s", file=sys.stderr)
        self.assertEqual(self.bailey.show("alice")["network"]["openConnections"], 0)
        self.assertEqual(len(self.proxies()), 1)


class BadWires(network_lab.NetworkTest):
    """20 ms of delay, 2 % of loss and 20 % of the packets overtaking others, each way."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.wires = cls.lab.impair(BRIDGE, 0.02, 0.02, 0.2)
        cls.addClassCleanup(cls.wires.close)

    def test_everything_arrives_as_it_was_sent(self):
        size = 200_000 * SECONDS
        echo = network_lab.Echo(self.lab.outside, OUTSIDE, 7000)
        self.addCleanup(echo.close)
        names = network_lab.NameServer(self.lab.outside, OUTSIDE, {"www.far.example": FAR})
        self.addCleanup(names.close)
        self.launch("alice", ALICE)
        self.pipe_inside("alice", ECHO, "80")
        wait_until(lambda: 80 in self.bailey.show("alice")["published"], "80 is published")
        script = ("import os, socket, sys, threading\n"
                  "data = os.urandom(int(sys.argv[3]))\n"
                  "with socket.create_connection((sys.argv[1], int(sys.argv[2])), 60) as s:\n"
                  " s.sendall(data); s.shutdown(socket.SHUT_WR); back = bytearray()\n"
                  " while chunk := s.recv(65536): back += chunk\n"
                  "print('the same' if back == data else f'{len(back)} of {len(data)}')\n")
        out = self.bailey.exec("alice", "python3", "-c", script, OUTSIDE, 7000, size)
        self.assertEqual(out.out, "the same\n", out.err)
        into = self.lab.outside.run("python3", "-c", script, ALICE, "80", str(size))
        self.assertEqual(into, "the same\n")
        refused = self.bailey.exec("alice", "python3", "-c", script, OUTSIDE, 7999, 1)
        self.assertIn("ConnectionRefusedError", refused.err)
        self.assertEqual(self.lab.outside.get(ALICE, 81)[0], "ECONNREFUSED")
        for _ in range(10):
            found = self.bailey.exec("alice", "getent", "ahostsv4", "www.far.example")
            self.assertIn(FAR, found.out)


if __name__ == "__main__":
    if "--seconds" in sys.argv:
        at = sys.argv.index("--seconds")
        SECONDS = float(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main()
