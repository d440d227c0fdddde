"""Copy-up of attributes alone: what a change of attributes or names copies, and what follows."""
import contextlib
import errno
import mmap
import os
import stat
import time

import harness
import snapshot
import syscalls
from harness import FsTest, read, write
from tracer import FDATASYNC, Tracer

METACOPY, REDIRECT = "trusted.overlay.metacopy", "trusted.overlay.redirect"
PAST = (1_000_000_000_123_456_789, 1_100_000_000_987_654_321)


def is_metacopy(path):
    return METACOPY in os.listxattr(path, follow_symlinks=False)


def in_background(body):
    """The child that does it; ended() is 0 if it could."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return child


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class MetacopyTest(FsTest):
    content = os.urandom(300_000)

    def fill(self):
        write(self.lower("d/f"), self.content, 0o4755)
        os.chown(self.lower("d/f"), 7, 8)
        os.chmod(self.lower("d/f"), 0o6755)
        os.setxattr(self.lower("d/f"), "user.one", b"1")
        os.utime(self.lower("d/f"), ns=PAST)
        write(self.lower("d/other"), b"of the same directory")
        with open(self.lower("sparse"), "wb") as file:
            file.truncate(10 << 20)
            os.pwrite(file.fileno(), b"end", (10 << 20) - 3)
        write(self.lower("empty"))

    def copied(self):
        """Bytes of data that were copied up so far."""
        text = os.getxattr(self.root, "trusted.bailey.counters").decode()
        return int(dict(line.split() for line in text.splitlines())["copy_up_bytes"])

    def kernel_shows_the_same(self):
        """The kernel's overlayfs mounts what we wrote and shows what we show."""
        shown = snapshot.take(self.root)
        blocks = os.stat(self.path("d/f")).st_blocks if os.path.exists(self.path("d/f")) else None
        self.mounts.remove(self.mounted)
        self.mounted.stop()
        kernel = harness.Mount(self.lowers, self.upper, f"{self.work}-kernel",
                               f"{self.home}/kernel", kind="overlay")
        try:
            self.assertEqual(snapshot.differences(shown, snapshot.take(kernel.point)), [])
            if blocks is not None:
                self.assertEqual(os.stat(f"{kernel.point}/d/f").st_blocks, blocks)
        finally:
            kernel.stop()
        self.mount()
        self.assertEqual(snapshot.differences(shown, snapshot.take(self.root)), [])


