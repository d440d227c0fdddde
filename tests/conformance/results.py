"""What a suite said on both sides, and what was expected of it."""
import fnmatch
import os
import re
from dataclasses import dataclass, field

EXPECTED = os.path.join(os.path.dirname(os.path.realpath(__file__)), "expected")


@dataclass
class Expectation:
    pattern: str  # of case names, as in fnmatch(3); or NAME#1-5,7
    kind: str     # overlayfs: fails there too; posix: allowed, and overlayfs may do otherwise
    reason: str

    def covers(self, name):
        pattern, _, numbers = self.pattern.rpartition("#")
        if not re.fullmatch("[0-9,-]+", numbers):
            return fnmatch.fnmatchcase(name, self.pattern)
        script, _, number = name.rpartition("#")
        if not fnmatch.fnmatchcase(script, pattern):
            return False
        ranges = (part.split("-") for part in numbers.split(","))
        return any(int(ends[0]) <= int(number) <= int(ends[-1]) for ends in ranges)


@dataclass
class Run:
    """One suite in one way on both sides: case names, each with "" or how it failed."""
    title: str
    bailey: dict[str, str]
    overlay: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def failed(self, side):
        return [name for name, said in side.items() if said]


def expectations(suite):
    """expected/SUITE: lines of PATTERN KIND REASON."""
    try:
        with open(f"{EXPECTED}/{suite}", encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        if line and not line.startswith("#"):
            found.append(Expectation(*line.split(maxsplit=2)))
            if found[-1].kind not in ("overlayfs", "posix"):
                raise ValueError(f"{suite}: {line}")
    return found


def judge(run, expected):
    """The failures of Bailey that nothing excuses, as lines of text."""
    bad = []
    for name in run.failed(run.bailey):
        row = next((row for row in expected if row.covers(name)), None)
        if row is None:
            bad.append(f"{name}: {run.bailey[name]}")
        elif row.kind == "overlayfs" and not run.overlay.get(name):
            bad.append(f"{name}: listed as a failure of overlayfs too, which passes it")
    bad += [f"{name}: was not run" for name in run.overlay
            if name not in run.bailey and not any(row.covers(name) for row in expected)]
    return bad


def report(suite, runs):
    """Prints the table and what differs; 0 when every failure is an expected one."""
    expected = expectations(suite)
    bad = []
    width = max(len(run.title) for run in runs)
    print(f"\n{'':{width}}  cases  passed  failed on Bailey  failed on overlayfs  differ")
    for run in runs:
        bailey, overlay = run.failed(run.bailey), run.failed(run.overlay)
        differ = sorted(set(bailey) ^ set(overlay))
        print(f"{run.title:{width}}  {len(run.bailey):5}  {len(run.bailey) - len(bailey):6}"
              f"  {len(bailey):16}  {len(overlay):19}  {len(differ):6}")
        bad += [f"{run.title}: {line}" for line in judge(run, expected)]
    for run in runs:
        _print_details(run)
    for line in bad:
        print("NOT EXPECTED", line)
    if any(not run.bailey for run in runs):
        bad.append("no case was run")
    print(f"{suite}: {'FAILED' if bad else 'as expected'}")
    return 1 if bad else 0


def _print_details(run):
    for note in run.notes:
        print(f"{run.title}: {note}")
    missing = set(run.bailey) ^ set(run.overlay)
    if missing:
        print(f"{run.title}: {len(missing)} cases ran on one side only, after an earlier failure")
    bailey, overlay = set(run.failed(run.bailey)), set(run.failed(run.overlay))
    for title, names in (("both fail", bailey & overlay), ("only Bailey fails", bailey - overlay),
                         ("only overlayfs fails", overlay - bailey)):
        for name in sorted(names):
            print(f"{run.title}: {title}: {name}: {run.bailey.get(name) or run.overlay.get(name)}")
