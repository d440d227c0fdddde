#!/usr/bin/env python3
"""The machine that a tenant sees: its own limits and use, not the host's; its own clocks; its own
/etc/hostname, hosts and resolv.conf until it says otherwise; and nothing of what is hidden."""
import json
import os
import pathlib
import re
import shutil
import signal
import threading
import time
import unittest

import harness
from harness import wait_until

MIB = 1 << 20
HOST_CPUS = len(os.sched_getaffinity(0))

# name → script whose output is the number of processors
PROCESSORS = {
    "nproc": "nproc",
    "the C library": "getconf _NPROCESSORS_ONLN",
    "python": "python3 -c 'import os; print(os.cpu_count())'",
    "python's affinity": "python3 -c 'import os; print(len(os.sched_getaffinity(0)))'",
    "busybox nproc": "busybox nproc",
    "/proc/cpuinfo": "grep -c ^processor /proc/cpuinfo",
    "/proc/stat": "grep -c '^cpu[0-9]' /proc/stat",
}
FOREIGN = {  # run times that a host may have or not
    "node": "node -p 'require(\"os\").cpus().length'",
}
# name → script whose output has the size of the memory in MiB as its first number
MEMORY = {
    "free": "free -m | awk '/^Mem/{print $2}'",
    "busybox free": "busybox free -m | awk '/^Mem/{print $2}'",
    "the C library": "echo $(($(getconf _PHYS_PAGES) * $(getconf PAGESIZE) / 1048576))",
    "top": "LC_ALL=C top -bn1 | awk '/MiB Mem/{print int($4)}'",
    "/proc/meminfo": "awk '/^MemTotal/{print int($2 / 1024)}' /proc/meminfo",
}
# Files of /proc that say what others do: nothing, or the tenant's own.
HIDDEN = ("interrupts", "softirqs", "schedstat", "zoneinfo", "buddyinfo", "pagetypeinfo", "slabinfo")


def meminfo(text):
    return {m[1]: int(m[2]) * 1024 for m in re.finditer(r"^(\S+): +(\d+) kB$", text, re.M)}


