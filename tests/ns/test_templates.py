#!/usr/bin/env python3
"""Templates as the builder makes them on this very host: from busybox, from the host's own /usr, and
from archives that mean harm."""
import io
import json
import os
import pathlib
import stat
import subprocess
import tarfile
import tempfile
import unittest

import template_builder
from template_builder import BIN


class Templates(template_builder.TemplateTest):
    def tar(self, *members):
        path = self.folder / "root.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, change in members:
                info = tarfile.TarInfo(name)
                data = change.pop("data", b"")
                info.size = len(data)
                for key, value in change.items():
                    setattr(info, key, value)
                archive.addfile(info, io.BytesIO(data))
        return str(path)

    def test_busybox(self):
        item, root = self.built(name="busybox", kind="busybox")
        self.assertEqual((item["kind"], item["generation"]), ("busybox", 1))
        done = subprocess.run(["chroot", root, "/bin/sh", "-c", "echo $(id -un) && ls /etc"],
                              capture_output=True, text=True, check=True)
        self.assertIn("root", done.stdout)
        self.assertIn("rc", done.stdout.split())
        again = self.build(name="busybox", kind="busybox")
        self.assertEqual(again["error"]["code"], "exists")

    def test_the_hosts_usr_without_its_secrets(self):
        item, root = self.built(name="host", kind="host")
        self.assertEqual(item["binds"], {"usr": "/usr"})
        shadow = (root / "etc/shadow").read_text()
        for line in shadow.splitlines():
            self.assertEqual(line.split(":")[1], "*", "a password hash of the host")
        names = {str(p.relative_to(root)) for p in root.rglob("*")}
        for secret in ("etc/ssh", "etc/machine-id", "etc/fstab", "etc/crontab", "etc/sudoers",
                       "etc/ssl/private", "etc/apt", "etc/hostname", "root/.ssh", "etc/environment"):
            self.assertNotIn(secret, names)
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                self.assertNotIn(b"PRIVATE KEY-----", path.read_bytes(), path)
        # What only the host's root may read in /usr is hidden from the tenant's root too.
        probe = pathlib.Path("/usr/local/etc/bailey-test-key")
        private = [p for p in subprocess.run(
            ["find", "/usr", "-xdev", "-type", "f", "!", "-perm", "-004", "-not", "-path", "/usr/local/etc/*"],
            capture_output=True, text=True).stdout.split("\n") if p]
        hidden = set(item["hide"])
        if probe.parent.exists():
            self.assertIn("usr/local/etc", hidden)
        for path in private:
            above = {path[1:]} | {str(p)[1:] for p in pathlib.Path(path).parents}
            self.assertTrue(above & hidden, f"{path} is not hidden")

    def test_a_hostile_archive_reaches_nothing_outside(self):
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "precious").write_text("untouched")
        link = dict(type=tarfile.SYMTYPE)
        item, root = self.built(name="evil", kind="tar", path=self.tar(
            ("etc", dict(type=tarfile.DIRTYPE, mode=0o755)),
            ("etc/passwd", dict(data=b"root:x:0:0::/root:/bin/sh\n", mode=0o644)),
            ("out", dict(link, linkname=str(outside))),
            (f"{outside}/absolute", dict(data=b"x")),
            ("dev", dict(link, linkname=str(outside))),
            ("proc", dict(link, linkname=str(outside))),
            ("whiteout", dict(type=tarfile.CHRTYPE, devmajor=0, devminor=0)),
            ("disk", dict(type=tarfile.BLKTYPE, devmajor=254, devminor=0, mode=0o666)),
            ("strange\nname", dict(data=b"x")),
            ("n" * 255, dict(data=b"x")),
            ("loop", dict(link, linkname="loop")),
            ("foreign", dict(data=b"x", uid=4_000_000, gid=4_000_000)),
            ("opaque", dict(type=tarfile.DIRTYPE, mode=0o755,
                            pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})),
            ("setuid", dict(data=b"x", mode=0o4755)),
        ))
        self.assertEqual((outside / "precious").read_text(), "untouched")
        self.assertEqual(sorted(p.name for p in outside.iterdir()), ["precious"])
        for entry in ("whiteout", "disk"):
            self.assertFalse(os.path.lexists(root / entry), entry)
        for entry in ("dev", "proc"):
            self.assertTrue(stat.S_ISDIR(os.lstat(root / entry).st_mode), entry)
        self.assertEqual(os.stat(root / "foreign").st_uid, 65534)
        self.assertEqual(os.listxattr(root / "opaque"), [])
        self.assertEqual(stat.S_IMODE(os.stat(root / "setuid").st_mode), 0o4755)
        self.assertTrue((root / "strange\nname").exists())

    def test_packages_may_start_their_services_unless_the_archive_has_a_policy(self):
        debian = [("etc", dict(type=tarfile.DIRTYPE, mode=0o755)),
                  ("usr/sbin/invoke-rc.d", dict(data=b"#!/bin/sh\n", mode=0o755))]
        _, root = self.built(name="debian", kind="tar", path=self.tar(*debian))
        policy = root / "usr/sbin/policy-rc.d"
        self.assertEqual(stat.S_IMODE(os.stat(policy).st_mode), 0o755)
        subprocess.run(["sh", "-n", policy], check=True)
        _, root = self.built(name="own", kind="tar", path=self.tar(
            *debian, ("usr/sbin/policy-rc.d", dict(data=b"exit 101", mode=0o755))))
        self.assertEqual((root / "usr/sbin/policy-rc.d").read_text(), "exit 101")
        _, root = self.built(name="other", kind="tar", path=self.tar(debian[0]))
        self.assertFalse((root / "usr/sbin").exists())

    def test_an_archive_that_writes_through_its_links_is_refused(self):
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "precious").write_text("untouched")
        for members in ([("out", dict(type=tarfile.SYMTYPE, linkname=str(outside))),
                         ("out/precious", dict(data=b"overwritten"))],
                        [("../../../outside/precious", dict(data=b"overwritten"))]):
            answer = self.build(name="evil", kind="tar", path=self.tar(*members))
            self.assertEqual((outside / "precious").read_text(), "untouched")
            if "error" in answer:
                self.assertNothingLeft()
            else:  # the dots were cut off, and the file landed in the root
                self.assertTrue(list((self.state / "templates/evil/1/root").rglob("precious")))

    def test_what_is_no_archive_leaves_nothing(self):
        for name, data in (("noise", os.urandom(5000)), ("empty", b""), ("gzip", b"\x1f\x8b" + os.urandom(500))):
            with self.subTest(name):
                path = self.folder / name
                path.write_bytes(data)
                answer = self.build(name="bad", kind="tar", path=str(path))
                if name == "empty":  # GNU tar takes nothing for an archive of nothing
                    continue
                self.assertIn("error", answer)
                self.assertNothingLeft()
        for path in ("/dev/zero", "/nonexistent.tar", str(self.folder)):
            answer = self.build(name="other", kind="tar", path=path)
            self.assertIn(path, answer["error"]["message"])

    def test_a_killed_builder_leaves_no_template(self):
        with tempfile.TemporaryFile() as body:
            body.write(json.dumps({"name": "host", "kind": "host"}).encode())
            body.seek(0)
            builder = subprocess.Popen(
                [BIN / "bailey-template-builder", "--state", self.state, "--request-fd", str(body.fileno())],
                pass_fds=[body.fileno()], stdout=subprocess.PIPE, env={"PATH": "/usr/bin:/bin"})
            builder.stdout.readline()  # it is at work
            builder.terminate()
            builder.communicate(timeout=60)
        self.assertNothingLeft()


if __name__ == "__main__":
    unittest.main(verbosity=2)
