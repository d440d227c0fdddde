#!/usr/bin/env python3
"""Ten thousand published ports: what they take, how soon they are there and gone, and that nobody
notices when the proxy is replaced or killed meanwhile.

    tests/e2e/test_ports.py [-v]            as CTest runs it
    tests/e2e/test_ports.py --measure       prints a table instead
"""
import json
import os
import pathlib
import signal
import sys
import time

import harness
import network_lab
from harness import wait_until

ALICE, BOB = "203.0.113.2", "203.0.113.3"
FIRST, COUNT = 20000, 10000

# Listens on what it is told by its standard input ("+FIRST COUNT", "-FIRST COUNT"), and says since
# when, by the clock that is the same inside and outside. Answers each connection by its port.
SERVER = """
import resource, selectors, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
listeners, chosen = {}, selectors.DefaultSelector()
chosen.register(0, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        if key.fd == 0:
            line = sys.stdin.readline()
            if not line:
                sys.exit()
            first, count = map(int, line[1:].split())
            for port in range(first, first + count):
                if line[0] == "+":
                    s = listeners[port] = socket.socket()
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("0.0.0.0", port))
                    s.listen(128)
                    chosen.register(s, selectors.EVENT_READ)
                else:
                    chosen.unregister(listeners[port])
                    listeners.pop(port).close()
            print(time.clock_gettime(time.CLOCK_REALTIME), flush=True)
        else:
            client, _ = key.fileobj.accept()
            client.sendall(b"%d" % client.getsockname()[1])
            client.close()
"""


def kilobytes(pid, what="Private_Dirty"):
    """Of a process, by smaps_rollup."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(what + ":")).split()[1])


def kernel_kilobytes():
    """What the kernel has in slabs that cannot be given back: sockets, files, epoll items."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SUnreclaim:"):
            return int(line.split()[1])
    return 0


class ManyPorts(network_lab.NetworkTest):
    def start(self, name, ip, *options):
        self.launch(name, ip, *options)
        process = self.pipe_inside(name, SERVER)

        def say(line):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return float(process.stdout.readline())
        return say

    def parts(self, name):
        """Its proxy and its supervisor."""
        found = {}
        for pid in self.bailey.processes():
            try:
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                text = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                continue
            if text == "bailey-netproxy":
                found["proxy"] = pid
            elif text.startswith("bailey-supervis") and f"/tenants/{name}".encode() in b" ".join(command):
                found["supervisor"] = pid
        return found

    def count(self, name):
        return self.bailey.metric("bailey_tenant_net_published_ports", tenant=name)

    def serves(self, ip, port):
        return self.lab.outside.get(ip, port)[0]

    def test_ten_thousand_take_no_more_than_one(self):
        say = self.start("alice", ALICE)
        say("+80 1")
        wait_until(lambda: self.count("alice") == 1, "one is published")
        parts = self.parts("alice")
        self.assertEqual(len(parts), 2)
        time.sleep(1)
        one = {part: kilobytes(pid) for part, pid in parts.items()}
        fds = {part: len(os.listdir(f"/proc/{pid}/fd")) for part, pid in parts.items()}
        say(f"+{FIRST} {COUNT}")
        wait_until(lambda: self.count("alice") == COUNT + 1, "all are published")
        time.sleep(1)
        for part, pid in parts.items():
            many = kilobytes(pid)
            if "libasan" not in pathlib.Path(f"/proc/{pid}/maps").read_text():  # keeps what is freed
                self.assertLess(many, one[part] * 1.5, f"{part}: {one[part]} KiB with one")
            self.assertLess(len(os.listdir(f"/proc/{pid}/fd")), fds[part] + 100)
        self.assertLess(len(self.lab.host.listeners(ALICE)), 50)
        # All of them are there, and only they; the API tells them as what they are.
        for port in (80, *range(FIRST, FIRST + COUNT, 499), FIRST + COUNT - 1):
            self.assertEqual(self.serves(ALICE, port), str(port))
        self.assertEqual(self.serves(ALICE, FIRST + COUNT), "ECONNREFUSED")
        self.assertEqual(self.bailey.show("alice")["published"],
                         [80, f"{FIRST}-{FIRST + COUNT - 1}"])
        # Another tenant gets through to such a port, too: it is a tenant's.
        self.launch("bob", BOB)
        script = ("import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), "
                  "10); print(s.recv(9).decode())")
        done = self.bailey.exec("bob", "python3", "-c", script, ALICE, FIRST + 5000)
        self.assertEqual(done.out, f"{FIRST + 5000}\n", done.err)
        self.bailey.ok("rm", "--force", "bob")
        # A killed proxy finds them again, and so does one that takes over; both withdraw what has
        # gone meanwhile.
        os.kill(parts["proxy"], signal.SIGKILL)
        say(f"-{FIRST} 100")
        for port in range(FIRST + 100, FIRST + COUNT, 997):
            self.assertEqual(self.serves(ALICE, port), str(port))
        wait_until(lambda: self.count("alice") == COUNT + 1 - 100, "those that went are withdrawn")
        self.bailey.ok("restart", "--server", "net", "alice")
        self.assertEqual(self.serves(ALICE, FIRST), "ECONNREFUSED")
        self.assertEqual(self.serves(ALICE, FIRST + 100), str(FIRST + 100))
        say(f"-{FIRST + 100} {COUNT - 100}")
        wait_until(lambda: self.count("alice") == 1, "all but one are withdrawn")
        self.assertEqual(self.serves(ALICE, FIRST + COUNT - 1), "ECONNREFUSED")
        self.assertEqual(self.serves(ALICE, 80), "80")
        self.bailey.ok("rm", "--force", "alice")
        self.assertNothingLeft()

    def test_a_port_is_there_and_gone_at_once(self):
        """By the clock; 50 ms on an idle machine (docs/BENCHMARKS.md)."""
        say = self.start("alice", ALICE)
        say("+20000 100")  # so that those below are of the shared listener, too
        wait_until(lambda: self.count("alice") == 100, "100 are published")
        for port in (80, 30000):
            for sign, wanted in (("+", str(port)), ("-", "ECONNREFUSED")):
                self.assertLess(self.delay(say, sign, port, wanted), 2)
        self.bailey.ok("set", "alice", "network.publish=20000-20049")
        wait_until(lambda: self.count("alice") == 50, "the spec has only 50 of them")
        self.assertEqual(self.serves(ALICE, 20049), "20049")
        self.assertEqual(self.serves(ALICE, 20050), "ECONNREFUSED")
        self.bailey.ok("set", "alice", "network.publish=20000-20099")
        wait_until(lambda: self.count("alice") == 100, "and all again")
        self.assertEqual(self.serves(ALICE, 20050), "20050")

    def delay(self, say, sign, port, wanted):
        """Seconds from listen(2), or close(2), until the world outside sees it."""
        since = say(f"{sign}{port} 1")
        wait_until(lambda: self.serves(ALICE, port) == wanted, f"{sign}{port}")
        return time.time() - since

    def test_a_port_of_the_hosts_is_refused_and_served_by_the_host(self):
        """A clash on the wildcard, beyond the ports that have sockets of their own."""
        taken = network_lab.Server(self.lab.host, "0.0.0.0", 30000, "the host's\n")
        say = self.start("alice", ALICE)
        say("+20000 100")
        say("+30000 2")
        wait_until(lambda: self.count("alice") == 101, "30001 is published, 30000 is not")
        self.assertEqual(self.serves(ALICE, 30000), "the host's\n")
        self.assertEqual(self.serves(ALICE, 30001), "30001")
        self.assertIn("30000", self.bailey.logs())
        taken.close()
        wait_until(lambda: self.serves(ALICE, 30000) == "30000", "it is asked for again")

    def test_on_an_address_of_the_hosts_each_port_has_a_socket_unless_the_spec_lists_it(self):
        self.lab.host.run("ip", "addr", "add", f"{ALICE}/32", "dev", network_lab.INTERFACE)
        self.addCleanup(self.lab.host.run, "ip", "addr", "del", f"{ALICE}/32", "dev",
                        network_lab.INTERFACE)
        say = self.start("alice", ALICE)
        say("+20000 100")
        wait_until(lambda: self.count("alice") == 100, "100 are published")
        self.assertEqual(len(self.lab.host.listeners(ALICE)), 100)
        self.bailey.ok("rm", "--force", "alice")
        say = self.start("alice", ALICE, "--publish", "20000-20999")
        say("+20000 100")
        wait_until(lambda: self.count("alice") == 100, "100 are published")
        self.assertLess(len(self.lab.host.listeners(ALICE)), 50)


