#!/usr/bin/env python3
"""TLS that ends at bailey-tls: what the openssl client, curl and hostile ones get to see."""
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import harness
from harness import fetch, wait_until

# Answers "SIZE\n" and that many bytes with the same bytes backwards, to as many as come; "0\n" by an
# abort in the middle of an answer.
REVERSE = """
import socket, struct, sys, threading
def serve(client):
    with client, client.makefile("rb") as lines:
        size = int(lines.readline())
        if size == 0:
            client.sendall(b"beg")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        client.sendall(lines.read(size)[::-1])
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

NGINX = """
error_log stderr; pid /tmp/nginx.pid; daemon off; user root; worker_processes 1;
events {} http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b;
fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; server {
  listen 443 http2; location / { return 200 "$server_protocol from $remote_addr\\n"; } } }
"""


class TlsTest(harness.BaileyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = tempfile.TemporaryDirectory(prefix="bailey-tls-")
        cls.addClassCleanup(directory.cleanup)
        cls.files = pathlib.Path(directory.name)
        cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", cls.files / "ca.key", "-out", cls.files / "ca.pem", "-subj", "/CN=ca",
                    "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE")
        cls.certify("a", "DNS:a.example")
        cls.certify("b", "DNS:*.b.example", algorithm=("-newkey", "rsa:2048"))

    @staticmethod
    def openssl(*argv, **options):
        done = subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True,
                              check=False, **options)
        if done.returncode != 0:
            raise harness.Failed(done.stderr)
        return done.stdout

    @classmethod
    def certify(cls, name, names, days=20,
                algorithm=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """NAME.pem, a leaf of the CA's with the CA behind it, and NAME.key; put there at once."""
        at = cls.files / f"{name}.new"
        cls.openssl("req", *algorithm, "-nodes", "-keyout", f"{at}.key", "-out", f"{at}.csr",
                    "-subj", f"/CN={name}")
        extensions = cls.files / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        cls.openssl("x509", "-req", "-in", f"{at}.csr", "-CA", cls.files / "ca.pem", "-CAkey",
                    cls.files / "ca.key", "-days", days, "-extfile", extensions, "-out",
                    f"{at}.leaf")
        chain = pathlib.Path(f"{at}.leaf").read_text() + (cls.files / "ca.pem").read_text()
        pathlib.Path(f"{at}.pem").write_text(chain)
        os.rename(f"{at}.key", cls.files / f"{name}.key")
        os.rename(f"{at}.pem", cls.files / f"{name}.pem")

    def site(self, name, **more):
        return {"certificate": str(self.files / f"{name}.pem"),
                "key": str(self.files / f"{name}.key"), **more}

    def set_sites(self, *sites):
        self.bailey.ok("set", "alice", "network.tls=" + json.dumps(sites))

    def launch_web(self, *sites):
        """alice serves a page on 443 and on 80, in plain text; TLS is Bailey's."""
        script = ("mkdir -p /srv/.well-known && echo 'a page' >/srv/index.html && "
                  "echo token >/srv/.well-known/acme && head -c 9000000 /dev/urandom >/srv/big && "
                  "httpd -p 0.0.0.0:80 -h /srv && exec httpd -f -v -p 0.0.0.0:443 -h /srv")
        self.ip = self.bailey.ip(2)
        self.bailey.make_template()
        self.bailey.ok("create", "alice", "--ip", self.ip, "--template", "busybox", "--",
                       "/bin/sh", "-c", script)
        self.set_sites(*(sites or [self.site("a")]))
        self.bailey.ok("start", "alice")
        wait_until(lambda: fetch(self.ip) == "a page\n", "alice serves on port 80")
        wait_until(lambda: self.curl(), "and on 443")

    def curl(self, *argv, host="a.example", path="/", port=443):
        done = subprocess.run(
            ["curl", "-s", "--noproxy", "*", "--max-time", "30", "--cacert",
             str(self.files / "ca.pem"), "--resolve", f"{host}:{port}:{self.ip}", *argv,
             f"https://{host}:{port}{path}"], capture_output=True, text=True, check=False)
        return done.stdout

    def s_client(self, *argv, port=443, ask="", name="a.example"):
        server = ["-servername", name] if name else ["-noservername"]
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{self.ip}:{port}", *server, "-CAfile",
             str(self.files / "ca.pem"), *argv], input=ask, capture_output=True, text=True,
            timeout=60, check=False)
        return done.stdout + done.stderr

    def served(self, name="a.example"):
        """The serial number of the certificate that is served."""
        pem = re.search(r"-----BEGIN.*?END CERTIFICATE-----", self.s_client(name=name), re.S)
        return self.openssl("x509", "-noout", "-serial", input=pem[0]).strip() if pem else None

    def serial(self, name):
        return self.openssl("x509", "-noout", "-serial", "-in", self.files / f"{name}.pem").strip()

    def metric(self, name, **labels):
        return self.bailey.metric("bailey_tenant_tls_" + name, tenant="alice", **labels)

    def pid(self):
        for pid in self.bailey.processes():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "bailey-tls":
                    return pid
        return None

    def connect(self, first=b"", timeout=60):
        client = socket.create_connection((self.ip, 443), timeout)
        self.addCleanup(client.close)
        client.sendall(first)
        return client

    def ends(self, client):
        """Reads what comes until the server has had enough; a reset is an end, too."""
        with contextlib.suppress(ConnectionError):
            while client.recv(4096):
                pass
        return True


