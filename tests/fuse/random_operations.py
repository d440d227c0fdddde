"""Random file operations, made up once and done on several trees alike.

A Generator invents operations from a seed and from what one of the trees looks like; perform()
does one on one tree and says what came back in a form that can be compared.
"""
import errno
import hashlib
import mmap
import os
import stat

import snapshot
import syscalls
from syscalls import (ACL_GROUP_OBJ, ACL_MASK, ACL_NO_ID, ACL_OTHER, ACL_USER, ACL_USER_OBJ,
                      RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT)

NAMES = ["a", "b", "c", "d", "e", "f", "g", "long-" + "n" * 20]
DEPTH = 4
SLOTS = 6
MODES = [0o644, 0o600, 0o755, 0o777, 0o666, 0o4755, 0o2755, 0o6777, 0o1777, 0o2770, 0o000]
IDS = [0, 1000, 1001]
GROUPS = [[], [1000], [1001, 5000], [5000]]
XATTRS = ["user.one", "user.two"]


WRITES = {"write", "truncate", "open", "fwrite", "ftruncate", "fallocate", "copy_range", "mmap"}


def acl(user, bits):
    return syscalls.acl_xattr([(ACL_USER_OBJ, 6, ACL_NO_ID), (ACL_USER, bits, user),
                               (ACL_GROUP_OBJ, 4, ACL_NO_ID), (ACL_MASK, 6, ACL_NO_ID),
                               (ACL_OTHER, 0, ACL_NO_ID)])


def _without_fsetid(effective, _permitted):
    return effective & ~(1 << syscalls.CAP_FSETID)


class Identity:
    """The process acts as this user while inside."""

    def __init__(self, uid, gid, groups, umask, writes=False):
        self.uid, self.gid, self.groups, self.umask = uid, gid, groups, umask
        self.writes = writes

    def __enter__(self):
        os.setgroups(self.groups)
        os.setegid(self.gid)
        os.seteuid(self.uid)
        if self.writes:
            # With it overlayfs lets root's write keep the setuid bit, and passthrough does not.
            syscalls.change_effective_capabilities(_without_fsetid)
        self.old = os.umask(self.umask)

    def __exit__(self, *_):
        os.umask(self.old)
        os.seteuid(0)
        syscalls.change_effective_capabilities(lambda _, permitted: permitted)
        os.setegid(0)
        os.setgroups([])


