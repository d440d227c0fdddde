"""Trees of many files: copied in and read back; walked with few descriptors."""
import errno
import os
import resource
import shutil
import subprocess

import harness
import small_files
import snapshot
import syscalls
from harness import FsTest, read, write


class SmallFiles(FsTest):
    def fill(self):
        small_files.make(f"{self.home}/source")

    def assertSame(self, one, two, **how):
        self.assertEqual(snapshot.differences(snapshot.take(one, **how),
                                              snapshot.take(two, **how)), [])

    def test_copied_in_it_is_read_back_identical(self):
        subprocess.run(["cp", "-a", f"{self.home}/source", self.path("tree")], check=True)
        self.assertSame(f"{self.home}/source", self.path("tree"))
        self.remount()
        self.assertSame(f"{self.home}/source", self.path("tree"))
        self.assertSame(f"{self.home}/source", self.in_upper("tree"))

    def test_untarred_copied_and_removed(self):
        archive = f"{self.home}/tree.tar"
        subprocess.run(["tar", "-C", f"{self.home}/source", "-cf", archive, "."], check=True)
        os.mkdir(self.path("tree"))
        subprocess.run(["tar", "-C", self.path("tree"), "-xf", archive], check=True)
        subprocess.run(["cp", "-r", self.path("tree"), self.path("copy")], check=True)
        subprocess.run(["diff", "-r", "--no-dereference", self.path("tree"), self.path("copy")],
                       check=True)
        shutil.rmtree(self.path("tree"))
        subprocess.run(["rm", "-r", self.path("copy")], check=True)
        self.assertEqual(os.listdir(self.root), [])
        self.assertEqual(os.listdir(self.upper), [])


class LowerTree(FsTest):
    def fill(self):
        small_files.make(self.lower("tree", 1))

    def test_read_changed_and_removed_through_the_layers(self):
        self.assertEqual(snapshot.differences(snapshot.take(self.lower("tree", 1)),
                                              snapshot.take(self.path("tree"))), [])
        subprocess.run(["chmod", "-R", "o-r", self.path("tree")], check=True)
        os.rename(self.path("tree"), self.path("moved"))
        expected = snapshot.take(self.path("moved"))
        self.remount()
        self.assertEqual(snapshot.differences(expected, snapshot.take(self.path("moved"))), [])
        shutil.rmtree(self.path("moved"))
        self.assertEqual(os.listdir(self.root), [])
        self.remount()
        self.assertEqual(os.listdir(self.root), [])


class FewDescriptors(FsTest):
    files = 20000

    def fill(self):
        small_files.make(self.lower("tree"), files=self.files, directories=1600, seed=2)

    def mount(self, **how):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        super().mount(limits=limit, **how)

    def descriptors(self):
        if self.mounted.server is None:
            return 0
        return len(os.listdir(f"/proc/{self.mounted.server.pid}/fd"))

    def test_a_walk(self):
        before, most, seen = self.descriptors(), 0, 0
        for directory, _, files in os.walk(self.path("tree")):
            for name in files:
                path = f"{directory}/{name}"
                os.lstat(path)
                if not os.path.islink(path):
                    read(path)
                    seen += 1
            most = max(most, self.descriptors())
        self.assertEqual(seen, self.files)
        self.assertLess(most - before, 300)

    def test_more_open_files_than_the_server_may_have(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(
            resource.RLIMIT_NOFILE)[1]))
        os.mkdir(self.path("open"))
        files = []
        try:
            for number in range(1500):
                files.append(os.open(self.path(f"open/{number}"), os.O_CREAT | os.O_RDWR))
                os.write(files[-1], b"%d" % number)
            for number, file in enumerate(files):
                self.assertEqual(os.pread(file, 9, 0), b"%d" % number)
        finally:
            for file in files:
                os.close(file)
        write(self.path("after"), "still serving")


class WideDirectories(FsTest):
    """Half-read directories, of which the server holds the names."""
    names = 150_000

    def fill(self):
        os.mkdir(self.lower("wide"))
        write(self.lower("narrow/f"))
        for number in range(self.names):
            os.link(self.lower("narrow/f"), f"{self.lower('wide')}/{number:0255}")

    def open_some(self):
        """Each is read further than the kernel has cached the others'. The error that ended it."""
        self.streams = []
        try:
            for count in range(1, 12):
                self.streams.append(syscalls.Directory(self.path("wide")))
                for _ in range(count * 500):
                    self.streams[-1].read()
        except OSError as error:
            return error.errno
        finally:
            self.opened = len(self.streams)
            for stream in self.streams:
                stream.close()
        return None

    def test_a_server_holds_only_so_many_names(self):
        for _ in range(2):
            self.assertEqual(self.open_some(), errno.ENOMEM)
            self.assertIn(self.opened, (2, 3, 4))
            self.assertEqual(os.listdir(self.path("narrow")), ["f"])
        self.assertEqual(len(os.listdir(self.path("wide"))), self.names)


if __name__ == "__main__":
    harness.main()
