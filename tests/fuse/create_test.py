"""Names that come and go: create, mkdir, mknod, symlink, link, O_TMPFILE, unlink, rmdir."""
import errno
import os
import socket
import stat

import harness
from harness import FsTest, read, whiteout, write
from syscalls import link_open_file


class Create(FsTest):
    def fill(self):
        write(self.lower("lower"), "lower", 0o640)
        write(self.lower("d/x"), "x")

    def test_create_write_read(self):
        write(self.path("new"), b"data")
        self.assertEqual(read(self.path("new")), b"data")
        self.assertEqual(read(self.in_upper("new")), b"data")

    def test_mode_and_umask(self):
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        os.close(os.open(self.path("f"), os.O_CREAT | os.O_WRONLY, 0o6777))
        os.mkdir(self.path("dir"), 0o777)
        os.mkfifo(self.path("p"), 0o666)
        modes = [stat.S_IMODE(os.stat(self.path(n)).st_mode) for n in ("f", "dir", "p")]
        self.assertEqual([oct(m) for m in modes], ["0o6750", "0o750", "0o640"])

    def test_exclusive(self):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        self.assertErrno(errno.EEXIST, os.open, self.path("lower"), flags)
        os.close(os.open(self.path("new"), flags))
        self.assertErrno(errno.EEXIST, os.open, self.path("new"), flags)

    def test_create_of_what_a_lower_has_opens_it(self):
        file = os.open(self.path("lower"), os.O_CREAT | os.O_RDWR, 0o777)
        self.addCleanup(os.close, file)
        self.assertEqual(os.read(file, 9), b"lower")
        self.assertEqual(stat.S_IMODE(os.fstat(file).st_mode), 0o640)

    def test_truncate_on_open_of_a_lower(self):
        file = os.open(self.path("lower"), os.O_WRONLY | os.O_TRUNC)
        self.assertEqual(os.fstat(file).st_size, 0)
        os.close(file)
        self.assertEqual(read(self.path("lower")), b"")
        self.assertEqual(read(self.lower("lower")), b"lower")

    def test_a_file_opened_for_reading_can_be_made_without_its_write_bit(self):
        file = os.open(self.path("ro"), os.O_CREAT | os.O_RDWR, 0o400)
        self.addCleanup(os.close, file)
        os.write(file, b"x")
        self.assertEqual(os.pread(file, 9, 0), b"x")

    def test_directories_and_wrong_kinds(self):
        self.assertErrno(errno.EISDIR, os.open, self.path("d"), os.O_WRONLY)
        self.assertErrno(errno.ENOTDIR, os.open, self.path("lower/x"), os.O_RDONLY)
        self.assertErrno(errno.ENOTDIR, os.open, self.path("lower"),
                         os.O_RDONLY | os.O_DIRECTORY)

    def test_mkdir(self):
        os.mkdir(self.path("dir"))
        os.mkdir(self.path("d/sub"))
        self.assertErrno(errno.EEXIST, os.mkdir, self.path("d"))
        self.assertErrno(errno.ENOENT, os.mkdir, self.path("none/dir"))
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["sub", "x"])

    def test_fifo_and_socket(self):
        os.mkfifo(self.path("fifo"))
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("fifo")).st_mode))
        both = os.open(self.path("fifo"), os.O_RDWR)
        os.write(both, b"through")
        self.assertEqual(os.read(both, 7), b"through")
        os.close(both)
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(self.path("socket"))
            server.listen(1)
            client.connect(self.path("socket"))
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path("socket")).st_mode))
        os.mknod(self.path("plain"), stat.S_IFREG | 0o600)
        self.assertEqual(read(self.path("plain")), b"")

    @harness.bailey_only
    def test_no_device_nodes(self):
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            for device in (0, os.makedev(1, 3)):
                self.assertErrno(errno.EPERM, os.mknod, self.path("node"), kind | 0o600, device)
        self.assertEqual(os.listdir(self.upper), [])

    def test_symlink(self):
        target = "t" * 4000
        os.symlink(target, self.path("link"))
        self.assertEqual(os.readlink(self.path("link")), target)
        self.assertEqual(os.lstat(self.path("link")).st_size, 4000)
        self.assertErrno(errno.EEXIST, os.symlink, "x", self.path("lower"))
        os.symlink("d/x", self.path("follow"))
        self.assertEqual(read(self.path("follow")), b"x")


