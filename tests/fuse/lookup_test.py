"""Names: merged directories, whiteouts, opaque directories, readdir, hidden paths."""
import errno
import os
import stat
import threading

import harness
from harness import FsTest, opaque, read, whiteout, write
from syscalls import RENAME_EXCHANGE, Directory, renameat2


class Merge(FsTest):
    lower_count = 3

    def fill(self):
        write(self.lower("d/top", 0), "0")
        write(self.lower("d/all", 0), "0")
        write(self.lower("d/all", 1), "1")
        write(self.lower("d/middle", 1), "1")
        write(self.lower("d/bottom", 2), "2")
        write(self.lower("file-over-dir", 0), "file")
        write(self.lower("file-over-dir/x", 1), "x")
        write(self.lower("dir-over-file/x", 0), "x")
        write(self.lower("dir-over-file", 1), "file")
        write(self.lower("sandwich/a", 0))
        write(self.lower("sandwich", 1), "the file ends the merge")
        write(self.lower("sandwich/hidden", 2))
        write(self.in_upper("d/mine"), "u")
        write(self.in_upper("d/all"), "u")
        os.symlink("target", self.lower("link", 1))

    def test_the_topmost_file_wins(self):
        for name, content in (("top", b"0"), ("all", b"u"), ("middle", b"1"), ("bottom", b"2"),
                              ("mine", b"u")):
            self.assertEqual(read(self.path(f"d/{name}")), content)

    def test_readdir_merges_each_name_once(self):
        names = sorted(os.listdir(self.path("d")))
        self.assertEqual(names, ["all", "bottom", "middle", "mine", "top"])

    def test_a_file_covers_a_directory_below(self):
        self.assertEqual(read(self.path("file-over-dir")), b"file")
        self.assertErrno(errno.ENOTDIR, os.stat, self.path("file-over-dir/x"))

    def test_a_directory_covers_a_file_below(self):
        self.assertEqual(os.listdir(self.path("dir-over-file")), ["x"])

    def test_a_file_between_directories_ends_the_merge(self):
        self.assertEqual(os.listdir(self.path("sandwich")), ["a"])
        self.assertErrno(errno.ENOENT, os.stat, self.path("sandwich/hidden"))

    def test_symlink_of_a_lower(self):
        self.assertEqual(os.readlink(self.path("link")), "target")

    def test_readdir_tells_types_and_the_inodes_of_stat(self):
        stream = Directory(self.path(""))
        self.addCleanup(stream.close)
        entries = {name: (ino, kind) for name, ino, kind in stream.read_all()}
        self.assertIn(".", entries)
        self.assertIn("..", entries)
        for name, (ino, kind) in entries.items():
            if name in (".", ".."):
                continue
            status = os.lstat(self.path(name))
            self.assertEqual(kind, stat.S_IFMT(status.st_mode) >> 12, name)
            if not stat.S_ISDIR(status.st_mode):
                self.assertEqual(ino, status.st_ino, name)

    def test_missing_names(self):
        self.assertErrno(errno.ENOENT, os.stat, self.path("d/none"))
        self.assertErrno(errno.ENOENT, os.stat, self.path("none/none"))

    def test_dot_dot_leads_back(self):
        self.assertEqual(os.stat(self.path("d/..")).st_ino, os.stat(self.root).st_ino)


