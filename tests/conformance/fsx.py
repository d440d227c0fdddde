"""fsx of xfstests: random reads, writes, mapped reads and writes, truncations, holes and copies of
one file, whose bytes are checked against a copy in memory all the time."""
import re
import subprocess

import xfstests
from results import Run
from world import KINDS, World

_WAYS = {
    "buffered and mapped": [],
    "closed and opened again": ["-c", "50"],
    "asynchronous": ["-A"],
    "direct": ["-Z", "-r", "4096", "-w", "4096", "-t", "4096"],
}
_SEEDS = (1, 2)


def _run_all(kind, program, operations, notes):
    cases = {}
    with World(kind) as world:
        for way, options in _WAYS.items():
            for seed in _SEEDS:
                name = f"{way}, seed {seed}"
                done = subprocess.run(
                    [program, "-q", *options, "-S", str(seed), "-N", str(operations),
                     f"{world.directory}/{name.replace(' ', '-')}"], stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                lines = done.stdout.splitlines() or [""]
                cases[name.replace(" ", "-")] = "" if done.returncode == 0 else (
                    f"ended with {done.returncode}: {lines[-1]}")
                notes.update(f"{kind}: {line}" for line in lines
                             if re.search("disabling|not supported", line))
    return cases


def runs(checkout, operations=100_000):
    program = xfstests.build(checkout, "fsx")
    notes = set()
    sides = [_run_all(kind, program, operations, notes) for kind in KINDS]
    yield Run(f"{operations} operations each", *sides, notes=sorted(notes))
