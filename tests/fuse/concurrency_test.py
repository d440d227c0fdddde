"""Many processes and threads in one tree: nothing hangs, no odd errno, and the trees agree."""
import collections
import errno
import os
import random
import resource
import threading
import time

import harness
import snapshot
from harness import FsTest, in_child, read, write
from random_operations import Generator, Tree, perform

# What a race between well-behaved programs may bring (EBADF: copy_file_range to a file open for
# appending). EIO, ESTALE, ENOSYS, EXDEV of rename are not here.
USUAL = {"ok", "ENOENT", "EEXIST", "ENOTEMPTY", "EISDIR", "ENOTDIR", "EINVAL", "ELOOP", "EACCES",
         "EPERM", "ENODATA", "ENXIO", "EBUSY", "ENOTSUP", "no file open", "ESPIPE", "EBADF",
         "cannot mmap an empty file"}


def in_parallel(bodies):
    """Each body in a process of its own; their results."""
    results = [None] * len(bodies)
    errors = []

    def run(number, body):
        try:
            results[number] = in_child(body)
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=item) for item in enumerate(bodies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


class Concurrency(FsTest):
    workers = 8

    options = ("--readers", "6") if harness.TESTED == "bailey" else ()

    def fill(self):
        for name in "abcdef":
            for inner in "abcd":
                write(self.lower(f"{name}/{inner}/f", 1), name + inner)
            write(self.lower(f"{name}/g", 0), name)

    def check_layers(self):
        """The same before and after a remount, and for the kernel's overlayfs."""
        shown = snapshot.take(self.root)
        self.remount()
        self.assertEqual(snapshot.differences(shown, snapshot.take(self.root),
                                              ("before", "mounted again")), [])
        self.mounted.stop()
        self.mounts.clear()
        self.mount(kind="overlay", options=())
        self.assertEqual(snapshot.differences(shown, snapshot.take(self.root),
                                              ("bailey", "overlayfs")), [])

    def test_random_operations_in_one_tree(self):
        def work(number):
            tree = Tree(self.root)
            generator = Generator(random.Random(number), tree)
            seen = collections.Counter()
            for _ in range(500):
                operation = generator.next()
                result = perform(tree, operation)
                name = result[0] if result[0] == "ok" else result
                seen[name] += 1
                if name not in USUAL:
                    raise AssertionError(f"{operation[0]} {operation[2]} gave {name}")
            tree.close_all()
            return seen["ok"]
        done = in_parallel([lambda n=n: work(n) for n in range(self.workers)])
        self.assertGreater(min(done), 50)
        self.check_layers()

    def test_exclusive_creation_has_one_winner(self):
        names = [f"n{number}" for number in range(150)]
        for make in (lambda p: os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
                     os.mkdir, lambda p: os.symlink("x", p)):
            def work(make=make):
                won = 0
                for name in names:
                    try:
                        make(self.path(f"a/{name}"))
                        won += 1
                    except FileExistsError:
                        pass
                return won
            self.assertEqual(sum(in_parallel([work] * self.workers)), len(names))
            for name in names:
                path = self.path(f"a/{name}")
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)

    def test_each_name_is_removed_and_renamed_by_one(self):
        for number in range(100):
            write(self.path(f"b/u{number}"))
            write(self.path(f"b/r{number}"))

        def work(worker):
            won = 0
            for number in range(100):
                for change in (lambda n=number: os.unlink(self.path(f"b/u{n}")),
                               lambda n=number: os.rename(self.path(f"b/r{n}"),
                                                          self.path(f"c/{worker}-{n}"))):
                    try:
                        change()
                        won += 1
                    except FileNotFoundError:
                        pass
            return won
        won = in_parallel([lambda w=w: work(w) for w in range(self.workers)])
        self.assertEqual(sum(won), 200)
        self.assertEqual(len(os.listdir(self.path("c"))), 100 + 5)
        self.check_layers()

    def test_one_copy_up_for_all_writers(self):
        write(self.lower("big"), b"." * 500_000)

        def work(worker):
            with open(self.path("big"), "r+b", buffering=0) as file:
                for number in range(100):
                    os.pwrite(file.fileno(), bytes([worker]), worker * 100 + number)
        in_parallel([lambda w=w: work(w) for w in range(1, self.workers)])
        content = read(self.path("big"))
        self.assertEqual(len(content), 500_000)
        for worker in range(1, self.workers):
            self.assertEqual(content[worker * 100:worker * 100 + 100], bytes([worker]) * 100)

    def test_appends_are_not_torn(self):
        write(self.path("log"))

        def work(worker):
            line = b"%d" % worker * 100 + b"\n"
            with open(self.path("log"), "ab", buffering=0) as file:
                for _ in range(200):
                    file.write(line)
        in_parallel([lambda w=w: work(w) for w in range(self.workers)])
        lines = read(self.path("log")).split(b"\n")[:-1]
        self.assertEqual(collections.Counter(lines),
                         {b"%d" % w * 100: 200 for w in range(self.workers)})

    def test_directories_move_under_walkers(self):
        stop = time.monotonic() + 2

        def mover():
            moves = 0
            while time.monotonic() < stop:
                os.rename(self.path("a/a"), self.path("b/moved"))
                os.rename(self.path("b/moved"), self.path("a/a"))
                moves += 2
            return moves

        def walker():
            seen = 0
            while time.monotonic() < stop:
                for directory, _, files in os.walk(self.root):
                    for name in files:
                        try:
                            seen += len(read(f"{directory}/{name}"))
                        except OSError as error:
                            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                                raise
            return seen
        results = in_parallel([mover, walker, walker, walker])
        self.assertGreater(min(results), 0)
        self.assertEqual(read(self.path("a/a/f")), b"aa")

    def test_threads_of_one_process(self):
        failures = []

        def work(worker):
            try:
                for number in range(150):
                    path = self.path(f"d/{worker}-{number}")
                    write(path, path)
                    os.rename(path, path + "x")
                    os.link(path + "x", path)
                    os.unlink(path + "x")
                    if read(path).decode() != path or os.stat(path).st_nlink != 1:
                        failures.append(path)
            except OSError as error:
                failures.append(error)
        threads = [threading.Thread(target=work, args=(w,)) for w in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(os.listdir(self.path("d"))), 150 * self.workers + 5)
        self.check_layers()


