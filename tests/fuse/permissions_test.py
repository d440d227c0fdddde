"""Who may do what: other users, supplementary groups, sticky and setgid directories, setuid."""
import errno
import os
import stat
import subprocess

import harness
from harness import FsTest, as_user, read, write


class Access(FsTest):
    def fill(self):
        write(self.lower("private"), "root's", 0o600)
        write(self.lower("group"), "group's", 0o640)
        os.chown(self.lower("group"), 0, 5000)
        write(self.lower("public"), "all's", 0o644)
        write(self.lower("closed/f"), "f")
        os.chmod(self.lower("closed"), 0o700)
        write(self.lower("theirs"), "1000's", 0o644)
        os.chown(self.lower("theirs"), 1000, 1000)
        os.makedirs(self.lower("open"))
        os.chmod(self.lower("open"), 0o777)

    def denied(self, number, body, uid=1000, **ids):
        self.assertErrno(number, as_user, uid, body, **ids)

    def test_reading(self):
        self.denied(errno.EACCES, lambda: read(self.path("private")))
        self.denied(errno.EACCES, lambda: read(self.path("group")))
        self.denied(errno.EACCES, lambda: read(self.path("closed/f")))
        self.denied(errno.EACCES, lambda: os.listdir(self.path("closed")))
        self.assertEqual(as_user(1000, lambda: read(self.path("public"))), b"all's")

    def test_supplementary_groups(self):
        self.assertEqual(as_user(1000, lambda: read(self.path("group")), groups=[7, 5000]),
                         b"group's")
        self.denied(errno.EACCES, lambda: read(self.path("group")), groups=[7])

    def test_writing(self):
        self.denied(errno.EACCES, lambda: write(self.path("public"), "mine"))
        self.denied(errno.EACCES, lambda: os.truncate(self.path("public"), 0))
        self.denied(errno.EACCES, lambda: os.open(self.path("public"), os.O_RDONLY | os.O_TRUNC))
        self.denied(errno.EACCES, lambda: write(self.path("new")))
        self.denied(errno.EACCES, lambda: os.mkdir(self.path("new")))
        self.denied(errno.EACCES, lambda: os.unlink(self.path("public")))
        self.denied(errno.EACCES, lambda: os.rename(self.path("public"), self.path("open/x")))
        self.assertEqual(os.listdir(self.upper), [])
        as_user(1000, lambda: write(self.path("theirs"), "changed"))
        self.assertEqual(read(self.path("theirs")), b"changed")

    def test_owners_only(self):
        self.denied(errno.EPERM, lambda: os.chmod(self.path("public"), 0o666))
        self.denied(errno.EPERM, lambda: os.chown(self.path("theirs"), 1001, -1))
        self.denied(errno.EPERM, lambda: os.chown(self.path("theirs"), -1, 5000))
        self.denied(errno.EPERM, lambda: os.utime(self.path("public"), ns=(1, 1)))
        self.denied(errno.EACCES, lambda: os.utime(self.path("public")))
        self.denied(errno.EACCES, lambda: os.setxattr(self.path("public"), "user.k", b""))
        as_user(1000, lambda: os.chown(self.path("theirs"), -1, 5000), groups=[5000])
        as_user(1000, lambda: os.chmod(self.path("theirs"), 0o600))
        status = os.stat(self.path("theirs"))
        self.assertEqual((status.st_gid, stat.S_IMODE(status.st_mode)), (5000, 0o600))

    def test_what_a_user_makes_is_its_own(self):
        def make():
            os.umask(0o007)
            write(self.path("open/f"))
            os.mkdir(self.path("open/d"))
            os.symlink("x", self.path("open/l"))
            os.mkfifo(self.path("open/p"))
            os.close(os.open(self.path("open"), os.O_TMPFILE | os.O_WRONLY, 0o666))
        as_user(1000, make, gid=1001)
        for name in "fdlp":
            status = os.lstat(self.path(f"open/{name}"))
            self.assertEqual((status.st_uid, status.st_gid), (1000, 1001), name)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("open/f")).st_mode), 0o660)

    def test_access_asks_the_same(self):
        modes = as_user(1000, lambda: [os.access(self.path(n), os.W_OK)
                                       for n in ("public", "theirs", "open")])
        self.assertEqual(modes, [False, True, True])

    def test_a_changed_mode_holds_at_once(self):
        self.assertEqual(as_user(1000, lambda: read(self.path("public"))), b"all's")
        os.chmod(self.path("public"), 0o600)
        self.denied(errno.EACCES, lambda: read(self.path("public")))
        os.chmod(self.path("public"), 0o644)
        self.assertEqual(as_user(1000, lambda: read(self.path("public"))), b"all's")

    def test_root_reads_everything(self):
        os.chmod(self.path("theirs"), 0)
        self.assertEqual(read(self.path("theirs")), b"1000's")