@harness.bailey_only
class AttributesOnly(MetacopyTest):
    def check(self, change, name="d/f", mark=True):
        """`change` copies no data and leaves what it is not about."""
        before = os.stat(self.path(name))
        change(self.path(name))
        self.assertEqual(self.copied(), 0)
        self.assertEqual(is_metacopy(self.in_upper(name)), mark)
        after = os.stat(self.path(name))
        self.assertEqual((after.st_ino, after.st_size, after.st_blocks, after.st_nlink),
                         (before.st_ino, before.st_size, before.st_blocks, before.st_nlink))
        self.assertEqual(read(self.path(name)), self.content)
        self.assertEqual(os.stat(self.in_upper(name)).st_size, before.st_size)
        self.assertLess(os.stat(self.in_upper(name)).st_blocks, 17)
        self.kernel_shows_the_same()
        return before, after

    def unchanged(self, before, after, *fields):
        for field in fields:
            self.assertEqual(getattr(after, field), getattr(before, field), field)

    def test_chmod(self):
        before, after = self.check(lambda path: os.chmod(path, 0o2711))
        self.assertEqual(stat.S_IMODE(after.st_mode), 0o2711)
        self.unchanged(before, after, "st_uid", "st_gid", "st_mtime_ns", "st_atime_ns")
        self.assertEqual(os.getxattr(self.path("d/f"), "user.one"), b"1")

    def test_chown(self):
        before, after = self.check(lambda path: os.chown(path, 1000, 1001))
        self.assertEqual((after.st_uid, after.st_gid), (1000, 1001))
        self.unchanged(before, after, "st_mtime_ns", "st_atime_ns")

    def test_utimens(self):
        before, after = self.check(lambda path: os.utime(path, ns=(5, 77)))
        self.assertEqual(after.st_mtime_ns, 77)
        self.unchanged(before, after, "st_mode", "st_uid", "st_gid")

    def test_setxattr_and_removexattr(self):
        before, after = self.check(lambda path: os.setxattr(path, "user.two", b"2"))
        self.unchanged(before, after, "st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_atime_ns")
        os.removexattr(self.path("d/f"), "user.one")
        self.assertEqual(os.listxattr(self.path("d/f")), ["user.two"])
        self.kernel_shows_the_same()

    def test_removexattr_of_a_lower(self):
        before, after = self.check(lambda path: os.removexattr(path, "user.one"))
        self.unchanged(before, after, "st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_atime_ns")

    def test_rename(self):
        before = os.stat(self.path("d/f"))
        os.rename(self.path("d/f"), self.path("d/g"))
        os.mkdir(self.path("new"))
        os.rename(self.path("d/g"), self.path("new/h"))
        self.assertEqual(self.copied(), 0)
        self.assertEqual(os.getxattr(self.in_upper("new/h"), REDIRECT), b"/d/f")
        after = os.stat(self.path("new/h"))
        self.unchanged(before, after, "st_ino", "st_mode", "st_uid", "st_gid", "st_size",
                       "st_blocks", "st_mtime_ns", "st_atime_ns")
        self.assertEqual(read(self.path("new/h")), self.content)
        self.kernel_shows_the_same()
        self.assertEqual(read(self.path("new/h")), self.content)

    def test_exchange(self):
        syscalls.renameat2(self.path("d/f"), self.path("sparse"), syscalls.RENAME_EXCHANGE)
        self.assertEqual(self.copied(), 0)
        self.assertEqual(read(self.path("sparse")), self.content)
        self.assertEqual(os.stat(self.path("d/f")).st_size, 10 << 20)
        self.kernel_shows_the_same()
        self.assertEqual(read(self.path("sparse")), self.content)

    def test_link_as_dpkg_does_it(self):
        """A link of what is replaced, the new file over it, and the link goes."""
        before = os.stat(self.path("d/f"))
        os.link(self.path("d/f"), self.path("d/f.dpkg-tmp"))
        for name in ("d/f", "d/f.dpkg-tmp"):
            status = os.stat(self.path(name))
            self.unchanged(before, status, "st_ino", "st_mode", "st_size", "st_blocks",
                           "st_mtime_ns")
            self.assertEqual(status.st_nlink, 2)
        self.kernel_shows_the_same()
        write(self.path("d/f.dpkg-new"), b"the new version")
        os.rename(self.path("d/f.dpkg-new"), self.path("d/f"))
        self.assertEqual(read(self.path("d/f.dpkg-tmp")), self.content)
        self.assertEqual(os.stat(self.path("d/f.dpkg-tmp")).st_nlink, 1)
        self.kernel_shows_the_same()
        os.unlink(self.path("d/f.dpkg-tmp"))
        self.assertEqual(read(self.path("d/f")), b"the new version")
        self.assertEqual(self.copied(), 0)
        self.kernel_shows_the_same()

    def test_in_a_directory_that_moves(self):
        os.chmod(self.path("d/f"), 0o600)
        os.rename(self.path("d"), self.path("e"))
        os.rename(self.path("e/f"), self.path("e/g"))
        self.assertEqual(read(self.path("e/g")), self.content)
        self.assertEqual(self.copied(), 0)
        self.kernel_shows_the_same()
        self.assertEqual(read(self.path("e/g")), self.content)

    def test_a_path_too_long_to_point_at(self):
        deep = "/".join(["n" * 100] * 3)
        write(self.lower(f"{deep}/f"), b"deep")
        self.remount()
        os.rename(self.path(f"{deep}/f"), self.path("near"))
        self.assertFalse(is_metacopy(self.in_upper("near")))
        self.assertEqual(read(self.path("near")), b"deep")
        self.kernel_shows_the_same()

    def test_marks_of_the_layer_stay_there(self):
        """Whoever made a layer must not tell us what is true of the upper."""
        for mark in ("ino", "links", "completing", "impure"):
            os.setxattr(self.lower("d/f"), f"trusted.bailey.{mark}", b"=1 1 1 1")
        self.remount()
        os.unlink(self.path("d/other"))
        os.chmod(self.path("d/f"), 0o600)
        self.assertEqual(sorted(os.listxattr(self.in_upper("d/f"))),
                         ["trusted.bailey.ino", "trusted.overlay.metacopy", "user.one"])
        self.assertEqual(os.getxattr(self.in_upper("d/f"), "trusted.bailey.ino"),
                         str(os.stat(self.lower("d/f")).st_ino).encode())

    def test_nothing_to_leave_behind(self):
        os.chmod(self.path("empty"), 0o600)
        self.assertFalse(is_metacopy(self.in_upper("empty")))
        self.kernel_shows_the_same()


