"""stress-ng --class filesystem --verify, one stressor after the other: those that say something
about a file system, and those that cannot run, with the reason."""
import contextlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from results import Run
from world import KINDS, World

# Exit codes of stress-ng that say nothing about the file system.
_NOT_RUN = {1: "refused", 3: "no resources", 4: "not implemented"}


def _stressors():
    # The list is what it says when the class has a question mark.
    said = subprocess.run(["stress-ng", "--class", "filesystem?"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False).stdout
    return re.search(r"stressors: (.*)", said)[1].split()


def _stress(world, name, seconds):
    """(exit code, what was said about failures)."""
    command = ["stress-ng", f"--{name}", "2", "--verify", "--timeout", f"{seconds}s",
               "--temp-path", world.directory]
    try:
        done = subprocess.run(world.command(command), cwd=world.directory, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=seconds + 120)
    except subprocess.TimeoutExpired:
        return 2, "hangs"
    lines = [re.sub(r"^stress-ng: \w+: +\[\d+\] *", "", line) for line in done.stdout.splitlines()]
    telling = [line for line in lines
               if re.search("fail|skip|not |error|cannot|may hang", line)]
    return done.returncode, "; ".join(dict.fromkeys(telling[:3]))


def _stress_all(tenant, names, seconds, notes):
    """Both sides at once, stressor by stressor."""
    cases = {kind: {} for kind in KINDS}
    with contextlib.ExitStack() as stack:
        worlds = {kind: stack.enter_context(World(kind, tenant)) for kind in KINDS}
        pool = stack.enter_context(ThreadPoolExecutor(len(KINDS)))
        for name in names:
            outcomes = pool.map(lambda kind, name=name: _stress(worlds[kind], name, seconds), KINDS)
            for kind, (status, said) in zip(KINDS, outcomes):
                if status in _NOT_RUN or (status == 0 and "skipping stress" in said):
                    notes.append(f"{kind}: {name} does not run: {said}")
                else:
                    cases[kind][name] = f"exit {status}: {said}" if status else ""
    return cases.values()


def runs(seconds=5, *names):
    if shutil.which("stress-ng") is None:
        raise RuntimeError("stress-ng is not installed")
    for tenant in (False, True):
        notes = []
        sides = _stress_all(tenant, names or _stressors(), int(seconds), notes)
        yield Run(f"{'a tenant' if tenant else 'the host'}'s root, {seconds} s each", *sides,
                  notes=notes)
