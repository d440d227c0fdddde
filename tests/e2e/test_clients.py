#!/usr/bin/env python3
"""Programs as people use them, through the proxy: each client inside a tenant against a real server
outside, and real servers inside, asked from outside. Over IPv4 and IPv6."""
import pathlib
import subprocess
import tempfile
import unittest

import network_lab
from harness import wait_until
from network_lab import FAR, OUTSIDE, OUTSIDE6
from network_servers import Servers

ALICE, ALICE6 = "203.0.113.2", "2001:db8:7::2"

ASYNCIO = """
import asyncio, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
async def main():
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 20)
    writer.write(b"GET /page HTTP/1.0\\r\\n\\r\\n")
    text = await reader.read()
    writer.close()
    await writer.wait_closed()
    print(text.decode().splitlines()[-1])
    try:
        await asyncio.wait_for(asyncio.open_connection(host, 1), 20)
    except ConnectionRefusedError:
        print("refused")
    # Both directions at once, and each end of a stream on its own.
    async def echo(reader, writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, "0.0.0.0" if ":" not in host else "::", 9000)
    data = bytes(range(256)) * 4096
    reader, writer = await asyncio.open_connection(sys.argv[3], 9000)
    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    sending = asyncio.create_task(send())
    print("the same" if await reader.read() == data else "different")
    await sending
asyncio.run(main())
"""
NODE = """
const net = require('net'), http = require('http');
const [host, port] = [process.argv[1], Number(process.argv[2])];
http.get({host, port, path: '/page'}, response => {
  response.setEncoding('utf8');
  response.on('data', text => process.stdout.write(text));
  response.on('end', () => {
    const refused = net.connect({host, port: 1});
    refused.on('error', failed => {
      console.log(failed.code);
      const half = net.connect({host, port: 7007, allowHalfOpen: true});
      let back = 0;
      half.end(Buffer.alloc(1 << 20));
      half.on('data', chunk => { back += chunk.length; });
      half.on('end', () => console.log(back));
    });
  });
});
"""
FTP = """
import ftplib, io, sys
for _ in range(int(sys.argv[3])):
    with ftplib.FTP() as client:
        client.connect(sys.argv[1], int(sys.argv[2]), 20)
        client.login()
        client.set_pasv(True)
        got = io.BytesIO()
        client.retrbinary("RETR page", got.write)
        assert got.getvalue() == b"by ftp\\n" * 10000, len(got.getvalue())
print("done")
"""


