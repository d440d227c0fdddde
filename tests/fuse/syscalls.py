"""System calls that Python's os module lacks, raising OSError as it does."""
import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mmap.restype = ctypes.c_void_p

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000

RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 0x10

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND = 1, 2, 4, 4096
MNT_DETACH = 2
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_IDMAP = 0x00100000
CLONE_NEWUSER = 0x10000000

# The same numbers on x86-64 and arm64, except renameat2.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_SYS_RENAMEAT2 = 316 if os.uname().machine == "x86_64" else 276


def _check(result, path=None):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _bytes(path):
    return os.fsencode(path)


def renameat2(old, new, flags):
    _check(_libc.syscall(ctypes.c_long(_SYS_RENAMEAT2), AT_FDCWD, _bytes(old), AT_FDCWD,
                         _bytes(new), ctypes.c_uint(flags)), old)


def link_open_file(fd, path):
    """Gives the file behind `fd` (of O_TMPFILE, say) a name."""
    at_symlink_follow = 0x400
    _check(_libc.linkat(AT_FDCWD, _bytes(f"/proc/self/fd/{fd}"), AT_FDCWD, _bytes(path),
                        at_symlink_follow), path)


def fallocate(fd, mode, offset, length):
    _check(_libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def mount(source, target, kind, flags=0, data=""):
    _check(_libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags),
                       _bytes(data)), target)


def umount(target, flags=0):
    _check(_libc.umount2(_bytes(target), flags), target)


def unshare(flags):
    _check(_libc.unshare(flags))


def setns(fd, kind):
    _check(_libc.setns(fd, kind))


def clone_mount(path):
    """A detached copy of the mount at `path`."""
    return _check(_libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), AT_FDCWD, _bytes(path),
                                ctypes.c_uint(OPEN_TREE_CLONE | os.O_CLOEXEC)), path)


def mount_setattr(fd, set_flags, userns_fd=0):
    attributes = struct.pack("=QQQQ", set_flags, 0, 0, userns_fd)
    _check(_libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), fd, b"", AT_EMPTY_PATH, attributes,
                         ctypes.c_size_t(len(attributes))))


def move_mount(fd, target):
    _check(_libc.syscall(ctypes.c_long(_SYS_MOVE_MOUNT), fd, b"", AT_FDCWD, _bytes(target),
                         MOVE_MOUNT_F_EMPTY_PATH), target)


CAP_FSETID = 4


def change_effective_capabilities(change):
    """Sets this thread's effective capabilities to change(effective ones, permitted ones)."""
    header = struct.pack("<II", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data))
    words = list(struct.unpack("<6I", data.raw))
    effective = change(words[0] | words[3] << 32, words[1] | words[4] << 32)
    words[0], words[3] = effective & 0xffffffff, effective >> 32
    _check(_libc.capset(header, struct.pack("<6I", *words)))


def capability_xattr(permitted, rootid=None):
    """A security.capability: these bits permitted and effective. Of version 2, or with the uid of
    the user namespace's root that it belongs to of version 3."""
    bits = struct.pack("<IIII", permitted & 0xffffffff, 0, permitted >> 32, 0)
    if rootid is None:
        return struct.pack("<I", 0x02000001) + bits
    return struct.pack("<I", 0x03000001) + bits + struct.pack("<I", rootid)


def acl_xattr(entries):
    """A system.posix_acl_*: rows of (tag, permissions, id) sorted as the kernel wants them."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER = 1, 2, 4, 8, 16, 32
ACL_NO_ID = 0xffffffff


class Directory:
    """An open directory stream with telldir and seekdir."""

    class _Entry(ctypes.Structure):
        _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64),
                    ("reclen", ctypes.c_ushort), ("type", ctypes.c_ubyte),
                    ("name", ctypes.c_char * 256)]

    def __init__(self, path):
        _libc.opendir.restype = ctypes.c_void_p
        _libc.readdir64.restype = ctypes.POINTER(self._Entry)
        _libc.telldir.restype = ctypes.c_long
        self._stream = ctypes.c_void_p(_libc.opendir(_bytes(path)))
        if not self._stream:
            _check(-1, path)

    def read(self):
        """(name, inode, type) of the next entry, or None at the end."""
        ctypes.set_errno(0)
        entry = _libc.readdir64(self._stream)
        if not entry:
            if ctypes.get_errno() != 0:
                _check(-1)
            return None
        return os.fsdecode(entry.contents.name), entry.contents.ino, entry.contents.type

    def read_all(self):
        entries = []
        while (entry := self.read()) is not None:
            entries.append(entry)
        return entries

    def tell(self):
        return _libc.telldir(self._stream)

    def seek(self, position):
        _libc.seekdir(self._stream, ctypes.c_long(position))

    def rewind(self):
        _libc.rewinddir(self._stream)

    def fileno(self):
        return _libc.dirfd(self._stream)

    def close(self):
        if self._stream:
            _libc.closedir(self._stream)
            self._stream = None
