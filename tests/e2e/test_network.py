#!/usr/bin/env python3
"""Exactly one IP, told from outside: where a tenant's connections come from, where they may go,
what is published, and what becomes of the address on the host."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess

import harness
import network_lab
from harness import wait_until
from network_lab import FAR, HOST, HOST6, INTERFACE, OUTSIDE, OUTSIDE6

ALICE, BOB, CAROL = "203.0.113.2", "203.0.113.3", "203.0.113.4"
ALICE6 = "2001:db8:7::2"

# Tries a list of [family, type, address, port, how] inside, and says what became of each.
PROBE = """
import errno, json, socket, sys
def attempt(family, kind, address, port, how):
    with socket.socket(getattr(socket, family), getattr(socket, kind)) as s:
        s.settimeout(15)
        try:
            if how == "bind":
                s.bind((address, port))
                return "bound"
            if how == "freebind":
                s.setsockopt(socket.SOL_IP, 15, 1)
                s.bind((address, port))
                s.connect(("%(far)s", 7000))
                return "bound to " + s.getsockname()[0]
            if how == "transparent":
                s.setsockopt(socket.SOL_IP, 19, 1)
                return "set"
            if how == "sendto":
                s.sendto(b"x", (address, port))
                return "sent"
            s.connect((address, port))
            if how == "ask":
                s.send(b"?")
            if how == "send":
                s.send(b"x")
                return "sent"
            return s.recv(100).decode() or "closed"
        except TimeoutError:
            return "timeout"
        except OSError as failed:
            return errno.errorcode.get(failed.errno, str(failed))
print(json.dumps([attempt(*each) for each in json.loads(sys.argv[1])]))
""" % {"far": FAR}

SERVE = """
import socket, sys, time
sockets = []
for place in sys.argv[1:]:
    address, port = place.rsplit(":", 1)
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.listen()
    sockets.append(s)
print("ready", flush=True)
time.sleep(1000)
"""

# Sends megabytes, says that this is all, and wants them back.
BULK = """
import os, socket, sys, threading
data = os.urandom(8 << 20)
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    back = bytearray()
    while chunk := s.recv(1 << 16):
        back += chunk
print("the same" if back == data else f"{len(back)} of {len(data)} bytes")
"""

# Opens so many connections at once, then sees how many of them echo.
MANY = """
import socket, sys
sockets, alive = [], 0
for _ in range(int(sys.argv[3])):
    try:
        sockets.append(socket.create_connection((sys.argv[1], int(sys.argv[2]))))
    except OSError:
        pass
for s in sockets:
    try:
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
        alive += s.recv(1) == b"x"
    except ConnectionError:
        pass