class Machine(harness.BaileyTest):
    """One tenant of the host template for all tests: 256 MiB, one processor."""

    @classmethod
    def setUpClass(cls):
        # What nobody but root may read on the host: hidden from every tenant.
        cls.secret = pathlib.Path(f"/usr/local/etc/bailey-e2e-{os.getpid()}")
        cls.addClassCleanup(lambda: cls.secret.unlink(missing_ok=True))
        cls.secret.write_text("secret of the host")
        cls.secret.chmod(0o600)
        super().setUpClass()
        cls.bailey.ok("template", "create", "host", "--host")
        cls.bailey.ok("launch", "alice", "--ip", cls.bailey.ip(2), "--template", "host", "--memory",
                      "256M", "--cpu", "1", "--", "/bin/sleep", "inf")

    def _remove_tenants(self):
        pass

    def tearDown(self):
        self.set("memory=256M", "cpu=1")

    def set(self, *limits):
        self.bailey.ok("set", "alice", *limits)
        time.sleep(0.02)  # for 10 ms, what was computed before is shown again

    def inside(self, script):
        done = self.bailey.sh("alice", script)
        self.assertEqual(done.status, 0, done)
        return done.out.strip()

    def meminfo(self):
        return meminfo(self.inside("cat /proc/meminfo"))

    def test_processors(self):
        scripts = PROCESSORS | {k: v for k, v in FOREIGN.items() if shutil.which(v.split()[0])}
        for what, script in scripts.items():
            with self.subTest(what):
                self.assertEqual(self.inside(script), "1")
        self.assertEqual(self.inside("cat /sys/devices/system/cpu/online"), "0")

    def test_memory(self):
        for what, script in MEMORY.items():
            with self.subTest(what):
                self.assertEqual(self.inside(script), "256")
        self.assertEqual(self.inside("free | awk '/^Swap/{print $2}'"), "0")

    def test_tools_of_procps_and_busybox_read_it(self):
        for script in ("free -w", "top -bn1", "vmstat", "vmstat -s", "vmstat -d", "uptime", "uptime -s", "w",
                       "ps aux", "busybox free", "busybox top -bn1", "busybox uptime", "busybox ps",
                       "cat /proc/pressure/*"):
            with self.subTest(script):
                done = self.bailey.sh("alice", script)
                self.assertEqual((done.status, done.err), (0, ""), done)

    def test_what_it_uses_is_what_it_sees(self):
        before = self.meminfo()
        after = meminfo(self.inside("""python3 -c "
held = bytearray(b'x') * (96 << 20)
print(open('/proc/meminfo').read())" """))
        self.assertLess(after["MemAvailable"], before["MemAvailable"] - 80 * MIB)
        self.assertGreater(after["AnonPages"], before["AnonPages"] + 80 * MIB)
        # The page cache counts as used and as available.
        after = meminfo(self.inside("dd if=/dev/zero of=/root/big bs=1M count=64 2>/dev/null; cat /proc/meminfo"))
        self.assertGreater(after["Cached"], before["Cached"] + 32 * MIB)
        self.assertGreater(after["MemAvailable"] - after["MemFree"], 32 * MIB)

    def test_time_used_is_in_stat(self):
        ticks = json.loads(self.inside("""python3 -c "
import json, time
def cpu(): return [int(x) for x in open('/proc/stat').readline().split()[1:]]
a = cpu(); end = time.process_time() + 0.5
while time.process_time() < end: pass
b = cpu(); print(json.dumps([y - x for x, y in zip(a, b)]))" """))
        self.assertGreaterEqual(ticks[0] + ticks[2], 45, ticks)
        self.assertTrue(all(t >= 0 for t in ticks), ticks)

    def test_load_comes_and_shows_in_uptime(self):
        self.inside("cat /proc/loadavg")
        self.inside("end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done")
        one, five, fifteen, tasks, _ = self.inside("cat /proc/loadavg").split()
        self.assertGreater(float(one), 0)
        self.assertLess(float(fifteen), 2)
        self.assertRegex(tasks, r"^\d+/\d+$")

    def test_the_clock_began_with_the_tenant(self):
        up = float(self.inside("cut -d' ' -f1 /proc/uptime"))
        started = self.bailey.show("alice")["startedAt"]
        age = time.time() - float(self.inside(f"date -d {started} +%s"))
        self.assertLess(abs(up - age), 5)
        # /proc/stat, sysinfo, ps and the system calls agree.
        self.assertLess(abs(time.time() - up - float(self.inside("awk '/btime/{print $2}' /proc/stat"))), 5)
        clock = self.inside("python3 -c 'import time; print(time.clock_gettime(7), time.monotonic())'")
        for each in clock.split():
            self.assertLess(abs(float(each) - up), 10)
        self.assertLess(abs(float(self.inside("ps -o etimes= -p 1")) - up), 10)
        self.assertGreaterEqual(int(self.inside("sleep 1 & ps -o etimes= -p $!")), 0)

    def test_changes_are_seen_at_once(self):
        # By descriptors that are open already, as those of top.
        self.bailey.sh("alice", "exec setsid sh -c 'while read line; do head -c 60 /proc/meminfo; done' "
                                "</dev/null >/dev/null 2>&1 &")
        pid = self.bailey.show("alice")["initPid"]
        fd = os.open(f"/proc/{pid}/root/proc/meminfo", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        total = lambda: meminfo(os.pread(fd, 65536, 0).decode())["MemTotal"]
        self.assertEqual(total(), 256 * MIB)
        self.set("memory=300M")
        self.assertEqual(total(), 300 * MIB)
        self.assertEqual(self.inside(MEMORY["free"]), "300")
        self.assertEqual(self.inside(MEMORY["the C library"]), "300")

    def test_processors_change_for_what_runs(self):
        pid = self.bailey.show("alice")["initPid"]
        tasks = [int(p) for p in self.bailey_pids()]
        self.assertIn(pid, tasks)
        for cores, shown in (("2", min(2, HOST_CPUS)), ("0.5", 1), ("1.2", min(2, HOST_CPUS)), ("1", 1)):
            self.set(f"cpu={cores}")
            self.assertEqual(self.inside("nproc"), str(shown))
            self.assertEqual(self.inside(PROCESSORS["/proc/stat"]), str(shown))
            self.assertEqual(self.inside("cat /sys/devices/system/cpu/online"), "0" if shown == 1 else f"0-{shown - 1}")
            self.assertEqual(self.inside("awk '/Cpus_allowed_list/' /proc/1/status | tr , - | cut -f2 | "
                                         "awk -F- '{print $NF - $1 + 1}'"), str(shown))
            for task in tasks:
                self.assertEqual(len(os.sched_getaffinity(task)), shown)

    def bailey_pids(self):
        return [pid for d in self.bailey.cgroups() if d.name == "tenant"
                for pid in (d / "cgroup.procs").read_text().split()]

    def test_nothing_can_be_written(self):
        for path in ("/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/pressure/cpu",
                     "/sys/devices/system/cpu/online"):
            with self.subTest(path):
                for script in (f"echo 1 >{path}", f"chmod 777 {path}", f"rm -f {path}", f"truncate -s 0 {path}",
                               f"umount {path}", f"mv /etc/hosts {path}"):
                    self.assertNotEqual(self.bailey.sh("alice", script).status, 0, script)
        self.assertEqual(self.meminfo()["MemTotal"], 256 * MIB)

    def test_nothing_of_the_host_is_left(self):
        for name in HIDDEN:
            with self.subTest(name):
                if os.path.exists(f"/proc/{name}"):
                    self.assertEqual(self.inside(f"cat /proc/{name}"), "")
        host = pathlib.Path("/proc/vmstat").read_text()
        self.assertNotEqual(re.search(r"pgfault (\d+)", host)[1],
                            re.search(r"pgfault (\d+)", self.inside("cat /proc/vmstat"))[1])
        for line in self.inside("cat /proc/self/mountinfo").splitlines():
            if "bailey-machine" in line:
                self.assertRegex(line, r" /(proc|sys)/\S+ ro,nosuid,nodev,noexec")
        done = self.bailey.run("verify", "alice")
        self.assertEqual(done.status, 0, done)

    def test_hidden_paths_are_not_there(self):
        path = self.secret
        for script in (f"cat {path}", f"ls {path}", f"ls {path.parent} | grep {path.name}", f"stat {path}",
                       f"test -e {path}", f"cp {path} /root/copy", f"ln {path} /root/link"):
            with self.subTest(script):
                done = self.bailey.sh("alice", script)
                self.assertNotEqual(done.status, 0, done)
                self.assertNotIn("secret", done.out)
        self.assertIn("No such file", self.bailey.sh("alice", f"cat {path}").err)


class Busybox(harness.BaileyTest):
    """Its cat sends files by sendfile(2), which takes them from the page cache."""

    def test_cat_shows_what_read_shows(self):
        self.bailey.launch("alice", 2, "--", "sleep", "1000000")
        for name in ("meminfo", "cpuinfo", "swaps", "stat", "vmstat", "uptime", "loadavg"):
            with self.subTest(name):
                lines = [len(self.bailey.sh("alice", f"{way}/proc/{name}").out.splitlines())
                         for way in ("cat ", "dd bs=64k if=", "cat ")]
                self.assertGreater(lines[0], 0)
                self.assertEqual(lines, lines[:1] * 3)
        self.assertEqual(self.bailey.sh("alice", "cat /sys/devices/system/cpu/online").out,
                         self.bailey.sh("alice", "dd if=/sys/devices/system/cpu/online").out)
        self.assertEqual(self.bailey.sh("alice", "ls -s /proc/meminfo").out.split()[0], "4")


class Server(harness.BaileyTest):
    """The server of these files dies, or does not answer."""

    def servers(self):
        pids = {int(p) for d in self.bailey.cgroups() if d.name == "servers"
                for p in (d / "cgroup.procs").read_text().split()}
        return [p for p in pids if b"bailey-fs" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]

    def test_a_dead_server_is_an_errno(self):
        self.bailey.launch("alice", 2, "--", "sleep", "1000000")
        pid = self.bailey.show("alice")["initPid"]
        fd = os.open(f"/proc/{pid}/root/proc/meminfo", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        server, = self.servers()
        os.kill(server, signal.SIGKILL)
        got = []

        def read():
            try:
                while os.pread(fd, 4096, 0):
                    pass
            except OSError as error:
                got.append(error.errno)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(harness.PATIENCE)
        self.assertTrue(got, "a read of a dead server's file hangs")
        wait_until(lambda: self.bailey.show("alice")["state"] == "failed", "the tenant has failed")

    def test_a_stuck_server_keeps_no_tenant(self):
        self.bailey.launch("alice", 2, "--", "sh", "-c", "while :; do cat /proc/meminfo >/dev/null; done")
        server, = self.servers()
        os.kill(server, signal.SIGSTOP)
        self.addCleanup(lambda: os.path.exists(f"/proc/{server}") and os.kill(server, signal.SIGCONT))
        self.bailey.ok("stop", "alice")
        log = (self.bailey.home / "run/tenants/alice/supervisor.log").read_text()
        self.assertNotIn("tasks are left", log)  # its end was not what freed them
        self.bailey.ok("rm", "--force", "alice")
        self.assertNothingLeft()


class Names(harness.BaileyTest):
    """/etc/hostname, hosts and resolv.conf."""

    def etc(self, name):
        return self.bailey.sh("alice", f"cat /etc/{name}").out

    def restart(self):
        self.bailey.ok("restart", "alice")

    def test_what_stands_in_their_way_keeps_no_tenant_down(self):
        self.bailey.launch("alice", 2, "--", "sleep", "1000000")
        self.bailey.sh("alice", "mkdir /etc/.hostname.bailey /etc/.hosts.bailey", check=True)
        self.bailey.ok("set", "alice", "hostname=two.example")
        self.restart()
        self.assertEqual(self.bailey.exec("alice", "hostname").out, "two.example\n")

    def test_they_follow_the_spec_until_the_tenant_has_its_own(self):
        ip = self.bailey.launch("alice", 2, "--hostname", "one.example", "--", "sleep", "1000000")
        self.assertEqual(self.etc("hostname"), "one.example\n")
        self.assertIn(f"\n{ip} one.example one\n", self.etc("hosts"))
        self.assertIn("\nnameserver 127.0.0.53\n", self.etc("resolv.conf"))
        self.bailey.ok("set", "alice", "hostname=two.example")
        self.restart()
        self.assertEqual(self.etc("hostname"), "two.example\n")
        self.assertIn(f"\n{ip} two.example two\n", self.etc("hosts"))

        # Written to, renamed over, unlinked: each the tenant's own from then on.
        self.bailey.sh("alice", "echo 192.0.2.9 db >>/etc/hosts; echo mine >/etc/new; "
                       "mv /etc/new /etc/resolv.conf; rm /etc/hostname", check=True)
        hosts = self.etc("hosts")
        self.bailey.ok("set", "alice", "hostname=three.example")
        for _ in range(2):
            self.restart()
            self.assertEqual(self.bailey.exec("alice", "hostname").out, "three.example\n")
            self.assertEqual(self.etc("hosts"), hosts)
            self.assertEqual(self.etc("resolv.conf"), "mine\n")
            self.assertEqual(self.bailey.sh("alice", "test -e /etc/hostname").status, 1)
        self.bailey.sh("alice", "rm /etc/resolv.conf", check=True)
        self.restart()
        self.assertEqual(self.bailey.sh("alice", "test -e /etc/resolv.conf").status, 1)
        # No trace of how we know shows inside.
        self.assertNotIn("bailey", self.bailey.sh("alice", "ls -A / /etc").out)


if __name__ == "__main__":
    harness.main()
