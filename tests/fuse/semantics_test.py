"""What programs rely on that no other test asks about: locks, notifications, handles, sockets and
fifos of a lower, holes and copies between layers."""
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import stat
import struct

import harness
import syscalls
from harness import FsTest, as_user, in_child, read, write

F_OFD_GETLK, F_OFD_SETLK = 36, 37


def lock(file, kind, start=0, length=0, command=F_OFD_SETLK):
    """An open file description's lock; what fcntl made of the request."""
    return fcntl.fcntl(file, command, struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0))


class Locks(FsTest):
    def fill(self):
        write(self.lower("f"), "x" * 100)

    def open(self, flags=os.O_RDWR):
        file = os.open(self.path("f"), flags)
        self.addCleanup(os.close, file)
        return file

    def test_ofd_locks_belong_to_the_open_file(self):
        one, two = self.open(), self.open()
        lock(one, fcntl.F_WRLCK, 10, 5)
        self.assertErrno(errno.EAGAIN, lock, two, fcntl.F_WRLCK, 12, 1)
        lock(two, fcntl.F_WRLCK, 15, 5)
        found = struct.unpack("hhqqi", lock(two, fcntl.F_WRLCK, 0, 0, F_OFD_GETLK))
        self.assertEqual(found[:1] + found[2:], (fcntl.F_WRLCK, 10, 5, -1))
        in_child(lambda: lock(one, fcntl.F_UNLCK))  # the child shares the description
        lock(two, fcntl.F_WRLCK, 10, 5)

    def test_posix_locks_end_with_any_close(self):
        one = self.open()
        fcntl.lockf(one, fcntl.LOCK_EX)
        self.assertErrno(errno.EAGAIN, in_child,
                         lambda: fcntl.lockf(self.open(), fcntl.LOCK_EX | fcntl.LOCK_NB))
        os.close(os.open(self.path("f"), os.O_RDONLY))
        in_child(lambda: fcntl.lockf(self.open(), fcntl.LOCK_EX | fcntl.LOCK_NB))

    def test_a_waiting_flock_gets_its_turn(self):
        one = self.open(os.O_RDONLY)
        fcntl.flock(one, fcntl.LOCK_EX)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            two = os.open(self.path("f"), os.O_RDONLY)
            os.write(writing, b"w")
            fcntl.flock(two, fcntl.LOCK_EX)
            os.write(writing, b"l")
            os._exit(0)
        self.assertEqual(os.read(reading, 1), b"w")
        self.assertEqual(select.select([reading], [], [], 0.05)[0], [])
        fcntl.flock(one, fcntl.LOCK_UN)
        self.assertEqual(os.read(reading, 1), b"l")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)

    def test_locks_hold_while_a_closed_file_is_copied_up(self):
        holder = self.open()  # copied up with this
        lock(holder, fcntl.F_WRLCK)
        os.chmod(self.path("f"), 0o600)
        self.assertErrno(errno.EAGAIN, lock, self.open(), fcntl.F_WRLCK)

    def test_leases(self):
        reader = self.open(os.O_RDONLY)
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        self.assertEqual(fcntl.fcntl(reader, fcntl.F_GETLEASE), fcntl.F_RDLCK)
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_UNLCK)


class Notifications(FsTest):
    """inotify."""
    CREATE, MODIFY, ATTRIB, DELETE, MOVED = 0x100, 0x2, 0x4, 0x200, 0xc0

    def fill(self):
        write(self.lower("d/f"), "x")
        write(self.lower("d/other"), "x")

    def watch(self, name, mask):
        libc = ctypes.CDLL(None, use_errno=True)
        file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.assertGreaterEqual(file, 0)
        self.addCleanup(os.close, file)
        self.assertGreaterEqual(libc.inotify_add_watch(file, os.fsencode(self.path(name)), mask), 0)
        return file

    def events(self, file):
        try:
            data = os.read(file, 65536)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            _, mask, _, length = struct.unpack_from("iIII", data, at)
            found.append((mask & 0xfff, data[at + 16:at + 16 + length].rstrip(b"\0").decode()))
            at += 16 + length
        return found

    def test_of_a_directory(self):
        watch = self.watch("d", self.CREATE | self.DELETE | self.MOVED | self.MODIFY)
        write(self.path("d/new"), "x")
        os.rename(self.path("d/new"), self.path("d/moved"))
        os.unlink(self.path("d/other"))
        with open(self.path("d/f"), "ab") as file:
            file.write(b"y")
        self.assertEqual(self.events(watch), [
            (self.CREATE, "new"), (self.MODIFY, "new"), (0x40, "new"), (0x80, "moved"),
            (self.DELETE, "other"), (self.MODIFY, "f")])

    def test_of_a_file_that_is_copied_up(self):
        watch = self.watch("d/f", self.MODIFY | self.ATTRIB)
        with open(self.path("d/f"), "ab") as file:
            file.write(b"y")
        os.chmod(self.path("d/f"), 0o600)
        self.assertEqual(self.events(watch), [(self.MODIFY, ""), (self.ATTRIB, "")])


