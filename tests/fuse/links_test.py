"""Hard links that a lower layer has: all names stay one file, whatever is done by one of them."""
import errno
import itertools
import os
import stat

import harness
import syscalls
from harness import FsTest, read, write

NAMES = ["a", "b", "d/c"]
CONTENT = b"of the lower " * 1000


class LinksTest(FsTest):
    """Everything is checked twice: as it is, and after the server was started anew."""

    def fill(self):
        for kind in ("file", "fifo", "symlink"):
            os.makedirs(self.lower(f"{kind}/d"))
            first = self.lower(f"{kind}/a")
            if kind == "file":
                write(first, CONTENT, 0o4755)
                os.setxattr(first, "user.one", b"1")
            elif kind == "fifo":
                os.mkfifo(first, 0o644)
            else:
                os.symlink("target", first)
            for name in NAMES[1:]:
                os.link(first, self.lower(f"{kind}/{name}"), follow_symlinks=False)
        self.numbers = {}

    def index(self):
        try:
            return sorted(os.listdir(f"{self.work}/bailey-links"))
        except FileNotFoundError:
            return []

    def links(self, kind="file"):
        """{name: st_nlink} of what is left."""
        found = {}
        for directory, _, files in os.walk(self.path(kind)):
            for name in files:
                path = f"{directory}/{name}"
                status = os.lstat(path)
                found[os.path.relpath(path, self.path(kind))] = status.st_nlink
        return found

    def check(self, names, content=CONTENT, kind="file", extra_links=0, **fields):
        """These names are one file, and all that there is."""
        for again in (False, True):
            if again:
                self.remount()
            self.assertEqual(self.links(kind), {name: len(names) + extra_links for name in names})
            number = {os.lstat(self.path(f"{kind}/{name}")).st_ino for name in names}
            number |= {entry.inode() for directory in {os.path.dirname(name) for name in names}
                       for entry in os.scandir(self.path(f"{kind}/{directory}"))
                       if not entry.is_dir(follow_symlinks=False)}
            self.assertEqual(number, {os.lstat(self.lower(f"{kind}/a")).st_ino})
            for name in names:
                path = self.path(f"{kind}/{name}")
                if kind == "file":
                    self.assertEqual(read(path), content, name)
                    blocks = {os.stat(self.path(f"{kind}/{other}")).st_blocks for other in names}
                    self.assertEqual(len(blocks), 1)
                status = os.lstat(path)
                for field, value in fields.items():
                    self.assertEqual(getattr(status, field), value, f"{name} {field}")


