"""Attributes: mode, owner, times, extended attributes, ACLs, statfs; and what copy-up keeps."""
import errno
import os
import stat
import time

import harness
from harness import FsTest, as_user, read, write
from syscalls import (ACL_GROUP_OBJ, ACL_MASK, ACL_NO_ID, ACL_OTHER, ACL_USER, ACL_USER_OBJ,
                      acl_xattr, capability_xattr)

OLD = 1_000_000_000_123_456_789
NET_BIND = capability_xattr(1 << 10)
ACL_FOR_1000 = acl_xattr([(ACL_USER_OBJ, 6, ACL_NO_ID), (ACL_USER, 6, 1000),
                          (ACL_GROUP_OBJ, 0, ACL_NO_ID), (ACL_MASK, 6, ACL_NO_ID),
                          (ACL_OTHER, 0, ACL_NO_ID)])


def facts(path):
    """What must not change when a file is copied up."""
    status = os.lstat(path)
    names = [] if stat.S_ISLNK(status.st_mode) else sorted(os.listxattr(path))
    return {"mode": oct(status.st_mode), "owner": (status.st_uid, status.st_gid),
            "size": status.st_size if not stat.S_ISDIR(status.st_mode) else 0,
            "mtime": status.st_mtime_ns, "ino": status.st_ino,
            "nlink": status.st_nlink if not stat.S_ISDIR(status.st_mode) else 1,
            "xattrs": {name: os.getxattr(path, name) for name in names}}


class Set(FsTest):
    def fill(self):
        write(self.lower("lower"), "x", 0o644)
        write(self.lower("d/x"))
        os.symlink("d/x", self.lower("link"))
        write(self.in_upper("upper"), "x")

    def test_chmod(self):
        for name in ("lower", "upper", "d"):
            for mode in (0o000, 0o7777, 0o640):
                os.chmod(self.path(name), mode)
                self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), mode)

    def test_chown(self):
        for name in ("lower", "upper", "d"):
            os.chown(self.path(name), 1000, 2000)
            os.chown(self.path(name), -1, 3000)
            status = os.stat(self.path(name))
            self.assertEqual((status.st_uid, status.st_gid), (1000, 3000))
        os.chown(self.path("link"), 5, 6, follow_symlinks=False)
        self.assertEqual(os.lstat(self.path("link")).st_uid, 5)
        self.assertEqual(os.stat(self.path("d/x")).st_uid, 0)

    def test_chown_takes_the_setuid_bit(self):
        for name in ("lower", "upper"):
            os.chmod(self.path(name), 0o6755)
            os.chown(self.path(name), 1000, 1000)
            self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), 0o755)

    def test_times_to_the_nanosecond(self):
        for name in ("lower", "upper", "d", "link"):
            os.utime(self.path(name), ns=(OLD, OLD + 1), follow_symlinks=False)
            status = os.lstat(self.path(name))
            self.assertEqual((status.st_atime_ns, status.st_mtime_ns), (OLD, OLD + 1))
            self.assertGreater(status.st_ctime_ns, time.time_ns() - 10 ** 11)

    def test_times_now_and_through_a_descriptor(self):
        with open(self.path("lower"), "rb") as file:
            os.utime(file.fileno(), ns=(OLD, OLD))
            self.assertEqual(os.fstat(file.fileno()).st_mtime_ns, OLD)
            os.utime(file.fileno())
            self.assertGreater(os.stat(self.path("lower")).st_mtime_ns, time.time_ns() - 10 ** 11)

    def test_changes_inside_move_a_directorys_time(self):
        for change in (lambda: write(self.path("d/new")), lambda: os.mkdir(self.path("d/sub")),
                       lambda: os.rename(self.path("d/new"), self.path("d/other")),
                       lambda: os.unlink(self.path("d/other")),
                       lambda: os.unlink(self.path("d/x")),
                       lambda: os.rmdir(self.path("d/sub"))):
            os.utime(self.path("d"), ns=(OLD, OLD))
            self.assertEqual(os.stat(self.path("d")).st_mtime_ns, OLD)
            change()
            self.assertGreater(os.stat(self.path("d")).st_mtime_ns, OLD)

    def test_link_count_and_ctime_follow(self):
        os.link(self.path("upper"), self.path("second"))
        self.assertEqual(os.stat(self.path("upper")).st_nlink, 2)
        os.rename(self.path("lower"), self.path("second"))
        self.assertEqual(os.stat(self.path("upper")).st_nlink, 1)

    def test_statfs(self):
        ours, below = os.statvfs(self.root), os.statvfs(self.upper)
        self.assertEqual((ours.f_blocks, ours.f_bsize, ours.f_files),
                         (below.f_blocks, below.f_bsize, below.f_files))
        self.assertEqual(ours.f_namemax, 255)
        self.assertGreater(ours.f_bavail, 0)


