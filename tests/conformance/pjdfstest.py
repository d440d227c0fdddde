"""pjdfstest: a shell script per system call and subject, each printing TAP."""
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from results import Run
from world import KINDS, World

_RESULT = re.compile(r"(not )?ok (\d+)(.*)")


def build(checkout):
    for command in (["autoreconf", "-ifs"], ["./configure", "--quiet"], ["make", "-s"]):
        subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    # Both sides must do what the suite asks of a file system that it knows.
    with open(f"{checkout}/tests/conf", "a", encoding="utf-8") as file:
        file.write("\nfs=EXT4\n")


def _run_script(world, checkout, script):
    directory = f"{world.directory}/{script.replace('/', '-')}"
    subprocess.run(world.command(["mkdir", "-m", "755", directory]), check=True)
    try:
        said = subprocess.run(world.command(["sh", f"{checkout}/tests/{script}"]), cwd=directory,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=900, check=False, text=True).stdout
    except subprocess.TimeoutExpired:
        return {f"{script}#0": "hangs"}
    return _parse(script, said)


def _parse(script, said):
    cases, planned = {}, None
    for line in said.splitlines():
        if line.startswith("1.."):
            planned = int(line[3:].split()[0])
        elif found := _RESULT.match(line):
            failed, number, rest = found.groups()
            # What the suite itself marks as to do on Linux counts as a failure here.
            cases[f"{script}#{number}"] = (rest.strip(" -") or "failed") if failed else ""
    if not cases or planned not in (None, len(cases)):
        cases[f"{script}#0"] = f"{len(cases)} of {planned} cases: {said[-200:]!r}"
    return cases


def _scripts(checkout, wanted):
    found = sorted(os.path.relpath(os.path.join(folder, name), f"{checkout}/tests")
                   for folder, _, names in os.walk(f"{checkout}/tests")
                   for name in names if name.endswith(".t"))
    return [name for name in found if not wanted or any(word in name for word in wanted)]


def _without_devices(checkout):
    """Takes device nodes out of the types of file that the scripts try one after the other, and
    with them the number of cases that they announce."""
    for script in _scripts(checkout, ()):
        path = f"{checkout}/tests/{script}"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text, changes = re.subn(r"^(\s*for type.* in .*) block char", r"\1", text, flags=re.M)
        if changes:
            text = re.sub(r'^(\s*)echo "1\.\..*', r"\1:", text, flags=re.M)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def _run_all(kind, tenant, checkout, wanted):
    cases = {}
    with World(kind, tenant) as world, ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda name: _run_script(world, checkout, name),
                              _scripts(checkout, wanted)):
            cases.update(found)
    return cases


def _run(title, prefix, tenant, checkout, wanted):
    sides = [_run_all(kind, tenant, checkout, wanted) for kind in KINDS]
    return Run(title, *({prefix + name: said for name, said in side.items()} for side in sides))


def runs(checkout, *wanted):
    """A third of the cases are about device nodes, which no tenant can make, on any file system.
    So the suite runs as it is, and without them, which leaves the cases that should pass."""
    build(checkout)
    plain = f"{checkout}-without-devices"
    shutil.copytree(checkout, plain, symlinks=True)
    _without_devices(plain)
    yield _run("no device nodes, a tenant's root", "plain:", True, plain, wanted)
    yield _run("no device nodes, the host's root", "plain:", False, plain, wanted)
    yield _run("all, a tenant's root", "", True, checkout, wanted)