class Clients(network_lab.NetworkTest):
    """One set of servers outside for all tests."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = Servers(cls.lab.outside.path)
        cls.addClassCleanup(cls.servers.close)
        cls.www, cls.certificate = cls.servers.nginx(80, 443, OUTSIDE, OUTSIDE6)

    def tenants(self):
        """One with an IPv4 address, then one with IPv6: yields (its address, the world's)."""
        for ip, outside in ((ALICE, OUTSIDE), (ALICE6, OUTSIDE6)):
            self.launch("alice", ip)
            yield ip, outside
            self.bailey.ok("rm", "--force", "alice")

    def inside(self, *argv, status=0, **options):
        done = self.bailey.exec("alice", *argv, **options)
        self.assertEqual(done.status, status, f"{done}\n{self.servers.logs()}")
        return done.out

    def put(self, path, text, mode="600"):
        self.inside("/bin/sh", "-c", f"cat >{path} && chmod {mode} {path}", input=text)

    @staticmethod
    def url(scheme, address, path, port=None):
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}{f':{port}' if port else ''}/{path}"

    # ---- clients inside
    def test_curl_and_wget(self):
        for ip, outside in self.tenants():
            self.put("/root/ca.crt", self.certificate.read_text())
            secure = self.url("https", outside, "page")
            self.assertEqual(self.inside("curl", "-sS", self.url("http", outside, "page")), "a page\n")
            self.assertEqual(self.inside("curl", "-sS", "--cacert", "/root/ca.crt", secure), "a page\n")
            self.assertEqual(self.inside("wget", "-qO-", "--ca-certificate=/root/ca.crt", secure),
                             "a page\n")
            self.assertIn("Connection refused", self.bailey.exec(
                "alice", "wget", "-t", "1", "-O-", self.url("http", outside, "", 1)).err)
            self.inside("curl", "-sS", "-o", "/root/large", "--cacert", "/root/ca.crt",
                        self.url("https", outside, "large"))
            self.assertEqual(self.inside("sha256sum", "/root/large").split()[0],
                             subprocess.run(["sha256sum", self.www / "large"], check=True,
                                            capture_output=True, text=True).stdout.split()[0])
            # The server has seen the tenant's address and no other.
            log = (self.servers.home / "nginx/access.log").read_text().splitlines()
            self.assertEqual({line.split()[0] for line in log[-4:]}, {ip})

    def test_git_over_https(self):
        with tempfile.TemporaryDirectory() as work:
            git = ["git", "-C", work, "-c", "user.name=n", "-c", "user.email=e@example"]
            subprocess.run([*git, "init", "-q"], check=True)
            pathlib.Path(work, "file").write_text("text\n" * 1000)
            subprocess.run([*git, "add", "file"], check=True)
            subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
            bare = self.www / "project.git"
            subprocess.run(["git", "clone", "-q", "--bare", work, str(bare)], check=True)
            subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)
        for _, outside in self.tenants():
            self.put("/root/ca.crt", self.certificate.read_text())
            self.inside("git", "-c", "http.sslCAInfo=/root/ca.crt", "clone", "-q",
                        self.url("https", outside, "project.git"), "/root/project")
            self.assertEqual(self.inside("wc", "-l", "/root/project/file").split()[0], "1000")

    def test_ssh(self):
        key = self.servers.sshd(2222)
        for ip, outside in self.tenants():
            self.put("/root/key", key.read_text())
            ssh = ["ssh", "-q", "-p", "2222", "-i", "/root/key", "-o", "StrictHostKeyChecking=no",
                   "-o", "UserKnownHostsFile=/dev/null", f"root@{outside}"]
            self.assertEqual(self.inside(*ssh, "echo ${SSH_CLIENT%% *}"), f"{ip}\n")
            self.assertEqual(self.inside(*ssh, "wc -c", input="x" * (1 << 20)), f"{1 << 20}\n")
            self.assertEqual(self.bailey.exec("alice", *ssh, "exit 7").status, 7)

    def test_psql(self):
        self.servers.postgres(5433)
        for ip, outside in self.tenants():
            psql = ["psql", "-h", outside, "-p", "5433", "-U", "postgres", "-At"]
            self.assertEqual(self.inside(*psql, "-c", "select host(inet_client_addr())"), f"{ip}\n")
            many = self.inside(*psql, "-c", "select sum(n), count(*) from generate_series(1,100000) n")
            self.assertEqual(many, "5000050000|100000\n")
            rows = self.inside(*psql, "-c", "select repeat('x', 1000) from generate_series(1,5000)")
            self.assertEqual(len(rows), 5000 * 1001)

    def test_redis_cli(self):
        self.servers.redis(6380)
        for ip, outside in self.tenants():
            cli = ["redis-cli", "-h", outside, "-p", "6380"]
            self.assertEqual(self.inside(*cli, "set", "key", ip), "OK\n")
            self.assertEqual(self.inside(*cli, "get", "key"), f"{ip}\n")
            piped = "".join("INCR n\r\n" for _ in range(10000))
            self.assertIn("errors: 0, replies: 10000", self.inside(*cli, "--pipe", input=piped))
            self.inside(*cli, "del", "n")

    def test_ftp_in_passive_mode(self):
        self.servers.ftp(2121)
        for _, outside in self.tenants():
            got = self.inside("curl", "-sS", "--ftp-pasv", self.url("ftp", outside, "page", 2121))
            self.assertEqual(got, "by ftp\n" * 10000)
            self.assertEqual(self.inside("python3", "-c", FTP, outside, "2121", "5"), "done\n")

    def test_python_asyncio(self):
        for ip, outside in self.tenants():
            done = self.inside("python3", "-c", ASYNCIO, outside, "80", ip)
            self.assertEqual(done, "a page\nrefused\nthe same\n")

    def test_node(self):
        echo = network_lab.Echo(self.lab.outside, "::", 7007)
        self.addCleanup(echo.close)
        for _, outside in self.tenants():
            self.assertEqual(self.inside("node", "-e", NODE, outside, "80"),
                             f"a page\nECONNREFUSED\n{1 << 20}\n")

    def test_h2load(self):
        for _, outside in self.tenants():
            for scheme, options in (("https", []), ("http", ["--h1"])):
                done = self.inside("h2load", *options, "-n", "2000", "-c", "20",
                                   *([] if options else ["-m", "5"]),
                                   self.url(scheme, outside, "page"))
                self.assertIn("2000 succeeded, 0 failed, 0 errored, 0 timeout", done)

    def test_busybox_ping_which_wants_a_raw_socket(self):
        self.bailey.make_template()
        spec = pathlib.Path(self.bailey.home, "bob.toml")
        for ip, outside in ((ALICE, OUTSIDE), (ALICE6, OUTSIDE6)):
            spec.write_text(f'[tenant]\nname = "bob"\nip = "{ip}"\ntemplate = "busybox"\n'
                            '[process]\nstart = ["/bin/sleep", "1000"]\n'
                            '[allow]\nraw_sockets = true\n')
            self.bailey.ok("create", "-f", spec)
            self.bailey.ok("start", "bob")
            done = self.bailey.exec("bob", "ping", "-c", "2", "-W", "5", outside)
            self.assertIn("2 packets received", done.out, done)
            self.bailey.ok("rm", "--force", "bob")

    # ---- servers inside
    def test_servers_inside_are_served_outside(self):
        """Their own programs run inside by the host's template; the clients outside."""
        for ip, outside in self.tenants():
            self.inside("/bin/sh", "-c", "mkdir -p /srv/files && echo text >/srv/files/page")
            self.background("redis-server", "--port", "6379", "--bind", "0.0.0.0", "::",
                            "--protected-mode", "no", "--save", "")
            self.background("/bin/sh", "-c", "cd /srv/files && exec python3 -m http.server -b :: 8000")
            wait_until(lambda: {6379, 8000} <= set(self.bailey.show("alice")["published"]),
                       "both are published")
            run = self.lab.outside.run
            self.assertEqual(run("redis-cli", "-h", ip, "set", "k", "v"), "OK\n")
            self.assertEqual(run("redis-cli", "-h", ip, "get", "k"), "v\n")
            self.assertIn("0 failed, 0 errored", run("h2load", "--h1", "-n", "300", "-c", "10",
                                                     self.url("http", ip, "page", 8000)))
            seen = run("redis-cli", "-h", ip, "client", "list")
            self.assertIn(f"addr=[{outside}]:" if ":" in ip else f"addr={outside}:", seen)

    def background(self, *argv):
        process = subprocess.Popen(
            self.bailey._in_netns([str(network_lab.harness.BIN / "bailey"), "exec", "alice", "--",
                                   *argv]),
            env=self.bailey.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

        def close():
            process.kill()
            process.wait()
        self.addCleanup(close)


class Names(network_lab.NetworkTest):
    """dig inside, and a resolver outside that comes and goes."""

    def test_dig_by_udp_and_tcp_and_a_resolver_that_restarts(self):
        servers = Servers(self.lab.outside.path)
        self.addCleanup(servers.close)
        record = f"www.far.example,{FAR}"
        resolver = servers.dnsmasq(record)
        for ip in (ALICE, ALICE6):
            with self.subTest(ip=ip):
                self.launch("alice", ip)
                dig = ["dig", "+short", "+tries=1", "+time=20", "www.far.example"]
                self.assertEqual(self.bailey.exec("alice", *dig).out, f"{FAR}\n")
                self.assertEqual(self.bailey.exec("alice", *dig, "+tcp").out, f"{FAR}\n")
                missing = self.bailey.exec("alice", "dig", "none.far.example").out
                self.assertRegex(missing, "status: (NXDOMAIN|REFUSED)")
                # It is gone when it is asked, and comes back: the question is answered all the same.
                resolver.terminate()
                resolver.wait()
                asking = subprocess.Popen(
                    self.bailey._in_netns([str(network_lab.harness.BIN / "bailey"), "exec", "alice",
                                           "--", "dig", "+short", "+tries=8", "+time=2",
                                           "www.far.example"]),
                    env=self.bailey.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
                resolver = servers.dnsmasq(record)
                self.assertEqual(asking.communicate(timeout=60)[0].splitlines()[-1], FAR)
                self.bailey.ok("rm", "--force", "alice")


if __name__ == "__main__":
    unittest.main()
