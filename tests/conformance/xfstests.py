"""Programs of xfstests, from its ltp folder."""
import os
import subprocess


def build(checkout, program):
    """The path of the program, built in `checkout`."""
    log = f"{checkout}/build.log"
    steps = (["make", "configure"], ["./configure", "--quiet"], ["make", "-C", "include"],
             ["make", "-C", "lib"], ["make", "-C", "ltp", program])
    with open(log, "w", encoding="utf-8") as output:
        for step in steps:
            subprocess.run(step, cwd=checkout, stdout=output, stderr=output, check=False)
    path = f"{checkout}/ltp/{program}"
    if not os.path.exists(path):
        with open(log, encoding="utf-8") as output:
            raise RuntimeError(f"{program} was not built:\n{output.read()[-2000:]}")
    return path
