"""Real mounts for the tests of the file server.

A test program calls main(). It then runs in mount and pid namespaces of its own, below a process
that does nothing but wait: however the program ends, its mounts and servers end with it, and a
hang ends in a traceback.

BAILEY_BIN         where bailey-fs is
BAILEY_FS_TESTED   bailey (default), or to try the tests themselves: overlay, fuse-overlayfs, or
                   plain, a bind mount without layers
BAILEY_FS_STORE    tmpfs (default), or ext4 or xfs: a loop device; what the layers lie on
"""
import errno
import faulthandler
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
import traceback
import unittest

import syscalls

TESTED = os.environ.get("BAILEY_FS_TESTED", "bailey")
STORE = os.environ.get("BAILEY_FS_STORE", "tmpfs")
REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
SERVER = os.path.join(os.environ.get("BAILEY_BIN", f"{REPOSITORY}/build/dev/bin"), "bailey-fs")

# Mounted over in the program's own mount namespace only, so nothing is left to clean up.
ROOT = next(place for place in ("/mnt", "/media", "/srv")
            if not REPOSITORY.startswith(place + "/"))

CONNECTIONS = "/sys/fs/fuse/connections"

bailey_only = unittest.skipUnless(TESTED == "bailey", "overlayfs differs by design")


class ServerFault(AssertionError):
    """The server did not end as a healthy one does."""


class Mount:
    """One union mount: `lowers` (the first is topmost) below `upper`, visible at `point`."""

    def __init__(self, lowers, upper, work, point, kind=TESTED, options=(), limits=None,
                 index="off"):
        self.lowers, self.upper, self.work, self.point = lowers, upper, work, point
        self.kind, self.options, self.limits = kind, list(options), limits
        self.index = index  # of overlayfs
        self.server = None
        self.log = f"{point}.log"
        for directory in (upper, work, point):
            os.makedirs(directory, exist_ok=True)
        self.start()

    def start(self):
        if self.kind == "plain":
            for lower in reversed(self.lowers):
                subprocess.run(["cp", "-a", f"{lower}/.", self.upper], check=True)
            syscalls.mount(self.upper, self.point, "", syscalls.MS_BIND)
            return
        if self.kind == "overlay":
            syscalls.mount("overlay", self.point, "overlay", 0, ",".join(
                [f"lowerdir={':'.join(self.lowers)},upperdir={self.upper},workdir={self.work}",
                 f"redirect_dir=on,metacopy=on,index={self.index},xino=off",
                 *self.options]))
            return
        before = os.stat(self.point).st_dev
        with open(self.log, "wb") as log:
            self.server = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, preexec_fn=self.limits)
        deadline = time.monotonic() + 30
        while os.stat(self.point).st_dev == before:
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise ServerFault(f"{self.command()} does not mount:\n{self.read_log()}")
            time.sleep(0.001)

    def command(self):
        if self.kind == "fuse-overlayfs":
            return ["fuse-overlayfs", "-f", "-o", "allow_other,default_permissions,lowerdir="
                    f"{':'.join(self.lowers)},upperdir={self.upper},workdir={self.work}",
                    self.point]
        layers = [word for lower in self.lowers for word in ("--lower", lower)]
        return [SERVER, *layers, "--upper", self.upper, "--work", self.work, "--foreground",
                *self.options, self.point]

    def drain(self):
        """Waits until every release has reached the server, else it ends with open files."""
        waiting = f"{CONNECTIONS}/{os.minor(os.stat(self.point).st_dev)}/waiting"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with open(waiting, encoding="ascii") as file:
                if int(file.read()) == 0:
                    return
            time.sleep(0.001)

    def stop(self):
        """Unmounts; the server must end by itself, with 0 and without a sanitizer's report."""
        if self.server is not None:
            self.drain()
        syscalls.umount(self.point)
        if self.server is None:
            return
        server, self.server = self.server, None
        try:
            status = server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            raise ServerFault("the server does not end after the unmount") from None
        log = self.read_log()
        if status != 0 or "Sanitizer" in log or "runtime error" in log:
            raise ServerFault(f"the server ended with {status}:\n{log}")

    def abandon(self):
        """After a failure: gone, whatever state it is in."""
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None
        try:
            syscalls.umount(self.point, syscalls.MNT_DETACH)
        except OSError:
            pass

    def read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()


