"""A small internet for one test: the host that Bailey runs on, and a machine outside.

    outside ─────────── veth ─────────── host
    203.0.113.100, 198.51.100.9,         203.0.113.1, 2001:db8:7::1 on `uplink`;
    2001:db8:7::100                      tenants' addresses come and go

Both are network namespaces without a name, held by a process that dies with the test, so nothing
is left even when the test is killed.
"""
import contextlib
import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
import threading

import harness
from harness import die_with_parent, wait_until

CLONE_NEWNET = 0x40000000
HOST, OUTSIDE, FAR = "203.0.113.1", "203.0.113.100", "198.51.100.9"
HOST6, OUTSIDE6 = "2001:db8:7::1", "2001:db8:7::100"
INTERFACE = "uplink"


def new_socket(address, kind=socket.SOCK_STREAM):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)


class Namespace:
    def __init__(self):
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"],
                                        preexec_fn=die_with_parent)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        ours = os.stat("/proc/self/ns/net").st_ino
        wait_until(lambda: os.stat(self.path).st_ino != ours, "a network namespace of its own")
        self.pid = self._holder.pid
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *argv):
        done = subprocess.run(["nsenter", f"--net={self.path}", *argv], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{argv}: {done.stderr}")
        return done.stdout

    def spawn(self, test, *argv):
        """A program here that says "ready", until the test ends: the process, with its input and
        output."""
        process = subprocess.Popen(harness.in_netns(self.path, argv), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        test.addCleanup(NetworkTest._end, process)
        test.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def call(self, action):
        """action() by a thread that is in this namespace: its sockets stay there."""
        result = []

        def body():
            with open(self.path, "rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            result.append(action())
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return result[0]

    def addresses(self):
        links = json.loads(self.run("ip", "-j", "addr", "show"))
        return [a["local"] for link in links for a in link["addr_info"]]

    def listeners(self, address):
        """Ports that are listened on at exactly this address."""
        places = [line.split()[3].rsplit(":", 1) for line in self.run("ss", "-Hltn").splitlines()]
        return sorted(int(port) for place, port in places if place.strip("[]") == address)

    def get(self, address, port, timeout=10):
        """What a TCP server says first, or the errno's name; and our own port."""
        def dial():
            with new_socket(address) as client:
                client.settimeout(timeout)
                try:
                    client.connect((address, port))
                    return client.recv(1000).decode(), client.getsockname()[1]
                except TimeoutError:
                    return "timeout", None
                except OSError as failed:
                    return errno.errorcode[failed.errno], None
        return self.call(dial)

    def close(self):
        self._holder.kill()
        self._holder.wait()


class Lab:
    def __init__(self):
        self.host, self.outside = Namespace(), Namespace()
        self.host.run("ip", "link", "add", INTERFACE, "type", "veth",
                      "peer", "name", "eth0", "netns", str(self.outside.pid))
        for address in (f"{HOST}/24", f"{HOST6}/64"):
            self.host.run("ip", "addr", "add", address, "dev", INTERFACE, *self._now(address))
        self.host.run("ip", "link", "set", INTERFACE, "up")
        self.host.run("ip", "route", "add", "default", "via", OUTSIDE)
        for address in (f"{OUTSIDE}/24", f"{FAR}/32", f"{OUTSIDE6}/64"):
            self.outside.run("ip", "addr", "add", address, "dev", "eth0", *self._now(address))
        self.outside.run("ip", "link", "set", "eth0", "up")

    @staticmethod
    def _now(address):
        return ["nodad"] if ":" in address else []

    def impair(self, bridge, *args):
        """Puts a program between the two, which passes frames from `left` to `right` and back as it
        likes. close() what is returned to end it. There is a queueing discipline for that, netem,
        but not in every kernel."""
        middle = Namespace()
        host, outside = str(self.host.pid), str(self.outside.pid)
        self.host.run("ip", "link", "set", INTERFACE, "name", "straight")
        self.outside.run("ip", "link", "set", "eth0", "name", "straight")
        for end, name, inner in ((self.host, INTERFACE, "left"), (self.outside, "eth0", "right")):
            pid = host if end is self.host else outside
            middle.run("ip", "link", "add", inner, "type", "veth", "peer", "name", name, "netns", pid)
            middle.run("ip", "link", "set", inner, "up")
            for address in json.loads(end.run("ip", "-j", "addr", "show", "straight"))[0]["addr_info"]:
                if address["scope"] == "global":
                    place = f"{address['local']}/{address['prefixlen']}"
                    end.run("ip", "addr", "add", place, "dev", name, *self._now(place))
            end.run("ip", "link", "del" if end is self.outside else "set", "straight",
                    *([] if end is self.outside else ["down"]))
            # What crosses is whole packets with their checksums.
            end.run("ethtool", "-K", name, "tx", "off", "gso", "off", "tso", "off", "gro", "off")
            end.run("ip", "link", "set", name, "up")
        self.host.run("ip", "route", "replace", "default", "via", OUTSIDE)
        process = subprocess.Popen(
            harness.in_netns(middle.path, ["python3", "-c", bridge, *map(str, args)]),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        assert process.stdout.readline() == "ready\n"

        class Wires:
            @staticmethod
            def close():
                process.kill()
                process.wait()
                process.stdout.close()
                middle.close()
        return Wires

    def close(self):
        self.host.close()
        self.outside.close()


class NetworkTest(harness.BaileyTest):
    """Bailey in a lab, with a template of the host's own /usr, so that there is a Python inside."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.bailey_options = {"netns": cls.lab.host.path,
                              "network": f'interface = "{INTERFACE}"\nresolvers = ["{OUTSIDE}"]'}
        super().setUpClass()
        cls.bailey.ok("template", "create", "host", "--host", timeout=600)
        cls.bailey.make_template()

    def launch(self, name, ip, *argv):
        self.bailey.ok("launch", name, "--ip", ip, "--template", "host", *argv, "--",
                       "/bin/sleep", "infinity")

    def run_inside(self, name, script, *args):
        """A Python program inside, until the test ends or what is returned is called; returns once
        it says that it is ready."""
        process = self.pipe_inside(name, script, *args)
        return lambda: self._end(process)

    def pipe_inside(self, name, script, *args):
        """The same; the process, with its standard input and output."""
        process = subprocess.Popen(
            self.bailey._in_netns([str(harness.BIN / "bailey"), "exec", name, "--", "python3", "-c",
                                   script, *args]),
            env=self.bailey.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self._end, process)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    @staticmethod
    def _end(process):
        process.kill()
        process.wait()
        for end in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                end.close()


class Server:
    """Says one line to whoever connects, and remembers who that was."""

    def __init__(self, namespace, address, port, says="hello\n"):
        self.says, self.peers = says, []

        def listen():
            listener = new_socket(address)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(64)
            return listener
        self._listener = namespace.call(listen)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, peer = self._listener.accept()
                self.peers.append(peer[0])
                with client, contextlib.suppress(OSError):
                    self._speak(client)

    def _speak(self, client):
        client.sendall(self.says.encode())

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Echo(Server):
    """Gives everything back once the client has said all it had to say."""

    def _speak(self, client):
        data = bytearray()
        while chunk := client.recv(1 << 16):
            data += chunk
        client.sendall(data)


class DatagramServer:
    """Says hello to every datagram, and remembers where it came from."""

    def __init__(self, namespace, address, port):
        self.peers = []

        def bind():
            bound = new_socket(address, socket.SOCK_DGRAM)
            bound.bind((address, port))
            return bound
        self._socket = namespace.call(bind)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while (got := self._socket.recvfrom(4096))[1] is not None:
                self.peers.append(got[1][0])
                self._socket.sendto(b"hello\n", got[1])

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class NameServer:
    """A resolver that knows a few names, over UDP and TCP; truncates what begins with "long"."""

    def __init__(self, namespace, address, names):
        self.names, self.peers, self.questions = names, [], []

        def bind():
            udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
            for each in (udp, tcp):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                each.bind((address, 53))
            tcp.listen(8)
            return udp, tcp
        self._udp, self._tcp = namespace.call(bind)
        for body in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=body, daemon=True).start()

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self._udp.recvfrom(4096)
                if peer is None:
                    return  # close() has been called
                self.peers.append(peer[0])
                self._udp.sendto(self._answer(query, "udp"), peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                client, peer = self._tcp.accept()
                self.peers.append(peer[0])
                with client, contextlib.suppress(OSError, struct.error):
                    size, = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))
                    answer = self._answer(client.recv(size, socket.MSG_WAITALL), "tcp")
                    client.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, query, protocol):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, question = ".".join(labels), query[12:at + 5]
        kind, = struct.unpack("!H", query[at + 1:at + 3])
        self.questions.append((protocol, name))
        if protocol == "udp" and name.startswith("long"):
            return query[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + question
        address = self.names.get(name)
        if address is None:
            return query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + question
        if kind != 1:
            return query[:2] + b"\x81\x80\0\1\0\0\0\0\0\0" + question
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)
        return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record

    def close(self):
        for each in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