class Whiteouts(FsTest):
    def fill(self):
        write(self.lower("d/gone", 1), "1")
        write(self.lower("d/stays", 1), "1")
        whiteout(self.lower("d/gone", 0))
        whiteout(self.lower("d/of-nothing", 0))
        write(self.lower("dir-gone/x", 1))
        whiteout(self.lower("dir-gone", 0))
        write(self.lower("opaque/below", 1))
        opaque(self.lower("opaque", 0))
        write(self.lower("opaque/above", 0))
        write(self.lower("late/below", 1))
        opaque(self.in_upper("late"))

    def test_a_whiteout_hides_file_and_directory(self):
        self.assertEqual(os.listdir(self.path("d")), ["stays"])
        for name in ("d/gone", "d/of-nothing", "dir-gone", "dir-gone/x"):
            self.assertErrno(errno.ENOENT, os.lstat, self.path(name))

    def test_an_opaque_directory_of_a_lower(self):
        self.assertEqual(os.listdir(self.path("opaque")), ["above"])
        self.assertErrno(errno.ENOENT, os.lstat, self.path("opaque/below"))

    def test_an_opaque_directory_of_the_upper(self):
        self.assertEqual(os.listdir(self.path("late")), [])

    def test_unlink_of_a_lower_file_leaves_a_whiteout(self):
        os.unlink(self.path("d/stays"))
        self.assertErrno(errno.ENOENT, os.lstat, self.path("d/stays"))
        self.assertEqual(os.listdir(self.path("d")), [])
        self.assertTrue(harness.is_whiteout(self.in_upper("d/stays")))
        self.assertEqual(read(self.lower("d/stays", 1)), b"1")

    def test_unlink_of_an_upper_file_leaves_nothing(self):
        write(self.path("d/new"))
        os.unlink(self.path("d/new"))
        self.assertErrno(errno.ENOENT, os.lstat, self.in_upper("d/new"))

    def test_a_directory_made_over_a_whiteout_is_empty(self):
        os.mkdir(self.path("dir-gone"))
        self.assertEqual(os.listdir(self.path("dir-gone")), [])
        self.remount()
        self.assertEqual(os.listdir(self.path("dir-gone")), [])

    def test_a_file_made_over_a_whiteout(self):
        write(self.path("d/gone"), "back")
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["gone", "stays"])
        self.remount()
        self.assertEqual(read(self.path("d/gone")), b"back")

    def test_the_upper_stays_what_overlayfs_reads(self):
        os.unlink(self.path("d/stays"))
        os.mkdir(self.path("d/stays"))
        write(self.path("d/stays/x"))
        self.mounted.stop()
        self.mounts.clear()
        self.mount(kind="overlay", options=())
        self.assertEqual(os.listdir(self.path("d")), ["stays"])
        self.assertEqual(os.listdir(self.path("d/stays")), ["x"])


class NegativeEntries(FsTest):
    def test_a_name_that_was_missing_can_be_made(self):
        for make in (lambda p: write(p), os.mkdir, lambda p: os.symlink("x", p), os.mkfifo):
            path = self.path(make.__name__ + str(id(make)))
            self.assertErrno(errno.ENOENT, os.lstat, path)
            make(path)
            os.lstat(path)

    def test_a_rename_brings_a_missing_name_and_takes_the_old(self):
        write(self.path("a"))
        self.assertErrno(errno.ENOENT, os.lstat, self.path("b"))
        os.rename(self.path("a"), self.path("b"))
        os.lstat(self.path("b"))
        self.assertErrno(errno.ENOENT, os.lstat, self.path("a"))


class Directories(FsTest):
    def fill(self):
        for number in range(700):
            write(self.lower(f"big/n{number:04}", number % 2), str(number))

    def names(self):
        return sorted(os.listdir(self.path("big")))

    def test_a_big_directory_is_whole(self):
        self.assertEqual(self.names(), [f"n{n:04}" for n in range(700)])

    def test_telldir_and_seekdir(self):
        stream = Directory(self.path("big"))
        self.addCleanup(stream.close)
        for _ in range(150):
            stream.read()
        here = stream.tell()
        rest = [name for name, *_ in stream.read_all()]
        self.assertEqual(len(rest), 702 - 150)
        stream.seek(here)
        self.assertEqual([name for name, *_ in stream.read_all()], rest)
        stream.rewind()
        self.assertEqual(len(stream.read_all()), 702)

    def test_rewinddir_shows_what_is_new(self):
        stream = Directory(self.path("big"))
        self.addCleanup(stream.close)
        stream.read_all()
        write(self.path("big/new"))
        os.unlink(self.path("big/n0000"))
        stream.rewind()
        names = {name for name, *_ in stream.read_all()}
        self.assertIn("new", names)
        self.assertNotIn("n0000", names)

    def test_what_stays_is_read_exactly_once_while_others_come_and_go(self):
        stop = threading.Event()

        def churn():
            number = 0
            while not stop.is_set():
                write(self.path(f"big/x{number % 50}"))
                os.rename(self.path(f"big/x{number % 50}"), self.path(f"big/y{number % 50}"))
                os.unlink(self.path(f"big/y{number % 50}"))
                number += 1
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(15):
                stream = Directory(self.path("big"))
                names = [name for name, *_ in stream.read_all() if name.startswith("n")]
                stream.close()
                self.assertEqual(sorted(names), [f"n{n:04}" for n in range(700)])
        finally:
            stop.set()
            thread.join()

    def test_remove_while_reading_empties_the_directory(self):
        stream = Directory(self.path("big"))
        self.addCleanup(stream.close)
        while (entry := stream.read()) is not None:
            if entry[0] not in (".", ".."):
                os.unlink(self.path(f"big/{entry[0]}"))
        self.assertEqual(self.names(), [])
        os.rmdir(self.path("big"))

    def test_an_open_directory_outlives_its_name(self):
        os.mkdir(self.path("short"))
        handle = os.open(self.path("short"), os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, handle)
        os.rmdir(self.path("short"))
        self.assertEqual(os.listdir(handle), [])
        self.assertErrno(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=handle)