class Links(FsTest):
    def fill(self):
        write(self.lower("lower"), "lower")
        os.symlink("anywhere", self.lower("symlink"))

    def test_link_of_an_upper_file(self):
        write(self.path("a"), "a")
        os.link(self.path("a"), self.path("b"))
        one, two = os.stat(self.path("a")), os.stat(self.path("b"))
        self.assertEqual((one.st_ino, one.st_nlink), (two.st_ino, 2))
        with open(self.path("b"), "ab") as file:
            file.write(b"b")
        self.assertEqual(read(self.path("a")), b"ab")
        os.unlink(self.path("a"))
        self.assertEqual(os.stat(self.path("b")).st_nlink, 1)

    def test_link_of_a_lower_file(self):
        before = os.stat(self.path("lower")).st_ino
        os.link(self.path("lower"), self.path("again"))
        one, two = os.stat(self.path("lower")), os.stat(self.path("again"))
        self.assertEqual((one.st_ino, two.st_ino), (before, before))
        self.assertEqual((one.st_nlink, two.st_nlink), (2, 2))
        with open(self.path("again"), "ab") as file:
            file.write(b"+")
        self.assertEqual(read(self.path("lower")), b"lower+")
        self.assertEqual(read(self.lower("lower")), b"lower")
        os.unlink(self.path("lower"))
        self.assertEqual(read(self.path("again")), b"lower+")
        self.remount()
        self.assertEqual(sorted(os.listdir(self.root)), ["again", "symlink"])

    def test_link_as_dpkg_replaces_a_file(self):
        os.link(self.path("lower"), self.path("lower.dpkg-tmp"))
        write(self.path("lower.dpkg-new"), "new")
        os.rename(self.path("lower.dpkg-new"), self.path("lower"))
        os.unlink(self.path("lower.dpkg-tmp"))
        self.assertEqual(read(self.path("lower")), b"new")

    def test_links_persist(self):
        os.link(self.path("lower"), self.path("again"))
        self.remount()
        one, two = os.stat(self.path("lower")), os.stat(self.path("again"))
        self.assertEqual((one.st_ino, one.st_nlink), (two.st_ino, 2))

    def test_link_of_a_symlink(self):
        os.link(self.path("symlink"), self.path("s2"), follow_symlinks=False)
        self.assertEqual(os.readlink(self.path("s2")), "anywhere")

    def test_refusals(self):
        os.mkdir(self.path("d"))
        self.assertErrno(errno.EPERM, os.link, self.path("d"), self.path("e"))
        write(self.path("x"))
        self.assertErrno(errno.EEXIST, os.link, self.path("x"), self.path("lower"))

    def test_link_over_a_whiteout(self):
        os.unlink(self.path("lower"))
        write(self.path("x"), "x")
        os.link(self.path("x"), self.path("lower"))
        self.assertEqual(read(self.path("lower")), b"x")
        self.assertEqual(os.stat(self.path("x")).st_nlink, 2)


class LowerLinks(FsTest):
    """Hard links within a lower."""

    def fill(self):
        write(self.lower("a"), "both")
        os.makedirs(self.lower("d"))
        os.link(self.lower("a"), self.lower("d/b"))

    def test_they_are_one_file(self):
        one, two = os.stat(self.path("a")), os.stat(self.path("d/b"))
        self.assertEqual((one.st_ino, one.st_nlink), (two.st_ino, 2))

    def test_a_name_that_is_copied_up_keeps_its_bytes(self):
        with open(self.path("a"), "ab") as file:
            file.write(b"+")
        self.assertEqual(read(self.path("a")), b"both+")
        self.assertIn(read(self.path("d/b")), (b"both", b"both+"))
        os.unlink(self.path("a"))
        self.assertIn(read(self.path("d/b")), (b"both", b"both+"))
        self.remount()
        self.assertIn(read(self.path("d/b")), (b"both", b"both+"))