class Tree:
    """One of the trees: its root, and the files that operations keep open."""

    def __init__(self, root, mends_times=False):
        self.root = root
        self.files = {}
        # Overlayfs moves the time of a file without its data (metacopy) when these are copied, with
        # a mere open for writing. Put back, so that the times can be compared.
        self.mends_times = mends_times

    def path(self, relative):
        return os.path.join(self.root, relative)

    def close_all(self):
        for file in self.files.values():
            os.close(file)
        self.files.clear()

    def open_to_write(self, path, flags, mode):
        before = None
        if self.mends_times and not flags & (os.O_TRUNC | os.O_TMPFILE & ~os.O_DIRECTORY):
            before = self.times_as_root(path)
        file = os.open(self.path(path), flags, mode)
        if before is not None and stat.S_ISREG(os.fstat(file).st_mode):
            user = os.geteuid()
            os.seteuid(0)
            os.utime(file, ns=before)
            os.seteuid(user)
        return file

    def times_as_root(self, path):
        user = os.geteuid()
        os.seteuid(0)
        try:
            status = os.stat(self.path(path))
            return status.st_atime_ns, status.st_mtime_ns
        except OSError:
            return None
        finally:
            os.seteuid(user)

    # Each operation: what it returns is compared.

    def op_write(self, path, flags, mode, offset, data):
        file = self.open_to_write(path, flags | os.O_NONBLOCK | os.O_NOCTTY, mode)
        try:
            return os.pwrite(file, data, offset)
        finally:
            os.close(file)

    def op_read(self, path):
        file = os.open(self.path(path), os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return "special"
            return hashlib.sha1(os.pread(file, 1 << 20, 0)).hexdigest()
        finally:
            os.close(file)

    def op_stat(self, path):
        return snapshot.describe(self.path(path), content=False)

    def op_list(self, path):
        with os.scandir(self.path(path)) as entries:
            return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink())
                          for e in entries)

    def op_readlink(self, path):
        return os.readlink(self.path(path))

    def op_access(self, path, mode):
        return os.access(self.path(path), mode, effective_ids=True)

    def op_mkdir(self, path, mode):
        os.mkdir(self.path(path), mode)

    def op_rmdir(self, path):
        os.rmdir(self.path(path))

    def op_unlink(self, path):
        os.unlink(self.path(path))

    def op_mknod(self, path, kind, mode):
        os.mknod(self.path(path), kind | mode)

    def op_symlink(self, path, target):
        os.symlink(target, self.path(path))

    def op_link(self, path, new):
        os.link(self.path(path), self.path(new), follow_symlinks=False)

    def op_rename(self, path, new, flags):
        syscalls.renameat2(self.path(path), self.path(new), flags)

    def op_truncate(self, path, size):
        os.truncate(self.path(path), size)

    def op_chmod(self, path, mode):
        os.chmod(self.path(path), mode)

    def op_chown(self, path, uid, gid):
        os.chown(self.path(path), uid, gid, follow_symlinks=False)

    def op_utime(self, path, when):
        os.utime(self.path(path), ns=when, follow_symlinks=False)

    def op_setxattr(self, path, name, value, flags):
        os.setxattr(self.path(path), name, value, flags, follow_symlinks=False)

    def op_removexattr(self, path, name):
        try:
            os.removexattr(self.path(path), name, follow_symlinks=False)
        except OSError as error:
            # The kernel calls a missing ACL removed; overlayfs does not for a lower file.
            if error.errno != errno.ENODATA or "posix_acl" not in name:
                raise

    def op_getxattr(self, path, name):
        return os.getxattr(self.path(path), name, follow_symlinks=False)

    # The same through files that stay open. Opened for writing only: what a reader sees after a
    # copy-up is where overlayfs and Bailey may differ.

    def op_open(self, slot, path, flags, mode):
        file = self.open_to_write(path, flags | os.O_RDWR | os.O_NONBLOCK, mode)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)  # a fifo that is open and unlinked is beyond both file systems
            return "special"
        if slot in self.files:
            os.close(self.files[slot])
        self.files[slot] = file
        return None

    def op_close(self, slot):
        os.close(self.files.pop(slot))

    def op_fwrite(self, slot, offset, data):
        return os.pwrite(self.files[slot], data, offset)

    def op_fread(self, slot):
        return hashlib.sha1(os.pread(self.files[slot], 1 << 20, 0)).hexdigest()

    def op_fstat(self, slot):
        status = os.fstat(self.files[slot])
        return (snapshot.normal_mode(status.st_mode), status.st_uid, status.st_gid,
                status.st_size, status.st_nlink, snapshot.normal_time(status.st_mtime_ns))

    def op_ftruncate(self, slot, size):
        os.ftruncate(self.files[slot], size)

    def op_fchmod(self, slot, mode):
        os.fchmod(self.files[slot], mode)

    def op_fchown(self, slot, uid, gid):
        os.fchown(self.files[slot], uid, gid)

    def op_futime(self, slot, when):
        os.utime(self.files[slot], ns=when)

    def op_fsetxattr(self, slot, name, value, flags):
        os.setxattr(self.files[slot], name, value, flags)

    def op_fallocate(self, slot, mode, offset, length):
        syscalls.fallocate(self.files[slot], mode, offset, length)

    def op_fsync(self, slot):
        os.fsync(self.files[slot])

    def op_copy_range(self, slot, other, length, offset, to):
        return os.copy_file_range(self.files[slot], self.files[other], length, offset, to)

    def op_mmap(self, slot, offset, data):
        with mmap.mmap(self.files[slot], 0) as memory:
            if offset + len(data) > len(memory):
                return "beyond the end"
            memory[offset:offset + len(data)] = data
            memory.flush()
            return len(memory)

    def op_flink(self, slot, new):
        syscalls.link_open_file(self.files[slot], self.path(new))


def perform(tree, operation):
    """("ok", value), or the name of the error."""
    name, identity, arguments = operation
    try:
        with Identity(*identity, writes=name in WRITES):
            return "ok", getattr(tree, "op_" + name)(*arguments)
    except OSError as error:
        if name == "link" and identity[0] != 0 and error.errno == errno.EPERM:
            return "EACCES"  # of two reasons to refuse, a mode left behind may bring either
        return errno.errorcode.get(error.errno, str(error.errno))
    except KeyError:
        return "no file open"
    except ValueError as error:
        return str(error)


