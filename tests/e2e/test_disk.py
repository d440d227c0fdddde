#!/usr/bin/env python3
"""A tenant's disk limit: exact, counted, grown, given back, and whole after every kind of crash.

    test_disk.py [TESTS…]; BAILEY_DISK_CYCLES=50 for the campaign (default 5)
"""
import ctypes
import errno
import os
import pathlib
import signal
import stat
import subprocess
import threading
import unittest

import harness
from harness import wait_until

CYCLES = int(os.environ.get("BAILEY_DISK_CYCLES", "5"))
MIB = 1 << 20
CLONE_NEWNS, MS_PRIVATE_REC = 0x20000, 0x44000
CAP_SYS_RESOURCE = 24
LIBC = ctypes.CDLL(None, use_errno=True)


def may_grow_online():
    """ext4 grows a mounted file system for CAP_SYS_RESOURCE alone, which some hosts withhold."""
    text = pathlib.Path("/proc/self/status").read_text()
    effective = int(next(x for x in text.splitlines() if x.startswith("CapEff")).split()[1], 16)
    return bool(effective >> CAP_SYS_RESOURCE & 1)


def loops(under):
    done = subprocess.run(["losetup", "-nO", "NAME,BACK-FILE"], capture_output=True, text=True)
    return [line.split()[0] for line in done.stdout.splitlines() if under in line]


def tool(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)


def allocated(path):
    return os.stat(path).st_blocks * 512


class DiskTest(harness.BaileyTest):
    def state(self, name="alice"):
        return self.bailey.home / "state/tenants" / name

    def image(self, name="alice"):
        return self.state(name) / "disk.img"

    def launch(self, disk, name="alice", last=2, *more):
        self.bailey.launch(name, last, *(("--disk", disk) if disk else ()), *more)

    def inside(self, script, name="alice"):
        done = self.bailey.sh(name, script)
        self.assertEqual(done.status, 0, done)
        return done.out.strip()

    def df(self, what="-k"):
        """(size, used, available) as the tenant sees them."""
        return [int(x) for x in self.inside(f"df {what} / | tail -1").split()[1:4]]

    def check(self):
        done = tool("e2fsck", "-fn", self.image())
        self.assertEqual(done.returncode, 0, done)

    def stop(self):
        self.bailey.ok("stop", "alice")
        self.assertEqual(loops(str(self.bailey.home / "state")), [])


