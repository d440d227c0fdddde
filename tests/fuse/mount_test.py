"""bailey-fs under mount(8): its options, /etc/fstab, what is said when it fails, and its counters."""
import os
import subprocess
import time

import harness
import syscalls
from harness import FsTest, SERVER, read, write

# Where mount(8) has its helpers' programs looked for: it passes no PATH on.
PROGRAMS = "/usr/local/sbin"


class MountCommand(FsTest):
    def setUp(self):
        if not os.path.ismount(PROGRAMS):  # in our own mount namespace
            os.makedirs(PROGRAMS, exist_ok=True)
            syscalls.mount("tmpfs", PROGRAMS, "tmpfs", 0, "mode=755")
            os.symlink(SERVER, f"{PROGRAMS}/bailey-fs")
        super().setUp()
        self.addCleanup(self.end)

    def fill(self):
        write(self.lower("f", 0), "first")
        write(self.lower("f", 1), "second")
        write(self.lower("only", 1), "below")

    def mount(self, **how):
        """Each test mounts for itself."""

    def end(self):
        if os.path.ismount(self.root):
            syscalls.umount(self.root, syscalls.MNT_DETACH)

    def layers(self, upper=True):
        text = f"lowerdir={':'.join(self.lowers)}"
        return text + (f",upperdir={self.upper},workdir={self.work}" if upper else "")

    def run_mount(self, *arguments):
        return subprocess.run(["mount", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)

    def mount_with(self, options):
        done = self.run_mount("-t", "fuse.bailey-fs", "-o", options, "none", self.root)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def mounted_as(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            for line in table:
                fields = line.split()
                if fields[4] == self.root:
                    type_, source, of_file_system = fields[fields.index("-") + 1:][:3]
                    return {"type": type_, "source": source, "options": set(fields[5].split(",")),
                            "super": set(of_file_system.split(","))}
        return None

    def server(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"bailey-fs") and os.fsencode(self.root) in words:
                return int(pid)
        return None

    def umount(self):
        server = self.server()
        self.assertIsNotNone(server)
        subprocess.run(["umount", self.root], check=True, timeout=60)
        self.assertIsNone(self.mounted_as())
        deadline = time.monotonic() + 20
        while self.server():
            self.assertLess(time.monotonic(), deadline, "the server outlives its mount")
            time.sleep(0.005)

    def test_mount_and_umount(self):
        self.mount_with(self.layers())
        self.assertEqual(read(self.path("f")), b"first")
        self.assertEqual(read(self.path("only")), b"below")
        write(self.path("new"), "x")
        self.assertEqual(read(self.in_upper("new")), b"x")
        self.assertEqual(self.mounted_as()["type"], "fuse.bailey-fs")
        self.assertEqual(self.mounted_as()["source"], "none")
        self.umount()

    def test_a_line_of_fstab(self):
        table = f"{self.home}/fstab"
        write(table, f"web-root {self.root} fuse.bailey-fs {self.layers()},noauto,nofail,noatime,"
                     "nosuid,noexec,allow_other,default_permissions,_netdev,x-systemd.requires=/srv,"
                     "x-systemd.mount-timeout=9,comment=for-the-web 0 0\n")
        done = self.run_mount("-T", table, self.root)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        mounted = self.mounted_as()
        self.assertEqual(mounted["source"], "web-root")
        self.assertLessEqual({"rw", "noatime", "nosuid", "noexec", "nodev"}, mounted["options"])
        self.assertEqual(read(self.path("f")), b"first")
        self.umount()

    def test_ro_and_remount(self):
        self.mount_with(f"ro,{self.layers()}")
        self.assertErrno(30, write, self.path("new"), "x")
        done = self.run_mount("-o", "remount,rw,noatime", self.root)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLessEqual({"rw", "noatime", "nodev"}, self.mounted_as()["options"])
        write(self.path("new"), "x")
        self.umount()

    def test_without_an_upper_it_is_read_only(self):
        self.mount_with(self.layers(upper=False))
        self.assertIn("ro", self.mounted_as()["super"])
        self.assertErrno(30, write, self.path("new"), "x")
        self.assertErrno(30, os.chmod, self.path("f"), 0o600)
        self.umount()

    def test_failures_are_said_before_mount_returns(self):
        for options, said in ((f"lowerdir={self.home}/none", f"{self.home}/none"),
                              (f"{self.layers()},bogus", "bogus"),
                              (f"lowerdir={self.lowers[0]},upperdir={self.home}/none",
                               f"{self.home}/none"),
                              (f"lowerdir={self.lowers[0]}/f", "Not a directory"),
                              ("ro", "--lower")):
            with self.subTest(options):
                done = self.run_mount("-t", "fuse.bailey-fs", "-o", options, "none", self.root)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(said, done.stderr)
                self.assertIsNone(self.mounted_as())
                self.assertIsNone(self.server())

    def test_a_failure_after_the_mount_takes_it_away(self):
        self.mount_with(self.layers())
        elsewhere = f"{self.home}/elsewhere"
        os.mkdir(elsewhere)
        # The work directory is in use: as overlayfs, we refuse to share it.
        done = self.run_mount("-t", "fuse.bailey-fs", "-o", self.layers(), "none", elsewhere)
        self.assertEqual(done.returncode, 32)
        self.assertFalse(os.path.ismount(elsewhere))
        self.umount()

    def counters(self):
        done = subprocess.run([SERVER, "--counters", self.root], capture_output=True, text=True,
                              check=True, timeout=30)
        return {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}

    def test_counters_of_a_mount(self):
        self.mount_with(self.layers())
        before = self.counters()
        self.assertEqual((before["copy_ups"], before["open_files"]), (0, 0))
        with open(self.path("only"), "ab") as file:
            file.write(b"+")
            self.assertEqual(self.counters()["open_files"], 1)
        after = self.counters()
        self.assertEqual((after["copy_ups"], after["copy_up_bytes"]), (1, len("below")))
        self.assertGreater(after["requests"], before["requests"])
        self.assertGreater(after["nodes"], 0)
        # An attribute that is not there for anybody but the host's root, nor on other files.
        name = "trusted.bailey.counters"
        self.assertIn(b"copy_ups 1\n", os.getxattr(self.root, name))
        self.assertEqual(os.listxattr(self.root), [])
        self.assertErrno(61, os.getxattr, self.path("f"), name)
        self.assertErrno(61, harness.as_user, 1000, lambda: os.getxattr(self.root, name))
        for other in (self.lowers[0], f"{self.home}/none"):
            done = subprocess.run([SERVER, "--counters", other], capture_output=True, text=True,
                                  check=False, timeout=30)
            self.assertEqual(done.returncode, 1)
            self.assertIn(other, done.stderr)
        self.umount()


if __name__ == "__main__":
    harness.main()