class SpecialBits(FsTest):
    def fill(self):
        os.makedirs(self.lower("tmp"))
        os.chmod(self.lower("tmp"), 0o1777)
        write(self.lower("tmp/of1000"), "x")
        os.chown(self.lower("tmp/of1000"), 1000, 1000)
        os.makedirs(self.lower("shared"))
        os.chown(self.lower("shared"), 0, 5000)
        os.chmod(self.lower("shared"), 0o2777)
        write(self.lower("id"), read("/usr/bin/id"), 0o755)
        os.chown(self.lower("id"), 1234, 1235)
        os.chmod(self.lower("id"), 0o6755)

    def test_sticky(self):
        for change in (lambda: os.unlink(self.path("tmp/of1000")),
                       lambda: os.rename(self.path("tmp/of1000"), self.path("tmp/x"))):
            self.assertErrno(errno.EPERM, as_user, 1001, change)
        as_user(1001, lambda: write(self.path("tmp/of1001")))
        self.assertErrno(errno.EPERM, as_user, 1000, lambda: os.rename(
            self.path("tmp/of1000"), self.path("tmp/of1001")))
        as_user(1000, lambda: os.unlink(self.path("tmp/of1000")))
        self.assertEqual(os.listdir(self.path("tmp")), ["of1001"])

    def test_setgid_directories_hand_their_group_down(self):
        def make():
            write(self.path("shared/f"))
            os.mkdir(self.path("shared/d"))
            os.symlink("x", self.path("shared/l"))
            os.mkfifo(self.path("shared/p"))
        as_user(1000, make)
        for name in "fdlp":
            status = os.lstat(self.path(f"shared/{name}"))
            self.assertEqual((status.st_uid, status.st_gid), (1000, 5000), name)
        self.assertTrue(os.stat(self.path("shared/d")).st_mode & stat.S_ISGID)

    def test_a_stranger_makes_no_setgid_program_of_the_group(self):
        def make():
            os.umask(0)
            os.close(os.open(self.path("shared/sg"), os.O_CREAT | os.O_WRONLY, 0o2775))
        as_user(1000, make)
        self.assertFalse(os.stat(self.path("shared/sg")).st_mode & stat.S_ISGID)

    def test_a_member_makes_setgid_programs_of_the_group(self):
        def make():
            os.umask(0)
            os.close(os.open(self.path("shared/sg"), os.O_CREAT | os.O_WRONLY, 0o6775))
        as_user(1000, make, groups=[5000])
        self.assertEqual(oct(os.stat(self.path("shared/sg")).st_mode), "0o106775")

    def test_chmod_outside_the_group_drops_setgid(self):
        as_user(1000, lambda: write(self.path("shared/g")))
        as_user(1000, lambda: os.chmod(self.path("shared/g"), 0o2755))
        self.assertFalse(os.stat(self.path("shared/g")).st_mode & stat.S_ISGID)

    def ids_of(self, name):
        """What a setuid, setgid program started by uid 1000 runs as."""
        def run():
            out = subprocess.run([self.path(name), "-u"], stdout=subprocess.PIPE, check=True)
            group = subprocess.run([self.path(name), "-g"], stdout=subprocess.PIPE, check=True)
            return int(out.stdout), int(group.stdout)
        return as_user(1000, run)

    def test_setuid_programs_run_as_their_owner(self):
        self.assertEqual(self.ids_of("id"), (1234, 1235))
        os.rename(self.path("id"), self.path("id2"))
        self.assertEqual(self.ids_of("id2"), (1234, 1235))

    def test_a_strangers_write_ends_setuid_at_once(self):
        os.chmod(self.path("id"), 0o6777)
        self.assertEqual(self.ids_of("id"), (1234, 1235))

        def append():
            with open(self.path("id"), "ab") as file:
                file.write(b"\0")
        as_user(1000, append)
        self.assertEqual(self.ids_of("id"), (1000, 1000))

    def test_a_stranger_cannot_end_setuid_by_a_chown_to_the_same(self):
        try:
            as_user(1000, lambda: os.chown(self.path("id"), -1, -1))
        except PermissionError:
            pass
        self.assertEqual(self.ids_of("id"), (1234, 1235))

    def test_a_strangers_truncate_ends_setuid(self):
        for cut in (lambda: os.truncate(self.path("id"), 10),
                    lambda: os.close(os.open(self.path("id"), os.O_WRONLY | os.O_TRUNC))):
            os.chmod(self.path("id"), 0o6777)
            as_user(1000, cut)
            self.assertEqual(stat.S_IMODE(os.stat(self.path("id")).st_mode), 0o777)


if __name__ == "__main__":
    harness.main()