class FsTest(unittest.TestCase):
    """Layers of its own for every test. fill() writes them; mount() shows them at self.root."""
    lower_count = 2
    options = ()
    _serial = 0

    def setUp(self):
        FsTest._serial += 1
        self.home = f"{ROOT}/{os.getpid()}-{FsTest._serial}"
        os.mkdir(self.home)
        self.lowers = [f"{self.home}/lower{i}" for i in range(self.lower_count)]
        self.upper, self.work = f"{self.home}/upper", f"{self.home}/work"
        self.root = f"{self.home}/root"
        for directory in (*self.lowers, self.upper, self.work, self.root):
            os.mkdir(directory)
        self.mounts = []
        self.mounted = None
        self.fill()
        self.mount()
        self.addCleanup(self.unmount_all)

    def fill(self):
        """Writes what the layers hold before the mount."""

    def mount(self, **how):
        how.setdefault("options", self.options)
        self.mounted = Mount(self.lowers, self.upper, self.work, self.root, **how)
        self.mounts.append(self.mounted)

    def remount(self):
        self.mounts.remove(self.mounted)
        self.mounted.stop()
        self.mount()

    def unmount_all(self):
        for mount in reversed(self.mounts):
            try:
                mount.stop()
            except BaseException:
                mount.abandon()
                raise

    def path(self, name):
        return f"{self.root}/{name}"

    def lower(self, name, layer=0):
        return f"{self.lowers[layer]}/{name}"

    def in_upper(self, name):
        return f"{self.upper}/{name}"

    def assertErrno(self, number, call, *arguments, **named):
        try:
            result = call(*arguments, **named)
        except OSError as error:
            self.assertEqual(errno.errorcode[error.errno], errno.errorcode[number])
        else:
            self.fail(f"returned {result!r} instead of {errno.errorcode[number]}")


def write(path, data=b"", mode=None):
    """Makes or overwrites a file, its parents too."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    if mode is not None:
        os.chmod(path, mode)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def whiteout(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mknod(path, stat.S_IFCHR, 0)


def opaque(path):
    os.makedirs(path, exist_ok=True)
    os.setxattr(path, "trusted.overlay.opaque", b"y")


def is_whiteout(path):
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def in_child(body):
    """body() in a forked process: its result, or its exception."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            try:
                answer = (True, body())
            except BaseException as error:
                error.__traceback__ = None
                answer = (False, error)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer:
        raise AssertionError("the child died")
    good, value = pickle.loads(answer)
    if good:
        return value
    raise value


def as_user(uid, body, gid=None, groups=()):
    """body() with these ids and without any capability."""
    def run():
        os.setgroups(list(groups))
        os.setresgid(*[uid if gid is None else gid] * 3)
        os.setresuid(uid, uid, uid)
        return body()
    return in_child(run)


_MAKE_STORE = {
    "ext4": ["mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-I", "256"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
}


def _prepare_store():
    syscalls.mount("tmpfs", ROOT, "tmpfs", 0, "mode=755")
    os.close(os.open("/dev/fuse", os.O_RDWR))  # loads the module
    if not os.path.ismount(CONNECTIONS):
        syscalls.mount("fusectl", CONNECTIONS, "fusectl")
    if STORE in _MAKE_STORE:
        image = f"{ROOT}/image"
        with open(image, "wb") as file:
            file.truncate(int(os.environ.get("BAILEY_FS_STORE_BYTES", 2 << 30)))
        subprocess.run([*_MAKE_STORE[STORE], image], check=True)
        subprocess.run(["mount", "-o", "loop", image, ROOT], check=True)


def _wait_for(child, seconds):
    """Reaps whatever ends until `child` does; its status."""
    def hung(*_):
        print(f"Not finished after {seconds} s: {' '.join(sys.argv)}", file=sys.stderr, flush=True)
        os.kill(child, signal.SIGABRT)  # faulthandler prints where it hangs
        time.sleep(2)
        os._exit(1)
    signal.signal(signal.SIGALRM, hung)
    signal.alarm(seconds)
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def sandbox(body, seconds):
    """Runs body() below a watching process in namespaces of its own; exits with its status."""
    if os.environ.get("BAILEY_FS_SANDBOX") != "inside":
        os.environ["BAILEY_FS_SANDBOX"] = "inside"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                              "--kill-child", "--mount-proc", sys.executable, "-B", *sys.argv])
    child = os.fork()
    if child != 0:
        os._exit(0 if _wait_for(child, seconds) == 0 else 1)
    faulthandler.enable()
    status = 1
    try:
        os.umask(0o022)
        _prepare_store()
        status = body()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(seconds=240):
    """unittest.main in the sandbox. A skipped test is a failure, except when trying the tests."""
    def run():
        program = unittest.main(module="__main__", exit=False)
        skipped = program.result.skipped if TESTED == "bailey" else []
        for test, reason in skipped:
            print(f"SKIPPED {test}: {reason}", file=sys.stderr)
        return 0 if program.result.wasSuccessful() and not skipped else 1
    sandbox(run, seconds)
