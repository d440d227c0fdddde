"""Lower layers that mean harm: whatever a template's author has put into one, the server serves what
can be served, refuses the rest, stays small, and changes nothing of it."""
import errno
import os
import socket
import stat
import struct
import subprocess
import sys
import time

import harness
import syscalls
from harness import FsTest, read, write

MARKS = ("opaque", "redirect", "metacopy", "impure", "origin", "whiteout", "nlink", "upper")
VALUES = (b"y", b"", b"n", b"..", b"/", b"//", b"/..", b"../..", b"/../../../outside", b"outside",
          b"/outside/f", b"a/b", b"\0", b"\xff" * 300, b"x" * 4000, b"/" + b"d/" * 1500 + b"d",
          b"/loop", b"self", b"./self", b"/self/../../outside")
PATIENCE = 60  # seconds for a walk; a hang is what it is for


def snapshot(top):
    """Everything that can be changed of a tree, but access times."""
    found = {}
    for where, directories, files in os.walk(top):
        for path in [where] + [os.path.join(where, name) for name in files] + [
                os.path.join(where, name) for name in directories
                if os.path.islink(os.path.join(where, name))]:
            st = os.lstat(path)
            marks = {name: os.getxattr(path, name, follow_symlinks=False)
                     for name in os.listxattr(path, follow_symlinks=False)}
            found[path] = (st.st_ino, st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_size,
                           st.st_mtime_ns, st.st_ctime_ns, marks)
    return found


def walk(top, visit):
    """visit(path, status) for all that is below, by descriptors; errors are the layer's."""
    refused = 0
    deadline = time.monotonic() + PATIENCE
    waiting = [top]
    while waiting:
        assert time.monotonic() < deadline, "the walk does not end"
        here = waiting.pop()
        try:
            names = os.listdir(here)
        except OSError:
            refused += 1
            continue
        for name in names:
            path = os.path.join(here, name)
            try:
                status = os.lstat(path)
            except OSError:
                refused += 1
                continue
            visit(path, status)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
    return refused


