"""fsstress of xfstests: random operations on a growing tree.

One process with a given seed does the same on both sides, so every line that it logs is compared.
Several processes race; what they leave must be what the kernel's overlayfs shows of the upper.
"""
import difflib
import os
import re
import subprocess

import snapshot
import xfstests
from harness import Mount
from results import Run
from world import KINDS, World

# What the kernel's FUSE does not pass on to a server, so that it ends with EOPNOTSUPP or ENOTTY.
_NOT_FORWARDED = {
    "collapse": "fallocate(2) beyond KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE", "insert": "likewise",
    "fiemap": "FS_IOC_FIEMAP", "deduperange": "FIDEDUPERANGE",
    "getattr": "FS_IOC_GETFLAGS: answered with ENOTTY", "setattr": "FS_IOC_SETFLAGS: likewise",
    "setxattr": "FS_IOC_FSSETXATTR: likewise",
}
_BLOCKS = re.compile(r"\[(-?\d+ \d+ \d+ \d+) \d+ (\d+)\]")


def _log_of(kind, program, seed, operations):
    without = [word for name in _NOT_FORWARDED for word in ("-f", f"{name}=0")]
    with World(kind) as world:
        done = subprocess.run([program, "-d", world.directory, "-p", "1", "-n", str(operations),
                               "-s", str(seed), "-v", "-V", *without], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
    # How many blocks a file takes is the store's affair.
    lines = [_BLOCKS.sub(r"[\1 \2]", line) for line in done.stdout.splitlines()]
    return [*lines, f"exit {done.returncode}"]


def _compare(program, seed, operations):
    bailey, overlay = (_log_of(kind, program, seed, operations) for kind in KINDS)
    cases = {f"seed-{seed}:{number}": "" for number in range(len(bailey))}
    matcher = difflib.SequenceMatcher(None, bailey, overlay, autojunk=False) \
        if bailey != overlay else None
    for tag, start, end, other, other_end in matcher.get_opcodes() if matcher else ():
        if tag != "equal":
            said = " / ".join(bailey[start:end])
            cases[f"seed-{seed}:{start}"] = f"{said}; overlayfs: {overlay[other:other_end]}"
    return Run(f"one process, seed {seed}", cases, dict.fromkeys(cases, ""))


def _race(kind, program, seconds):
    """Several processes with every operation; then the tree, seen in other ways."""
    with World(kind) as world:
        done = subprocess.run([program, "-d", world.directory, "-p", "4", "-s", "1",
                               f"--duration={seconds}"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
        cases = {"ends well": "" if done.returncode == 0 else done.stdout[-300:]}
        shown = snapshot.take(world.root)
        world.mount.stop()
        check = Mount(world.mount.lowers, world.mount.upper, world.mount.work,
                      f"{world.home}/check", kind="overlay")
        cases["overlayfs shows the same"] = "; ".join(
            snapshot.differences(shown, snapshot.take(check.point), (kind, "overlayfs")))
        check.stop()
        world.mount.start()
        cases["mounted again it is the same"] = "; ".join(
            snapshot.differences(shown, snapshot.take(world.root), ("before", "after")))
        cases["it can be removed"] = ""
        for name in os.listdir(world.root):
            removed = subprocess.run(["rm", "-rf", f"{world.root}/{name}"], text=True, check=False,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            cases["it can be removed"] += removed.stdout
        return cases


def runs(checkout, seconds=60, operations=20_000):
    program = xfstests.build(checkout, "fsstress")
    for seed in (1, 2, 3):
        yield _compare(program, seed, int(operations))
    yield Run(f"four processes, {seconds} s", *(_race(kind, program, seconds) for kind in KINDS))