class Xattrs(FsTest):
    def fill(self):
        write(self.lower("lower"), "x")
        os.setxattr(self.lower("lower"), "user.low", b"from below")
        os.makedirs(self.lower("d"))

    def test_set_get_list_remove(self):
        for name in ("lower", "d"):
            path = self.path(name)
            os.setxattr(path, "user.k", b"v")
            os.setxattr(path, "user.empty", b"")
            self.assertEqual(os.getxattr(path, "user.k"), b"v")
            self.assertEqual(os.getxattr(path, "user.empty"), b"")
            self.assertLessEqual({"user.k", "user.empty"}, set(os.listxattr(path)))
            os.removexattr(path, "user.k")
            self.assertErrno(errno.ENODATA, os.getxattr, path, "user.k")
            self.assertErrno(errno.ENODATA, os.removexattr, path, "user.k")

    def test_flags(self):
        path = self.path("lower")
        self.assertErrno(errno.EEXIST, os.setxattr, path, "user.low", b"", os.XATTR_CREATE)
        self.assertErrno(errno.ENODATA, os.setxattr, path, "user.no", b"", os.XATTR_REPLACE)
        self.assertEqual(os.getxattr(path, "user.low"), b"from below")

    def test_remove_of_a_lower_attribute(self):
        os.removexattr(self.path("lower"), "user.low")
        self.assertEqual(os.listxattr(self.path("lower")), [])
        self.assertEqual(os.getxattr(self.lower("lower"), "user.low"), b"from below")

    def test_big_values(self):
        value = os.urandom(3000)
        os.setxattr(self.path("lower"), "user.big", value)
        self.assertEqual(os.getxattr(self.path("lower"), "user.big"), value)
        self.assertErrno(errno.E2BIG, os.setxattr, self.path("lower"), "user.k", b"x" * 70000)

    def test_file_capabilities(self):
        os.setxattr(self.path("lower"), "security.capability", NET_BIND)
        self.assertEqual(os.getxattr(self.path("lower"), "security.capability"), NET_BIND)
        self.remount()
        self.assertEqual(os.getxattr(self.path("lower"), "security.capability"), NET_BIND)
        with open(self.path("lower"), "ab") as file:
            file.write(b"a write takes the capability")
        self.assertErrno(errno.ENODATA, os.getxattr, self.path("lower"), "security.capability")

    def test_a_capability_is_seen_though_there_was_none_before(self):
        for name in ("lower", "upper"):
            path = self.path(name)
            with open(path, "wb") as file:
                file.write(b"the kernel asks before it writes")
            for _ in range(2):
                self.assertErrno(errno.ENODATA, os.getxattr, path, "security.capability")
                os.setxattr(path, "security.capability", NET_BIND)
                self.assertEqual(os.getxattr(path, "security.capability"), NET_BIND)
                os.chown(path, 1000, 1000)
        os.setxattr(self.path("upper"), "security.capability", NET_BIND)
        os.rename(self.path("upper"), self.path("moved"))
        self.assertEqual(os.getxattr(self.path("moved"), "security.capability"), NET_BIND)
        os.removexattr(self.path("moved"), "security.capability")
        self.assertErrno(errno.ENODATA, os.getxattr, self.path("moved"), "security.capability")

    def test_chown_takes_the_capability(self):
        os.setxattr(self.path("lower"), "security.capability", NET_BIND)
        os.chown(self.path("lower"), 5, 5)
        self.assertErrno(errno.ENODATA, os.getxattr, self.path("lower"), "security.capability")

    def test_symlinks_and_fifos_have_no_user_attributes(self):
        os.symlink("x", self.path("link"))
        os.mkfifo(self.path("fifo"))
        self.assertErrno(errno.EPERM, os.setxattr, self.path("link"), "user.k", b"",
                         follow_symlinks=False)
        self.assertErrno(errno.EPERM, os.setxattr, self.path("fifo"), "user.k", b"")

    def test_overlay_attributes_do_not_show(self):
        os.rename(self.path("d"), self.path("moved"))  # carries trusted.overlay.redirect below
        os.chmod(self.path("lower"), 0o600)            # and .origin
        for name in ("moved", "lower"):
            self.assertEqual([n for n in os.listxattr(self.path(name)) if "overlay" in n], [])
            self.assertErrno(errno.ENODATA, os.getxattr, self.path(name),
                             "trusted.overlay.no-such")

    @harness.bailey_only
    def test_trusted_attributes_are_neither_seen_nor_made(self):
        os.rename(self.path("d"), self.path("moved"))
        for name in ("trusted.overlay.redirect", "trusted.overlay.opaque", "trusted.mine"):
            with self.assertRaises(OSError):
                os.getxattr(self.path("moved"), name)
            with self.assertRaises(OSError):
                os.setxattr(self.path("moved"), name, b"y")
        self.assertEqual([n for n in os.listxattr(self.path("moved")) if "trusted" in n], [])