class Hostile(FsTest):
    def memory(self):
        """The most that the server has ever had in memory, in MiB."""
        with open(f"/proc/{self.mounted.server.pid}/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def setUp(self):
        self.outside = f"{harness.ROOT}/outside"
        write(f"{self.outside}/f", "secret")
        super().setUp()
        self.before = [snapshot(lower) for lower in self.lowers] + [snapshot(self.outside)]
        self.addCleanup(self.check)

    def check(self):
        self.assertIsNone(self.mounted.server.poll(), "the server has died")
        if "Sanitizer" not in self.mounted.read_log() and not os.environ.get("ASAN_OPTIONS"):
            self.assertLess(self.memory(), 400)
        after = [snapshot(lower) for lower in self.lowers] + [snapshot(self.outside)]
        for then, now in zip(self.before, after):
            self.assertEqual(then, now)
        self.assertEqual(read(f"{self.outside}/f"), b"secret")

    def is_outside(self, status):
        """Layers and what is outside lie on one file system, whose numbers show as they are."""
        return status.st_ino in [os.stat(path).st_ino for path in (self.outside, f"{self.outside}/f")]

    def everything(self):
        """Looks at everything, opens it, reads it, changes it and removes it."""
        seen = []

        def look(path, status):
            seen.append(path)
            self.assertFalse(self.is_outside(status), path)
            self.assertFalse(stat.S_ISCHR(status.st_mode) and status.st_rdev == 0, path)
            for name in os.listxattr(path, follow_symlinks=False):
                self.assertFalse(name.startswith("trusted."), path)
            if stat.S_ISLNK(status.st_mode):
                os.readlink(path)
            if stat.S_ISREG(status.st_mode):
                try:
                    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                except OSError:
                    return
                self.assertNotEqual(os.read(file, 6), b"secret", path)
                os.close(file)
        walk(self.root, look)

        def change(path, status):
            for call in (lambda: os.chmod(path, 0o600, follow_symlinks=False)
                         if not stat.S_ISLNK(status.st_mode) else None,
                         lambda: os.chown(path, 5, 5, follow_symlinks=False),
                         lambda: os.utime(path, (1, 1), follow_symlinks=False),
                         lambda: os.rename(path, path + "~"), lambda: os.rename(path + "~", path)):
                try:
                    call()
                except OSError:
                    pass
            if stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20:
                try:
                    with open(path, "ab") as file:
                        file.write(b"+")
                except OSError:
                    pass
        walk(self.root, change)
        subprocess.run(["rm", "-rf", "--", *[os.path.join(self.root, n) for n in os.listdir(self.root)]],
                       check=False, stderr=subprocess.DEVNULL, timeout=PATIENCE)
        return seen


class Marks(Hostile):
    def fill(self):
        for layer in range(2):
            write(self.lower("a/b/c", layer), "inside")
            for number, value in enumerate(VALUES):
                for mark in MARKS:
                    name = f"{mark}-{number}"
                    os.makedirs(self.lower(f"d-{name}/sub", layer))
                    write(self.lower(f"d-{name}/f", layer), "x")
                    write(self.lower(f"f-{name}", layer), "x" * 10)
                    for path in (f"d-{name}", f"f-{name}"):
                        os.setxattr(self.lower(path, layer), f"trusted.overlay.{mark}", value)
            # A file of holes that claims to have its data elsewhere.
            for number, value in enumerate(VALUES):
                path = self.lower(f"hole-{number}", layer)
                write(path)
                os.truncate(path, 100_000)
                os.setxattr(path, "trusted.overlay.metacopy", b"")
                os.setxattr(path, "trusted.overlay.redirect", value)
            os.setxattr(self.lower("a", layer), "trusted.overlay.impure", b"y")
            for number, value in enumerate((b"1", b"99999999999999999999999", b"-1", b"x", b"")):
                write(self.lower(f"a/ino-{number}", layer), "x")
                os.setxattr(self.lower(f"a/ino-{number}", layer), "trusted.bailey.ino", value)
        os.setxattr(self.lowers[0], "trusted.overlay.redirect", b"/../outside")

    def test_marks_of_every_kind(self):
        self.everything()


class Redirects(Hostile):
    """Redirects that lead in circles, and to each other."""

    def fill(self):
        for layer in range(2):
            for name, to in (("self", b"self"), ("one", b"two"), ("two", b"one"), ("up", b"/up/up"),
                             ("deep", b"/deep/a/b/c/d")):
                os.makedirs(self.lower(f"{name}/{name}/a/b/c/d", layer))
                os.setxattr(self.lower(name, layer), "trusted.overlay.redirect", to)
                os.setxattr(self.lower(f"{name}/{name}", layer), "trusted.overlay.redirect", to)

    def test_circles_end(self):
        self.everything()


class Kinds(Hostile):
    def fill(self):
        lower = self.lowers[0]
        for name, mode, device in (("null", stat.S_IFCHR, os.makedev(1, 3)), ("kmsg", stat.S_IFCHR, os.makedev(1, 11)),
                                   ("loop0", stat.S_IFBLK, os.makedev(7, 0)), ("whiteout", stat.S_IFCHR, 0),
                                   ("fifo", stat.S_IFIFO, 0)):
            os.mknod(f"{lower}/{name}", mode | 0o666, device)
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(lower)
            server.bind("socket")
            os.chdir(here)
        for name, target in (("absolute", f"{self.outside}/f"), ("dots", "../" * 20 + f"{self.outside}/f"[1:]),
                             ("self", "self"), ("one", "two"), ("two", "one"), ("long", "x/" * 2000),
                             ("root", "/proc/self/root"), ("\n", "\x1b]0;")):
            os.symlink(target, f"{lower}/{name}")
        for name in (b"new\nline", b"\x1b[2J", b"\xff\xfe", b"n" * 255, b" ", b"-rf", b"#whiteout"):
            write(os.fsencode(lower) + b"/d/" + name, b"x")
        write(f"{lower}/setuid", "#!/bin/sh\n", 0o6755)
        write(f"{lower}/caps", "x", 0o755)
        os.setxattr(f"{lower}/caps", "security.capability",
                    struct.pack("<6I", 0x03000001, 0xffffffff, 0, 0xffffffff, 0, 4242))
        write(f"{lower}/linked", "x")
        for number in range(200):
            os.link(f"{lower}/linked", f"{lower}/link{number}")
        with open(f"{lower}/huge", "wb") as file:
            file.truncate(1 << 42)
            file.seek(1 << 41)
            file.write(b"in the middle")
        os.chmod(f"{lower}/d", 0o7777)

    def test_nothing_gets_out_or_in(self):
        # mount(2) and the server both say nodev, whatever the mount's options.
        for name in ("null", "kmsg", "loop0"):
            self.assertErrno(errno.EACCES, os.open, self.path(name), os.O_RDONLY)
            self.assertErrno(errno.EACCES, os.open, self.path(name), os.O_RDWR)
        self.assertFalse(os.path.lexists(self.path("whiteout")))
        self.assertErrno(errno.EPERM, os.mknod, self.path("mine"), stat.S_IFCHR | 0o666, 0)
        self.assertErrno(errno.ELOOP, os.stat, self.path("self"))
        self.assertErrno(errno.ELOOP, os.stat, self.path("one"))
        self.assertErrno(errno.ENXIO, os.open, self.path("fifo"), os.O_WRONLY | os.O_NONBLOCK)
        with socket.socket(socket.AF_UNIX) as client:
            self.assertErrno(errno.ECONNREFUSED, client.connect, self.path("socket"))
        file = os.open(self.path("huge"), os.O_RDWR)
        self.assertEqual(os.lseek(file, 0, os.SEEK_DATA), 1 << 41)
        self.assertEqual(os.pread(file, 13, 1 << 41), b"in the middle")
        os.pwrite(file, b"IN", 1 << 41)
        os.close(file)
        self.assertLess(os.stat(self.in_upper("huge")).st_blocks, 100_000)
        seen = self.everything()
        self.assertIn("new\nline", [os.path.basename(path) for path in seen])
        self.assertIn("n" * 255, [os.path.basename(path) for path in seen])


class Deep(Hostile):
    """Ten thousand directories, one in the other, and wide ones with long names at a depth."""
    depth = 10_000

    def dig(self, top, name, depth):
        here = os.open(top, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        return here

    def fill(self):
        os.close(self.dig(self.lowers[0], "d", self.depth))
        bottom = self.dig(self.lowers[0], "n" * 255, 400)
        for number in range(3000):
            os.mkdir(f"{number:0255}", dir_fd=bottom)
        os.close(bottom)

    def setUp(self):
        sys.setrecursionlimit(50_000)
        super().setUp()

    def check(self):  # os.walk has no such paths
        self.assertIsNone(self.mounted.server.poll(), "the server has died")
        if not os.environ.get("ASAN_OPTIONS"):
            self.assertLess(self.memory(), 200)

    def descend(self, name, depth):
        here = os.open(self.root, os.O_RDONLY)
        for level in range(depth):
            try:
                below = os.open(name, os.O_RDONLY, dir_fd=here)
            except OSError as error:
                self.assertEqual(errno.errorcode[error.errno], "ENAMETOOLONG")
                return here, level
            os.close(here)
            here = below
        return here, depth

    def test_down_and_down(self):
        here, level = self.descend("d", self.depth)
        self.assertGreater(level, 1000)
        os.listdir(here)
        os.close(here)
        here, level = self.descend("n" * 255, 400)
        self.assertGreaterEqual(level, 15)  # PATH_MAX
        for name in os.listdir(here):
            try:
                os.stat(name, dir_fd=here)
            except OSError as error:
                self.assertEqual(errno.errorcode[error.errno], "ENAMETOOLONG")
        os.close(here)
        # As far down as it goes it can be removed, and hidden as a whole.
        subprocess.run(["rm", "-rf", self.path("n" * 255)], check=False, capture_output=True,
                       timeout=PATIENCE)
        os.rename(self.path("d"), self.path("away"))

    def test_a_deep_tree_of_the_tenants_own(self):
        os.close(self.dig(self.root, "own", 6000))
        self.remount()  # it has to be found again, all of it
        here, level = self.descend("own", 6000)
        self.assertEqual(level, 6000)
        file = os.open("f", os.O_CREAT | os.O_RDWR, dir_fd=here)
        self.assertEqual(os.listdir(here), ["f"])
        os.close(file)
        os.close(here)


class ReadOnlyBelow(FsTest):
    """What the server holds of a lower cannot be written through, not even by the host's root."""

    def fill(self):
        write(self.lower("f"), "below")

    def test_through_its_descriptors(self):
        os.listdir(self.root)
        read(self.path("f"))
        base = f"/proc/{self.mounted.server.pid}/fd"
        tried = 0
        for number in os.listdir(base):
            path = f"{base}/{number}/f"
            try:
                status = os.stat(path)
            except OSError:
                continue
            if not os.path.samestat(status, os.stat(self.lower("f"))):
                continue
            tried += 1
            self.assertErrno(errno.EROFS, os.open, path, os.O_WRONLY)
            self.assertErrno(errno.EROFS, os.chmod, path, 0o600)
            self.assertErrno(errno.EROFS, os.unlink, path)
        self.assertGreater(tried, 0)


if __name__ == "__main__":
    harness.main()