class LongNames(FsTest):
    def fill(self):
        write(self.lower("l" * 255), "lower")

    def test_255_bytes(self):
        self.assertEqual(read(self.path("l" * 255)), b"lower")
        name = "n" * 255
        write(self.path(name), "x")
        os.mkdir(self.path("d" * 255))
        os.rename(self.path(name), self.path(f"{'d' * 255}/{name}"))
        self.assertEqual(read(self.path(f"{'d' * 255}/{name}")), b"x")
        os.unlink(self.path("l" * 255))
        self.assertErrno(errno.ENOENT, os.lstat, self.path("l" * 255))

    def test_256_bytes_are_too_many(self):
        self.assertErrno(errno.ENAMETOOLONG, os.mkdir, self.path("n" * 256))
        self.assertErrno(errno.ENAMETOOLONG, os.stat, self.path("n" * 256))

    def test_names_are_bytes(self):
        name = os.fsencode(self.root) + b"/\xff\xfe \n"
        os.mkdir(name)
        self.assertIn(b"\xff\xfe \n", os.listdir(os.fsencode(self.root)))

    def test_a_path_longer_than_path_max(self):
        here = os.open(self.root, os.O_RDONLY)
        component = "c" * 200
        for _ in range(40):
            os.mkdir(component, dir_fd=here)
            deeper = os.open(component, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        file = os.open("f", os.O_CREAT | os.O_RDWR, dir_fd=here)
        os.write(file, b"deep")
        os.rename("f", "g", src_dir_fd=here, dst_dir_fd=here)
        self.assertEqual(os.pread(file, 9, 0), b"deep")
        self.assertEqual(os.listdir(here), ["g"])
        os.unlink("g", dir_fd=here)
        os.close(file)
        os.close(here)


class DeepLowers(FsTest):
    depth = 60

    def fill(self):
        write(self.lower("/".join(["d"] * self.depth) + "/f", 1), "deep")

    def test_copy_up_makes_the_way(self):
        path = "/".join(["d"] * self.depth) + "/f"
        with open(self.path(path), "ab") as file:
            file.write(b"er")
        self.assertEqual(read(self.path(path)), b"deeper")
        self.assertEqual(read(self.in_upper(path)), b"deeper")
        self.assertEqual(read(self.lower(path, 1)), b"deep")


class ManyLowers(FsTest):
    lower_count = 40

    def fill(self):
        for layer in range(self.lower_count):
            write(self.lower(f"d/only{layer}", layer), str(layer))
            write(self.lower("d/all", layer), str(layer))

    def test_forty_lowers(self):
        self.assertEqual(len(os.listdir(self.path("d"))), 41)
        self.assertEqual(read(self.path("d/all")), b"0")
        self.assertEqual(read(self.path("d/only39")), b"39")


class WrittenByOverlayfs(FsTest):
    """Layers as the kernel's overlayfs leaves them: redirects, metacopies, whiteouts."""
    lower_count = 3

    def fill(self):
        write(self.lower("data", 2), "content", 0o644)
        write(self.lower("named/data", 2), "content", 0o644)
        write(self.lower("d/sub/f", 2), "f")
        write(self.lower("d/g", 1), "g")
        write(self.lower("gone", 1))
        self.maker = harness.Mount(self.lowers[1:], self.lowers[0], self.work, self.root,
                                   kind="overlay")
        os.chmod(self.path("data"), 0o600)
        os.chmod(self.path("named/data"), 0o600)
        os.rename(self.path("named/data"), self.path("other-name"))
        os.rename(self.path("d/sub"), self.path("sub2"))
        os.rename(self.path("d"), self.path("d2"))
        os.unlink(self.path("gone"))
        os.mkdir(self.path("d"))
        self.maker.stop()
        os.getxattr(self.lower("data"), "trusted.overlay.metacopy")  # has no data of its own

    def check(self):
        self.assertEqual(sorted(os.listdir(self.root)),
                         ["d", "d2", "data", "named", "other-name", "sub2"])
        for name in ("data", "other-name"):
            self.assertEqual(read(self.path(name)), b"content")
            self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), 0o600)
        self.assertEqual(os.listdir(self.path("d")), [])
        self.assertEqual(os.listdir(self.path("d2")), ["g"])
        self.assertEqual(read(self.path("sub2/f")), b"f")

    def test_as_a_lower(self):
        self.check()
        for name in ("data", "other-name"):
            with open(self.path(name), "ab") as file:
                file.write(b"+")
            self.assertEqual(read(self.path(name)), b"content+")
        os.rename(self.path("sub2"), self.path("d/sub3"))
        self.remount()
        self.assertEqual(read(self.path("d/sub3/f")), b"f")
        self.assertEqual(read(self.path("other-name")), b"content+")

    def test_as_the_upper(self):
        self.mounts.remove(self.mounted)
        self.mounted.stop()
        self.upper = self.lowers.pop(0)
        self.mount()
        self.check()
        for name in ("data", "other-name"):
            with open(self.path(name), "ab") as file:
                file.write(b"+")
        os.rename(self.path("d2"), self.path("d3"))
        self.remount()
        self.assertEqual(read(self.path("data")), b"content+")
        self.assertEqual(read(self.path("other-name")), b"content+")
        self.assertEqual(os.listdir(self.path("d3")), ["g"])