class Generator:
    """Invents operations; `tree` is asked which names exist."""

    def __init__(self, chance, tree):
        self.chance, self.tree = chance, tree
        self.kinds = [kind for kind, weight in self.WEIGHTS.items() for _ in range(weight)]

    WEIGHTS = {"write": 12, "read": 4, "stat": 5, "list": 4, "readlink": 1, "access": 2,
               "mkdir": 9, "rmdir": 6, "unlink": 9, "mknod": 2, "symlink": 3, "link": 5,
               "rename": 16, "truncate": 3, "chmod": 4, "chown": 3, "utime": 3, "setxattr": 3,
               "removexattr": 1, "getxattr": 1, "open": 8, "close": 2, "fwrite": 6, "fread": 3,
               "fstat": 4, "ftruncate": 2, "fchmod": 1, "fchown": 1, "futime": 1,
               "fsetxattr": 1, "fallocate": 2, "fsync": 1, "copy_range": 2, "mmap": 2,
               "flink": 2}

    def next(self):
        name = self.chance.choice(self.kinds)
        uid = 0 if self.chance.random() < 0.7 else self.chance.choice(IDS)
        if name in ("flink", "removexattr"):
            # Who else may link, the kernel asks a mode that a passthrough write left behind;
            # whether an owner outside the group takes an ACL away, FUSE does not tell.
            uid = 0
        identity = (uid, uid, self.chance.choice(GROUPS),
                    self.chance.choice([0o022, 0o022, 0, 0o077]))
        return name, identity, getattr(self, "make_" + name)()

    def some_path(self, existing=0.85):
        """Mostly a name that exists; sometimes not, sometimes through what is no directory."""
        parts = []
        for _ in range(self.chance.randint(1, DEPTH)):
            if self.chance.random() < existing:
                try:
                    names = sorted(os.listdir(self.tree.path("/".join(parts))))
                except OSError:
                    names = []
                if not names:
                    break
                parts.append(self.chance.choice(names))
            else:
                parts.append(self.chance.choice(NAMES))
        return "/".join(parts) or self.chance.choice(NAMES)

    def new_path(self):
        """Mostly in a directory that exists."""
        parent = self.some_path(0.95)
        if not os.path.isdir(self.tree.path(parent)) and self.chance.random() < 0.9:
            parent = os.path.dirname(parent)
        return os.path.join(parent, self.chance.choice(NAMES))

    def any_path(self):
        return self.some_path() if self.chance.random() < 0.4 else self.new_path()

    def slot(self):
        return self.chance.randrange(SLOTS)

    def data(self):
        return self.chance.randbytes(self.chance.choice([1, 10, 500, 4096, 9000]))

    def offset(self):
        return self.chance.choice([0, 0, 0, 5, 4096, 10000])

    def mode(self):
        return self.chance.choice(MODES)

    def when(self):
        return (10 ** 18 + self.chance.randrange(10 ** 12),
                10 ** 18 + self.chance.randrange(10 ** 12))

    def xattr(self):
        if self.chance.random() < 0.6:
            return self.chance.choice(XATTRS), self.chance.randbytes(self.chance.randrange(40))
        return self.chance.choice([
            ("security.capability", syscalls.capability_xattr(1 << 10)),
            ("system.posix_acl_access", acl(1000, 6)), ("system.posix_acl_access", acl(1001, 4)),
            ("system.posix_acl_default", acl(1000, 7))])

    def xattr_flags(self):
        return self.chance.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])

    def make_write(self):
        flags = self.chance.choice([os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
        flags |= self.chance.choice([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL,
                                     os.O_CREAT | os.O_TRUNC, os.O_TRUNC])
        return self.any_path(), flags, self.mode(), self.offset(), self.data()

    def make_read(self):
        return (self.some_path(),)

    make_stat = make_list = make_readlink = make_rmdir = make_unlink = make_read

    def make_access(self):
        return self.some_path(), self.chance.randrange(8)

    def make_mkdir(self):
        return self.new_path(), self.chance.choice([0o755, 0o755, 0o777, 0o2775, 0o1777, 0o700])

    def make_mknod(self):
        return (self.new_path(), self.chance.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG]),
                self.mode() & 0o777)

    def make_symlink(self):
        return self.new_path(), self.chance.choice([*NAMES, "a/b", "d/e/f", "/proc/nowhere", "."])

    def make_link(self):
        return self.some_path(), self.new_path()

    def make_rename(self):
        flags = self.chance.choice([0, 0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE,
                                    RENAME_EXCHANGE, RENAME_WHITEOUT])
        return self.some_path(0.95), self.any_path(), flags

    def make_truncate(self):
        path, size = self.some_path(), self.chance.choice([0, self.chance.randrange(1, 20000)])
        try:
            # Never the size it has: whether that moves the time, file systems disagree.
            size += size == os.stat(self.tree.path(path)).st_size
        except OSError:
            pass
        return path, size

    def make_chmod(self):
        return self.some_path(), self.mode()

    def make_chown(self):
        # Never (-1, -1): it takes setuid away natively; FUSE does not tell the server who asks.
        uid, gid = self.chance.choice([(-1, 5000), (-1, 1000), (1001, -1), (0, 0), (1000, 5000),
                                       (1001, 1001), (0, -1)])
        return self.some_path(), uid, gid

    def make_utime(self):
        return self.some_path(), self.when()

    def make_setxattr(self):
        return (self.some_path(), *self.xattr(), self.xattr_flags())

    def make_removexattr(self):
        return self.some_path(), self.xattr()[0]

    make_getxattr = make_removexattr

    def make_open(self):
        if self.chance.random() < 0.15:
            return self.slot(), os.path.dirname(self.some_path()), os.O_TMPFILE, self.mode()
        flags = self.chance.choice([0, 0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL,
                                    os.O_TRUNC, os.O_APPEND, os.O_CREAT | os.O_APPEND])
        return self.slot(), self.any_path(), flags, self.mode()

    def make_close(self):
        return (self.slot(),)

    make_fread = make_fstat = make_fsync = make_close

    def make_fwrite(self):
        return self.slot(), self.offset(), self.data()

    def make_ftruncate(self):
        return self.slot(), self.chance.choice([0, 3, 5000, 20000])

    def make_fchmod(self):
        return self.slot(), self.mode()

    def make_fchown(self):
        return self.slot(), self.chance.choice(IDS), self.chance.choice(IDS)

    def make_futime(self):
        return self.slot(), self.when()

    def make_fsetxattr(self):
        return (self.slot(), *self.xattr(), self.xattr_flags())

    def make_fallocate(self):
        mode = self.chance.choice([0, 0, syscalls.FALLOC_KEEP_SIZE,
                                   syscalls.FALLOC_KEEP_SIZE | syscalls.FALLOC_PUNCH_HOLE])
        return self.slot(), mode, self.offset(), self.chance.choice([1, 4096, 10000])

    def make_copy_range(self):
        return (self.slot(), self.slot(), self.chance.choice([1, 5000, 20000]), self.offset(),
                self.offset() + self.chance.choice([0, 30000]))

    def make_mmap(self):
        return self.slot(), self.offset(), self.data()

    def make_flink(self):
        return self.slot(), self.new_path()


