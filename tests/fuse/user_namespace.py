"""A tenant's ids: a user namespace, and mounts shown through it."""
import os
import signal

import syscalls

BASE = 200_000


class UserNamespace:
    """Ids 0–65534 inside are BASE–BASE+65534 outside. `fd` is the namespace."""

    def __init__(self):
        ready, told = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(told, b"x")
            signal.pause()
            os._exit(0)
        os.read(ready, 1)
        os.close(ready)
        os.close(told)
        for kind in ("uid", "gid"):
            with open(f"/proc/{self.child}/{kind}_map", "w", encoding="ascii") as file:
                file.write(f"0 {BASE} 65535")
        self.fd = os.open(f"/proc/{self.child}/ns/user", os.O_RDONLY)

    def show(self, source, target):
        """Mounts an idmapped clone of the mount at `source`: what is 0 there is BASE at `target`."""
        clone = syscalls.clone_mount(source)
        syscalls.mount_setattr(clone, syscalls.MOUNT_ATTR_IDMAP, self.fd)
        syscalls.move_mount(clone, target)
        os.close(clone)

    def close(self):
        os.close(self.fd)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
