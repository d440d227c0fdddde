"""A clone of the mount, idmapped as a tenant's is: ids inside are 0…, on disk 0…, outside base…"""
import errno
import os
import stat
import subprocess

import harness
import syscalls
from harness import FsTest, as_user, in_child, read, write
from syscalls import ACL_GROUP_OBJ, ACL_MASK, ACL_NO_ID, ACL_OTHER, ACL_USER, ACL_USER_OBJ
from user_namespace import BASE, UserNamespace


class Idmapped(FsTest):
    def fill(self):
        write(self.lower("roots"), "r", 0o600)
        write(self.lower("www"), "w", 0o640)
        os.chown(self.lower("www"), 33, 33)
        os.makedirs(self.lower("home"))
        os.chown(self.lower("home"), 1000, 1000)
        write(self.lower("suid"), read("/usr/bin/id"))
        os.chmod(self.lower("suid"), 0o4755)
        write(self.lower("cat"), read("/bin/cat"), 0o755)
        write(self.lower("ping"), "x", 0o755)
        os.setxattr(self.lower("ping"), "security.capability", syscalls.capability_xattr(1 << 13))

    def mount(self, **how):
        super().mount(**how)
        self.namespace = UserNamespace()
        self.addCleanup(self.namespace.close)
        self.inside = f"{self.home}/inside"
        os.makedirs(self.inside, exist_ok=True)
        self.namespace.show(self.root, self.inside)

    def unmount_all(self):
        syscalls.umount(self.inside)
        super().unmount_all()

    def as_tenant(self, body, uid=0, gid=0, groups=()):
        """body() in the user namespace; only uid 0 has capabilities, and all of them."""
        def run():
            syscalls.setns(self.namespace.fd, syscalls.CLONE_NEWUSER)
            os.setgroups(list(groups))
            os.setresuid(0, 0, 0)  # so that leaving it clears the capabilities
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            return body()
        return in_child(run)

    def owner(self, path):
        status = os.lstat(path)
        return status.st_uid, status.st_gid

    def test_ids_are_those_of_the_disk_inside(self):
        seen = self.as_tenant(lambda: [self.owner(f"{self.inside}/{name}")
                                       for name in ("roots", "www", "home")])
        self.assertEqual(seen, [(0, 0), (33, 33), (1000, 1000)])
        self.assertEqual(self.owner(f"{self.inside}/www"), (BASE + 33, BASE + 33))

    def test_what_the_tenants_root_makes_is_roots_on_disk(self):
        def make():
            write(f"{self.inside}/f")
            os.mkdir(f"{self.inside}/d")
            os.symlink("x", f"{self.inside}/l")
            os.mkfifo(f"{self.inside}/p")
            file = os.open(self.inside, os.O_TMPFILE | os.O_WRONLY, 0o600)
            syscalls.link_open_file(file, f"{self.inside}/t")
        self.as_tenant(make)
        for name in "fdlpt":
            self.assertEqual(self.owner(self.in_upper(name)), (0, 0), name)

    def test_what_a_user_inside_makes_is_that_users_on_disk(self):
        self.as_tenant(lambda: write(f"{self.inside}/home/f"), uid=1000, gid=1000)
        self.assertEqual(self.owner(self.in_upper("home/f")), (1000, 1000))

    def test_chown_inside(self):
        self.as_tenant(lambda: os.chown(f"{self.inside}/roots", 33, 34))
        self.assertEqual(self.owner(self.in_upper("roots")), (33, 34))
        self.assertEqual(self.as_tenant(lambda: self.owner(f"{self.inside}/roots")), (33, 34))

    def test_permissions_inside(self):
        def get(name):
            return lambda: read(f"{self.inside}/{name}")
        self.assertEqual(self.as_tenant(get("roots")), b"r")
        self.assertEqual(self.as_tenant(get("www"), uid=33, gid=33), b"w")
        self.assertEqual(self.as_tenant(get("www"), uid=5, gid=5, groups=[33]), b"w")
        self.assertErrno(errno.EACCES, self.as_tenant, get("roots"), uid=33, gid=33)
        self.assertErrno(errno.EACCES, self.as_tenant, get("www"), uid=5, gid=5)

    def test_the_hosts_ids_mean_nothing_inside(self):
        self.assertErrno(errno.EOVERFLOW, as_user, 1000, lambda: write(f"{self.inside}/home/f"))
        self.assertEqual(as_user(BASE + 33, lambda: read(f"{self.inside}/www"), gid=BASE + 33),
                         b"w")
        self.assertErrno(errno.EOVERFLOW, write, f"{self.inside}/by-the-host")

    def test_setuid_by_the_tenant_is_setuid_of_the_tenant(self):
        status = os.stat(f"{self.inside}/suid")
        self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode)), (BASE, 0o4755))

    def test_acls_name_the_tenants_users(self):
        grant = syscalls.acl_xattr([(ACL_USER_OBJ, 6, ACL_NO_ID), (ACL_USER, 4, 33),
                                    (ACL_GROUP_OBJ, 0, ACL_NO_ID), (ACL_MASK, 4, ACL_NO_ID),
                                    (ACL_OTHER, 0, ACL_NO_ID)])
        name = "system.posix_acl_access"
        self.as_tenant(lambda: os.setxattr(f"{self.inside}/roots", name, grant))
        self.assertEqual(self.as_tenant(lambda: os.getxattr(f"{self.inside}/roots", name)), grant)
        self.assertEqual(os.getxattr(self.in_upper("roots"), name), grant)
        self.assertEqual(self.as_tenant(lambda: read(f"{self.inside}/roots"), uid=33, gid=33),
                         b"r")
        self.assertErrno(errno.EACCES, self.as_tenant, lambda: read(f"{self.inside}/roots"),
                         uid=34, gid=34)

    def test_file_capabilities_of_the_tenant(self):
        value = syscalls.capability_xattr(1 << 10)
        name = "security.capability"
        self.as_tenant(lambda: os.setxattr(f"{self.inside}/suid", name, value))
        self.assertEqual(self.as_tenant(lambda: os.getxattr(f"{self.inside}/suid", name)), value)

        # Canonical on disk, like ids: of root, not of the tenant's uid on this host.
        self.assertEqual(os.getxattr(self.in_upper("suid"), name), value)
        # The host's view of the same: of the root that is BASE.
        self.assertEqual(os.getxattr(f"{self.inside}/suid", name),
                         syscalls.capability_xattr(1 << 10, rootid=BASE))

    def test_a_program_gets_its_file_capability(self):
        def capable(number):
            seen = subprocess.run([f"{self.inside}/cat", "/proc/self/status"], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout
            effective = next(line for line in seen.splitlines() if line.startswith("CapEff"))
            return int(effective.split()[1], 16) >> number & 1

        def as_somebody():
            return self.as_tenant(lambda: capable(10), uid=1000, gid=1000)
        self.assertEqual(as_somebody(), 0)
        self.as_tenant(lambda: os.setxattr(f"{self.inside}/cat", "security.capability",
                                           syscalls.capability_xattr(1 << 10)))
        self.assertEqual(as_somebody(), 1)
        self.as_tenant(lambda: write(f"{self.inside}/cat", "x"))
        self.assertErrno(errno.ENODATA, os.getxattr, self.in_upper("cat"), "security.capability")

    def test_a_capability_of_the_template(self):
        value = syscalls.capability_xattr(1 << 13)
        self.assertEqual(self.as_tenant(lambda: os.getxattr(
            f"{self.inside}/ping", "security.capability")), value)
        self.as_tenant(lambda: os.chmod(f"{self.inside}/ping", 0o750))  # copied up
        self.assertEqual(self.as_tenant(lambda: os.getxattr(
            f"{self.inside}/ping", "security.capability")), value)

    def test_remount_keeps_it(self):
        self.as_tenant(lambda: write(f"{self.inside}/f", "x"))
        self.assertEqual(self.owner(f"{self.root}/f"), (0, 0))
        self.assertEqual(read(f"{self.root}/f"), b"x")


if __name__ == "__main__":
    harness.main()
