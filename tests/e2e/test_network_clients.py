#!/usr/bin/env python3
"""Programs as they are in use, through the proxy: ping, nc, a UDP server of asyncio's, a name server
on port 53, and curl while the proxy is replaced."""
import concurrent.futures
import socket
import unittest

import network_lab
from harness import wait_until
from network_lab import HOST, HOST6, OUTSIDE, OUTSIDE6

ALICE, BOB, ALICE6 = "203.0.113.7", "203.0.113.8", "2001:db8:7::7"
NOBODY, NOBODY6 = "203.0.113.99", "2001:db8:7::99"

ECHO = """
import asyncio, sys
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        print("ready", flush=True)
    def datagram_received(self, data, peer):
        self.transport.sendto(f"{peer[0]} {peer[1]} ".encode() + data, peer)
async def main():
    place = (sys.argv[1], int(sys.argv[2]))
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=place)
    await asyncio.sleep(1000)
asyncio.run(main())
"""

# Answers every question for an address with 192.0.2.80.
NAMES = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    query, peer = server.recvfrom(512)
    end = query.index(0, 12) + 5
    answer = bytes.fromhex("c00c00010001000000050004") + bytes([192, 0, 2, 80])
    head = query[:2] + bytes.fromhex("8580") + b"\\0\\1\\0\\1\\0\\0\\0\\0"
    server.sendto(head + query[12:end] + answer, peer)
"""
QUESTION = bytes.fromhex("123401000001000000000000") + b"\3www\7example\0" + b"\0\1\0\1"


class Clients(network_lab.NetworkTest):
    def published(self, name):
        return self.bailey.show(name)["published"]

    def ask(self, address, port, data, source=("", 0)):
        """One datagram from outside, and what comes back."""
        def exchange():
            with network_lab.new_socket(address, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.bind(source)
                client.sendto(data, (address, port))
                answer, peer = client.recvfrom(2000)
                return answer, peer[:2], client.getsockname()[1]
        return self.lab.outside.call(exchange)

    def ping(self, name, address, *options):
        return self.bailey.exec(name, "ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", *options,
                                address)

    def test_a_ping_is_answered_by_who_is_there(self):
        for ip, outside, host, nobody in ((ALICE, OUTSIDE, HOST, NOBODY),
                                          (ALICE6, OUTSIDE6, HOST6, NOBODY6)):
            self.launch("alice", ip)
            there = self.ping("alice", outside)
            self.assertIn("2 received, 0% packet loss", there.out)
            self.assertEqual(there.status, 0)
            self.assertIn("1408 bytes from",
                          self.ping("alice", outside, "-s", "1400").out)
            for address in (nobody, host):
                not_there = self.ping("alice", address)
                self.assertNotEqual(not_there.status, 0, not_there.out)
                self.assertNotIn("bytes from", not_there.out)
            self.bailey.ok("rm", "--force", "alice")

    def test_a_udp_server_inside_is_reached_from_outside(self):
        for ip, outside, wildcard in ((ALICE, OUTSIDE, "0.0.0.0"), (ALICE6, OUTSIDE6, "::")):
            self.launch("alice", ip)
            close = self.run_inside("alice", ECHO, wildcard, "5000")
            wait_until(lambda: self.published("alice") == ["5000/udp"], "5000 is published")
            answer, peer, _ = self.ask(ip, 5000, b"hello", (outside, 4567))
            self.assertEqual(answer, f"{outside} 4567 hello".encode())
            self.assertEqual(peer, (ip, 5000))
            netcat = self.lab.outside.run("sh", "-c", f"echo hi | nc -u -w 1 {ip} 5000")
            self.assertRegex(netcat, f"^{outside} [0-9]+ hi\n")
            close()
            wait_until(lambda: self.published("alice") == [], "it is withdrawn")
            self.assertTrue(self.lab.outside.call(lambda to=ip: self.refused(to)))
            self.bailey.ok("rm", "--force", "alice")

    @staticmethod
    def refused(ip):
        with network_lab.new_socket(ip, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect((ip, 5000))
            try:
                client.send(b"x")
                return not client.recv(10)
            except ConnectionRefusedError:
                return True

    def test_a_name_server_inside_is_published_as_the_spec_says(self):
        self.launch("alice", ALICE, "--publish", "80,53/udp")
        self.launch("bob", BOB)
        self.run_inside("alice", NAMES)
        self.run_inside("alice", ECHO, "0.0.0.0", "5000")
        wait_until(lambda: self.published("alice") == ["53/udp"], "53 alone is published")
        answer, peer, _ = self.ask(ALICE, 53, QUESTION)
        self.assertEqual((answer[:2], answer[-4:]), (QUESTION[:2], bytes([192, 0, 2, 80])))
        self.assertEqual(peer, (ALICE, 53))
        # The other tenant asks it as anybody may.
        script = ("import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                  "s.settimeout(10); s.sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 53)); "
                  "a, p = s.recvfrom(512); print(p[0], a[-4:].hex())")
        done = self.bailey.exec("bob", "python3", "-c", script, QUESTION.hex(), ALICE)
        self.assertEqual(done.out, f"{ALICE} c0000250\n", done.err)
        self.bailey.ok("set", "alice", "network.publish=53/udp,5000-5010/udp")
        wait_until(lambda: self.published("alice") == ["53/udp", "5000/udp"], "5000 as well")

    def test_a_proxy_is_replaced_under_load_without_a_refusal(self):
        script = "mkdir -p /srv && echo page >/srv/index.html && exec httpd -f -p 80 -h /srv"
        self.bailey.ok("launch", "alice", "--ip", ALICE, "--template", "busybox", "--",
                       "/bin/sh", "-c", script)
        wait_until(lambda: self.lab.host.listeners(ALICE) == [80], "80 is published")

        def fetch(_):
            return self.lab.outside.run("curl", "-sS", "--noproxy", "*", "--max-time", "20",
                                        f"http://{ALICE}/")
        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            pages = clients.map(fetch, range(100))
            for _ in range(3):
                self.bailey.ok("restart", "--server", "net", "alice")
            self.assertEqual(set(pages), {"page\n"})
        self.assertNotEqual(self.bailey.run("restart", "--server", "fs", "alice").status, 0)
        self.bailey.ok("stop", "alice")
        self.assertNotEqual(self.bailey.run("restart", "--server", "net", "alice").status, 0)


if __name__ == "__main__":
    unittest.main()