class Handles(FsTest):
    def fill(self):
        write(self.lower("f"), "x")

    def handle_of(self, flags):
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(struct.pack("I", 128), 8 + 128)
        mount = ctypes.c_int()
        if libc.name_to_handle_at(syscalls.AT_FDCWD, os.fsencode(self.path("f")), buffer,
                                  ctypes.byref(mount), flags) != 0:
            raise OSError(ctypes.get_errno(), "name_to_handle_at")
        return struct.unpack_from("=Ii", buffer.raw), buffer.raw[8:]

    @harness.bailey_only
    def test_there_are_none_to_open(self):
        self.assertErrno(errno.EOPNOTSUPP, self.handle_of, 0)

    @harness.bailey_only
    def test_an_identifier_tells_no_address_of_the_server(self):
        at_handle_fid = 0x200
        (size, _), data = self.handle_of(at_handle_fid)
        server = self.mounted.server.pid
        with open(f"/proc/{server}/maps", encoding="ascii") as maps:
            ranges = [line.split()[0].split("-") for line in maps]
        word, = struct.unpack_from("<Q", data[:size])
        swapped = (word & 0xffffffff) << 32 | word >> 32
        for value in (word, swapped):
            self.assertFalse(any(int(start, 16) <= value < int(end, 16) for start, end in ranges))


