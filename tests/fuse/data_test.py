"""File contents: read, write, holes, mmap, append, copy-up under open files, passthrough."""
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import subprocess

import harness
from harness import FsTest, read, write
from syscalls import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, fallocate


class Contents(FsTest):
    def fill(self):
        write(self.lower("lower"), b"0123456789")
        write(self.lower("big"), bytes(range(256)) * 4096)

    def open(self, name, flags=os.O_RDWR | os.O_CREAT):
        file = os.open(self.path(name), flags, 0o644)
        self.addCleanup(os.close, file)
        return file

    def test_write_into_a_lower_file(self):
        file = self.open("lower")
        os.pwrite(file, b"XY", 4)
        self.assertEqual(os.pread(file, 99, 0), b"0123XY6789")
        self.assertEqual(read(self.path("lower")), b"0123XY6789")
        self.assertEqual(read(self.lower("lower")), b"0123456789")

    def test_sparse_write(self):
        file = self.open("new")
        os.pwrite(file, b"end", 1 << 30)
        status = os.fstat(file)
        self.assertEqual(status.st_size, (1 << 30) + 3)
        self.assertLess(status.st_blocks, 1000)
        self.assertEqual(os.pread(file, 4, 5000), b"\0" * 4)

    def test_size_and_times_follow_writes(self):
        file = self.open("new")
        for length in (1, 4096, 70000):
            os.utime(self.path("new"), ns=(1, 1))
            os.pwrite(file, b"x" * length, 0)
            status = os.stat(self.path("new"))
            self.assertEqual(status.st_size, length)
            self.assertGreater(status.st_mtime_ns, 10 ** 18)

    def test_truncate(self):
        os.truncate(self.path("lower"), 4)
        self.assertEqual(read(self.path("lower")), b"0123")
        os.truncate(self.path("lower"), 8)
        self.assertEqual(read(self.path("lower")), b"0123\0\0\0\0")
        file = self.open("big")
        os.ftruncate(file, 100)
        self.assertEqual(os.fstat(file).st_size, 100)
        self.assertEqual(os.stat(self.path("big")).st_size, 100)
        self.assertEqual(os.pread(file, 999, 0), bytes(range(100)))
        self.assertEqual(os.stat(self.lower("big")).st_size, 1 << 20)

    def test_append(self):
        one = self.open("lower", os.O_WRONLY | os.O_APPEND)
        two = self.open("lower", os.O_WRONLY | os.O_APPEND)
        for number in range(10):
            os.write(one, b"a")
            os.write(two, b"b")
        self.assertEqual(read(self.path("lower")), b"0123456789" + b"ab" * 10)

    def test_shared_mmap(self):
        file = self.open("big")
        with mmap.mmap(file, 1 << 20) as memory:
            self.assertEqual(memory[300:302], bytes([44, 45]))
            memory[300:303] = b"MAP"
            self.assertEqual(os.pread(file, 3, 300), b"MAP")
            os.pwrite(file, b"write", 5000)
            self.assertEqual(memory[5000:5005], b"write")
            memory.flush()
        self.assertEqual(read(self.path("big"))[300:303], b"MAP")
        self.assertEqual(read(self.lower("big"))[300:302], bytes([44, 45]))

    def test_stores_of_a_mapping_that_outlives_its_file_reach_stat(self):
        file = os.open(self.path("new"), os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, 4096)
        os.utime(file, ns=(1, 1))
        with mmap.mmap(file, 4096) as memory:
            os.close(file)
            self.assertEqual(os.stat(self.path("new")).st_mtime_ns, 1)
            memory[0] = 1
            memory.flush()
        self.assertGreater(os.stat(self.path("new")).st_mtime_ns, 10 ** 18)
        self.assertEqual(read(self.path("new"))[0], 1)

    def test_private_mmap_and_exec(self):
        write(self.path("prog"), read("/bin/true"), 0o755)
        self.assertEqual(os.spawnv(os.P_WAIT, self.path("prog"), ["prog"]), 0)

    def test_a_running_program_cannot_be_written(self):
        write(self.path("sleep"), read("/bin/sleep"), 0o755)
        child = os.spawnv(os.P_NOWAIT, self.path("sleep"), ["sleep", "30"])
        try:
            while os.readlink(f"/proc/{child}/exe") != self.path("sleep"):
                pass
            self.assertErrno(errno.ETXTBSY, os.open, self.path("sleep"), os.O_WRONLY)
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)

    def test_fsync(self):
        file = self.open("lower")
        os.write(file, b"x")
        os.fsync(file)
        os.fdatasync(file)
        directory = self.open("", os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.fsync(self.open("big", os.O_RDONLY))

    def test_fallocate(self):
        file = self.open("new")
        fallocate(file, 0, 0, 100000)
        status = os.fstat(file)
        self.assertEqual(status.st_size, 100000)
        self.assertGreaterEqual(status.st_blocks * 512, 100000)
        fallocate(file, FALLOC_KEEP_SIZE, 100000, 100000)
        self.assertEqual(os.fstat(file).st_size, 100000)
        self.assertErrno(errno.EBADF, fallocate, self.open("big", os.O_RDONLY), 0, 0, 10)

    def test_punch_and_zero(self):
        file = self.open("big")
        punch = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE
        fallocate(file, punch, 4096, 8192)
        self.assertEqual(os.pread(file, 4, 4094), bytes([254, 255, 0, 0]))
        self.assertEqual(os.stat(self.path("big")).st_size, 1 << 20)
        self.assertEqual(read(self.lower("big"))[4096:4100], bytes(range(4)))
        with self.assertRaises(OSError):
            fallocate(file, FALLOC_PUNCH_HOLE, 0, 10)
        if harness.STORE == "ext4":
            fallocate(file, FALLOC_ZERO_RANGE, 100, 10)
            self.assertEqual(os.pread(file, 12, 99), bytes([99] + [0] * 10 + [110]))
            # Collapsing a range, FUSE refuses in the kernel.

    def test_seek_data_and_hole(self):
        file = self.open("new")
        os.ftruncate(file, 1 << 20)
        os.pwrite(file, b"x" * 4096, 1 << 16)
        self.assertEqual(os.lseek(file, 0, os.SEEK_DATA), 1 << 16)
        self.assertEqual(os.lseek(file, 1 << 16, os.SEEK_HOLE), (1 << 16) + 4096)
        self.assertErrno(errno.ENXIO, os.lseek, file, (1 << 16) + 4096, os.SEEK_DATA)
        self.assertEqual(os.lseek(self.open("big"), 0, os.SEEK_HOLE), 1 << 20)

    def test_copy_file_range(self):
        source, target = self.open("big", os.O_RDONLY), self.open("new")
        self.assertEqual(os.copy_file_range(source, target, 10000, 256, 100), 10000)
        self.assertEqual(os.pread(target, 4, 100), bytes(range(4)))
        self.assertEqual(os.stat(self.path("new")).st_size, 10100)
        self.assertEqual(read(self.path("new"))[100:], read(self.lower("big"))[256:10256])

    @harness.bailey_only
    def test_who_copies_ranges(self):
        def requests():
            text = os.getxattr(self.root, "trusted.bailey.counters").decode()
            return int(dict(line.split() for line in text.splitlines())["requests"])
        source, target = self.open("big", os.O_RDONLY), self.open("new")
        os.copy_file_range(source, target, 4096, 0, 0)
        before = requests()
        for number in range(100):
            self.assertEqual(os.copy_file_range(source, target, 4096, 4096 * number,
                                                4096 * number), 4096)
        asked = requests() - before
        # xfs shares blocks, which only the server can have it do.
        self.assertTrue(asked >= 100 if harness.STORE == "xfs" else asked < 50, asked)
        self.assertEqual(read(self.path("new")), read(self.lower("big"))[:409600])

    def test_sendfile_and_splice(self):
        source, target = self.open("big", os.O_RDONLY), self.open("new")
        sent = 0
        while sent < 1 << 20:
            sent += os.sendfile(target, source, sent, (1 << 20) - sent)
        self.assertEqual(read(self.path("new")), read(self.lower("big")))

    def test_locks(self):
        one, two = self.open("lower"), self.open("lower")
        fcntl.flock(one, fcntl.LOCK_EX)
        self.assertErrno(errno.EAGAIN, fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(one, fcntl.LOCK_EX, 5, 0)

        def other():
            with open(self.path("lower"), "r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)
        self.assertErrno(errno.EAGAIN, harness.in_child, other)

    def test_direct_io_is_refused_or_right(self):
        try:
            file = self.open("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        except OSError as error:
            self.assertEqual(error.errno, errno.EINVAL)
            return
        with mmap.mmap(-1, 4096) as page:
            page[:4] = b"data"
            os.write(file, page)
        self.assertEqual(read(self.path("direct"))[:4], b"data")


class CopyUp(FsTest):
    """What an open file sees when its path is copied up."""

    def fill(self):
        write(self.lower("f"), b"lower bytes", 0o644)

    def test_a_reader_survives(self):
        reader = os.open(self.path("f"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        with mmap.mmap(reader, 11, prot=mmap.PROT_READ) as memory:
            write(self.path("f"), b"UPPER BYTES")
            self.assertEqual(memory[:5], b"lower")
            self.assertIn(os.pread(reader, 5, 0), (b"lower", b"UPPER"))
        self.assertEqual(os.fstat(reader).st_size, 11)
        self.assertEqual(read(self.path("f")), b"UPPER BYTES")

    def test_later_opens_see_the_new_bytes_at_once(self):
        readers = []
        for number in range(5):
            readers.append(os.open(self.path("f"), os.O_RDONLY))
            with open(self.path("f"), "r+b") as file:
                file.write(b"%d" % number)
            self.assertEqual(read(self.path("f"))[:1], b"%d" % number)
        for reader in readers:
            os.close(reader)

    def test_reader_and_writer_of_a_copied_file_share(self):
        reader = os.open(self.path("f"), os.O_RDONLY)
        writer = os.open(self.path("f"), os.O_RDWR)
        later = os.open(self.path("f"), os.O_RDONLY)
        os.pwrite(writer, b"W", 0)
        self.assertEqual(os.pread(later, 1, 0), b"W")
        self.assertEqual(os.fstat(reader).st_ino, os.fstat(writer).st_ino)
        for file in (reader, writer, later):
            os.close(file)

    def test_metadata_change_with_the_file_open(self):
        reader = os.open(self.path("f"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        os.chmod(self.path("f"), 0o600)
        self.assertEqual(os.pread(reader, 5, 0), b"lower")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("f")).st_mode), 0o600)
        self.assertEqual(read(self.path("f")), b"lower bytes")

    def test_a_metadata_change_through_the_reader(self):
        reader = os.open(self.path("f"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        os.fchmod(reader, 0o600)
        os.utime(reader, ns=(5, 6))
        os.fchown(reader, 3, 4)
        for status in (os.fstat(reader), os.stat(self.path("f"))):
            self.assertEqual((stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_uid,
                              status.st_gid), (0o600, 6, 3, 4))

    def test_the_same_inode_through_cached_paths(self):
        self.assertEqual(read(self.path("f")), b"lower bytes")
        inode = os.stat(self.path("f")).st_ino
        reader = os.open(self.path("f"), os.O_RDONLY)
        for step in (b"one", b"two"):
            with open(self.path("f"), "ab") as file:
                file.write(step)
            self.assertEqual(os.stat(self.path("f")).st_ino, inode)
            self.assertEqual(os.stat(self.path("f")).st_size, len(read(self.path("f"))))
        os.close(reader)
        self.assertEqual(read(self.path("f")), b"lower bytesonetwo")


class Passthrough(FsTest):
    """Data must not go through the server: its own read and write counts stay still."""
    size = 64 << 20

    def fill(self):
        self.content = os.urandom(1 << 20) * (self.size >> 20)
        write(self.lower("big"), self.content)

    def server_bytes(self):
        if self.mounted.server is None:
            return 0
        with open(f"/proc/{self.mounted.server.pid}/io", encoding="ascii") as file:
            counts = dict(line.split(": ") for line in file)
        return int(counts["rchar"]) + int(counts["wchar"])

    def check(self, name):
        before = self.server_bytes()
        digest = hashlib.sha1()
        with open(self.path(name), "rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        self.assertEqual(digest.digest(), hashlib.sha1(self.content).digest())
        with open(self.path(name), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            self.assertEqual(memory[-4096:], self.content[-4096:])
        self.assertLess(self.server_bytes() - before, self.size // 64)

    def test_reads_of_a_lower(self):
        self.check("big")

    def test_writes_and_reads_of_the_upper(self):
        before = self.server_bytes()
        with open(self.path("new"), "wb", buffering=0) as file:
            for offset in range(0, self.size, 1 << 20):
                file.write(self.content[offset:offset + (1 << 20)])
        self.assertLess(self.server_bytes() - before, self.size // 64)
        self.check("new")
        self.assertEqual(os.stat(self.in_upper("new")).st_size, self.size)

    def test_after_copy_up_and_while_open_twice(self):
        reader = os.open(self.path("big"), os.O_RDONLY)
        self.addCleanup(os.close, reader)
        with open(self.path("big"), "r+b") as writer:
            writer.write(self.content[:1])
            writer.flush()
            self.check("big")


class SharedPages(FsTest):
    """Two mounts over one lower: what one has read is in memory for the other."""

    def fill(self):
        write(self.lower("lib"), os.urandom(8 << 20))

    @staticmethod
    def resident(path):
        found = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", path],
                               stdout=subprocess.PIPE, check=True)
        return int(found.stdout)

    def test_page_cache_is_shared(self):
        if harness.STORE == "tmpfs":
            self.mapped_pages_are_one()
            return
        with open(self.lower("lib"), "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertLess(self.resident(self.lower("lib")), 1 << 20)
        read(self.path("lib"))
        self.assertEqual(self.resident(self.lower("lib")), 8 << 20)
        self.mapped_pages_are_one()

    def mapped_pages_are_one(self):
        other = harness.Mount(self.lowers, f"{self.home}/upper2", f"{self.home}/work2",
                              f"{self.home}/root2")
        self.mounts.append(other)
        with open(self.path("lib"), "rb") as one, open(f"{other.point}/lib", "rb") as two:
            maps = [mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) for f in (one, two)]
            for memory in maps:
                for page in range(0, 8 << 20, 4096):
                    memory[page]
            rss = pss = 0
            with open("/proc/self/smaps", encoding="utf-8", errors="replace") as smaps:
                ours = False
                for line in smaps:
                    if "-" in line.split(" ")[0]:
                        ours = line.rstrip().endswith("/lib")
                    elif ours and line.startswith("Rss:"):
                        rss += int(line.split()[1])
                    elif ours and line.startswith("Pss:"):
                        pss += int(line.split()[1])
            for memory in maps:
                memory.close()
        self.assertEqual(rss, 16 << 10)
        self.assertLess(pss, 9 << 10)


if __name__ == "__main__":
    harness.main()
