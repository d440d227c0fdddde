#!/usr/bin/env python3
"""The same random operations on bailey-fs and on the kernel's overlayfs over the same lowers.

Every result and every errno must be the same, and so must the trees after each round. Then the
kernel's overlayfs mounts the upper that Bailey wrote and must see what Bailey showed; so must
Bailey itself after a restart; the lowers must be untouched. Between rounds the upper of one of
the two becomes the topmost lower.

    differential_test.py [--seed N] [--ops N] [--rounds N] [--seeds N] [--verbose]
"""
import argparse
import collections
import os
import random
import re
import stat
import subprocess
import sys

import harness
import snapshot
from random_operations import Generator, LayerMaker, Tree, perform

ORACLE = "overlay"


class Mismatch(Exception):
    """Bailey and the oracle differ."""


class OracleFault(Exception):
    """The kernel's overlayfs failed by itself, and what follows cannot be compared: on ext4
    RENAME_EXCHANGE was seen to give ESTALE and to have exchanged half; a directory whose redirect
    would be longer than 256 bytes cannot be renamed (EXDEV)."""


class Pair:
    """Both mounts over common lowers."""

    def __init__(self, home, lowers):
        self.home, self.lowers = home, lowers
        os.makedirs(home)
        self.tested = self.mount("tested", harness.TESTED)
        self.oracle = self.mount("oracle", ORACLE)

    def mount(self, name, kind, upper=None):
        # With an index, overlayfs too keeps the hard links of a lower; it takes none but its own.
        return harness.Mount(self.lowers, upper or f"{self.home}/{name}-upper",
                             f"{self.home}/{name}-work", f"{self.home}/{name}", kind=kind,
                             index="off" if upper else "on")

    def stop(self):
        self.tested.stop()
        self.oracle.stop()


def seal(upper):
    """An upper becomes a lower. Its hard links end: overlayfs does not keep those of a lower."""
    for directory, _, files in os.walk(upper):
        for name in files:
            path = f"{directory}/{name}"
            if os.lstat(path).st_nlink > 1 and not harness.is_whiteout(path):
                subprocess.run(["cp", "-a", path, f"{upper}.copy"], check=True)
                os.rename(f"{upper}.copy", path)
    return upper


def equal(one, two, names):
    lines = snapshot.differences(one, two, names)
    if lines:
        text = re.sub("n{20,}", "n…", "\n  ".join(lines))
        raise Mismatch(f"{names[0]} and {names[1]} differ:\n  {text}")


def related(operation, others):
    """Those of the others that name the same file or path."""
    arguments = {a for a in operation[2] if isinstance(a, str)}
    slots = {a for a in operation[2][:1] if isinstance(a, int)}
    return [other for other in others if arguments & set(map(str, other[0][2]))
            or slots & set(other[0][2][:1])]


def brief(operation):
    name, identity, arguments = operation
    return name, identity, tuple(a[:20] + b"..." if isinstance(a, bytes) and len(a) > 40 else a
                                 for a in arguments)


def show(history, count=10):
    """The last operations, and before them the last ones that have to do with the very last."""
    lines = [f"#{number} {brief(operation)} -> {result}"
             for number, (operation, result) in enumerate(history)]
    early = history[:-count]
    wanted = [lines[early.index(item)] for item in related(history[-1][0], early)[-count:]]
    text = "\n  ".join([*wanted, *(["…"] if early else []), *lines[-count:]])
    return re.sub("n{20,}", "n…", text)


def run_operations(pair, chance, count, verbose):
    trees = [Tree(pair.tested.point), Tree(pair.oracle.point, mends_times=True)]
    generator = Generator(chance, trees[1])
    history = []
    outcomes = collections.Counter()
    try:
        for _ in range(count):
            operation = generator.next()
            results = [perform(tree, operation) for tree in trees]
            outcomes["ok" if results[0][0] == "ok" else results[0]] += 1
            history.append((operation, results[0]))
            if verbose:
                print(show(history[-1:]))
            if results[1] == "ESTALE" or (operation[0], results[1]) == ("rename", "EXDEV"):
                raise OracleFault
            if results[0] != results[1]:
                raise Mismatch(f"the results differ:\n  {show(history)}\n"
                               f"  the oracle: {results[1]}")
    finally:
        for tree in trees:
            tree.close_all()
    return outcomes


