"""The ground of the comparison: one client, one host, and for each contestant a server of its own.

    client ── veth ── host ──┬── bailey-netproxy ── tenant's namespace
    203.0.113.100            ├── haproxy, or DNAT ── veth ── namespace
                             └── pasta, slirp4netns ── tap ── namespace

Each contestant has an address of its own on the host (Host.place), behind which the same programs
serve the same things: nginx on 80, iperf3 on 5201, the datagram program on 5300. All of them exist at the same time; who is not measured sleeps.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "e2e"))
os.environ.setdefault("BAILEY_BIN", os.path.realpath(f"{HERE}/../../../build/release/bin"))

import harness  # noqa: E402
import network_lab  # noqa: E402
from harness import die_with_parent, wait_until  # noqa: E402

CLIENT = network_lab.OUTSIDE
HTTP, BULK, DATAGRAMS = 80, 5201, 5300
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

NGINX = """
daemon off; user root; worker_processes 1; worker_rlimit_nofile 12000;
pid {home}/nginx.pid; error_log {home}/nginx.log crit;
events {{ worker_connections 10000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
  uwsgi_temp_path {home}; scgi_temp_path {home};
  server {{ listen {port} backlog=4096; location / {{ return 200 "{body}"; }} }}
}}
"""


class Place:
    """Where programs run: a network namespace, and a tenant's cgroup if it is one's."""

    def __init__(self, netns, cgroup=None):
        self.netns, self.cgroup = netns, cgroup
        self._running = []

    def argv(self, *command):
        enter = harness.in_netns(self.netns, command)
        if self.cgroup is None:
            return enter
        return ["sh", "-c", f'echo $$ >{self.cgroup}/cgroup.procs && exec "$@"', "sh", *enter]

    def run(self, *command, timeout=120):
        done = subprocess.run(self.argv(*command), capture_output=True, text=True, timeout=timeout,
                              check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise harness.Failed(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, *command, **options):
        process = subprocess.Popen(self.argv(*command), preexec_fn=die_with_parent,
                                   **{**QUIET, **options})
        self._running.append(process)
        return process

    def stop(self):
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(10)
        self._running = []


def serve(place, home):
    """Starts the servers in `place`."""
    os.makedirs(home, exist_ok=True)
    with open(f"{home}/nginx.conf", "w", encoding="ascii") as file:
        file.write(NGINX.format(home=home, port=HTTP, body="b" * 128))
    place.start("nginx", "-c", f"{home}/nginx.conf")
    place.start("iperf3", "-s", "-p", str(BULK))
    place.start(str(harness.BIN / "bench_datagrams"), "serve", str(DATAGRAMS))


class World:
    """A lab with a Bailey in it. Contestants come and go by themselves."""

    def __init__(self):
        self.lab = network_lab.Lab()
        self.bailey = harness.Bailey(
            netns=self.lab.host.path, network=f'interface = "{network_lab.INTERFACE}"')
        self.bailey.make_template()
        self.home = str(self.bailey.home / "bench")
        os.makedirs(self.home)
        self.datagram_program = harness.BIN / "bench_datagrams"
        self.host, self.client = Place(self.lab.host.path), Place(self.lab.outside.path)
        self.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        # All would run out of ports for connections that last a moment.
        for place in (self.host, self.client):
            widen_ports(place)

    def tenant(self, name, address, *options):
        """A tenant that only sleeps; programs that are put in its place have its network and its
        cgroup, and none of the other walls: it is the network that is compared."""
        self.bailey.ok("launch", name, "--ip", address, "--template", "busybox", *options, "--",
                       "/bin/sleep", "infinity")
        pid = self.bailey.show(name)["initPid"]
        return Place(f"/proc/{pid}/ns/net", cgroup_of(pid))

    def proxy_pid(self, place):
        """The bailey-netproxy beside the tenant whose place that is."""
        servers = os.path.join(os.path.dirname(place.cgroup), "servers", "cgroup.procs")
        with open(servers, encoding="ascii") as file:
            pids = [int(line) for line in file]
        return next(pid for pid in pids if program_of(pid) == "bailey-netproxy")

    def settle(self, peers):
        """Until every server answers through its proxy."""
        for one in peers:
            wait_until(lambda o=one: self.answers(o.address, HTTP), f"nginx of {one.name}")
            wait_until(lambda o=one: self._iperf_serves(o.address), f"iperf3 of {one.name}")
            if one.has_datagrams:
                self.client.run(str(self.datagram_program), "echo", one.address, str(DATAGRAMS),
                                "0.1")

    def _iperf_serves(self, address):
        # A few bytes: a connection without any would keep its server busy.
        return subprocess.run(
            self.client.argv("iperf3", "-c", address, "-p", str(BULK), "-n", "1K"), check=False,
            **QUIET).returncode == 0

    def answers(self, address, port):
        return subprocess.run(self.client.argv("nc", "-z", "-w1", address, str(port)), check=False,
                              **QUIET).returncode == 0

    def close(self):
        self.client.stop()
        self.host.stop()
        self.bailey.close()
        self.lab.close()


def widen_ports(place):
    place.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1")


def cgroup_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        path = next(line.split(":", 2)[2].strip() for line in file if line.startswith("0::"))
    unified = "/sys/fs/cgroup/unified"
    return (unified if os.path.isdir(unified) else "/sys/fs/cgroup") + path


def program_of(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        # The kernel cuts names at 15 characters.
        return {"bailey-netprox": "bailey-netproxy"}.get(file.read().strip()[:14])


def cpu_seconds(pid):
    """What the scheduler has counted for a process: nanoseconds, where /proc/PID/stat has ticks."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def status(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))


def private_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


__all__ = ["CLIENT", "HTTP", "BULK", "DATAGRAMS", "Place", "World", "cpu_seconds", "network_lab",
           "private_bytes", "serve", "status", "wait_until", "widen_ports"]