@harness.bailey_only
class OneFile(LinksTest):
    def test_untouched(self):
        self.check(NAMES)
        self.assertEqual(self.index(), [])

    def test_chmod(self):
        os.chmod(self.path("file/b"), 0o600)
        self.check(NAMES, st_mode=stat.S_IFREG | 0o600)
        os.chmod(self.path("file/d/c"), 0o4711)
        self.check(NAMES, st_mode=stat.S_IFREG | 0o4711)
        self.assertEqual(len(self.index()), 1)

    def test_whose_names_are_known_already(self):
        for name in NAMES:
            os.stat(self.path(f"file/{name}"))
        os.chown(self.path("file/a"), 5, 6)
        os.setxattr(self.path("file/b"), "user.two", b"2")
        self.assertEqual(os.getxattr(self.path("file/d/c"), "user.two"), b"2")
        self.check(NAMES, st_uid=5, st_gid=6)
        self.assertEqual(os.getxattr(self.path("file/d/c"), "user.two"), b"2")

    def test_write(self):
        with open(self.path("file/d/c"), "r+b") as file:
            file.write(b"WRITTEN")
            file.flush()
            for name in NAMES:
                self.assertEqual(read(self.path(f"file/{name}"))[:7], b"WRITTEN")
        self.check(NAMES, b"WRITTEN" + CONTENT[7:])
        write(self.path("file/b"), b"short")
        self.check(NAMES, b"short")

    def test_write_after_a_change(self):
        os.utime(self.path("file/a"), ns=(5, 7))
        self.check(NAMES, st_mtime_ns=7)
        with open(self.path("file/b"), "ab") as file:
            file.write(b"more")
        self.check(NAMES, CONTENT + b"more")

    def test_write_under_readers(self):
        readers = [os.open(self.path(f"file/{name}"), os.O_RDONLY) for name in NAMES]
        with open(self.path("file/a"), "r+b") as file:
            file.write(b"WRITTEN")
        for name in NAMES:
            self.assertEqual(read(self.path(f"file/{name}"))[:7], b"WRITTEN")
        for reader in readers:
            self.assertIn(os.pread(reader, 7, 0), (CONTENT[:7], b"WRITTEN"))
            self.assertEqual(os.fstat(reader).st_nlink, 3)
            os.close(reader)
        self.check(NAMES, b"WRITTEN" + CONTENT[7:])

    def test_truncate(self):
        os.truncate(self.path("file/b"), 0)
        self.check(NAMES, b"")

    def test_link(self):
        os.link(self.path("file/b"), self.path("file/new"))
        self.check([*NAMES, "new"])
        os.link(self.path("file/new"), self.path("file/d/newer"))
        self.check([*NAMES, "new", "d/newer"])
        os.unlink(self.path("file/new"))
        self.check([*NAMES, "d/newer"])

    def test_unlink(self):
        names = list(NAMES)
        os.chmod(self.path("file/a"), 0o640)
        for name in ("b", "a", "d/c"):
            os.unlink(self.path(f"file/{name}"))
            names.remove(name)
            self.check(names) if names else None
        self.assertEqual(self.index(), [])
        self.assertEqual(self.links(), {})

    def test_unlink_of_one_that_nobody_has_touched(self):
        os.unlink(self.path("file/d/c"))
        self.check(["a", "b"])
        write(self.path("file/d/c"), b"another file")
        self.assertEqual(os.stat(self.path("file/d/c")).st_nlink, 1)
        self.assertEqual(read(self.path("file/a")), CONTENT)

    def test_unlink_while_open(self):
        reader = os.open(self.path("file/a"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        for left, name in zip((2, 1, 0), NAMES):
            os.unlink(self.path(f"file/{name}"))
            self.assertEqual(os.fstat(reader).st_nlink, left)
        self.assertEqual(os.pread(reader, 1 << 20, 0), CONTENT)
        os.fchmod(reader, 0o600)
        self.assertEqual(stat.S_IMODE(os.fstat(reader).st_mode), 0o600)
        self.assertEqual(self.index(), [])

    def test_the_last_known_name(self):
        """What is open goes on being the file that another name, never looked up, leads to."""
        writer = os.open(self.path("file/a"), os.O_RDWR)
        self.addCleanup(os.close, writer)
        os.unlink(self.path("file/a"))
        os.pwrite(writer, b"WRITTEN", 0)
        os.fchmod(writer, 0o600)
        for name in ("b", "d/c"):
            self.assertEqual(read(self.path(f"file/{name}")), b"WRITTEN" + CONTENT[7:])
            self.assertEqual(os.stat(self.path(f"file/{name}")).st_ino, os.fstat(writer).st_ino)
        os.pwrite(writer, b"AGAIN", 0)
        self.assertEqual(read(self.path("file/b"))[:7], b"AGAINEN")

    def test_rename(self):
        os.rename(self.path("file/b"), self.path("file/d/moved"))
        self.check(["a", "d/c", "d/moved"])
        os.rename(self.path("file/d/moved"), self.path("file/b"))
        self.check(NAMES)

    def test_rename_of_one_that_was_copied_by_another_name(self):
        os.chmod(self.path("file/a"), 0o600)
        os.rename(self.path("file/b"), self.path("file/moved"))
        self.check(["a", "d/c", "moved"], st_mode=stat.S_IFREG | 0o600)

    def test_rename_of_one_over_another(self):
        os.rename(self.path("file/a"), self.path("file/b"))  # does nothing: they are one file
        self.check(NAMES)

    def test_rename_over(self):
        write(self.path("file/other"), b"other")
        os.rename(self.path("file/other"), self.path("file/a"))
        self.assertEqual(self.links(), {"a": 1, "b": 2, "d/c": 2})
        self.remount()
        self.assertEqual(self.links(), {"a": 1, "b": 2, "d/c": 2})
        self.assertEqual(read(self.path("file/a")), b"other")
        self.assertEqual(read(self.path("file/b")), CONTENT)

    def test_exchange(self):
        write(self.path("file/d/other"), b"other")
        syscalls.renameat2(self.path("file/b"), self.path("file/d/other"),
                           syscalls.RENAME_EXCHANGE)
        for _ in range(2):
            self.assertEqual(self.links(), {"a": 3, "b": 1, "d/c": 3, "d/other": 3})
            self.assertEqual(read(self.path("file/b")), b"other")
            self.assertEqual(read(self.path("file/d/other")), CONTENT)
            self.remount()

    def test_as_dpkg_replaces(self):
        for name in ("a", "b"):
            os.link(self.path(f"file/{name}"), self.path(f"file/{name}.dpkg-tmp"))
            write(self.path(f"file/{name}.dpkg-new"), b"new")
            os.rename(self.path(f"file/{name}.dpkg-new"), self.path(f"file/{name}"))
            os.unlink(self.path(f"file/{name}.dpkg-tmp"))
        self.assertEqual(self.links(), {"a": 1, "b": 1, "d/c": 1})
        self.assertEqual(read(self.path("file/d/c")), CONTENT)
        self.remount()
        self.assertEqual(self.links(), {"a": 1, "b": 1, "d/c": 1})

    def test_a_directory_with_them_moves(self):
        os.chmod(self.path("file/a"), 0o600)
        os.rename(self.path("file/d"), self.path("file/e"))
        self.check(["a", "b", "e/c"], st_mode=stat.S_IFREG | 0o600)
        os.rename(self.path("file"), self.path("elsewhere"))
        os.rename(self.path("elsewhere/e/c"), self.path("elsewhere/c"))
        os.rename(self.path("elsewhere"), self.path("file"))
        self.check(["a", "b", "c"], st_mode=stat.S_IFREG | 0o600)

    def test_all_are_removed(self):
        for kind in ("file", "fifo", "symlink"):
            os.chown(self.path(f"{kind}/b"), 3, 3, follow_symlinks=False)
            for name in NAMES:
                os.unlink(self.path(f"{kind}/{name}"))
            os.rmdir(self.path(f"{kind}/d"))
            os.rmdir(self.path(kind))
        self.assertEqual(self.index(), [])
        self.assertEqual(os.listdir(self.root), [])

    def test_what_is_no_regular_file(self):
        for kind in ("fifo", "symlink"):
            os.chown(self.path(f"{kind}/b"), 3, 4, follow_symlinks=False)
            self.check(NAMES, kind=kind, st_uid=3, st_gid=4)
            os.link(self.path(f"{kind}/d/c"), self.path(f"{kind}/new"), follow_symlinks=False)
            self.check([*NAMES, "new"], kind=kind)
            os.unlink(self.path(f"{kind}/a"))
            self.check(["b", "d/c", "new"], kind=kind)

    def test_every_order_of_some_changes(self):
        """Three changes by three names, in any order."""
        changes = {
            "chmod": lambda path: os.chmod(path, 0o600),
            "write": lambda path: write(path, b"written"),
            "rename": lambda path: os.rename(path, f"{path}-moved")}
        for number, order in enumerate(itertools.permutations(changes)):
            top = f"order{number}"
            os.makedirs(self.lower(f"{top}/d"))
            write(self.lower(f"{top}/a"), CONTENT, 0o644)
            for name in NAMES[1:]:
                os.link(self.lower(f"{top}/a"), self.lower(f"{top}/{name}"))
            self.remount()
            names = []
            for change, name in zip(order, NAMES):
                changes[change](self.path(f"{top}/{name}"))
                names.append(f"{name}-moved" if change == "rename" else name)
            self.check(names, b"written", kind=top, st_mode=stat.S_IFREG | 0o600)


@harness.bailey_only
class LayersChange(LinksTest):
    def test_a_layer_on_top_changes_nothing(self):
        os.chmod(self.path("file/a"), 0o600)
        self.mounts.remove(self.mounted)
        self.mounted.stop()
        top = f"{self.home}/top"
        os.mkdir(top)
        self.lowers.insert(0, top)
        self.mount()
        for name in NAMES:
            status = os.stat(self.path(f"file/{name}"))
            self.assertEqual((stat.S_IMODE(status.st_mode), status.st_nlink), (0o600, 3))

    def test_another_file_with_that_number_is_another_file(self):
        write(self.path("file/a"), b"of the old one")
        self.mounts.remove(self.mounted)
        self.mounted.stop()
        os.truncate(self.lower("file/a"), 77)
        self.mount()
        self.assertEqual(read(self.path("file/b")), CONTENT[:77])
        self.assertEqual(read(self.path("file/a")), b"of the old one")
        os.chmod(self.path("file/b"), 0o600)
        os.unlink(self.path("file/d/c"))
        self.remount()
        self.assertEqual(read(self.path("file/b")), CONTENT[:77])

    def test_rubbish_in_the_index(self):
        os.chmod(self.path("file/a"), 0o600)
        self.mounts.remove(self.mounted)
        self.mounted.stop()
        entry, = self.index()
        for name in ("0-99999", "..x", "0-", "name", "0-6"):
            write(f"{self.work}/bailey-links/{name}", b"")
        os.setxattr(f"{self.work}/bailey-links/0-6", "trusted.bailey.links", b"=1 2 3 4 " * 99)
        write(f"{self.work}/bailey-links/0-5", b"")
        os.setxattr(f"{self.work}/bailey-links/0-5", "trusted.bailey.links", b"=1 2 x 4")
        self.mount()
        self.assertEqual(self.index(), [entry])
        self.check(NAMES, st_mode=stat.S_IFREG | 0o600)

    def test_a_full_disk_does_not_forbid_to_unlink(self):
        small = f"{self.home}/small"
        os.mkdir(small)
        syscalls.mount("tmpfs", small, "tmpfs", 0, "size=1m,nr_inodes=12")
        self.addCleanup(syscalls.umount, small, syscalls.MNT_DETACH)
        mount = harness.Mount(self.lowers, f"{small}/upper", f"{small}/work", f"{self.home}/r2")
        os.chmod(f"{mount.point}/file", 0o700)
        for number in range(20):
            try:
                write(f"{mount.point}/{number}")
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                break
        os.unlink(f"{mount.point}/0")
        os.unlink(f"{mount.point}/file/b")
        self.assertEqual(sorted(os.listdir(f"{mount.point}/file")), ["a", "d"])
        mount.stop()

    def test_a_name_for_which_there_is_no_room(self):
        """It stays, and the count is right when others go."""
        small = f"{self.home}/small"
        os.mkdir(small)
        syscalls.mount("tmpfs", small, "tmpfs", 0, "size=1m,nr_inodes=20")
        self.addCleanup(syscalls.umount, small, syscalls.MNT_DETACH)
        mount = harness.Mount(self.lowers, f"{small}/upper", f"{small}/work", f"{self.home}/r2")
        os.chmod(f"{mount.point}/file/a", 0o600)
        for number in itertools.count():
            try:
                write(f"{mount.point}/{number}")
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                break
        self.assertErrno(errno.ENOSPC, os.rename, f"{mount.point}/file/b", f"{mount.point}/file/c")
        for number in range(3):
            os.unlink(f"{mount.point}/{number}")
        os.unlink(f"{mount.point}/file/a")
        self.assertEqual([os.stat(f"{mount.point}/file/{name}").st_nlink for name in NAMES[1:]],
                         [2, 2])
        mount.stop()


if __name__ == "__main__":
    harness.main()