class Tls(TlsTest):
    # ---- what is served
    def test_a_site_is_served_and_port_80_stays_plain(self):
        self.launch_web()
        self.assertEqual(self.curl(), "a page\n")
        self.assertEqual(self.curl("--http1.1", "--tlsv1.3"), "a page\n")
        self.assertEqual(fetch(self.ip, path="/.well-known/acme"), "token\n")
        self.assertEqual(fetch(f"{self.ip}:443"), "")  # no plain text where TLS is
        self.assertIn("Verify return code: 0", self.s_client())
        self.assertEqual(self.s_client("-showcerts").count("BEGIN CERTIFICATE"), 2)
        big = subprocess.run(["curl", "-s", "--noproxy", "*", "-k", f"https://{self.ip}/big"],
                             capture_output=True, check=True).stdout
        inside = self.bailey.exec("alice", "sha256sum", "/srv/big", check=True).out.split()[0]
        self.assertEqual(hashlib.sha256(big).hexdigest(), inside)
        self.assertGreaterEqual(self.metric("handshakes_total", outcome="full"), 4)
        wait_until(lambda: self.metric("open_connections") == 0, "all have been closed")
        shown = self.bailey.show("alice")["tls"]
        self.assertEqual((shown["certificates"], shown["openConnections"]), (1, 0))

    def test_the_tenant_sees_the_clients_own_address(self):
        self.launch_web()
        self.curl("--interface", self.bailey.ip(77))
        wait_until(lambda: f"{self.bailey.ip(77)}" in self.bailey.ok("logs", "alice").out,
                   "the client is logged")

    def test_versions_and_ciphers(self):
        self.launch_web(self.site("a"), self.site("b"))
        for version in ("-tls1_2", "-tls1_3"):
            self.assertIn("Verify return code: 0", self.s_client(version))
        for version in ("-tls1", "-tls1_1"):
            refused = self.s_client(version, "-cipher", "ALL@SECLEVEL=0")
            self.assertIn("alert protocol version", refused)
        for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            self.assertIn(f"Cipher is {cipher}", self.s_client("-tls1_2", "-cipher", cipher))
        self.assertIn("Cipher is ECDHE-RSA-AES256-GCM-SHA384", self.s_client(
            "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384", name="www.b.example"))
        for cipher in ("AES128-GCM-SHA256", "AES128-SHA", "ECDHE-RSA-AES128-SHA",
                       "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "aNULL", "eNULL"):
            refused = self.s_client("-tls1_2", "-cipher", f"{cipher}@SECLEVEL=0",
                                    name="www.b.example")
            self.assertIn("handshake failure", refused, cipher)
        self.assertIn("handshake failure", self.s_client("-tls1_3", "-groups", "P-521"))

    def test_the_name_chooses_the_site_and_each_has_its_protocols(self):
        self.launch_web(self.site("a"), self.site("b", alpn=["h2", "http/1.1"]))
        for name, subject in (("a.example", "a"), ("www.b.example", "b"), ("WWW.B.example", "b"),
                              ("b.example", "a"), ("nobody.example", "a"), ("", "a")):
            self.assertIn(f"subject=CN = {subject}\n", self.s_client(name=name), name)
        both = ("-alpn", "h2,http/1.1")
        self.assertIn("ALPN protocol: http/1.1", self.s_client(*both))
        self.assertIn("ALPN protocol: h2", self.s_client(*both, name="www.b.example"))
        self.assertIn("No ALPN negotiated", self.s_client())
        self.assertIn("alert no application protocol", self.s_client("-alpn", "h2"))
        self.assertIn("alert no application protocol", self.s_client("-alpn", "spdy/3"))

    def test_sessions_are_resumed(self):
        self.launch_web()
        session = self.files / "session"
        for version in ("-tls1_2", "-tls1_3"):
            ask = "GET / HTTP/1.0\r\n\r\n"
            first = self.s_client(version, "-sess_out", str(session), "-ign_eof", ask=ask)
            self.assertIn("a page", first)
            self.assertIn("New, TLSv1", first)
            self.assertIn("Reused, TLSv1", self.s_client(version, "-sess_in", str(session)))
            self.certify("a", "DNS:a.example")  # tickets outlive the certificate
            wait_until(lambda: self.served() == self.serial("a"), "it is taken")
            self.assertIn("Reused, TLSv1", self.s_client(version, "-sess_in", str(session)))
        self.assertEqual(self.metric("handshakes_total", outcome="resumed"), 4)
        os.kill(self.pid(), signal.SIGKILL)  # the keys die with the process
        self.assertIn("New, TLSv1", self.s_client("-tls1_3", "-sess_in", str(session)))

    # ---- files
    def test_files_are_taken_anew_if_they_fit(self):
        self.launch_web()
        pid, before = self.pid(), self.serial("a")
        context = ssl.create_default_context(cafile=self.files / "ca.pem")
        open_one = context.wrap_socket(self.connect(), server_hostname="a.example")
        self.addCleanup(open_one.close)
        self.certify("a", "DNS:a.example")
        wait_until(lambda: self.served() == self.serial("a") != before, "the new one is served")
        self.assertEqual(self.metric("refused_certificates_total"), 0)
        good = {end: (self.files / f"a.{end}").read_bytes() for end in ("pem", "key")}
        serving = self.serial("a")
        refused = 0
        for end, bad in (("key", (self.files / "b.key").read_bytes()), ("pem", b"garbage\n"),
                         ("pem", good["pem"] + (self.files / "b.pem").read_bytes())):
            (self.files / f"a.{end}").write_bytes(bad)
            wait_until(lambda: self.metric("refused_certificates_total") > refused, "it is refused")
            self.assertEqual(self.served(), serving)
            (self.files / f"a.{end}").write_bytes(good[end])
            time.sleep(0.1)
            refused = self.metric("refused_certificates_total")
        os.chmod(self.files / "a.key", 0o644)
        wait_until(lambda: self.metric("refused_certificates_total") > refused, "an open key, too")
        os.chmod(self.files / "a.key", 0o600)
        self.assertEqual(self.served(), serving)
        self.assertEqual(self.pid(), pid)
        open_one.sendall(b"GET / HTTP/1.0\r\n\r\n")  # has seen nothing of it
        self.assertIn(b"a page", open_one.recv(4096) + open_one.recv(4096))

    def test_the_first_expiry_is_told(self):
        self.certify("short", "DNS:short.example", days=2)
        self.certify("past", "DNS:past.example", days=-1)
        self.launch_web(self.site("a"))
        for sites, name in (([self.site("a")], "a"), ([self.site("a"), self.site("short")], "short"),
                            ([self.site("a"), self.site("past"), self.site("short")], "past")):
            self.set_sites(*sites)
            text = self.openssl("x509", "-noout", "-enddate", "-in", self.files / f"{name}.pem")
            end = ssl.cert_time_to_seconds(text.strip().removeprefix("notAfter="))
            wait_until(lambda: self.metric("certificate_expiry_time_seconds") == end, name)
            self.assertEqual(self.metric("certificates"), len(sites))
            shown = datetime.datetime.fromisoformat(self.bailey.show("alice")["tls"]["firstExpiry"])
            self.assertEqual(shown.timestamp(), end)

    def test_settings_hold_at_once(self):
        self.launch_web()
        self.set_sites()
        wait_until(lambda: fetch(f"{self.ip}:443") == "a page\n", "plain text again")
        self.assertIsNone(self.pid())
        self.assertIsNone(self.metric("certificates"))
        self.set_sites(self.site("b"))
        wait_until(lambda: self.curl(host="www.b.example") == "a page\n", "TLS again")
        for bad in ('[{"port":443}]', '[{"certificate":"a","key":"/b"}]', '"yes"', "[1]",
                    '[{"certificate":"/a","key":"/b","port":0}]',
                    '[{"certificate":"/a","key":"/b","alpn":[""]}]',
                    '[{"certificate":"/a","key":"/b","ciphers":"all"}]',
                    '[{"certificate":"/a","key":"/b"},{"certificate":"/a","key":"/c"}]'):
            refused = self.bailey.run("set", "alice", "network.tls=" + bad)
            self.assertEqual(refused.status, 2, refused)
            self.assertIn("network.tls", refused.err)
        self.assertEqual(self.curl(host="www.b.example"), "a page\n")

    # ---- those who mean harm
    def test_what_is_no_handshake_is_ended(self):
        self.launch_web()
        for first in (b"GET / HTTP/1.0\r\n\r\n", b"\0" * 100, os.urandom(5000),
                      b"\x16\x03\x01\xff\xff" + b"\1" * 70000,  # a record beyond all bounds
                      b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\0" * 16380,  # a message
                      b"\x15\x03\x01\x00\x02\x01\x00" * 100):  # warnings without end
            self.assertTrue(self.ends(self.connect(first)))
        self.assertGreaterEqual(self.metric("handshakes_total", outcome="failed"), 6)
        self.assertEqual(self.curl(), "a page\n")

    def test_who_takes_his_time_is_cut_off_and_in_nobodys_way(self):
        self.launch_web()
        silent = [self.connect() for _ in range(300)]
        # No more than 256 are waited for: the first ones are given up at once, not after a while.
        wait_until(lambda: self.metric("handshakes_total", outcome="failed") >= 44,
                   "the oldest make way", 5)
        self.assertEqual(self.curl(), "a page\n")
        for client in silent:
            self.assertTrue(self.ends(client))
        slow = self.connect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        with self.assertRaises(ConnectionError):
            for _ in range(600):
                slow.sendall(b"\0")
                time.sleep(0.1)
        self.assertEqual(self.metric("open_connections"), 0)

    def test_renegotiation_is_refused(self):
        self.launch_web()
        with subprocess.Popen(["openssl", "s_client", "-tls1_2", "-connect", f"{self.ip}:443"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as client:
            client.stdin.write("R\n")
            client.stdin.flush()
            self.assertIn("no renegotiation", client.stdout.read())

    # ---- the process
    def test_a_dead_one_is_replaced(self):
        self.launch_web()
        for _ in range(3):
            pid = self.pid()
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(self.curl("--retry", "3", "--retry-all-errors"), "a page\n")
            wait_until(lambda: self.pid() not in (None, pid), "another process")
        self.bailey.ok("restart", "--server", "net", "alice")
        self.assertEqual(self.curl(), "a page\n")

    def test_the_suspended_page_is_under_tls_too(self):
        self.launch_web()
        self.bailey.ok("suspend", "alice")
        self.assertIn("This site is suspended.", self.curl())
        self.bailey.ok("resume", "alice")
        self.assertEqual(self.curl(), "a page\n")

    def test_the_keys_process_has_nothing_else(self):
        self.launch_web()
        at = pathlib.Path(f"/proc/{self.pid()}")
        status = dict(line.split(":\t", 1) for line in (at / "status").read_text().splitlines())
        self.assertEqual(set(status["Uid"].split()) & {"0"}, set())
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"], status["Threads"]),
                         ("2", "1", "1"))
        self.assertEqual(os.listdir(at / "root"), [])
        for space in ("net", "mnt", "pid", "ipc"):
            self.assertNotEqual(os.readlink(at / "ns" / space), os.readlink(f"/proc/self/ns/{space}"))
        self.assertEqual([line for line in (at / "maps").read_text().splitlines() if "rwx" in line], [])


class Backends(TlsTest):
    """nginx and Python inside, of the host's own."""

    def setUp(self):
        super().setUp()
        if "host" not in self.bailey.ok("template", "ls", "-o", "name").out.split():
            self.bailey.ok("template", "create", "host", "--host", timeout=600)

    def launch(self, site, *argv):
        self.ip = self.bailey.ip(2)
        self.bailey.ok("create", "alice", "--ip", self.ip, "--template", "host", "--", *argv)
        self.set_sites(site)
        self.bailey.ok("start", "alice")

    def test_curl_speaks_http2_with_nginx_inside(self):
        script = f"printf %s '{NGINX}' >/tmp/nginx.conf && exec nginx -e stderr -c /tmp/nginx.conf"
        self.launch(self.site("a", alpn=["h2"]), "/bin/sh", "-c", script)
        wait_until(lambda: self.curl("--http2").startswith("HTTP/2.0 from 127."), "nginx answers")
        many = self.curl("--http2", "--parallel", f"https://a.example/[1-20]")
        self.assertEqual(many.count("HTTP/2.0"), 21)

    def launch_reverse(self):
        self.launch(self.site("a", port=8443), "python3", "-c", REVERSE, "8443")
        self.context = ssl.create_default_context(cafile=self.files / "ca.pem")
        wait_until(lambda: self.exchange(b"x"), "the server is there")

    def connect_tls(self):
        plain = socket.create_connection((self.ip, 8443), 60)
        client = self.context.wrap_socket(plain, server_hostname="a.example",
                                          suppress_ragged_eofs=False)
        self.addCleanup(client.close)
        return client

    def exchange(self, data):
        with contextlib.suppress(ConnectionError):
            client = self.connect_tls()
            client.sendall(b"%d\n" % len(data) + data)
            return self.read(client)

    @staticmethod
    def read(client):
        back = bytearray()
        while chunk := client.recv(1 << 16):
            back += chunk
        return bytes(back)

    def test_much_goes_both_ways(self):
        self.launch_reverse()
        data = os.urandom(6 << 20)
        self.assertEqual(self.exchange(data), data[::-1])

    def test_an_abort_is_no_end(self):
        """A backend that resets must not look as if it had said all."""
        self.launch_reverse()
        client = self.connect_tls()
        client.sendall(b"0\n")
        with self.assertRaises((ConnectionError, ssl.SSLEOFError)):
            self.read(client)


if __name__ == "__main__":
    harness.main()
