"""Who is compared. Each has an address on the host, a place for its servers behind it, and the
processes that are its proxy; .stop() takes away all but what dies with the world."""
import json
import socket
import subprocess

from world import BULK, DATAGRAMS, HTTP, Place, network_lab, serve, wait_until, widen_ports

TCP_PORTS = [HTTP, BULK]

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  option splice-auto
  timeout connect 10s
  timeout client 600s
  timeout server 600s
"""


class Contestant:
    """`address`: where the client connects to. `place`: where the servers are."""
    name = None
    proxies = ()  # process ids
    has_datagrams = True
    goes_out = True

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.address = f"203.0.113.{number}"
        self.home = f"{world.home}/{self.name}"
        self.prepare()
        serve(self.place, self.home)

    def prepare(self):
        raise NotImplementedError

    def stop(self):
        self.place.stop()

    def _namespace(self):
        """An empty one, for the servers."""
        self._holder = network_lab.Namespace()
        self.place = Place(self._holder.path)
        widen_ports(self.place)

    def _own_address(self):
        self.world.host.run("ip", "addr", "add", f"{self.address}/32", "dev", network_lab.INTERFACE)

    def _veth(self):
        """Between the host and the namespace: 10.N.0.1 here, 10.N.0.2 there."""
        self.inner = f"10.{self.number}.0.2"
        self.world.host.run("ip", "link", "add", f"to{self.number}", "type", "veth", "peer", "name",
                            "eth0", "netns", str(self._holder.pid))
        self.world.host.run("ip", "addr", "add", f"10.{self.number}.0.1/24", "dev",
                            f"to{self.number}")
        self.world.host.run("ip", "link", "set", f"to{self.number}", "up")
        self.place.run("ip", "addr", "add", f"{self.inner}/24", "dev", "eth0")
        self.place.run("ip", "link", "set", "eth0", "up")
        self.place.run("ip", "route", "add", "default", "via", f"10.{self.number}.0.1")


class Bailey(Contestant):
    name = "bailey"

    def prepare(self):
        self.place = self.world.tenant("bench", self.address)
        # The lab's addresses are for documentation only, so the policy has a wall there.
        self.world.bailey.ok("set", "bench", f'network.egress.allow=["{network_lab.OUTSIDE}"]')
        self.proxies = [self.world.proxy_pid(self.place)]


class HaProxy(Contestant):
    """TCP mode, splice-auto, one thread, as Bailey has one. It loses the client's address."""
    name = "haproxy"
    has_datagrams = goes_out = False

    def prepare(self):
        self._namespace()
        self._own_address()
        self._veth()
        text = HAPROXY + "".join(
            f"listen p{port}\n  bind {self.address}:{port} backlog 4096\n"
            f"  server s {self.inner}:{port}\n" for port in TCP_PORTS)
        with open(f"{self.world.home}/haproxy.cfg", "w", encoding="ascii") as file:
            file.write(text)
        started = self.world.host.start("haproxy", "-db", "-f", f"{self.world.home}/haproxy.cfg")
        self.proxies = [started.pid]


class Pasta(Contestant):
    name = "pasta"

    def prepare(self):
        self._namespace()
        self._own_address()
        # It may not look into /proc of a privileged process, hence a place for the namespace that
        # exists in its own mounts alone.
        path = f"{self.world.home}/pasta.ns"
        with open(path, "wb"):
            pass
        started = self.world.host.start(
            "unshare", "--mount", "sh", "-c",
            f'mount --bind {self._holder.path} {path} && exec "$@"', "sh",
            "pasta", "--foreground", "--quiet", "--runas", "0", "--config-net", "--ipv4-only",
            "--no-map-gw", "-i", network_lab.INTERFACE,
            "-t", f"{self.address}/{HTTP},{BULK}", "-u", f"{self.address}/{DATAGRAMS}",
            "-T", "none", "-U", "none", "--no-netns-quit", "--netns", path)
        self.proxies = [started.pid]
        wait_until(lambda: network_lab.INTERFACE in self.place.run("ip", "link"), "pasta's device")


class Slirp(Contestant):
    name = "slirp4netns"

    def prepare(self):
        self._namespace()
        self._own_address()
        api = f"{self.world.home}/slirp.sock"
        started = self.world.host.start(
            "slirp4netns", "--configure", "--mtu=65520", f"--api-socket={api}",
            str(self._holder.pid), "tap0")
        self.proxies = [started.pid]
        wait_until(lambda: "tap0" in self.place.run("ip", "link"), "slirp4netns' device")
        for protocol, ports in (("tcp", TCP_PORTS), ("udp", [DATAGRAMS])):
            for port in ports:
                wait_until(lambda p=protocol, n=port: self._forward(api, p, n), "its forwarding")

    def _forward(self, api, protocol, port):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(api)
            except OSError:
                return False
            client.sendall(json.dumps({"execute": "add_hostfwd", "arguments": {
                "proto": protocol, "host_addr": self.address, "host_port": port,
                "guest_port": port}}).encode())
            client.shutdown(socket.SHUT_WR)
            return "error" not in json.loads(client.recv(4096))


class Kernel(Contestant):
    """No proxy: the kernel rewrites addresses (nftables, conntrack)."""
    name = "veth+DNAT"

    def prepare(self):
        self._namespace()
        self._own_address()
        self._veth()
        rules = (f"table ip bench {{\n"
                 f" chain in {{ type nat hook prerouting priority dstnat;\n"
                 f"  ip daddr {self.address} dnat to {self.inner}; }}\n"
                 f" chain out {{ type nat hook postrouting priority srcnat;\n"
                 f"  ip saddr {self.inner} snat to {self.address}; }}\n}}\n")
        subprocess.run(self.world.host.argv("nft", "-f", "-"), input=rules, text=True, check=True)


ALL = [Bailey, HaProxy, Pasta, Slirp, Kernel]