class Acls(FsTest):
    def fill(self):
        write(self.lower("f"), "secret", 0o600)
        os.makedirs(self.lower("d"))
        os.chmod(self.lower("d"), 0o755)
        write(self.lower("lowacl"), "secret", 0o600)
        os.setxattr(self.lower("lowacl"), "system.posix_acl_access", ACL_FOR_1000)

    def test_an_acl_grants(self):
        self.assertErrno(errno.EACCES, as_user, 1000, lambda: read(self.path("f")))
        os.setxattr(self.path("f"), "system.posix_acl_access", ACL_FOR_1000)
        self.assertEqual(os.getxattr(self.path("f"), "system.posix_acl_access"), ACL_FOR_1000)
        self.assertEqual(as_user(1000, lambda: read(self.path("f"))), b"secret")
        self.assertErrno(errno.EACCES, as_user, 1001, lambda: read(self.path("f")))
        self.assertEqual(stat.S_IMODE(os.stat(self.path("f")).st_mode), 0o660)

    def test_chmod_changes_the_mask(self):
        os.setxattr(self.path("f"), "system.posix_acl_access", ACL_FOR_1000)
        os.chmod(self.path("f"), 0o600)
        self.assertErrno(errno.EACCES, as_user, 1000, lambda: read(self.path("f")))

    def test_an_acl_of_a_lower(self):
        self.assertEqual(as_user(1000, lambda: read(self.path("lowacl"))), b"secret")
        os.utime(self.path("lowacl"))
        self.assertEqual(as_user(1000, lambda: read(self.path("lowacl"))), b"secret")
        self.assertEqual(os.getxattr(self.path("lowacl"), "system.posix_acl_access"),
                         ACL_FOR_1000)

    def test_default_acls_are_inherited(self):
        os.setxattr(self.path("d"), "system.posix_acl_default", ACL_FOR_1000)
        write(self.path("d/f"), "x")
        os.mkdir(self.path("d/sub"))
        self.assertEqual(as_user(1000, lambda: read(self.path("d/f"))), b"x")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("d/f")).st_mode), 0o660)
        self.assertEqual(os.getxattr(self.path("d/sub"), "system.posix_acl_default"),
                         ACL_FOR_1000)

    def test_setgid_directories_stay_so_for_root(self):
        os.chown(self.path("d"), 1000, 5000)
        os.chmod(self.path("d"), 0o2775)
        os.setxattr(self.path("d"), "system.posix_acl_access", ACL_FOR_1000)
        os.setxattr(self.path("d"), "system.posix_acl_default", ACL_FOR_1000)
        self.assertTrue(os.stat(self.path("d")).st_mode & stat.S_ISGID)
        os.removexattr(self.path("d"), "system.posix_acl_access")
        self.assertTrue(os.stat(self.path("d")).st_mode & stat.S_ISGID)

    def test_an_acl_from_outside_the_group_takes_setgid(self):
        for gid in (5000, 0):
            os.chown(self.path("f"), 1000, gid)
            os.chmod(self.path("f"), 0o2644)
            as_user(1000, lambda: os.setxattr(self.path("f"), "system.posix_acl_access",
                                              ACL_FOR_1000))
            self.assertFalse(os.stat(self.path("f")).st_mode & stat.S_ISGID, gid)

    def test_removal(self):
        os.setxattr(self.path("f"), "system.posix_acl_access", ACL_FOR_1000)
        os.removexattr(self.path("f"), "system.posix_acl_access")
        self.assertErrno(errno.ENODATA, os.getxattr, self.path("f"), "system.posix_acl_access")