class UnderAMovingDirectory(FsTest):
    """Whoever holds a directory reaches its files, wherever an ancestor is being moved.

    The server may keep few directories open, so it must find most of them by their path."""
    names = ["one-name-of-the-directory", "another-name-of-the-directory"]
    options = ("--readers", "6") if harness.TESTED == "bailey" else ()

    def fill(self):
        os.mkdir(self.lower("elsewhere"))
        for number in range(40):
            for file in range(3):
                write(self.lower(f"{self.names[0]}/between-{number}/sub-directory/file{file}", 1),
                      "x")

    def mount(self, **how):
        super().mount(limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)), **how)

    def test_it(self):
        held = [os.open(self.path(f"{self.names[0]}/between-{number}/sub-directory"),
                        os.O_RDONLY) for number in range(40)]
        stop = time.monotonic() + 3

        def move():
            moves, here, there = 0, self.names[0], f"elsewhere/{self.names[1]}"
            while time.monotonic() < stop or here != self.names[0]:
                os.rename(self.path(here), self.path(there))
                here, there = there, here
                moves += 1
            return moves

        def work(seed):
            chance, done = random.Random(seed), 0
            while time.monotonic() < stop:
                directory, name = chance.choice(held), f"file{chance.randrange(3)}"
                os.utime(name, dir_fd=directory)
                os.close(os.open(name, os.O_RDWR, dir_fd=directory))
                os.close(os.open(f"new{seed}", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
                os.rename(f"new{seed}", f"newer{seed}", src_dir_fd=directory,
                          dst_dir_fd=directory)
                os.unlink(f"newer{seed}", dir_fd=directory)
                done += 1
            return done
        done = in_parallel([move] + [lambda s=s: work(s) for s in range(5)])
        for directory in held:
            os.close(directory)
        self.assertGreater(min(done), 10)
        for number in range(40):
            self.assertEqual(sorted(os.listdir(self.path(
                f"{self.names[0]}/between-{number}/sub-directory"))), ["file0", "file1", "file2"])


if __name__ == "__main__":
    harness.main()