print(alive)
"""


class Network(network_lab.NetworkTest):
    def server(self, *args, **options):
        server = network_lab.Server(*args, **options)
        self.addCleanup(server.close)
        return server

    def attempt(self, name, *attempts):
        done = self.bailey.exec(name, "python3", "-c", PROBE, json.dumps(attempts), check=True)
        return json.loads(done.out)

    def tcp(self, name, address, port):
        return self.attempt(name, ["AF_INET", "SOCK_STREAM", address, port, "connect"])[0]

    def serve(self, name, *places):
        """Listens inside until what is returned is called; returns once it does."""
        return self.run_inside(name, SERVE, *places)

    def refused(self, name, reason):
        return self.bailey.metric("bailey_tenant_net_refused_total", tenant=name, reason=reason)

    # ---- out
    def test_a_server_outside_sees_the_tenants_ip_and_nothing_else(self):
        server = self.server(self.lab.outside, "0.0.0.0", 7000)
        self.launch("alice", ALICE)
        self.launch("bob", BOB)
        for name, address in (("alice", ALICE), ("bob", BOB)):
            for to in (OUTSIDE, FAR):
                server.peers.clear()
                self.assertEqual(self.tcp(name, to, 7000), "hello\n")
                self.assertEqual(server.peers, [address])
        moved = self.bailey.metric("bailey_tenant_net_connections_total", tenant="bob",
                                   direction="out")
        self.assertEqual(moved, 2)
        self.assertEqual(
            self.bailey.metric("bailey_tenant_source_violations_total", tenant="bob"), 0)

    def test_datagrams_come_from_the_tenants_ip_and_their_answers_back(self):
        server = network_lab.DatagramServer(self.lab.outside, OUTSIDE, 7005)
        self.addCleanup(server.close)
        self.launch("bob", BOB)
        self.assertEqual(
            self.attempt("bob", *[["AF_INET", "SOCK_DGRAM", OUTSIDE, 7005, "ask"]] * 3),
            ["hello\n"] * 3)
        self.assertEqual(server.peers, [BOB] * 3)
        self.assertEqual(self.bailey.metric("bailey_tenant_net_datagrams_total", tenant="bob",
                                            direction="out"), 3)

    def test_nothing_that_is_not_meant_for_tenants_is_reached(self):
        loopback = self.server(self.lab.host, "127.0.0.1", 7001)
        everywhere = self.server(self.lab.host, "0.0.0.0", 7002)
        mail = self.server(self.lab.outside, "0.0.0.0", 25)
        self.launch("alice", ALICE)
        self.launch("bob", BOB)
        self.serve("alice", "127.0.0.1:8001")
        rows = [  # what inside, and the reason that is counted (None: the kernel's own refusal)
            (["AF_INET", "SOCK_STREAM", "127.0.0.1", 7001, "connect"], "ECONNREFUSED", None),
            (["AF_INET", "SOCK_STREAM", "0.0.0.0", 7002, "connect"], "ECONNREFUSED", None),
            (["AF_INET6", "SOCK_STREAM", "::1", 7002, "connect"], "ECONNREFUSED", None),
            (["AF_INET", "SOCK_STREAM", HOST, 7002, "connect"], "EACCES", "host"),
            (["AF_INET6", "SOCK_STREAM", f"::ffff:{HOST}", 7002, "connect"], "EACCES", "host"),
            (["AF_INET", "SOCK_DGRAM", HOST, 7002, "sendto"], "EACCES", "host"),
            (["AF_INET", "SOCK_STREAM", "169.254.169.254", 80, "connect"], "EACCES", "link_local"),
            (["AF_INET6", "SOCK_STREAM", "::ffff:169.254.169.254", 80, "connect"], "EACCES",
             "link_local"),
            (["AF_INET", "SOCK_DGRAM", "169.254.169.254", 53, "send"], "EACCES", "link_local"),
            (["AF_INET", "SOCK_STREAM", "169.254.1.1", 80, "connect"], "EACCES", "link_local"),
            (["AF_INET", "SOCK_STREAM", "10.0.0.1", 80, "connect"], "EACCES", "private"),
            (["AF_INET", "SOCK_DGRAM", "10.0.0.1", 53, "sendto"], "EACCES", "private"),
            (["AF_INET", "SOCK_STREAM", "172.16.0.1", 80, "connect"], "EACCES", "private"),
            (["AF_INET", "SOCK_STREAM", "192.168.1.1", 80, "connect"], "EACCES", "private"),
            (["AF_INET", "SOCK_STREAM", "100.64.0.1", 80, "connect"], "EACCES", "private"),
            (["AF_INET", "SOCK_DGRAM", "224.0.0.1", 5353, "sendto"], "EACCES", "multicast"),
            (["AF_INET", "SOCK_STREAM", OUTSIDE, 25, "connect"], "EACCES", "port"),
            (["AF_INET6", "SOCK_STREAM", "fe80::1", 80, "connect"], "EACCES", "link_local"),
            (["AF_INET6", "SOCK_STREAM", "fd00::1", 80, "connect"], "EACCES", "private"),
        ]
        for attempt, wanted, reason in rows:
            with self.subTest(attempt):
                before = self.refused("bob", reason) if reason else None
                self.assertEqual(self.attempt("bob", attempt), [wanted])
                if reason:
                    wait_until(lambda: self.refused("bob", reason) > before,
                               f"{attempt} is counted as {reason}", 10)
        self.assertEqual(loopback.peers + everywhere.peers + mail.peers, [])
        self.assertGreater(
            self.bailey.metric("bailey_tenant_denials_total", tenant="bob", layer="net"), 10)

    def test_another_tenant_is_reached_where_it_publishes_only(self):
        everywhere = self.server(self.lab.host, "0.0.0.0", 7002)
        self.launch("alice", ALICE, "--publish", "8000")
        self.launch("bob", BOB)
        self.serve("alice", "0.0.0.0:8000", "0.0.0.0:8001", "127.0.0.1:8002")
        wait_until(lambda: self.lab.host.listeners(ALICE) == [8000], "8000 alone is published")
        self.assertEqual(self.attempt("bob", ["AF_INET", "SOCK_STREAM", ALICE, 8000, "send"]),
                         ["sent"])
        for port in (8001, 8002, 7002):  # kept back; loopback; a host's service on the wildcard
            before = self.refused("bob", "tenant")
            self.assertEqual(self.tcp("bob", ALICE, port), "EHOSTUNREACH")  # filtered, by ICMP
            wait_until(lambda: self.refused("bob", "tenant") > before, "it is counted", 10)
        self.assertEqual(everywhere.peers, [])
        # The other way round, too: who was there first knows who came later.
        self.serve("bob", "0.0.0.0:8000")
        wait_until(lambda: self.lab.host.listeners(BOB) == [8000], "bob's 8000 is published")
        self.assertEqual(self.attempt("alice", ["AF_INET", "SOCK_STREAM", BOB, 8000, "send"]),
                         ["sent"])
        self.assertEqual(self.tcp("alice", BOB, 7002), "EHOSTUNREACH")
        self.assertEqual(everywhere.peers, [])

    def test_a_second_address_can_be_neither_bound_nor_faked(self):
        server = self.server(self.lab.outside, "0.0.0.0", 7000)
        self.launch("bob", BOB)
        before = self.refused("bob", "bind")
        for address in (ALICE, HOST, OUTSIDE, "8.8.8.8"):
            for kind in ("SOCK_STREAM", "SOCK_DGRAM"):
                self.assertEqual(self.attempt("bob", ["AF_INET", kind, address, 7000, "bind"]),
                                 ["EADDRNOTAVAIL"])
        self.assertEqual(
            self.attempt("bob", ["AF_INET6", "SOCK_STREAM", f"::ffff:{ALICE}", 7000, "bind"]),
            ["EADDRNOTAVAIL"])
        wait_until(lambda: self.refused("bob", "bind") >= before + 9, "each is counted", 10)
        self.assertEqual(self.attempt("bob", ["AF_INET", "SOCK_STREAM", BOB, 7000, "bind"],
                                      ["AF_INET", "SOCK_STREAM", "0.0.0.0", 7000, "bind"],
                                      ["AF_INET", "SOCK_STREAM", "127.0.0.1", 7000, "bind"]),
                         ["bound"] * 3)
        outcome = self.attempt("bob", ["AF_INET", "SOCK_STREAM", ALICE, 0, "freebind"],
                               ["AF_INET", "SOCK_STREAM", ALICE, 0, "transparent"])
        self.assertEqual(outcome[1], "EPERM")
        self.assertNotEqual(outcome[0], f"bound to {ALICE}")
        self.assertEqual([peer for peer in server.peers if peer != BOB], [])

    def test_rules_of_the_spec_open_and_close(self):
        self.lab.outside.run("ip", "addr", "replace", "10.9.0.5/32", "dev", "eth0")
        server = self.server(self.lab.outside, "0.0.0.0", 7000)
        self.server(self.lab.outside, "0.0.0.0", 7003)
        self.launch("bob", BOB)
        self.assertEqual(self.tcp("bob", "10.9.0.5", 7000), "EACCES")
        self.bailey.ok("set", "bob", 'network.egress.allow=["10.9.0.5:7000"]',
                       f'network.egress.deny=["{FAR}"]')
        wait_until(lambda: self.tcp("bob", "10.9.0.5", 7000) == "hello\n", "the rule holds", 10)
        self.assertEqual(self.tcp("bob", "10.9.0.5", 7003), "EACCES")
        before = self.refused("bob", "rule")
        self.assertEqual(self.tcp("bob", FAR, 7000), "EACCES")
        wait_until(lambda: self.refused("bob", "rule") > before, "it is counted", 10)
        self.bailey.ok("set", "bob", "network.egress.default=deny")
        wait_until(lambda: self.tcp("bob", OUTSIDE, 7000) == "EACCES", "the default holds", 10)
        self.assertEqual(self.tcp("bob", "10.9.0.5", 7000), "hello\n")
        self.assertEqual(set(server.peers), {BOB})

    # ---- the tenant's errors are the network's
    def test_errors_of_the_network_come_through(self):
        self.lab.host.run("ip", "route", "replace", "unreachable", "198.51.100.66")
        self.launch("bob", BOB)
        self.assertEqual(self.attempt("bob", ["AF_INET6", "SOCK_STREAM", "2001:db8::1", 80,
                                              "connect"]), ["ENETUNREACH"])
        self.assertEqual(self.tcp("bob", OUTSIDE, 7999), "ECONNREFUSED")
        self.assertEqual(self.tcp("bob", "198.51.100.66", 80), "EHOSTUNREACH")
        self.assertEqual(self.attempt("bob", ["AF_INET", "SOCK_DGRAM", OUTSIDE, 7999, "ask"]),
                         ["ECONNREFUSED"])
        wait_until(lambda: self.bailey.metric("bailey_tenant_net_upstream_failures_total",
                                              tenant="bob", reason="refused"), "it is counted", 10)

    # ---- names
    def test_names_resolve_inside(self):
        names = network_lab.NameServer(self.lab.outside, OUTSIDE,
                                       {"www.far.example": FAR, "long.far.example": OUTSIDE})
        self.addCleanup(names.close)
        self.server(self.lab.outside, FAR, 7000)
        self.launch("bob", BOB)
        script = ("import socket, sys\n"
                  "for name in sys.argv[1:]:\n"
                  "    try: print(socket.gethostbyname(name))\n"
                  "    except OSError as failed: print(type(failed).__name__, failed.errno)")
        done = self.bailey.exec("bob", "python3", "-c", script, "www.far.example",
                                "long.far.example", "nowhere.example", check=True)
        self.assertEqual(done.out.split("\n")[:2], [FAR, OUTSIDE])
        self.assertIn("gaierror", done.out.split("\n")[2])
        self.assertIn(("tcp", "long.far.example"), names.questions)
        self.assertLessEqual(set(names.peers), {HOST, BOB})
        self.assertEqual(self.tcp("bob", "www.far.example", 7000), "hello\n")
        wait_until(lambda: self.bailey.metric("bailey_tenant_net_dns_queries_total",
                                              tenant="bob") >= 4, "queries are counted", 10)

    def test_names_resolve_in_the_smallest_root(self):
        names = network_lab.NameServer(self.lab.outside, OUTSIDE, {"www.far.example": FAR})
        self.addCleanup(names.close)
        self.bailey.ok("launch", "alice", "--ip", ALICE, "--template", "busybox", "--",
                       "/bin/sleep", "infinity")
        self.assertIn(FAR, self.bailey.exec("alice", "nslookup", "www.far.example").out)

    # ---- in
    def test_the_log_inside_shows_the_clients_own_address(self):
        script = "mkdir -p /srv && echo page >/srv/index.html && exec httpd -f -vv -p 80 -h /srv"
        self.bailey.ok("launch", "alice", "--ip", ALICE, "--template", "busybox", "--",
                       "/bin/sh", "-c", script)
        wait_until(lambda: self.lab.host.listeners(ALICE) == [80], "80 is published")
        page = self.lab.outside.run("curl", "-s", "--noproxy", "*", "--max-time", "10",
                                    "--local-port", "40000-50000", f"http://{ALICE}/")
        self.assertEqual(page, "page\n")
        wait_until(lambda: OUTSIDE in self.bailey.ok("logs", "alice").out, "the client is logged")
        self.lab.outside.run("curl", "-s", "--noproxy", "*", "--interface", FAR,
                             f"http://{ALICE}/")
        wait_until(lambda: FAR in self.bailey.ok("logs", "alice").out, "the other one, too")
        self.assertNotIn(f"{HOST}]", self.bailey.ok("logs", "alice").out)

    def test_what_the_tenant_listens_on_is_published_while_it_does(self):
        self.launch("bob", BOB)
        self.assertEqual(self.lab.host.listeners(BOB), [])
        close = self.serve("bob", "0.0.0.0:8080", f"{BOB}:8081", "127.0.0.1:8082", ":::8083")
        wait_until(lambda: self.lab.host.listeners(BOB) == [8080, 8081, 8083], "three are published")
        self.assertEqual(self.bailey.show("bob")["published"], [8080, 8081, 8083])
        wait_until(lambda: self.bailey.metric("bailey_tenant_net_published_ports",
                                              tenant="bob") == 3, "they are counted")
        self.assertEqual(self.lab.outside.get(BOB, 8082)[0], "ECONNREFUSED")
        close()
        wait_until(lambda: self.lab.host.listeners(BOB) == [], "they are withdrawn")
        self.assertEqual(self.lab.outside.get(BOB, 8080)[0], "ECONNREFUSED")

    # ---- the address
    def test_the_address_is_the_hosts_while_the_tenant_runs(self):
        self.assertNotIn(BOB, self.lab.host.addresses())
        self.launch("bob", BOB)
        shown = self.lab.host.run("ip", "-o", "addr", "show", "dev", INTERFACE)
        self.assertIn(f"{BOB}/32", shown)
        self.bailey.ok("stop", "bob")
        self.assertNotIn(BOB, self.lab.host.addresses())
        self.bailey.ok("start", "bob")
        self.assertIn(BOB, self.lab.host.addresses())
        self.bailey.ok("rm", "--force", "bob")
        self.assertNotIn(BOB, self.lab.host.addresses())
        self.assertIn(HOST, self.lab.host.addresses())

    def test_an_address_that_the_host_has_stays(self):
        self.lab.host.run("ip", "addr", "add", f"{CAROL}/32", "dev", INTERFACE)
        self.addCleanup(self.lab.host.run, "ip", "addr", "del", f"{CAROL}/32", "dev", INTERFACE)
        self.launch("carol", CAROL)
        self.bailey.ok("rm", "--force", "carol")
        self.assertIn(CAROL, self.lab.host.addresses())

    def test_an_address_has_one_holder(self):
        self.launch("bob", BOB)
        done = self.bailey.run("create", "thief", "--ip", BOB, "--template", "host")
        self.assertEqual(done.status, 4, done)
        self.assertIn("bob", done.err)
        self.assertEqual(self.bailey.names(), ["bob"])
        mapped = self.bailey.run("create", "thief", "--ip", f"::ffff:{BOB}", "--template", "host")
        self.assertNotEqual(mapped.status, 0, mapped)

    def test_both_ways_carry_much_and_end_as_they_should(self):
        """Megabytes each way, with half-close: nothing is lost, and the end arrives."""
        echo = network_lab.Echo(self.lab.outside, OUTSIDE, 7004)
        self.addCleanup(echo.close)
        self.launch("bob", BOB)
        done = self.bailey.exec("bob", "python3", "-c", BULK, OUTSIDE, "7004", check=True)
        self.assertEqual(done.out, "the same\n")

    def test_connections_beyond_the_limit_are_refused_and_counted(self):
        echo = network_lab.Echo(self.lab.outside, OUTSIDE, 7004)
        self.addCleanup(echo.close)
        self.launch("bob", BOB)
        many = ["python3", "-c", MANY, OUTSIDE, "7004", "8"]
        self.assertEqual(self.bailey.exec("bob", *many, check=True).out, "8\n")
        self.bailey.ok("set", "bob", "limits.connections=3")
        wait_until(lambda: self.bailey.exec("bob", *many, check=True).out == "3\n", "3 are left", 10)
        self.assertGreaterEqual(self.refused("bob", "limit"), 5)

    def test_a_proxy_that_dies_costs_nobody_a_refusal(self):
        server = self.server(self.lab.outside, "0.0.0.0", 7000)
        script = "mkdir -p /srv && echo page >/srv/index.html && exec httpd -f -p 80 -h /srv"
        self.bailey.ok("launch", "alice", "--ip", ALICE, "--template", "busybox", "--",
                       "/bin/sh", "-c", script)
        self.launch("bob", BOB)
        wait_until(lambda: self.lab.host.listeners(ALICE) == [80], "80 is published")
        for _ in range(3):
            proxies = self.proxies()
            self.assertEqual(len(proxies), 2)
            for pid in proxies:
                os.kill(pid, signal.SIGKILL)
            for _ in range(5):
                self.assertEqual(self.lab.outside.run("curl", "-sS", "--noproxy", "*", "--max-time",
                                                      "20", f"http://{ALICE}/"), "page\n")
            self.assertEqual(self.tcp("bob", OUTSIDE, 7000), "hello\n")
            self.assertEqual(self.tcp("bob", HOST, 7000), "EACCES")
            wait_until(lambda: len(self.proxies() - proxies) == 2, "two new proxies")
        self.assertEqual(set(server.peers), {BOB})

    def proxies(self):
        found = set()
        for pid in self.bailey.processes():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "bailey-netproxy":
                    found.add(pid)
        return found

    # ---- IPv6
    def test_a_tenant_may_have_an_ipv6_address_instead(self):
        server = self.server(self.lab.outside, "::", 7000)
        names = network_lab.NameServer(self.lab.outside, OUTSIDE, {"www.far.example": FAR})
        self.addCleanup(names.close)
        self.launch("alice", ALICE6)
        self.assertIn(ALICE6, self.lab.host.addresses())
        rows = [
            (OUTSIDE6, "hello\n"), ("::1", "ECONNREFUSED"), (HOST6, "EACCES"),
            ("fe80::1", "EACCES"), ("fd00::1", "EACCES"), ("2002:a00:5::1", "EACCES"),
            ("64:ff9b::a00:5", "EACCES"), ("::ffff:10.0.0.5", "EACCES"),
        ]
        outcome = self.attempt("alice", *[["AF_INET6", "SOCK_STREAM", address, 7000, "connect"]
                                          for address, _ in rows])
        self.assertEqual(outcome, [wanted for _, wanted in rows])
        self.assertEqual(server.peers, [ALICE6])
        self.assertEqual(self.tcp("alice", FAR, 7000), "ENETUNREACH")
        self.assertEqual(
            self.attempt("alice", ["AF_INET6", "SOCK_STREAM", OUTSIDE6, 7000, "bind"]),
            ["EADDRNOTAVAIL"])
        resolve = "import socket; print(socket.gethostbyname('www.far.example'))"
        self.assertEqual(self.bailey.exec("alice", "python3", "-c", resolve).out, FAR + "\n")
        self.serve("alice", ":::8080")
        wait_until(lambda: self.lab.host.listeners(ALICE6) == [8080], "8080 is published")
        self.assertEqual(self.lab.outside.get(ALICE6, 8081)[0], "ECONNREFUSED")
        self.bailey.ok("rm", "--force", "alice")
        self.assertNotIn(ALICE6, self.lab.host.addresses())


class WithoutInterface(harness.BaileyTest):
    """A host that lacks the address, and has no interface to put it on."""

    @classmethod
    def setUpClass(cls):
        cls.lab = network_lab.Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.bailey_options = {"netns": cls.lab.host.path}
        super().setUpClass()
        cls.bailey.make_template()

    def test_the_start_is_refused_with_a_hint(self):
        done = self.bailey.run("launch", "bob", "--ip", BOB, "--template", "busybox", "--",
                               "/bin/sleep", "1000")
        self.assertNotEqual(done.status, 0)
        self.assertIn(BOB, done.err)
        self.assertIn("interface", done.err)
        self.assertNotIn(BOB, self.lab.host.addresses())
        self.bailey.run("rm", "--force", "bob")
        self.assertNothingLeft()


class OnTheLoopback(harness.BaileyTest):
    """Tenants in 127/8 of a host as it is: what the quickstart makes."""

    def nc(self, name, address, port):
        done = self.bailey.sh(name, f"echo | nc -w 5 {address} {port}")
        return done.err.strip().rsplit("): ", 1)[-1] if done.err else done.out

    def test_they_reach_each_other_and_nothing_else_of_the_host(self):
        alice = self.bailey.launch_web("alice", 2)
        bob = self.bailey.launch_web("bob", 3)
        self.assertEqual(self.bailey.sh("alice", f"wget -qO- http://{bob}/").out, "page of bob\n")
        wait_until(lambda: f"{alice}:" in self.bailey.ok("logs", "bob").out, "alice is logged")
        for where in ("127.0.0.1", "0.0.0.0"):
            with socket.create_server((where, 0)) as service:
                service.settimeout(0)
                port = service.getsockname()[1]
                self.assertEqual(self.nc("alice", "127.0.0.1", port), "Connection refused")
                for address in (bob, self.bailey.ip(1), "127.1.2.3"):
                    self.assertIn(self.nc("alice", address, port),
                                  ("Permission denied", "No route to host"))
                with self.assertRaises(BlockingIOError):
                    service.accept()
        for reason, least in (("loopback", 4), ("tenant", 2)):
            wait_until(lambda: self.bailey.metric("bailey_tenant_net_refused_total", tenant="alice",
                                                  reason=reason) >= least, f"{reason} is counted", 10)

    def test_the_hosts_other_addresses_are_out_of_reach(self):
        self.bailey.launch_web("alice", 2)
        links = json.loads(subprocess.run(["ip", "-j", "-4", "addr"], check=True,
                                          capture_output=True, text=True).stdout)
        addresses = {a["local"] for link in links for a in link["addr_info"]
                     if not a["local"].startswith("127.")}
        with socket.create_server(("0.0.0.0", 0)) as service:
            for address in addresses:
                self.assertEqual(self.nc("alice", address, service.getsockname()[1]),
                                 "Permission denied")


if __name__ == "__main__":
    harness.main()
