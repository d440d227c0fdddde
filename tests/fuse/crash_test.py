#!/usr/bin/env python3
"""Kills the server at each system call of a copy-up, and looks what the next one shows.

For each change below: the server is stopped before its first, second, third … system call after
the change was asked for, and killed there. Mounted again, the tree is the one before the change or
the one after it, whole; what a lower has by several names is one file with the right count of
links; the work area is empty. Only the times of directories may tell.

    crash_test.py            one in ten, by chance others each time (CTest)
    crash_test.py --all      each of them
"""
import argparse
import collections
import os
import random
import sys

import harness
import snapshot
import syscalls
from harness import write
from tracer import Tracer

PAST = (1_000_000_000_123_456_789, 1_100_000_000_987_654_321)
CONTENT = random.Random(1).randbytes(20_000)


def fill(lower):
    """What all changes start from."""
    write(f"{lower}/d/f", CONTENT, 0o6755)
    os.chown(f"{lower}/d/f", 7, 8)
    os.chmod(f"{lower}/d/f", 0o6755)
    os.setxattr(f"{lower}/d/f", "user.one", b"1")
    # Capabilities the kernel takes away before a chown or a truncation, in a request of its own.
    write(f"{lower}/d/capable", CONTENT, 0o4755)
    os.setxattr(f"{lower}/d/capable", "security.capability", syscalls.capability_xattr(1 << 10))
    write(f"{lower}/d/other", b"stays as it is")
    write(f"{lower}/l/a", CONTENT, 0o640)
    os.makedirs(f"{lower}/l/e")
    os.link(f"{lower}/l/a", f"{lower}/l/b")
    os.link(f"{lower}/l/a", f"{lower}/l/e/c")
    os.symlink("target", f"{lower}/l/s")
    os.link(f"{lower}/l/s", f"{lower}/l/t", follow_symlinks=False)
    for path in ("d/f", "d/capable", "l/a"):
        os.utime(f"{lower}/{path}", ns=PAST)


def overwrite(path):
    file = os.open(path, os.O_WRONLY)
    os.pwrite(file, b"written", 5)
    os.close(file)


def touch(root):
    os.chmod(f"{root}/d/f", 0o6750)
    os.chmod(f"{root}/d/capable", 0o4711)
    os.chmod(f"{root}/l/a", 0o600)


def nothing(_root):
    pass


# name: what is done before, and the change.
CHANGES = {
    "chmod": (nothing, lambda root: os.chmod(f"{root}/d/f", 0o2700)),
    "chown": (nothing, lambda root: os.chown(f"{root}/d/other", 1, 2)),
    "setxattr": (nothing, lambda root: os.setxattr(f"{root}/d/f", "user.two", b"2")),
    "write": (nothing, lambda root: overwrite(f"{root}/d/other")),
    "open to write": (nothing, lambda root: os.close(os.open(f"{root}/d/capable", os.O_RDWR))),
    "empty": (nothing, lambda root: os.truncate(f"{root}/d/f", 0)),
    "data": (touch, lambda root: os.close(os.open(f"{root}/d/capable", os.O_RDWR))),
    "data, then emptied": (touch, lambda root: os.truncate(f"{root}/d/f", 0)),
    "link": (nothing, lambda root: os.link(f"{root}/d/f", f"{root}/l/f")),
    "rename": (nothing, lambda root: os.rename(f"{root}/d/f", f"{root}/l/f")),
    "rename over": (nothing, lambda root: os.rename(f"{root}/d/f", f"{root}/d/other")),
    "rename without data": (touch, lambda root: os.rename(f"{root}/d/f", f"{root}/f")),
    "exchange": (nothing, lambda root: syscalls.renameat2(
        f"{root}/d/f", f"{root}/l/b", syscalls.RENAME_EXCHANGE)),
    "chmod of a hard link": (nothing, lambda root: os.chmod(f"{root}/l/b", 0o600)),
    "write by a hard link": (nothing, lambda root: overwrite(f"{root}/l/e/c")),
    "data of a hard link": (touch, lambda root: os.close(os.open(f"{root}/l/b", os.O_RDWR))),
    "link of a hard link": (nothing, lambda root: os.link(f"{root}/l/b", f"{root}/d/new")),
    "link of a copied one": (touch, lambda root: os.link(f"{root}/l/b", f"{root}/d/new")),
    "rename of a hard link": (nothing, lambda root: os.rename(f"{root}/l/b", f"{root}/d/new")),
    "rename of a copied one": (touch, lambda root: os.rename(f"{root}/l/b", f"{root}/d/b")),
    "rename over a hard link": (nothing, lambda root: os.rename(f"{root}/d/f", f"{root}/l/e/c")),
    "unlink of a hard link": (nothing, lambda root: os.unlink(f"{root}/l/e/c")),
    "unlink of a copied one": (touch, lambda root: os.unlink(f"{root}/l/b")),
    "unlink of a symlink": (nothing, lambda root: os.unlink(f"{root}/l/s")),
    "unlink of the last": (lambda root: [os.unlink(f"{root}/l/{n}") for n in ("a", "e/c")],
                           lambda root: os.unlink(f"{root}/l/b")),
}