class SocketsAndFifos(FsTest):
    def fill(self):
        os.makedirs(self.lower("run"))
        os.mkfifo(self.lower("run/fifo"))
        os.chmod(self.lower("run/fifo"), 0o622)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.lower("run/dead"))

    def test_a_fifo_of_a_lower_joins_processes_and_survives_copy_up(self):
        reader = os.open(self.path("run/fifo"), os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(self.path("run/fifo"), os.O_WRONLY)
        os.write(writer, b"one")
        os.chmod(self.path("run/fifo"), 0o666)
        os.write(writer, b"two")
        self.assertEqual(os.read(reader, 10), b"onetwo")
        late = os.open(self.path("run/fifo"), os.O_WRONLY | os.O_NONBLOCK)
        os.write(late, b"three")
        self.assertEqual(os.read(reader, 10), b"three")
        for file in (reader, writer, late):
            os.close(file)

    def test_a_socket_without_a_server_refuses(self):
        with socket.socket(socket.AF_UNIX) as client:
            self.assertErrno(errno.ECONNREFUSED, client.connect, self.path("run/dead"))
        with socket.socket(socket.AF_UNIX) as server:
            self.assertErrno(errno.EADDRINUSE, server.bind, self.path("run/dead"))
            os.unlink(self.path("run/dead"))
            server.bind(self.path("run/dead"))

    def test_a_socket_is_found_by_each_of_its_names(self):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.path("run/s"))
            server.listen(8)
            os.chmod(self.path("run/s"), 0o660)
            os.chown(self.path("run/s"), 0, 1000)
            os.link(self.path("run/s"), self.path("run/link"))
            os.rename(self.path("run/s"), self.path("moved"))

            def connect(name):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(self.path(name))
            for name in ("run/link", "moved"):
                connect(name)
                as_user(1001, lambda name=name: connect(name), gid=1000)
                self.assertErrno(errno.EACCES, as_user, 1001, lambda name=name: connect(name))
            self.assertTrue(stat.S_ISSOCK(os.stat(self.path("moved")).st_mode))

    def test_datagrams(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            server.bind(self.path("run/log"))
            client.sendto(b"line", self.path("run/log"))
            self.assertEqual(server.recv(10), b"line")


class Data(FsTest):
    def fill(self):
        self.pattern = bytes(range(256)) * 4096
        write(self.lower("big"), self.pattern)
        write(self.lower("sparse"))
        with open(self.lower("sparse"), "r+b") as file:
            file.truncate(8 << 20)
            file.seek(4 << 20)
            file.write(b"data" * 1024)

    def open(self, name, flags=os.O_RDWR | os.O_CREAT):
        file = os.open(self.path(name), flags, 0o644)
        self.addCleanup(os.close, file)
        return file

    @harness.bailey_only
    def test_copy_up_keeps_holes(self):
        file = self.open("sparse")
        self.assertEqual(os.lseek(file, 0, os.SEEK_DATA), 4 << 20)
        self.assertEqual(os.lseek(file, 4 << 20, os.SEEK_HOLE), (4 << 20) + 4096)
        self.assertLess(os.stat(self.in_upper("sparse")).st_blocks * 512, 1 << 20)
        self.assertEqual(os.stat(self.path("sparse")).st_size, 8 << 20)

    def test_holes_of_a_lower_that_is_only_read(self):
        file = self.open("sparse", os.O_RDONLY)
        self.assertEqual(os.lseek(file, 0, os.SEEK_HOLE), 0)
        self.assertEqual(os.lseek(file, 0, os.SEEK_DATA), 4 << 20)
        self.assertErrno(errno.ENXIO, os.lseek, file, 5 << 20, os.SEEK_DATA)
        self.assertEqual(os.lseek(file, -1, os.SEEK_END), (8 << 20) - 1)

    def test_copies_between_and_within_files(self):
        upper = self.open("copy")
        self.assertEqual(os.copy_file_range(self.open("big", os.O_RDONLY), upper, 100, 5, 0), 100)
        self.assertEqual(os.copy_file_range(upper, upper, 50, 0, 100), 50)
        self.assertEqual(read(self.path("copy")), self.pattern[5:105] + self.pattern[5:55])
        self.assertErrno(errno.EINVAL, os.copy_file_range, upper, upper, 50, 0, 10)
        self.assertErrno(errno.EBADF, os.copy_file_range, upper,
                         self.open("big", os.O_RDONLY), 5, 0, 0)
        appending = self.open("copy", os.O_WRONLY | os.O_APPEND)
        self.assertErrno(errno.EBADF, os.copy_file_range, upper, appending, 5, 0, 0)

    @harness.bailey_only
    def test_what_fuse_does_not_forward_is_refused_and_changes_nothing(self):
        file = self.open("big")
        collapse_range, insert_range, unshare_range = 8, 32, 64
        for mode in (collapse_range, insert_range, unshare_range):
            self.assertErrno(errno.EOPNOTSUPP, syscalls.fallocate, file, mode, 0, 65536)
        ficlone = 0x40049409
        self.assertErrno(errno.EOPNOTSUPP, fcntl.ioctl, self.open("clone"), ficlone, file)
        for request in (0x80086601, 0x80045877):  # FS_IOC_GETFLAGS, and one that nobody knows
            self.assertErrno(errno.ENOTTY, fcntl.ioctl, file, request, bytes(64))
        self.assertEqual(read(self.path("big")), self.pattern)

    def test_append_ignores_the_offset(self):
        file = self.open("big", os.O_WRONLY | os.O_APPEND)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, b"end")
        os.pwrite(file, b"END", 0)  # as Linux has it, whatever POSIX says
        self.assertEqual(read(self.path("big"))[-6:], b"endEND")

    def test_append_switched_on_later(self):
        file = self.open("big", os.O_WRONLY)
        flags = fcntl.fcntl(file, fcntl.F_GETFL)
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_APPEND)
        os.write(file, b"end")
        self.assertEqual(read(self.path("big"))[-3:], b"end")
        fcntl.fcntl(file, fcntl.F_SETFL, flags)
        os.pwrite(file, b"start", 0)
        self.assertEqual(read(self.path("big"))[:5], b"start")

    def test_direct_io(self):
        with mmap.mmap(-1, 8192) as pages:
            pages[:] = b"direct io bytes " * 512
            written = self.open("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
            self.assertEqual(os.pwritev(written, [pages], 4096), 8192)
            pages[:] = bytes(8192)
            self.assertEqual(os.preadv(written, [pages], 4096), 8192)
            self.assertEqual(pages[:16], b"direct io bytes ")
            lower = self.open("big", os.O_RDONLY | os.O_DIRECT)
            os.preadv(lower, [pages], 8192)
            self.assertEqual(pages[:], self.pattern[8192:16384])
        self.assertEqual(read(self.path("direct"))[4096:4112], b"direct io bytes ")

    def test_private_mappings_keep_their_changes(self):
        file = self.open("big", os.O_RDONLY)
        with mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            memory[:4] = b"mine"
            self.assertEqual(read(self.path("big"))[:4], self.pattern[:4])
        self.assertEqual(read(self.lower("big")), self.pattern)
        self.assertFalse(os.path.exists(self.in_upper("big")))

    def test_no_shared_writable_mapping_of_what_was_opened_for_reading(self):
        file = self.open("big", os.O_RDONLY)
        with self.assertRaises(PermissionError):
            mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def is_shared(path):
    """The file's first extent belongs to another file too."""
    fs_ioc_fiemap, extent_shared = 0xc020660b, 0x2000
    request = bytearray(struct.pack("=QQIIII", 0, 1 << 40, 1, 0, 1, 0) + bytes(56))
    with open(path, "rb") as file:
        fcntl.ioctl(file, fs_ioc_fiemap, request)
    return bool(struct.unpack_from("=I", request, 32 + 40)[0] & extent_shared)


class SharedBlocks(FsTest):
    """Where the store can, copies take no space."""

    def fill(self):
        write(self.lower("big"), os.urandom(1 << 20))

    def test_copies_share_blocks_if_the_store_can(self):
        if harness.STORE == "xfs":
            self.assertFalse(is_shared(self.lower("big")))
        with open(self.path("big"), "rb") as source, open(self.path("copy"), "wb") as target:
            self.assertEqual(os.copy_file_range(source.fileno(), target.fileno(), 1 << 20), 1 << 20)
        self.assertEqual(read(self.path("copy")), read(self.lower("big")))
        if harness.STORE == "xfs":
            self.assertTrue(is_shared(self.in_upper("copy")))

    def test_copy_up_shares_blocks_if_the_store_can(self):
        os.close(os.open(self.path("big"), os.O_RDWR))
        self.assertEqual(read(self.in_upper("big")), read(self.lower("big")))
        if harness.STORE == "xfs":
            self.assertTrue(is_shared(self.in_upper("big")))


class Privileges(FsTest):
    """setuid and file capabilities end with whatever a stranger does to the bytes."""

    def fill(self):
        write(self.lower("program"), "x" * 8192)

    def changes(self):
        def with_file(change):
            def run():
                file = os.open(self.path("program"), os.O_RDWR)
                change(file)
                os.close(file)
            return run
        yield "write", with_file(lambda file: os.write(file, b"y"))
        yield "fallocate", with_file(lambda file: syscalls.fallocate(file, 0, 0, 10000))
        yield "truncate", with_file(lambda file: os.ftruncate(file, 100))
        yield "copy", with_file(lambda file: os.copy_file_range(file, file, 10, 50, 20))

    def test_setuid(self):
        for name, change in self.changes():
            os.chmod(self.path("program"), 0o6777)
            as_user(1000, change)
            self.assertEqual(oct(os.stat(self.path("program")).st_mode), "0o100777", name)

    def test_capabilities(self):
        capability = syscalls.capability_xattr(1 << 10)
        for name, change in self.changes():
            os.chmod(self.path("program"), 0o777)
            os.setxattr(self.path("program"), "security.capability", capability)
            as_user(1000, change)
            self.assertErrno(errno.ENODATA, os.getxattr, self.path("program"),
                             "security.capability")

    def test_reading_and_linking_leave_them(self):
        os.chmod(self.path("program"), 0o6755)
        as_user(1000, lambda: read(self.path("program")))
        os.link(self.path("program"), self.path("link"))
        os.rename(self.path("link"), self.path("moved"))
        self.assertEqual(oct(os.stat(self.path("moved")).st_mode), "0o106755")


if __name__ == "__main__":
    harness.main()
