#!/usr/bin/env python3
"""A suspended tenant's web clients are told so at once; everybody else waits until it goes on."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess

import harness
from harness import fetch, wait_until

PAGE = "This site is suspended."


def receive_all(client):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(1 << 16):
            data += chunk
    return data.decode()


class Suspended(harness.BaileyTest):
    def setUp(self):
        super().setUp()
        script = ("mkdir -p /srv/www && echo 'a page' >/srv/www/index.html && "
                  "httpd -p 0.0.0.0:4321 -h /srv/www && exec httpd -f -p 0.0.0.0:80 -h /srv/www")
        self.ip = self.bailey.launch("alice", 2, "--", "/bin/sh", "-c", script)
        for port in (80, 4321):
            wait_until(lambda port=port: fetch(f"{self.ip}:{port}") == "a page\n", "alice serves")

    def suspend(self):
        self.bailey.ok("suspend", "alice")

    def resume(self):
        self.bailey.ok("resume", "alice")

    def curl(self, *argv, port=80):
        done = subprocess.run(["curl", "-sS", "-i", "--noproxy", "*", "--max-time", "30", *argv,
                               f"http://{self.ip}:{port}/"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def connect(self, first=b"", timeout=30):
        client = socket.create_connection((self.ip, 80), timeout)
        self.addCleanup(client.close)
        client.sendall(first)
        return client

    def assertStillWaits(self, client):
        client.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            client.recv(1)
        client.settimeout(30)

    def proxies(self):
        found = set()
        for pid in self.bailey.processes():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "bailey-netproxy":
                    found.add(pid)
        return found

    def test_web_clients_are_told(self):
        self.suspend()
        for port in (80, 4321):
            answer = self.curl(port=port)
            head, body = answer.split("\n\n")
            self.assertEqual(body.strip(), PAGE)
            self.assertEqual(head.splitlines()[0], "HTTP/1.1 503 Service Unavailable")
            fields = dict(line.split(": ") for line in head.splitlines()[1:])
            self.assertEqual(fields.pop("Content-Length"), str(len(PAGE) + 1))
            self.assertEqual(fields, {"Content-Type": "text/plain; charset=utf-8",
                                      "Retry-After": "60", "Cache-Control": "no-store",
                                      "Connection": "close"})
        head = self.curl("--head")
        self.assertIn("503 Service Unavailable", head)
        self.assertNotIn(PAGE, head)
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            self.assertIn(PAGE, self.curl("-X", method, "-d", "a=b"))
        twice = self.curl(f"http://{self.ip}/again")  # with keep-alive, were it offered
        self.assertEqual(twice.count(PAGE), 2)
        self.resume()
        self.assertIn("a page", self.curl())

    def test_one_answer_for_requests_in_a_row(self):
        self.suspend()
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        answer = receive_all(self.connect(3 * request))
        self.assertEqual(answer.count("HTTP/1.1 503"), 1)
        self.assertTrue(answer.endswith(f"\r\n\r\n{PAGE}\n"), answer)

    def test_a_slow_writer_is_told_too(self):
        self.suspend()
        client = self.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET":
            client.sendall(bytes([byte]))
            self.assertStillWaits(client)
        client.sendall(b" /")
        self.assertIn(PAGE, receive_all(client))

    def test_an_endless_request_is_cut_off(self):
        self.suspend()
        client = self.connect(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        with self.assertRaises(ConnectionError):
            for _ in range(1000):
                client.sendall(b"x" * 65536)

    def test_who_does_not_speak_http_waits(self):
        early = self.connect(b"GET / HTT")  # has come before
        self.bailey.exec("alice", "true", check=True)  # ... and is inside by now
        self.suspend()
        stranger, silent = self.connect(b"HELLO THERE\r\n\r\n"), self.connect()
        self.assertStillWaits(stranger)
        early.sendall(b"P/1.0\r\n\r\n")
        self.assertStillWaits(early)
        self.resume()
        self.assertIn("a page", receive_all(early))
        self.assertIn("400 Bad Request", receive_all(stranger))  # httpd's own answer
        silent.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn("a page", receive_all(silent))

    def test_the_silent_do_not_keep_others_from_their_answer(self):
        self.suspend()
        silent = [self.connect() for _ in range(300)]
        # No more than 256 are looked at: the first ones have gone in by now, not after a while.
        wait_until(lambda: self.bailey.metric("bailey_tenant_net_open_connections",
                                              tenant="alice") >= 44, "the oldest make way", 3)
        self.assertIn(PAGE, self.curl())
        for client in silent[:50]:
            client.close()
        self.assertIn(PAGE, self.curl())
        self.resume()
        silent[-1].sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn("a page", receive_all(silent[-1]))

    def test_another_proxy_knows(self):
        self.suspend()
        before = self.proxies()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        self.assertIn(PAGE, self.curl())
        wait_until(lambda: self.proxies() - before, "another proxy")
        self.bailey.ok("restart", "--server", "net", "alice")
        self.assertIn(PAGE, self.curl())
        self.resume()
        self.assertIn("a page", self.curl())
        for pid in self.proxies():
            os.kill(pid, signal.SIGKILL)
        self.assertIn("a page", self.curl())

    def test_a_start_anew_forgets_it(self):
        self.suspend()
        self.bailey.ok("restart", "alice")
        wait_until(lambda: fetch(self.ip) == "a page\n", "alice serves again")


if __name__ == "__main__":
    harness.main()
