"""unionmount-testsuite: mounts for itself, by mount -t fuse.bailey-fs, and compares every step with
a model of the tree. One process per test script, since it ends with the first failure."""
import glob
import os
import re
import subprocess

import harness
from results import Run
from world import KINDS

# --verify: the stricter half (numbers and links survive copy-up), which overlayfs needs an index for.
_WAYS = {
    "layers of one file system": (["--ov"], ["--samefs"]),
    "layers of two file systems": (["--ov"], []),
    "up to 5 layers more, from renewed uppers": (["--ov=5"], ["--samefs"]),
    "the same, verifying numbers": (["--ov=5"], ["--samefs", "--verify"]),
}
_SUBTEST = re.compile(r"^TEST (\S+): (.*)")


def _install_mount_helper():
    """mount.fuse finds its programs in sh's own path: in this sandbox, Bailey's server too."""
    harness.syscalls.mount("tmpfs", "/usr/local/sbin", "tmpfs")
    os.symlink(harness.SERVER, "/usr/local/sbin/bailey-fs")


def _environment(options):
    """Layers in places of this sandbox only."""
    base, lower = f"{harness.ROOT}/base", f"{harness.ROOT}/lower"
    for place in (base, lower):
        os.makedirs(place, exist_ok=True)
    environment = {**os.environ, "UNIONMOUNT_BASEDIR": base, "PYTHONDONTWRITEBYTECODE": "1"}
    if "--samefs" not in options:
        if not os.path.ismount(lower):
            harness.syscalls.mount("tmpfs", lower, "tmpfs")
        environment["UNIONMOUNT_LOWERDIR"] = lower
    return environment


def _run_test(checkout, name, kind, first, options):
    fuse = ["--fuse=bailey-fs"] if kind == "bailey" else []
    environment = _environment(options)
    command = [f"{checkout}/run", *first, *fuse, *options]
    try:
        done = subprocess.run([*command, name], cwd=checkout, env=environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=600, check=False)
        said, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        said, status = f"{error.stdout}\nhangs", 1
    finally:
        subprocess.run([f"{checkout}/run", "--clean-up"], cwd=checkout, env=environment,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    cases = {}
    for line in said.splitlines():
        if found := _SUBTEST.match(line):
            # A script is run again for each kind of layers.
            number = sum(case.startswith(f"{name}:{found[2]}#") for case in cases)
            cases[f"{name}:{found[2]}#{number}"] = ""
    if status != 0:
        last = list(cases)[-1] if cases else name
        cases[last] = " / ".join(said.splitlines()[-2:])
    return cases


def _run_all(checkout, kind, first, options, wanted):
    names = sorted(os.path.basename(path)[:-3] for path in glob.glob(f"{checkout}/tests/*.py"))
    cases = {}
    for name in names:
        # rename-exdev is for overlayfs without redirect_dir.
        if name != "rename-exdev" and (not wanted or name in wanted):
            cases.update(_run_test(checkout, name, kind, first, options))
    return cases


def runs(checkout, *wanted):
    _install_mount_helper()
    for title, (first, options) in _WAYS.items():
        yield Run(title, *(_run_all(checkout, kind, first, options, wanted) for kind in KINDS))
