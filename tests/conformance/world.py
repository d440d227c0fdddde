"""The roots on which the suites are run: Bailey's and the kernel's overlayfs over the same layers.

A root is used by the host's root, or, as a tenant uses it, by the root of a user namespace. A
tenant's Bailey is an idmapped clone of the mount; overlayfs cannot be cloned so, but its layers
can, which gives the same ids.
"""
import ctypes
import os
import subprocess

import harness
from harness import Mount
from user_namespace import BASE, UserNamespace

KINDS = ("bailey", "overlay")


def _with_ids_of(number, call):
    """call() as the superuser, but what it makes is `number`'s. Once in a process.

    overlayfs makes its own files as who mounted it, whom idmapped layers must know.
    """
    libc = ctypes.CDLL(None)
    pr_set_securebits, no_setuid_fixup = 28, 4
    libc.prctl(pr_set_securebits, no_setuid_fixup, 0, 0, 0)
    libc.setfsgid(number)
    libc.setfsuid(number)
    return call()


class World:
    """A mounted root. Use as a context manager.

    directory: where a suite may work; merged from all layers.
    command(argv): what runs `argv` as this root's superuser.
    """
    _serial = 0

    def __init__(self, kind, tenant=False):
        World._serial += 1
        self.home = f"{harness.ROOT}/{kind}-{World._serial}"
        self.namespace = UserNamespace() if tenant else None
        self.layers = [f"{self.home}/layers/{name}" for name in ("lower0", "lower1", "upper")]
        for layer in self.layers[:2]:
            harness.write(f"{layer}/suite/of-{os.path.basename(layer)}", "x")
        for name in ("layers/upper", "layers/work", "root", "inside"):
            os.makedirs(f"{self.home}/{name}")
        layers = f"{self.home}/layers"
        if tenant and kind == "overlay":
            layers = self._show(layers, f"{self.home}/shown")
        def mount():
            return Mount([f"{layers}/lower0", f"{layers}/lower1"], f"{layers}/upper",
                         f"{layers}/work", f"{self.home}/root", kind=kind)
        if tenant and kind == "overlay":
            self.mount = harness.in_child(lambda: _with_ids_of(BASE, mount))
        else:
            self.mount = mount()
        self.root = f"{self.home}/root"
        if tenant and kind == "bailey":
            self.root = self._show(self.root, f"{self.home}/inside")
        self.directory = f"{self.root}/suite"

    def _show(self, source, target):
        os.makedirs(target, exist_ok=True)
        # Only a mount can be cloned.
        if not os.path.ismount(source):
            harness.syscalls.mount(source, source, "", harness.syscalls.MS_BIND)
        self.namespace.show(source, target)
        return target

    def command(self, argv):
        if self.namespace is None:
            return argv
        return ["nsenter", f"--user=/proc/{self.namespace.child}/ns/user", *argv]

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        """Unmounts. A server that does not end well is a failure too."""
        if self.root != f"{self.home}/root":
            harness.syscalls.umount(self.root)
        try:
            self.mount.stop()
        except BaseException:
            self.mount.abandon()
            if failure is None:
                raise
        if self.namespace is not None:
            self.namespace.close()
        subprocess.run(["find", f"{self.home}/layers", "-mindepth", "1", "-delete"], check=False)