@harness.bailey_only
class Hidden(FsTest):
    options = ("--hide", "/etc/secret", "--hide", "/keys")

    def fill(self):
        write(self.lower("etc/secret", 0), "s")
        write(self.lower("etc/open", 0), "o")
        write(self.lower("keys/private", 1), "k")
        write(self.lower("other/secret", 1), "not hidden: another directory")

    def test_hidden_paths_are_not_there(self):
        self.assertEqual(os.listdir(self.path("etc")), ["open"])
        self.assertEqual(sorted(os.listdir(self.root)), ["etc", "other"])
        for name in ("etc/secret", "keys", "keys/private"):
            self.assertErrno(errno.ENOENT, os.lstat, self.path(name))
            self.assertErrno(errno.ENOENT, os.open, self.path(name), os.O_RDONLY)

    def test_only_that_path_is_hidden(self):
        self.assertTrue(read(self.path("other/secret")).startswith(b"not hidden"))

    def test_its_directory_cannot_be_moved_away(self):
        self.assertErrno(errno.EPERM, os.rename, self.path("etc"), self.path("moved"))
        os.rename(self.path("other"), self.path("moved"))
        self.assertErrno(errno.EPERM, renameat2, self.path("moved"), self.path("etc"),
                         RENAME_EXCHANGE)

    def test_what_the_tenant_makes_there_is_its_own(self):
        try:
            write(self.path("etc/secret"), "mine")
        except OSError:
            return
        self.assertEqual(read(self.path("etc/secret")), b"mine")
        self.remount()
        self.assertNotEqual(b"s", self.peek("etc/secret"))

    def peek(self, name):
        try:
            return read(self.path(name))
        except OSError:
            return None


if __name__ == "__main__":
    harness.main()
