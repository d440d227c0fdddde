"""rename in every form: over layers, of merged directories, with flags."""
import errno
import os
import stat

import harness
from harness import FsTest, read, whiteout, write
from syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, renameat2


class Files(FsTest):
    def fill(self):
        write(self.lower("lower"), "lower")
        write(self.lower("other"), "other")
        write(self.lower("d/x"), "x")
        os.makedirs(self.lower("empty"))
        os.symlink("target", self.lower("link"))

    def test_an_upper_file(self):
        write(self.path("a"), "a")
        os.rename(self.path("a"), self.path("b"))
        self.assertEqual(read(self.path("b")), b"a")
        self.assertErrno(errno.ENOENT, os.lstat, self.path("a"))

    def test_a_lower_file_leaves_a_whiteout(self):
        inode = os.stat(self.path("lower")).st_ino
        os.rename(self.path("lower"), self.path("d/moved"))
        self.assertEqual(read(self.path("d/moved")), b"lower")
        self.assertEqual(os.stat(self.path("d/moved")).st_ino, inode)
        self.assertErrno(errno.ENOENT, os.lstat, self.path("lower"))
        self.assertTrue(harness.is_whiteout(self.in_upper("lower")))
        self.remount()
        self.assertEqual(read(self.path("d/moved")), b"lower")
        self.assertErrno(errno.ENOENT, os.lstat, self.path("lower"))

    def test_over_a_lower_file(self):
        os.rename(self.path("lower"), self.path("other"))
        self.assertEqual(read(self.path("other")), b"lower")
        os.unlink(self.path("other"))
        self.assertErrno(errno.ENOENT, os.lstat, self.path("other"))

    def test_a_symlink(self):
        os.rename(self.path("link"), self.path("d/link"))
        self.assertEqual(os.readlink(self.path("d/link")), "target")

    def test_an_open_target_lives_on(self):
        file = os.open(self.path("other"), os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.rename(self.path("lower"), self.path("other"))
        self.assertEqual(os.read(file, 9), b"other")

    def test_onto_itself_and_its_own_link(self):
        os.rename(self.path("lower"), self.path("lower"))
        self.assertEqual(read(self.path("lower")), b"lower")
        write(self.path("a"))
        os.link(self.path("a"), self.path("b"))
        os.rename(self.path("a"), self.path("b"))
        self.assertEqual(os.stat(self.path("a")).st_nlink, 2)

    def test_wrong_kinds(self):
        self.assertErrno(errno.EISDIR, os.rename, self.path("lower"), self.path("d"))
        self.assertErrno(errno.ENOTDIR, os.rename, self.path("d"), self.path("lower"))
        self.assertErrno(errno.ENOENT, os.rename, self.path("none"), self.path("lower"))
        self.assertErrno(errno.EINVAL, os.rename, self.path("d"), self.path("d/below"))
        self.assertErrno(errno.ENOTEMPTY, os.rename, self.path("empty"), self.path("d"))

    def test_over_a_whiteout(self):
        os.unlink(self.path("other"))
        os.rename(self.path("lower"), self.path("other"))
        self.assertEqual(read(self.path("other")), b"lower")
        os.rename(self.path("other"), self.path("lower"))
        self.assertErrno(errno.ENOENT, os.lstat, self.path("other"))
        self.remount()
        self.assertErrno(errno.ENOENT, os.lstat, self.path("other"))
        self.assertEqual(read(self.path("lower")), b"lower")


class Flags(FsTest):
    def fill(self):
        write(self.lower("a"), "a")
        write(self.lower("b"), "b")
        write(self.lower("d/x"), "x")
        write(self.lower("e/y", 1), "y")

    def exchange(self, one, two):
        renameat2(self.path(one), self.path(two), RENAME_EXCHANGE)

    def test_noreplace(self):
        self.assertErrno(errno.EEXIST, renameat2, self.path("a"), self.path("b"),
                         RENAME_NOREPLACE)
        renameat2(self.path("a"), self.path("c"), RENAME_NOREPLACE)
        self.assertEqual(read(self.path("c")), b"a")
        renameat2(self.path("b"), self.path("a"), RENAME_NOREPLACE)
        self.assertEqual(read(self.path("a")), b"b")

    def test_exchange_of_files(self):
        self.exchange("a", "b")
        self.assertEqual((read(self.path("a")), read(self.path("b"))), (b"b", b"a"))
        self.remount()
        self.assertEqual((read(self.path("a")), read(self.path("b"))), (b"b", b"a"))

    def test_exchange_of_merged_directories(self):
        self.exchange("d", "e")
        self.assertEqual(os.listdir(self.path("d")), ["y"])
        self.assertEqual(os.listdir(self.path("e")), ["x"])
        self.remount()
        self.assertEqual(os.listdir(self.path("d")), ["y"])
        self.assertEqual(os.listdir(self.path("e")), ["x"])

    def test_exchange_of_file_and_directory(self):
        self.exchange("a", "d")
        self.assertEqual(os.listdir(self.path("a")), ["x"])
        self.assertEqual(read(self.path("d")), b"a")
        self.remount()
        self.assertEqual(os.listdir(self.path("a")), ["x"])
        self.assertEqual(read(self.path("d")), b"a")
        os.unlink(self.path("d"))
        os.mkdir(self.path("d"))
        self.assertEqual(os.listdir(self.path("d")), [])

    def test_exchange_refusals(self):
        self.assertErrno(errno.ENOENT, self.exchange, "a", "none")
        self.assertErrno(errno.EINVAL, self.exchange, "d", "d/x")
        self.assertErrno(errno.EINVAL, renameat2, self.path("a"), self.path("b"),
                         RENAME_EXCHANGE | RENAME_NOREPLACE)

    def test_no_tenant_makes_a_whiteout(self):
        self.assertErrno(errno.EINVAL, renameat2, self.path("a"), self.path("c"),
                         RENAME_WHITEOUT)
        self.assertEqual(read(self.path("a")), b"a")


class DirectoriesMoved(FsTest):
    lower_count = 3

    def fill(self):
        write(self.lower("d/zero", 0), "0")
        write(self.lower("d/one", 1), "1")
        write(self.lower("d/sub/deep", 2), "2")
        write(self.lower("d/gone", 2))
        whiteout(self.lower("d/gone", 0))
        write(self.lower("onlylow/x", 2), "x")
        os.makedirs(self.lower("empty", 1))
        write(self.lower("full/f", 1))
        write(self.lower("hollow/f", 1))
        whiteout(self.lower("hollow/f", 0))

    def content(self, directory):
        return sorted(os.listdir(self.path(directory)))

    def check_moved(self, to):
        self.assertEqual(self.content(to), ["one", "sub", "zero"])
        self.assertEqual(read(self.path(f"{to}/one")), b"1")
        self.assertEqual(read(self.path(f"{to}/sub/deep")), b"2")

    def test_a_merged_directory(self):
        os.rename(self.path("d"), self.path("moved"))
        self.check_moved("moved")
        self.assertErrno(errno.ENOENT, os.lstat, self.path("d"))
        self.remount()
        self.check_moved("moved")
        self.assertErrno(errno.ENOENT, os.lstat, self.path("d"))

    def test_into_another_directory_and_back(self):
        os.rename(self.path("d"), self.path("onlylow/in"))
        self.check_moved("onlylow/in")
        self.remount()
        self.check_moved("onlylow/in")
        os.rename(self.path("onlylow/in"), self.path("d"))
        self.check_moved("d")
        self.remount()
        self.check_moved("d")

    def test_children_of_a_moved_directory(self):
        os.rename(self.path("d"), self.path("m"))
        os.rename(self.path("m/sub"), self.path("sub"))
        with open(self.path("sub/deep"), "ab") as file:
            file.write(b"+")
        os.unlink(self.path("m/one"))
        os.rename(self.path("m"), self.path("sub/m"))
        self.remount()
        self.assertEqual(read(self.path("sub/deep")), b"2+")
        self.assertEqual(self.content("sub/m"), ["zero"])

    def test_a_name_used_again_starts_empty(self):
        os.rename(self.path("d"), self.path("m"))
        os.mkdir(self.path("d"))
        self.assertEqual(self.content("d"), [])
        self.remount()
        self.assertEqual(self.content("d"), [])
        self.check_moved("m")

    def test_over_directories(self):
        self.assertErrno(errno.ENOTEMPTY, os.rename, self.path("d"), self.path("full"))
        os.rename(self.path("d"), self.path("empty"))
        self.check_moved("empty")
        os.rename(self.path("empty"), self.path("hollow"))
        self.check_moved("hollow")
        self.remount()
        self.check_moved("hollow")
        self.assertErrno(errno.ENOENT, os.lstat, self.path("empty"))

    def test_the_kernels_overlayfs_reads_the_redirect(self):
        os.rename(self.path("d"), self.path("m"))
        os.mkdir(self.path("k"))
        os.rename(self.path("m/sub"), self.path("k/sub"))
        self.mounted.stop()
        self.mounts.clear()
        self.mount(kind="overlay", options=())
        self.assertEqual(self.content("m"), ["one", "zero"])
        self.assertEqual(read(self.path("k/sub/deep")), b"2")
        self.assertErrno(errno.ENOENT, os.lstat, self.path("d"))

    def test_open_files_and_directories_go_with_it(self):
        file = os.open(self.path("d/one"), os.O_RDONLY)
        directory = os.open(self.path("d"), os.O_RDONLY)
        writer = os.open(self.path("d/zero"), os.O_RDWR)
        os.rename(self.path("d"), self.path("m"))
        self.assertEqual(os.read(file, 9), b"1")
        os.write(writer, b"w")
        self.assertEqual(read(self.path("m/zero")), b"w")
        os.close(os.open("fresh", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        self.assertIn("fresh", self.content("m"))
        for handle in (file, directory, writer):
            os.close(handle)

    def test_a_new_directory_is_not_merged_at_its_new_place(self):
        os.unlink(self.path("d/sub/deep"))
        os.rmdir(self.path("d/sub"))
        os.mkdir(self.path("new"))
        write(self.path("new/f"))
        os.rename(self.path("new"), self.path("d/sub"))
        self.assertEqual(self.content("d/sub"), ["f"])
        self.remount()
        self.assertEqual(self.content("d/sub"), ["f"])

    def test_a_new_directory(self):
        os.mkdir(self.path("new"))
        write(self.path("new/f"), "f")
        os.rename(self.path("new"), self.path("onlylow/new"))
        self.assertEqual(read(self.path("onlylow/new/f")), b"f")
        self.assertTrue(stat.S_ISDIR(os.stat(self.path("onlylow/new")).st_mode))


if __name__ == "__main__":
    harness.main()