class TemporaryFiles(FsTest):
    def fill(self):
        whiteout(self.in_upper("covered"))
        write(self.lower("covered"))

    def test_tmpfile_and_linkat(self):
        for name in ("new", "covered"):
            file = os.open(self.root, os.O_TMPFILE | os.O_RDWR, 0o640)
            os.write(file, b"content")
            self.assertEqual(os.fstat(file).st_nlink, 0)
            link_open_file(file, self.path(name))
            self.assertEqual(os.fstat(file).st_nlink, 1)
            os.close(file)
            status = os.stat(self.path(name))
            self.assertEqual(stat.S_IMODE(status.st_mode), 0o640)
            self.assertEqual(read(self.path(name)), b"content")

    def test_linked_it_is_a_file_like_others(self):
        file = os.open(self.root, os.O_TMPFILE | os.O_RDWR, 0o600)
        self.addCleanup(os.close, file)
        link_open_file(file, self.path("one"))
        link_open_file(file, self.path("two"))
        os.link(self.path("one"), self.path("three"))
        os.rename(self.path("one"), self.path("four"))
        os.write(file, b"x")
        self.assertEqual(os.stat(self.path("four")).st_nlink, 3)
        self.assertEqual(read(self.path("three")), b"x")
        for name in ("two", "three", "four"):
            os.unlink(self.path(name))
        self.assertEqual(os.fstat(file).st_nlink, 0)
        self.assertErrno(errno.ENOENT, link_open_file, file, self.path("five"))

    def test_tmpfile_leaves_nothing(self):
        file = os.open(self.root, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(file, b"x" * 100000)
        self.assertEqual(len(os.pread(file, 200000, 0)), 100000)
        os.close(file)
        self.assertEqual(os.listdir(self.root), [])

    def test_an_exclusive_tmpfile_cannot_be_linked(self):
        file = os.open(self.root, os.O_TMPFILE | os.O_EXCL | os.O_RDWR, 0o600)
        self.addCleanup(os.close, file)
        self.assertErrno(errno.ENOENT, link_open_file, file, self.path("x"))


class Removal(FsTest):
    def fill(self):
        write(self.lower("merged/low", 1))
        write(self.in_upper("merged/up"))
        write(self.lower("d/x", 0))
        os.makedirs(self.lower("empty", 0))
        write(self.lower("covered/x", 1))
        whiteout(self.lower("covered/x", 0))

    def test_rmdir_needs_an_empty_merge(self):
        self.assertErrno(errno.ENOTEMPTY, os.rmdir, self.path("merged"))
        os.unlink(self.path("merged/up"))
        self.assertErrno(errno.ENOTEMPTY, os.rmdir, self.path("merged"))
        os.unlink(self.path("merged/low"))
        os.rmdir(self.path("merged"))
        self.assertErrno(errno.ENOENT, os.stat, self.path("merged"))
        self.assertTrue(harness.is_whiteout(self.in_upper("merged")))

    def test_rmdir_of_what_holds_only_whiteouts(self):
        os.rmdir(self.path("covered"))
        os.rmdir(self.path("empty"))
        self.assertEqual(sorted(os.listdir(self.root)), ["d", "merged"])
        self.remount()
        self.assertEqual(sorted(os.listdir(self.root)), ["d", "merged"])

    def test_made_again_it_is_empty(self):
        os.unlink(self.path("d/x"))
        os.rmdir(self.path("d"))
        os.mkdir(self.path("d"))
        self.assertEqual(os.listdir(self.path("d")), [])
        write(self.path("d/x"), "new")
        os.unlink(self.path("d/x"))
        os.rmdir(self.path("d"))
        self.assertErrno(errno.ENOENT, os.stat, self.path("d"))

    def test_wrong_kinds(self):
        self.assertErrno(errno.EISDIR, os.unlink, self.path("d"))
        self.assertErrno(errno.ENOTDIR, os.rmdir, self.path("d/x"))
        self.assertErrno(errno.ENOENT, os.unlink, self.path("none"))
        self.assertErrno(errno.ENOENT, os.rmdir, self.path("none"))
        self.assertErrno(errno.EBUSY, os.rmdir, self.root)

    def test_unlinked_but_open(self):
        for name in ("d/x", "own"):
            file = os.open(self.path(name), os.O_CREAT | os.O_RDWR)
            os.unlink(self.path(name))
            os.write(file, b"still here")
            self.assertEqual(os.pread(file, 20, 0), b"still here")
            status = os.fstat(file)
            self.assertEqual((status.st_size, status.st_nlink), (10, 0))
            os.ftruncate(file, 5)
            os.fchmod(file, 0o600)
            os.fchown(file, 7, 8)
            os.setxattr(file, "user.k", b"v")
            self.assertEqual(os.getxattr(file, "user.k"), b"v")
            status = os.fstat(file)
            self.assertEqual((status.st_size, status.st_mode & 0o777, status.st_uid,
                              status.st_gid), (5, 0o600, 7, 8))
            os.close(file)

    def test_unlinked_lower_still_reads(self):
        write(self.lower("r"), "lower bytes")
        file = os.open(self.path("r"), os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.unlink(self.path("r"))
        self.assertEqual(os.read(file, 99), b"lower bytes")
        self.assertEqual(os.fstat(file).st_size, 11)


if __name__ == "__main__":
    harness.main()
