"""A private Bailey for one test module: its own baileyd, directories, addresses and metrics page.

    class Life(harness.BaileyTest):
        def test_page(self):
            ip = self.bailey.launch("alice", "--", "httpd", "-f", "-p", "80")

Instances of several test processes live side by side: each holds the lock of a block N, which
stands for the directory bailey-e2e-N and the addresses 127.77.(100+N).0/24. What a killed run left
in its block is removed through the product itself by the next one that gets it.
"""
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ.get("BAILEY_BIN", "build/dev/bin")).resolve()
PATIENCE = 60  # seconds; a deadline for hangs, never a measurement
BLOCKS = 100


class Failed(AssertionError):
    pass


def wait_until(condition, what, patience=PATIENCE):
    """Returns the first true value of condition(); polls, because the other side is a program."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {patience} s: {what}")
        time.sleep(0.02)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def in_netns(path, argv):
    """Not `ip netns exec`: that changes mounts, too, and the cgroups below /sys are gone."""
    return ["nsenter", f"--net={path}", *argv] if path else list(argv)


class Result:
    def __init__(self, argv, done):
        self.argv, self.status = argv, done.returncode
        self.out, self.err = done.stdout, done.stderr

    def __repr__(self):
        return (f"$ {' '.join(map(str, self.argv))}\nstatus {self.status}\n--- stdout\n"
                f"{self.out}\n--- stderr\n{self.err}")

    def json(self):
        return json.loads(self.out)


class Bailey:
    """One baileyd and the command line that speaks to it."""

    def __init__(self, netns=None, network="", parallel_home=None):
        self.netns = netns  # path of a network namespace, or None for the host's own
        self.daemon = None
        self.block, self._lock = self._take_block()
        self.home = pathlib.Path(parallel_home or tempfile.gettempdir()) / f"bailey-e2e-{self.block}"
        self.net = f"127.77.{100 + self.block}"
        self.metrics = f"{self.net}.1:9748"
        self.network = network
        self.env = dict(os.environ, BAILEY_CONFIG=str(self.home / "bailey.toml"),
                        BAILEY_STATE_DIR=str(self.home / "state"),
                        BAILEY_RUNTIME_DIR=str(self.home / "run"))
        if self.home.exists():
            self._start_daemon()
            self.close(keep_lock=True)
        self.home.mkdir(mode=0o755)
        self.configure(network)
        self._start_daemon()

    @staticmethod
    def _take_block():
        os.makedirs("/run/lock", exist_ok=True)
        for n in range(BLOCKS):
            lock = open(f"/run/lock/bailey-e2e-{n}", "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return n, lock
            except BlockingIOError:
                lock.close()
        raise Failed("all blocks of addresses are taken")

    def configure(self, network):
        (self.home / "bailey.toml").write_text(
            f'[daemon]\nmetrics = "{self.metrics}"\n[network]\n{network}\n')

    def ip(self, last):
        return f"{self.net}.{last}"

    # ---- the daemon
    def _in_netns(self, argv):
        return in_netns(self.netns, argv)

    def start_daemon(self):
        self._start_daemon()

    def _start_daemon(self):
        log = open(self.home / "baileyd.log", "ab")
        self.daemon = subprocess.Popen(self._in_netns([str(BIN / "baileyd")]), env=self.env,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True, preexec_fn=die_with_parent)
        log.close()

        def answers():
            if self.daemon.poll() is not None:
                raise Failed(f"baileyd ended with {self.daemon.returncode}\n{self.logs()}")
            return self.run("ls").status == 0
        wait_until(answers, "baileyd answers")

    def kill_daemon(self, how=signal.SIGKILL):
        self.daemon.send_signal(how)
        self.daemon.wait(PATIENCE)

    def logs(self):
        text = []
        for path in [self.home / "baileyd.log", *sorted((self.home / "run/tenants").glob("*/supervisor.log"))]:
            if path.exists():
                text.append(f"--- {path.name} of {path.parent.name}\n"
                            + "\n".join(path.read_text(errors="replace").splitlines()[-60:]))
        return "\n".join(text)

    def close(self, keep_lock=False):
        """Removes every tenant, ends the daemon, and whatever is left of either."""
        try:
            if self.daemon.poll() is not None:
                self._start_daemon()
            for name in self.run("ls", "-o", "name").out.split():
                self.run("rm", "--force", name)
        finally:
            if self.daemon.poll() is None:
                self.kill_daemon(signal.SIGTERM)
            self._sweep()
            shutil.rmtree(self.home)
            if not keep_lock:
                self._lock.close()

    def _sweep(self):
        """What should not be there any more: kill and unmount it, so that rmtree is safe."""
        for directory in self.cgroups():
            kill = directory / "cgroup.kill"
            if kill.exists():
                kill.write_text("1")
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for point in sorted(self.mounts(), reverse=True):
            subprocess.run(["umount", "-l", point], check=False)

    # ---- the command line
    def run(self, *argv, check=False, timeout=PATIENCE * 3, text=True, **options):
        argv = self._in_netns([str(BIN / "bailey"), *map(str, argv)])
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if options["stdin"] is None:
            del options["stdin"]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=text, timeout=timeout,
                              errors="replace" if text else None, **options)
        result = Result(argv, done)
        if check and result.status != 0:
            raise Failed(f"{result}\n{self.logs()}")
        return result

    def ok(self, *argv, **options):
        return self.run(*argv, check=True, **options)

    def exec(self, name, *argv, **options):
        return self.run("exec", name, "--", *argv, **options)

    def sh(self, name, script, **options):
        """A shell script inside as the tenant's root."""
        return self.exec(name, "/bin/sh", "-c", script, **options)

    def show(self, name):
        return self.ok("show", name, "-o", "json").json()["items"][0]

    def names(self):
        return self.ok("ls", "-o", "name").out.split()

    def make_template(self, name="busybox"):
        if name not in self.ok("template", "ls", "-o", "name").out.split():
            self.ok("template", "create", name, "--busybox")

    def launch(self, name, last, *argv):
        """A busybox tenant at our address number `last`."""
        self.make_template()
        ip = self.ip(last)
        self.ok("launch", name, "--ip", ip, "--template", "busybox", *argv)
        return ip

    def launch_web(self, name, last, *argv, page=None):
        """… that serves `page` on 0.0.0.0:80. Returns its address once the page is there."""
        page = page or f"page of {name}"
        script = (f"mkdir -p /srv/www && echo '{page}' >/srv/www/index.html && "
                  "exec httpd -f -v -p 0.0.0.0:80 -h /srv/www")
        ip = self.launch(name, last, *argv, "--", "/bin/sh", "-c", script)
        wait_until(lambda: fetch(ip).strip() == page, f"{name} serves its page")
        return ip

    # ---- what there is of this instance on the host
    def mounts(self):
        with open("/proc/self/mountinfo") as table:
            return [line.split()[4] for line in table if f"{self.home}/" in line.split()[4]]

    def cgroups(self):
        found = []
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            kind = fields[fields.index("-") + 1]
            if kind in ("cgroup", "cgroup2"):
                for top in pathlib.Path(fields[4]).glob("bailey*"):
                    if top.name == self.cgroup_name():
                        found += [p for p in top.rglob("*") if p.is_dir()] + [top]
        return found

    def counts_io(self):
        """Whether this host's v2 tree has the io controller."""
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[fields.index("-") + 1] == "cgroup2":
                return "io" in (pathlib.Path(fields[4]) / "cgroup.controllers").read_text().split()
        return False

    def cgroup_name(self):
        if not hasattr(self, "_cgroup_name"):
            done = self.run("ls", "-o", "name")
            self._cgroup_name = None
            for name in done.out.split():
                pid = self.show(name).get("initPid")
                if pid:
                    text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
                    self._cgroup_name = re.search(r"/(bailey[^/\n]*)/", text).group(1)
        name = self._cgroup_name
        if name is None:
            del self._cgroup_name
        return name

    def processes(self):
        """Processes that carry our runtime directory in their environment or command line, and
        those in our cgroups; the daemon and ourselves excepted."""
        mine = set()
        for directory in self.cgroups():
            procs = directory / "cgroup.procs"
            try:
                mine |= {int(pid) for pid in procs.read_text().split()}
            except (FileNotFoundError, OSError):
                pass
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"bailey-" in command.split(b"\0")[0] and str(self.home).encode() in command:
                mine.add(int(entry.name))
        return mine - {0, os.getpid(), self.daemon.pid if self.daemon else 0}

    def listeners(self):
        done = subprocess.run(self._in_netns(["ss", "-Hltun"]), capture_output=True, text=True,
                              check=True)
        return sorted(line.split()[4] for line in done.stdout.splitlines()
                      if line.split()[4].startswith(self.net + ".")
                      and line.split()[4] != self.metrics)

    def daemon_fds(self):
        return len(os.listdir(f"/proc/{self.daemon_pid()}/fd"))

    def daemon_pid(self):
        return int((self.home / "run/baileyd.pid").read_text())

    def leftovers(self):
        """Everything of tenants that the host has; equal before and after, or something leaks."""
        loops = subprocess.run(["losetup", "-nO", "BACK-FILE"], capture_output=True, text=True)
        return {"mounts": sorted(self.mounts()), "cgroups": sorted(map(str, self.cgroups())),
                "processes": sorted(self.processes()), "listeners": self.listeners(),
                "loops": [x for x in loops.stdout.split() if x.startswith(str(self.home))],
                "tenant directories": sorted(
                    str(p) for p in [*self.home.glob("run/tenants/*"), *self.home.glob("state/tenants/*")])}

    def metric(self, name, **labels):
        """The sum of the series of that name whose labels match; None when there is none."""
        return metric(self.page(), name, **labels)

    def page(self):
        return fetch(self.metrics, path="/metrics", netns=self.netns)