class LayerMaker:
    """A random layer: files, links, directories, whiteouts, opaque directories.

    Whiteouts and opaque directories only where overlayfs would make them: in a directory that is
    merged with one of the layer `below`. Elsewhere the kernel's overlayfs lists them.
    """

    def __init__(self, root, below, chance):
        self.root, self.below, self.chance = root, below, chance
        self.directories, self.files = [root], []
        self.merged = {root} if below else set()

    def fill(self, entries=60):
        for _ in range(entries):
            parent = self.chance.choice(self.directories)
            path = f"{parent}/{self.chance.choice(NAMES)}"
            if not os.path.lexists(path):
                self.add(parent, path)
        for directory, names, files in os.walk(self.root, topdown=False):
            for name in (*names, *files, "."):
                moment = 10 ** 18 + self.chance.randrange(10 ** 9)
                os.utime(f"{directory}/{name}", ns=(moment, moment), follow_symlinks=False)

    def add(self, parent, path):
        kind = self.chance.choice("dddffffffhhlpww" if parent in self.merged else "dddffffffhhlp")
        if kind == "w":
            os.mknod(path, stat.S_IFCHR, 0)
            return
        if kind == "h":
            if self.files:
                os.link(self.chance.choice(self.files), path, follow_symlinks=False)
            return
        if kind == "d" and parent.count("/") - self.root.count("/") < DEPTH - 1:
            self.add_directory(parent, path)
        elif kind == "l":
            os.symlink(self.chance.choice(NAMES), path)
        elif kind == "p":
            os.mkfifo(path)
        else:
            with open(path, "wb") as file:
                file.write(self.chance.randbytes(self.chance.choice([0, 3, 4096, 12345])))
        if not os.path.isdir(path) or os.path.islink(path):
            self.files.append(path)
        os.chown(path, self.chance.choice(IDS), self.chance.choice(IDS), follow_symlinks=False)
        if kind == "f":
            os.chmod(path, self.chance.choice(MODES))
            if self.chance.random() < 0.3:
                os.setxattr(path, self.chance.choice(XATTRS), b"of the layer")

    def add_directory(self, parent, path):
        os.mkdir(path)
        os.chmod(path, self.chance.choice([0o755, 0o777, 0o1777, 0o2775, 0o700]))
        self.directories.append(path)
        if parent in self.merged and os.path.isdir(self.below + path[len(self.root):]):
            if self.chance.random() < 0.15:
                os.setxattr(path, "trusted.overlay.opaque", b"y")
            else:
                self.merged.add(path)