class CopyUpKeeps(FsTest):
    """Every way to copy a file up, and everything that must be the same after."""
    names = ("plain", "suid", "caps", "acl", "fifo", "link", "dir")

    def fill(self):
        write(self.lower("plain", 1), os.urandom(100_000), 0o604)
        write(self.lower("suid", 1), "s")
        write(self.lower("caps", 1), "c", 0o755)
        write(self.lower("acl", 1), "a")
        os.mkfifo(self.lower("fifo", 1), 0o622)
        os.symlink("plain", self.lower("link", 1))
        write(self.lower("dir/inner", 1), "i")
        for number, name in enumerate(self.names):
            path = self.lower(name, 1)
            os.chown(path, 100 + number, 200 + number, follow_symlinks=False)
            if name in ("plain", "dir"):
                os.setxattr(path, "user.note", name.encode())
        os.chmod(self.lower("suid", 1), 0o6755)
        os.chmod(self.lower("dir", 1), 0o2751)
        os.setxattr(self.lower("caps", 1), "security.capability", NET_BIND)
        os.setxattr(self.lower("acl", 1), "system.posix_acl_access", ACL_FOR_1000)
        for name in (*self.names, "dir/inner"):
            os.utime(self.lower(name, 1), ns=(OLD, OLD), follow_symlinks=False)

    def same_after(self, change, name, but=()):
        before = facts(self.path(name))
        change(self.path(name))
        for look in ("now", "after a remount"):
            after = facts(self.path(name))
            for key in before:
                if key not in but:
                    self.assertEqual(after[key], before[key], f"{key} of {name} {look}")
            self.remount()

    def test_by_link(self):
        for name in self.names[:-1]:
            self.same_after(lambda path: os.link(path, path + "2", follow_symlinks=False), name,
                            but=("nlink",))

    def test_by_rename(self):
        for name in self.names:
            before = facts(self.path(name))
            os.rename(self.path(name), self.path(name + "2"))
            self.assertEqual(facts(self.path(name + "2")), before)

    def test_by_chmod(self):
        for name in ("plain", "fifo", "dir"):
            self.same_after(lambda path: os.chmod(path, 0o700), name, but=("mode",))

    def test_by_chown(self):
        for name in ("plain", "fifo", "dir", "link"):
            self.same_after(lambda path: os.chown(path, 9, 9, follow_symlinks=False), name,
                            but=("owner",))

    def test_by_utimens(self):
        for name in self.names:
            self.same_after(lambda path: os.utime(path, ns=(OLD, OLD), follow_symlinks=False),
                            name)

    def test_by_setxattr(self):
        for name in ("plain", "suid", "caps", "acl", "dir"):
            self.same_after(lambda path: os.setxattr(path, "user.new", b"v"), name,
                            but=("xattrs",))

    def test_by_open_for_writing(self):
        for name in ("plain", "suid", "caps", "acl"):
            self.same_after(lambda path: os.close(os.open(path, os.O_RDWR)), name)
        self.assertEqual(read(self.path("plain")), read(self.lower("plain", 1)))

    def test_by_a_child_that_is_made(self):
        self.same_after(lambda path: write(f"{path}/new"), "dir", but=("mtime", "nlink"))
        self.assertEqual(facts(self.path("dir"))["xattrs"], {"user.note": b"dir"})

    def test_copying_a_child_up_leaves_the_parents_time(self):
        self.same_after(lambda path: os.chmod(f"{path}/inner", 0o600), "dir")

    def test_a_write_moves_time_and_takes_privileges_by_setuid_rules(self):
        def append(name):
            with open(self.path(name), "ab") as file:
                file.write(b"+")
        append("plain")
        self.assertGreater(os.stat(self.path("plain")).st_mtime_ns, OLD)
        append("suid")
        # Root could keep the bits; passthrough takes them from root's writes too.
        self.assertIn(oct(os.stat(self.path("suid")).st_mode & 0o7777), ("0o6755", "0o755"))
        os.chmod(self.path("suid"), 0o6777)
        as_user(1000, lambda: append("suid"))
        self.assertEqual(stat.S_IMODE(os.stat(self.path("suid")).st_mode), 0o777)
        append("caps")
        self.assertErrno(errno.ENODATA, os.getxattr, self.path("caps"), "security.capability")

    def test_inodes_differ_between_files_and_layers(self):
        write(self.path("new"))
        inodes = [os.lstat(self.path(n)).st_ino for n in (*self.names, "dir/inner", "new")]
        self.assertEqual(len(set(inodes)), len(inodes))


if __name__ == "__main__":
    harness.main()