@harness.bailey_only
class DataFollow(MetacopyTest):
    def change(self):
        os.chmod(self.path("d/f"), 0o6711)
        os.utime(self.path("d/f"), ns=PAST)
        os.setxattr(self.path("d/f"), "security.capability", syscalls.capability_xattr(1 << 10))
        self.assertTrue(is_metacopy(self.in_upper("d/f")))

    def test_with_the_first_writable_open(self):
        self.change()
        before = os.stat(self.path("d/f"))
        os.close(os.open(self.path("d/f"), os.O_WRONLY))
        self.assertEqual(self.copied(), len(self.content))
        self.assertEqual(sorted(os.listxattr(self.in_upper("d/f"))),
                         ["security.capability", "trusted.bailey.ino", "user.one"])
        after = os.stat(self.path("d/f"))
        for field in ("st_ino", "st_mode", "st_uid", "st_gid", "st_size", "st_nlink",
                      "st_mtime_ns"):
            self.assertEqual(getattr(after, field), getattr(before, field), field)
        self.assertEqual(read(self.in_upper("d/f")), self.content)
        self.kernel_shows_the_same()

    def test_into_every_name(self):
        self.change()
        os.link(self.path("d/f"), self.path("g"))
        with open(self.path("g"), "r+b") as file:
            file.write(b"written")
        for name in ("d/f", "g"):
            self.assertEqual(read(self.path(name)), b"written" + self.content[7:])
            self.assertEqual(os.stat(self.path(name)).st_nlink, 2)
        self.kernel_shows_the_same()

    def test_not_when_truncated(self):
        self.change()
        with open(self.path("d/f"), "wb") as file:
            file.write(b"new")
        self.assertEqual(self.copied(), 0)
        self.assertEqual(read(self.path("d/f")), b"new")
        self.kernel_shows_the_same()
        os.chmod(self.path("sparse"), 0o600)
        os.truncate(self.path("sparse"), 0)
        self.assertEqual(os.stat(self.path("sparse")).st_blocks, 0)
        self.kernel_shows_the_same()

    def test_before_a_truncation_to_something(self):
        self.change()
        os.truncate(self.path("d/f"), 1000)
        self.assertEqual(read(self.path("d/f")), self.content[:1000])
        self.kernel_shows_the_same()

    def test_holes_stay_holes(self):
        os.chmod(self.path("sparse"), 0o600)
        with open(self.path("sparse"), "r+b") as file:
            file.write(b"begin")
        self.assertLess(self.copied(), 1 << 20)
        self.assertLess(os.stat(self.path("sparse")).st_blocks, 100)
        self.assertEqual(read(self.path("sparse"))[-3:], b"end")

    def test_under_readers(self):
        """Who has the lower data open reads on; who opens then sees what was written."""
        self.change()
        reader = os.open(self.path("d/f"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        with mmap.mmap(reader, 0, prot=mmap.PROT_READ) as memory:
            with open(self.path("d/f"), "r+b") as file:
                file.write(b"written")
            self.assertIn(memory[:7], (self.content[:7], b"written"))
            self.assertEqual(read(self.path("d/f"))[:7], b"written")
        self.assertIn(os.pread(reader, 7, 0), (self.content[:7], b"written"))
        self.assertEqual(os.pread(reader, 7, 1000), self.content[1000:1007])
        os.fchmod(reader, 0o640)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("d/f")).st_mode), 0o640)

    def test_under_a_reader_and_with_two_names(self):
        self.change()
        os.link(self.path("d/f"), self.path("g"))
        reader = os.open(self.path("g"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        with open(self.path("d/f"), "r+b") as file:
            file.write(b"written")
        for name in ("d/f", "g"):
            self.assertEqual(read(self.path(name))[:7], b"written")
        os.unlink(self.path("g"))
        self.assertEqual(os.stat(self.path("d/f")).st_nlink, 1)

    def test_what_the_kernel_knew_of_a_file_that_readers_have_open(self):
        """By its other names, and by what is open, it has the new size at once."""
        os.chmod(self.path("d/f"), 0o644)
        os.link(self.path("d/f"), self.path("g"))
        reader = os.open(self.path("g"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        sizes = lambda: [os.stat(self.path("d/f")).st_size, os.stat(self.path("g")).st_size,
                         os.fstat(reader).st_size]
        self.assertEqual(sizes(), [len(self.content)] * 3)
        with open(self.path("d/f"), "ab") as file:
            file.write(b"more")
        self.assertEqual(sizes(), [len(self.content) + 4] * 3)

    def test_after_the_last_name_is_gone(self):
        self.change()
        reader = os.open(self.path("d/f"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        os.unlink(self.path("d/f"))
        os.fchmod(reader, 0o600)
        status = os.fstat(reader)
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_nlink, status.st_size),
                         (0o600, 0, len(self.content)))
        self.assertEqual(os.pread(reader, 1 << 20, 0), self.content)

    @contextlib.contextmanager
    def while_copying(self):
        """The data are copied, and the attributes that this takes away not yet restored."""
        self.change()
        tracer = Tracer(self.mounted.server.pid)
        child = in_background(lambda: os.close(os.open(self.path("d/f"), os.O_RDWR)))
        tracer.hold(FDATASYNC, child)
        try:
            self.assertIn("trusted.bailey.completing", os.listxattr(self.in_upper("d/f")))
            self.assertNotIn("security.capability", os.listxattr(self.in_upper("d/f")))
            yield self.path("d/f")
        finally:
            tracer.release()
        self.assertEqual(ended(child), 0)

    def test_nobody_sees_the_copying(self):
        names = ["security.capability", "user.one"]
        with self.while_copying() as path:
            status = os.stat(path)
            self.assertEqual((stat.S_IMODE(status.st_mode), status.st_mtime_ns), (0o6711, PAST[1]))
            self.assertEqual(os.getxattr(path, "security.capability"),
                             syscalls.capability_xattr(1 << 10))
            self.assertEqual(sorted(os.listxattr(path)), names)
        self.assertEqual(sorted(os.listxattr(path)), names)
        self.assertEqual(sorted(os.listxattr(self.in_upper("d/f"))),
                         ["security.capability", "trusted.bailey.ino", "user.one"])

    def change_meanwhile(self, change):
        """`change` waits, and then holds."""
        with self.while_copying() as path:
            changing = in_background(lambda: change(path))
            time.sleep(0.1)
            self.assertEqual(os.waitpid(changing, os.WNOHANG), (0, 0))
        self.assertEqual(ended(changing), 0)
        self.remount()
        return os.stat(path), os.listxattr(path)

    def test_a_chmod_meanwhile_waits(self):
        status, names = self.change_meanwhile(lambda path: os.chmod(path, 0o640))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o640)
        self.assertIn("security.capability", names)

    def test_to_take_a_capability_away_meanwhile_waits(self):
        status, names = self.change_meanwhile(
            lambda path: os.removexattr(path, "security.capability"))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_mtime_ns), (0o6711, PAST[1]))
        self.assertEqual(names, ["user.one"])

    def test_refused_when_the_data_do_not_fit(self):
        small = f"{self.home}/small"
        os.mkdir(small)
        syscalls.mount("tmpfs", small, "tmpfs", 0, "size=128k")
        self.addCleanup(syscalls.umount, small, syscalls.MNT_DETACH)
        mount = harness.Mount(self.lowers, f"{small}/upper", f"{small}/work", f"{self.home}/r2")
        path = f"{mount.point}/d/f"
        os.chmod(path, 0o4711)
        before = os.stat(path)
        self.assertErrno(errno.ENOSPC, os.open, path, os.O_RDWR)
        after = os.stat(path)
        for field in ("st_mode", "st_size", "st_blocks", "st_mtime_ns"):
            self.assertEqual(getattr(after, field), getattr(before, field), field)
        self.assertEqual(read(path), self.content)
        self.assertTrue(is_metacopy(f"{small}/upper/d/f"))
        mount.stop()


@harness.bailey_only
class WithoutName(FsTest):
    """What is open and has lost its last name can be changed still, whatever it is."""

    def fill(self):
        os.mkfifo(self.lower("fifo"))
        os.symlink("target", self.lower("symlink"))
        write(self.lower("file"), b"data")

    def test_a_lower_fifo(self):
        fifo = os.open(self.path("fifo"), os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, fifo)
        os.unlink(self.path("fifo"))
        self.assertEqual(os.fstat(fifo).st_nlink, 0)
        os.fchmod(fifo, 0o600)
        os.fchown(fifo, 3, 4)
        status = os.fstat(fifo)
        self.assertEqual((status.st_mode, status.st_uid), (stat.S_IFIFO | 0o600, 3))
        os.write(fifo, b"x")
        self.assertEqual(os.read(fifo, 1), b"x")

    def test_a_lower_symlink(self):
        link = os.open(self.path("symlink"), os.O_PATH | os.O_NOFOLLOW)
        self.addCleanup(os.close, link)
        os.unlink(self.path("symlink"))
        self.assertEqual(os.readlink("", dir_fd=link), "target")
        self.assertEqual(os.fstat(link).st_nlink, 0)

    def test_a_lower_file(self):
        file = os.open(self.path("file"), os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.unlink(self.path("file"))
        self.assertEqual(os.fstat(file).st_nlink, 0)
        os.fchmod(file, 0o600)
        self.assertEqual(stat.S_IMODE(os.fstat(file).st_mode), 0o600)
        self.assertEqual(os.pread(file, 9, 0), b"data")

    def test_what_a_file_was_copied_to_while_it_was_open(self):
        file = os.open(self.path("file"), os.O_RDONLY)
        self.addCleanup(os.close, file)
        write(self.path("file"), b"written")
        os.unlink(self.path("file"))
        os.fchmod(file, 0o600)
        os.fsync(file)
        status = os.fstat(file)
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_nlink, status.st_size),
                         (0o600, 0, 7))

    def test_what_was_renamed_over_such_a_file(self):
        file = os.open(self.path("file"), os.O_RDONLY)
        self.addCleanup(os.close, file)
        with open(self.path("file"), "ab") as writer:
            writer.write(b"more")
        write(self.path("other"), b"other")
        os.rename(self.path("other"), self.path("file"))
        self.assertEqual((os.fstat(file).st_nlink, os.fstat(file).st_size), (0, 8))


if __name__ == "__main__":
    harness.main()
