"""What a tree is, path by path, in a form that can be compared."""
import hashlib
import os
import stat

# Times later than this are "now": two runs of the same thing differ in them.
RECENT_NS = 1_500_000_000 * 10 ** 9


def normal_time(nanoseconds):
    return "now" if nanoseconds > RECENT_NS else nanoseconds


def normal_mode(mode):
    """Setgid without group execution gives nothing; passthrough writes leave it, overlayfs not."""
    if stat.S_ISREG(mode) and not mode & stat.S_IXGRP:
        mode &= ~stat.S_ISGID
    return oct(mode)


def describe(path, content=True, times=True):
    """Everything about one name, but what file systems are free to choose."""
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    fact = {"mode": normal_mode(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
    if times:
        fact["mtime"] = normal_time(status.st_mtime_ns)
    if kind != stat.S_IFDIR:
        fact["nlink"] = status.st_nlink
        fact["size"] = status.st_size
    if kind == stat.S_IFLNK:
        fact["target"] = os.readlink(path)
    if kind == stat.S_IFREG and content:
        with open(path, "rb") as file:
            fact["content"] = hashlib.sha1(file.read()).hexdigest()
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        for name in sorted(os.listxattr(path)):
            if not name.startswith("trusted."):
                fact[name] = os.getxattr(path, name)
    return fact


def take(root, **how):
    """{relative path: facts}; "links" says which names are one file."""
    tree, inodes = {".": describe(root, **how)}, {}
    pending = [""]
    while pending:
        directory = pending.pop()
        for name in sorted(os.listdir(os.path.join(root, directory))):
            relative = os.path.join(directory, name)
            path = os.path.join(root, relative)
            tree[relative] = describe(path, **how)
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                pending.append(relative)
            elif status.st_nlink > 1:
                first = inodes.setdefault(status.st_ino, relative)
                tree[relative]["links"] = first
    return tree


def differences(one, two, names=("one", "two"), limit=20):
    """Lines that say where the snapshots differ; none if they are equal."""
    lines = []
    for path in sorted(one.keys() | two.keys()):
        left, right = one.get(path), two.get(path)
        if left == right:
            continue
        if left is None or right is None:
            lines.append(f"{path}: only in {names[0] if right is None else names[1]}")
            continue
        for key in sorted(left.keys() | right.keys()):
            if left.get(key) != right.get(key):
                lines.append(f"{path}: {key} is {left.get(key)!r} in {names[0]}, "
                             f"{right.get(key)!r} in {names[1]}")
    return lines[:limit] + ([f"… and {len(lines) - limit} more"] if len(lines) > limit else [])