class Measured(ManyPorts):
    """--measure: the figures of docs/BENCHMARKS.md."""

    def runTest(self):
        say = self.start("alice", ALICE)
        table = []
        for already, ports in ((0, 1), (1, COUNT)):
            before = kernel_kilobytes()
            began = time.time()
            listening = say(f"+{FIRST + already} {ports}")
            wait_until(lambda: self.count("alice") == already + ports, "published")
            published = time.time()
            time.sleep(2)
            parts = self.parts("alice")
            table.append({"ports": already + ports,
                          "proxy KiB": kilobytes(parts["proxy"]),
                          "supervisor KiB": kilobytes(parts["supervisor"]),
                          "proxy descriptors": len(os.listdir(f"/proc/{parts['proxy']}/fd")),
                          "kernel KiB more, the tenant's own sockets included":
                              kernel_kilobytes() - before,
                          "listening after ms": round((listening - began) * 1000),
                          "seen by the metrics page after ms": round((published - listening) * 1000)})
        print(json.dumps(table, indent=1))
        for sign, wanted in (("+", "40000"), ("-", "ECONNREFUSED")):
            delays = []
            for _ in range(20):
                if sign == "-":
                    self.delay(say, "+", 40000, "40000")
                delays.append(self.delay(say, sign, 40000, wanted) * 1000)
                if sign == "+":
                    say("-40000 1")
                    wait_until(lambda: self.serves(ALICE, 40000) == "ECONNREFUSED", "gone")
            print(f"{sign}: ms until seen from outside: median {sorted(delays)[10]:.1f}, "
                  f"worst {max(delays):.1f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        suite = Measured
        suite.setUpClass()
        case = suite("runTest")
        case.setUp()
        try:
            case.runTest()
        finally:
            case.doCleanups()
            suite.doClassCleanups()
    else:
        import unittest
        del Measured
        unittest.main()