class Round:
    """One mount over fresh upper and work directories."""
    serial = 0

    def __init__(self, lower):
        Round.serial += 1
        self.home = f"{harness.ROOT}/{Round.serial}"
        os.mkdir(self.home)
        self.mount = harness.Mount([lower], f"{self.home}/upper", f"{self.home}/work",
                                   f"{self.home}/root", options=("--readers", "1"))

    def change(self, before, change, kill_at=0):
        """The number of system calls it took, or None when the server was killed instead."""
        before(self.mount.point)
        snapshot.take(self.mount.point)  # looked up, all of it
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.read(reading, 1)
                change(self.mount.point)
            except OSError:
                pass
            finally:
                os._exit(0)
        tracer = Tracer(self.mount.server.pid)
        os.write(writing, b"x")
        count = tracer.run(kill_at, child)
        os.close(reading)
        os.close(writing)
        if count is not None:
            tracer.kill()
        self.mount.abandon()
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass
        return count

    def show(self):
        """What the next server shows."""
        self.mount.start()
        tree = snapshot.take(self.mount.point)
        for path, facts in tree.items():
            status = os.lstat(os.path.join(self.mount.point, path))
            if "size" in facts:
                facts["number"] = status.st_ino
            else:
                del facts["mtime"]
        left = os.listdir(f"{self.home}/work/bailey")
        if left:
            tree["work area"] = {"left": left}
        return tree

    def end(self):
        if self.mount.server is not None:
            self.mount.stop()


def reference(lower, before, change):
    this = Round(lower)
    before(this.mount.point)
    change(this.mount.point)
    this.mount.stop()
    tree = this.show()
    this.end()
    return tree


def try_change(lower, name, steps, outcomes):
    before, change = CHANGES[name]
    old, new = reference(lower, before, nothing), reference(lower, before, change)
    for kill_at in steps:
        this = Round(lower)
        count = this.change(before, change, kill_at)
        for _ in range(2):  # and a server after that one
            tree = this.show()
            if tree not in (old, new):
                closest = min((old, new), key=lambda other: len(snapshot.differences(other, tree)))
                lines = snapshot.differences(closest, tree, ("old" if closest is old else "new",
                                                             "what is shown"))
                raise AssertionError(f"{name}, killed before system call {kill_at}:\n  " +
                                     "\n  ".join(lines))
            this.end()
        if count is not None:
            outcomes[name, "calls"] = count
            return
        outcomes["old" if tree == old else "new"] += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--all", action="store_true", help="every system call")
    parser.add_argument("--only", help="changes with this word in their name")
    parser.add_argument("--every", type=int, default=10, help="without --all: one of so many")
    parser.add_argument("--seed", type=int, default=random.randrange(1000))
    options = parser.parse_args()

    def run():
        lower = f"{harness.ROOT}/lower"
        os.mkdir(lower)
        fill(lower)
        outcomes = collections.Counter()
        every = 1 if options.all else options.every
        print(f"seed {options.seed}")
        for number, name in enumerate(CHANGES):
            if options.only and options.only not in name:
                continue
            first = 1 + (options.seed + number) % every
            try_change(lower, name, range(first, 2000, every), outcomes)
        print(f"killed {outcomes['old'] + outcomes['new']} times: "
              f"{outcomes['old']} old, {outcomes['new']} new; system calls: " +
              ", ".join(f"{key[0]} {count}" for key, count in outcomes.items()
                        if isinstance(key, tuple)))
        return 0
    harness.sandbox(run, 1200)


if __name__ == "__main__":
    sys.exit(main())