class Limit(DiskTest):
    def test_limit_is_exact_and_shown(self):
        self.launch("64M")
        self.assertEqual(os.stat(self.image()).st_size, 64 * MIB)
        self.assertEqual(stat.S_IMODE(os.stat(self.image()).st_mode), 0o600)
        self.assertFalse((self.state() / "upper").exists())
        [loop] = loops(str(self.image()))
        sysfs = pathlib.Path("/sys/block") / pathlib.Path(loop).name / "loop"
        self.assertEqual((sysfs / "dio").read_text().strip(), "1")
        self.assertEqual((sysfs / "autoclear").read_text().strip(), "1")
        self.assertNotIn("loop", pathlib.Path("/proc/self/mounts").read_text())
        size, used, free = self.df()
        self.assertLess(size, 64 << 10)  # the journal and the inode tables count
        self.assertGreater(free, 50 << 10)
        self.assertEqual(self.df("-i")[0], 16384)
        # What is written beyond is refused as a full disk, never as a quota, and nothing is lost.
        # A large write may be refused with a little left, for which ext4 takes smaller ones.
        done = self.bailey.sh("alice", "dd if=/dev/zero of=/full bs=64k count=2000; sync;"
                                       "dd if=/dev/zero of=/rest bs=4k count=2000; sync")
        self.assertEqual(done.err.count("No space left on device"), 2, done)
        self.assertNotIn("quota", done.err.lower())
        self.assertLessEqual(self.df()[2], 32)  # what is left is for the map of the file's blocks
        self.assertLessEqual(allocated(self.image()), 64 * MIB)
        show = wait_until(lambda: (lambda item: item if item["usage"]["diskBytes"] > 63 * MIB
                                   else None)(self.bailey.show("alice")), "the use is counted")
        self.assertLessEqual(64 * MIB - show["usage"]["diskBytes"], 32 << 10)
        self.assertEqual(show["limits"]["disk"], 64 * MIB)
        self.assertEqual(show["limits"]["inodes"], 16384)
        for series, value in (("limit_bytes", 64 * MIB),
                              ("usage_bytes", show["usage"]["diskBytes"]),
                              ("inodes_limit", 16384), ("inodes", show["usage"]["inodes"])):
            self.assertEqual(self.bailey.metric(f"bailey_tenant_disk_{series}", tenant="alice"),
                             value, series)
        self.assertIn("64M/64M", self.bailey.ok("ls").out)
        upper = self.bailey.ok("show", "alice", "--fs", "-o", "json").json()["items"][0]["layers"][0]
        self.assertEqual(upper["path"], str(self.image()))
        self.assertEqual(upper["bytes"], allocated(self.image()))
        self.assertEqual(upper["inodes"], show["usage"]["inodes"])
        self.inside("rm /full /rest; echo kept >/kept")
        self.stop()
        self.check()
        self.bailey.ok("start", "alice")
        self.assertEqual(self.inside("cat /kept"), "kept")

    def test_what_it_writes_shows_in_diskstats(self):
        self.launch("64M")
        self.inside("dd if=/dev/zero of=/some bs=1M count=8 conv=fsync")
        rows = [line.split() for line in self.inside("cat /proc/diskstats").splitlines()]
        if self.bailey.counts_io():
            [loop] = loops(str(self.image()))
            mine = [row for row in rows if row[2] == pathlib.Path(loop).name]
            self.assertGreaterEqual(sum(int(row[9]) for row in mine), 8 * MIB // 512, rows)
        else:  # a v1 blkio tree counts nothing of a group
            self.assertEqual(rows, [])

    def test_inodes_are_limited(self):
        self.launch("16M")
        done = self.bailey.sh("alice", "mkdir /m && cd /m && i=0; "
                                       "while true >f$i; do i=$((i+1)); done; echo $i")
        self.assertIn("No space left on device", done.err)
        size, used, free = self.df("-i")
        self.assertEqual((size, free), (4096, 0))
        self.assertGreater(int(done.out.split()[-1]), 3900)

    def test_programs_run_from_it_and_copies_go_up(self):
        self.launch("64M")
        self.inside("cp /bin/busybox /root/busybox && /root/busybox true && chmod 700 /bin/busybox "
                    "&& mv /etc /etc2 && mv /etc2 /etc && ln /root/busybox /root/other "
                    "&& rm -r /srv && mkdir /srv && ls /srv")

    def test_space_comes_back_to_the_host(self):
        self.launch("400M")
        before = allocated(self.image())
        self.assertLess(before, 16 * MIB)  # sparse, but for the journal
        self.inside("dd if=/dev/zero of=/big bs=1M count=200 2>/dev/null && sync")
        self.assertGreater(allocated(self.image()), before + 200 * MIB)
        self.inside("rm /big && sync")
        wait_until(lambda: allocated(self.image()) < before + 4 * MIB, "the image has holes again")

    def test_a_plain_directory_shows_the_host(self):
        self.launch(None)
        self.assertFalse(self.image().exists())
        item = self.bailey.show("alice")
        self.assertIsNone(item["limits"]["disk"])
        self.assertIsNone(item["usage"]["diskBytes"])
        self.assertIsNone(self.bailey.metric("bailey_tenant_disk_usage_bytes", tenant="alice"))

    def test_refused_sizes(self):
        for size in ("1M", "0", "2000000G", "much"):
            done = self.bailey.run("create", "alice", "--ip", self.bailey.ip(2), "--disk", size)
            self.assertEqual(done.status, 2, done)

    def test_nothing_is_left(self):
        def cycle():
            self.launch("64M")
            self.bailey.ok("rm", "--force", "alice")
        cycle()
        before = (self.bailey.leftovers(), self.bailey.daemon_fds(), len(os.listdir("/sys/block")))
        for _ in range(CYCLES):
            cycle()
        after = (self.bailey.leftovers(), self.bailey.daemon_fds(), len(os.listdir("/sys/block")))
        self.assertEqual(after, before)
        self.assertNothingLeft()
        self.assertEqual(loops(str(self.bailey.home / "state")), [])
        self.assertEqual(list((self.bailey.home / "state/removing").iterdir()), [])


class Growth(DiskTest):
    def test_grows_while_running(self):
        self.launch("64M")
        self.inside("echo kept >/kept")
        size = self.df()[0]
        done = self.bailey.run("set", "alice", "disk=300M")
        if may_grow_online():
            self.assertEqual(done.status, 0, done)
        else:
            # Said, and nothing has changed; at rest it grows.
            self.assertEqual(done.status, 5, done)
            self.assertIn("CAP_SYS_RESOURCE", done.err)
            self.assertEqual(self.bailey.show("alice")["limits"]["disk"], 64 * MIB)
            self.assertEqual(os.stat(self.image()).st_size, 64 * MIB)
            self.stop()
            self.bailey.ok("set", "alice", "disk=300M")
            self.bailey.ok("start", "alice")
        self.assertEqual(os.stat(self.image()).st_size, 300 * MIB)
        self.assertGreater(self.df()[0], size + (200 << 10))
        self.assertGreater(self.df("-i")[0], 16384)
        self.assertEqual(self.bailey.show("alice")["limits"]["disk"], 300 * MIB)
        self.inside("dd if=/dev/zero of=/big bs=1M count=150 2>/dev/null && sync && rm /big")
        self.assertEqual(self.inside("cat /kept"), "kept")
        self.stop()
        self.check()

    def test_a_growth_cut_short_is_completed_by_the_next_start(self):
        self.launch("64M")
        self.stop()
        self.bailey.ok("set", "alice", "disk=128M")
        for _ in ("before the file system", "after it"):  # a kill leaves a file that is too long
            os.truncate(self.image(), 128 * MIB + 4096)
            self.bailey.ok("start", "alice")
            self.assertGreater(self.df()[0], 100 << 10)
            self.assertEqual(os.stat(self.image()).st_size, 128 * MIB)
            self.stop()
            self.check()
        os.truncate(self.image(), 200 * MIB)  # begun, and taken back
        self.bailey.ok("start", "alice")
        self.assertEqual(os.stat(self.image()).st_size, 128 * MIB)

    def test_shrinking_is_refused(self):
        self.launch("64M")
        for at_rest in (False, True):
            if at_rest:
                self.stop()
            for value, word in (("32M", "cannot shrink"), ("none", "keeps its limit")):
                done = self.bailey.run("set", "alice", f"disk={value}")
                self.assertEqual(done.status, 2, done)
                self.assertIn(word, done.err)
                self.assertIn("another tenant" if value == "32M" else "larger", done.err)
        self.assertEqual(self.bailey.show("alice")["limits"]["disk"], 64 * MIB)
        # A plan may say less without asking: then there is no start with more than the limit.
        plans = self.bailey.home / "plans.d"
        plans.mkdir(exist_ok=True)
        self.addCleanup(subprocess.run, ["rm", "-r", str(plans)], check=True)
        (plans / "roomy.toml").write_text("[limits]\ndisk = '64M'\n")
        self.bailey.ok("set", "alice", "plan=roomy", "disk=")
        (plans / "roomy.toml").write_text("[limits]\ndisk = '32M'\n")
        done = self.bailey.run("start", "alice")
        self.assertEqual(done.status, 10, done)
        self.assertIn("cannot shrink", done.err)
        self.assertEqual(loops(str(self.bailey.home / "state")), [])
        # Nor does a plan that says nothing let the next limit be less than the image.
        (plans / "roomy.toml").write_text("")
        self.bailey.run("start", "alice")
        self.stop()
        done = self.bailey.run("set", "alice", "disk=32M")
        self.assertEqual(done.status, 2, done)
        self.assertIn("cannot shrink", done.err)


class Migration(DiskTest):
    SCRIPT = r"""
        mkdir -p /d/e && echo one >/d/one && ln /d/one /d/two && ln -s ../one /d/e/link
        mkfifo -m 640 /d/fifo && chmod 4755 /d/two && chown 7:8 /d/e && chmod 1777 /d/e
        touch -d '2001-02-03 04:05:06' /d/one && rm /etc/passwd && mkdir "/d/a
b" && dd if=/dev/zero of=/d/holes bs=1 count=1 seek=20000000 2>/dev/null
    """

    def tree(self, root):
        """Everything that means something in a layer, by name."""
        seen, links = {}, {}
        for directory, names, files in os.walk(root):
            for name in [".", *names, *files]:
                path = os.path.join(directory, name)
                st = os.lstat(path)
                xattrs = {key: os.getxattr(path, key, follow_symlinks=False)
                          for key in os.listxattr(path, follow_symlinks=False)}
                content = os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
                if stat.S_ISREG(st.st_mode):
                    content = pathlib.Path(path).read_bytes()
                relative = os.path.normpath(os.path.relpath(path, root))
                links.setdefault(st.st_ino, []).append(relative)
                seen[relative] = (st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_mtime_ns,
                                  st.st_nlink, xattrs, content)
        return seen, sorted(sorted(names) for names in links.values() if len(names) > 1)

    def mounted_tree(self):
        """Of the stopped tenant's image."""
        point = self.bailey.home / "look"
        point.mkdir()
        subprocess.run(["mount", "-o", "ro,loop", self.image(), point], check=True)
        try:
            return self.tree(point / "upper")
        finally:
            subprocess.run(["umount", point], check=True)
            point.rmdir()

    def prepare(self):
        """A tenant with a plain directory full of things; stopped."""
        self.launch(None)
        self.inside(self.SCRIPT)
        self.stop()
        upper = self.state() / "upper"
        os.setxattr(upper / "d/one", "trusted.bailey.test", b"x")
        os.setxattr(upper / "d/one", "user.test", b"y")
        os.setxattr(upper / "d/two", "security.capability",
                    bytes.fromhex("0100000200200000000000000000000000000000"))
        return self.tree(upper)

    def test_a_directory_becomes_an_image(self):
        before = self.prepare()
        self.bailey.ok("set", "alice", "disk=64M")
        (self.state() / "disk.img.new").write_bytes(b"what an earlier attempt left")
        self.bailey.ok("start", "alice")
        self.assertEqual(self.inside("cat /d/e/../two; test ! -e /etc/passwd"), "one")
        self.assertEqual(self.bailey.show("alice")["limits"]["disk"], 64 * MIB)
        self.assertEqual(sorted(os.listdir(self.state())), ["console.log", "disk.img"])
        self.stop()
        after = self.mounted_tree()
        etc = {"etc/resolv.conf", "etc/hosts", "etc"}  # written at each start
        for trees in (before, after):
            for name in etc:
                trees[0].pop(name, None)
        self.assertEqual(after, before)

    def test_hard_links_of_the_template_stay_one_file(self):
        """What was copied up of them has names in the index alone."""
        self.bailey.make_template()
        root = self.bailey.home / "state/templates/busybox/1/root"
        (root / "a").write_text("the template's")
        for name in ("b", "c"):
            os.link(root / "a", root / name)
        self.addCleanup(lambda: [(root / name).unlink() for name in "abc"])
        self.launch(None)
        self.inside("echo written >/a && chmod 600 /a && rm /a")
        self.bailey.ok("set", "alice", "disk=64M")
        self.bailey.ok("restart", "alice")
        self.assertEqual(self.inside("cat /b /c; stat -c '%a %h' /b"), "written\nwritten\n600 2")
        self.inside("echo again >/b")
        self.assertEqual(self.inside("cat /c"), "again")

    def test_set_while_it_runs_holds_from_the_next_start(self):
        self.launch(None)
        done = self.bailey.ok("set", "alice", "disk=64M")
        self.assertIn("next start", done.err)
        self.assertIsNone(self.bailey.show("alice")["limits"]["disk"])
        self.bailey.ok("restart", "alice")
        self.assertEqual(self.bailey.show("alice")["limits"]["disk"], 64 * MIB)

    def test_what_does_not_fit_stays_where_it_is(self):
        self.launch(None)
        self.inside("dd if=/dev/urandom of=/big bs=1M count=20 2>/dev/null && md5sum /big >/sum")
        self.stop()
        self.bailey.ok("set", "alice", "disk=16M")
        done = self.bailey.run("start", "alice")
        self.assertEqual(done.status, 10, done)
        self.assertIn("No space left on device", done.err)
        self.assertIn("give it a disk that holds all", done.err)
        self.assertEqual(loops(str(self.bailey.home / "state")), [])
        self.assertEqual(sorted(os.listdir(self.state())), ["console.log", "upper", "work"])
        self.bailey.ok("set", "alice", "disk=64M")
        self.bailey.ok("start", "alice")
        self.inside("md5sum /big | cmp - /sum")

    def test_killed_in_the_middle(self):
        self.launch(None)
        self.inside("mkdir /m && cd /m && for i in $(seq 3000); do echo $i >f$i; done")
        self.stop()
        self.bailey.ok("set", "alice", "disk=64M")
        starting = threading.Thread(target=self.bailey.run, args=("start", "alice"))
        starting.start()
        wait_until(lambda: (self.state() / "disk.img.new").exists() or self.image().exists(),
                   "the copy has begun")
        self.bailey.kill_daemon()
        starting.join()
        self.bailey.start_daemon()  # it meant to start alice, and does
        wait_until(lambda: self.bailey.show("alice")["state"] == "running", "alice runs")
        self.assertEqual(self.inside("ls /m | wc -l; cat /m/f2999").split(), ["3000", "2999"])
        self.assertEqual(self.bailey.show("alice")["limits"]["disk"], 64 * MIB)
        self.assertFalse((self.state() / "disk.img.new").exists())


class Crash(DiskTest):
    def test_supervisor_killed(self):
        self.launch("64M")
        self.inside("echo kept >/kept && sync && dd if=/dev/zero of=/dirty bs=1M count=10")
        [pid] = [pid for pid in self.bailey.processes()
                 if b"bailey-supervisor" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
        first = self.bailey.show("alice")["initPid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.bailey.show("alice")["initPid"] not in (None, first), "it runs again")
        self.assertEqual(self.inside("cat /kept"), "kept")
        self.stop()
        self.check()

    def test_an_unclean_image_is_checked_and_a_damaged_one_refused(self):
        self.launch("64M")
        self.inside("echo kept >/kept")
        self.stop()
        # The kernel has met an error: mended before it is mounted.
        done = tool("debugfs", "-w", "-R", "ssv state 2", self.image())
        self.assertEqual(done.returncode, 0, done)
        self.bailey.ok("start", "alice")
        self.assertEqual(self.inside("cat /kept"), "kept")
        self.stop()
        self.check()
        # Beyond mending without a person.
        with open(self.image(), "r+b") as image:
            whole = image.read(2 * MIB)
            image.seek(0)
            image.write(os.urandom(2 * MIB))
        done = self.bailey.run("start", "alice")
        self.assertEqual(done.status, 10, done)
        self.assertIn("e2fsck", done.err)
        self.assertEqual(loops(str(self.bailey.home / "state")), [])
        with open(self.image(), "r+b") as image:
            image.write(whole)
        self.bailey.ok("start", "alice")
        self.assertEqual(self.inside("cat /kept"), "kept")


class FullHost(DiskTest):
    """The host's disk is full while the image, being sparse, needs more of it. All of Bailey's state
    lies on a small ext4 of its own, in a mount namespace of this test's."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        state, backing = cls.bailey.home / "state", cls.bailey.home / "small.ext4"
        with open(backing, "wb") as file:
            file.truncate(96 * MIB)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", backing], check=True)
        cls.bailey.kill_daemon(signal.SIGTERM)
        subprocess.run(["mount", "-o", "loop", backing, state], check=True)
        cls.addClassCleanup(cls.unmount, state)
        cls.bailey.start_daemon()

    @classmethod
    def unmount(cls, state):
        cls.bailey.kill_daemon(signal.SIGTERM)
        subprocess.run(["umount", "-l", state], check=True)
        cls.bailey.start_daemon()

    def test_nothing_is_lost(self):
        self.launch("1G")
        self.inside("mkdir /data && for i in $(seq 20); do echo $i >/data/$i; done && "
                    "dd if=/dev/urandom of=/data/random bs=64k count=16 2>/dev/null && "
                    "md5sum /data/random >/data/sum && sync")
        filler = self.state() / "filler"
        with open(filler, "wb", buffering=0) as file:
            with self.assertRaises(OSError) as full:
                while True:
                    file.write(b"x" * 65536)
        self.assertEqual(full.exception.errno, errno.ENOSPC)
        done = self.bailey.sh("alice", "dd if=/dev/urandom of=/more bs=64k count=400 conv=fsync")
        self.assertNotEqual(done.status, 0, done)  # told, not lost in silence
        self.assertRegex(done.err, "No space left|I/O error|Read-only")
        os.unlink(filler)
        self.bailey.ok("stop", "alice")
        self.bailey.ok("start", "alice")
        self.inside("md5sum /data/random | cmp - /data/sum && cat /data/20 && echo again >/again")
        self.stop()
        self.check()


if __name__ == "__main__":
    # Mounts of these tests are nobody else's, and go with the last process of ours.
    if LIBC.unshare(CLONE_NEWNS) != 0 or LIBC.mount(None, b"/", None, MS_PRIVATE_REC, None) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace")
    unittest.main(verbosity=2, catchbreak=False)