def metric(page, name, **labels):
    values = []
    for line in page.splitlines():
        match = re.match(r"([a-z_]+)(?:\{(.*)\})? (\S+)$", line)
        if match and match[1] == name:
            have = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if all(have.get(key) == value for key, value in labels.items()):
                values.append(float(match[3]))
    return sum(values) if values else None


def fetch(where, path="/", netns=None, **options):
    """What curl gets, or "" when it gets nothing."""
    argv = ["curl", "-s", "--noproxy", "*", "--max-time", "10", f"http://{where}{path}"]
    return subprocess.run(in_netns(netns, argv), capture_output=True, text=True, check=False, **options).stdout


class BaileyTest(unittest.TestCase):
    """A Bailey for all tests of a class; every test begins and ends without tenants."""
    bailey_options = {}

    @classmethod
    def setUpClass(cls):
        cls.bailey = Bailey(**cls.bailey_options)
        cls.addClassCleanup(cls.bailey.close)

    def setUp(self):
        self.addCleanup(self._remove_tenants)

    def _remove_tenants(self):
        if self._outcome and not getattr(self._outcome, "success", True):
            print(self.bailey.logs(), file=sys.stderr)
        for name in self.bailey.names():
            self.bailey.ok("rm", "--force", name)

    def assertNothingLeft(self):
        left = {key: value for key, value in self.bailey.leftovers().items() if value}
        self.assertEqual(left, {}, self.bailey.logs())


def main():
    unittest.main(verbosity=2, catchbreak=False)