def lower_links(pair):
    """Paths of what a lower has by several names. Which of them a file of Bailey's upper stands for,
    only Bailey's own index tells: overlayfs shows those that are not in the upper as they were, and
    counts the index' link."""
    def entries(root):
        for directory, names, files in os.walk(root):
            for name in (*names, *files):  # a symlink to a directory is among the `names`
                path = os.path.join(directory, name)
                status = os.lstat(path)
                if not stat.S_ISDIR(status.st_mode):
                    yield os.path.relpath(path, root), status

    numbers = {status.st_ino for lower in pair.lowers for _, status in entries(lower)
               if status.st_nlink > 1}
    return {path for path, status in entries(pair.tested.point) if status.st_ino in numbers}


def only_types(tree, paths):
    """Of these paths what kind of file they are, and all of the others."""
    return {path: {"type": stat.S_IFMT(int(facts["mode"], 8))} if path in paths else facts
            for path, facts in tree.items()}


def check_trees(pair):
    shown = snapshot.take(pair.tested.point)
    equal(shown, snapshot.take(pair.oracle.point), ("bailey", "overlayfs"))
    links = lower_links(pair)
    pair.tested.stop()
    check = pair.mount("check", ORACLE, upper=pair.tested.upper)
    equal(only_types(shown, links), only_types(snapshot.take(check.point), links),
          ("bailey", "overlayfs over bailey's upper"))
    check.stop()
    pair.tested.start()
    equal(shown, snapshot.take(pair.tested.point), ("bailey", "bailey mounted again"))


def run_seed(seed, options):
    operations, rounds = options.ops, options.rounds
    chance = random.Random(seed)
    home = f"{harness.ROOT}/{seed}"
    lowers = [f"{home}/lower{number}" for number in range(chance.choice([1, 2, 3]))]
    below = None
    for lower in reversed(lowers):
        os.makedirs(lower)
        LayerMaker(lower, below, chance).fill()
        below = lower
    outcomes = collections.Counter()
    for number in range(rounds):
        untouched = [snapshot.take(lower) for lower in lowers]
        pair = Pair(f"{home}/round{number}", lowers)
        try:
            outcomes += run_operations(pair, chance, operations // rounds, options.verbose)
            check_trees(pair)
            pair.stop()
            for lower, before in zip(lowers, untouched):
                equal(before, snapshot.take(lower), (f"{lower} before", "after"))
        except BaseException as error:
            if not isinstance(error, OracleFault):
                print(f"seed {seed}, round {number}, {len(lowers)} lowers on {harness.STORE}")
            pair.tested.abandon()
            pair.oracle.abandon()
            raise
        lowers = [seal(chance.choice([pair.tested, pair.oracle]).upper), *lowers]
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--ops", type=int, default=1000, help="operations per seed")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that they are split into")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, counting up")
    parser.add_argument("--timeout", type=int, default=240, help="seconds")
    parser.add_argument("--verbose", action="store_true", help="print every operation")
    options = parser.parse_args()

    def run():
        outcomes = collections.Counter()
        for seed in range(options.seed, options.seed + options.seeds):
            print(f"seed {seed}", flush=True)
            try:
                outcomes += run_seed(seed, options)
            except OracleFault:
                print("overlayfs itself failed: the rest of this seed is left out")
            except (Mismatch, harness.ServerFault) as error:
                print(error)
                print(f"again: {sys.argv[0]} --seed {seed} --ops {options.ops} "
                      f"--rounds {options.rounds}")
                return 1
        print(", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
        return 0
    harness.sandbox(run, options.timeout)


if __name__ == "__main__":
    main()
