#!/usr/bin/env python3
"""What an operator sees of a tenant's root, and what a hostile template can do to anybody."""
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import unittest

import harness


class Show(harness.BaileyTest):
    def filesystem(self, name):
        return self.bailey.ok("show", name, "--fs", "-o", "json").json()["items"][0]

    def test_the_layers_and_the_counters_of_a_root(self):
        self.bailey.launch("alice", 2, "--", "/bin/sh", "-c", "exec 7</etc/passwd; sleep 1000")
        before = self.filesystem("alice")
        self.assertEqual([layer["kind"] for layer in before["layers"]], ["upper", "template"])
        upper, base = before["layers"]
        self.assertEqual(upper["path"], str(self.bailey.home / "state/tenants/alice/upper"))
        self.assertEqual(base["name"], "busybox@1")
        self.assertEqual(base["path"], str(self.bailey.home / "state/templates/busybox/1/root"))
        self.assertGreater(base["bytes"], 500_000)
        self.assertGreater(base["inodes"], 200)
        self.assertTrue(upper["complete"] and upper["measuredAt"])
        self.assertGreaterEqual(before["counters"]["openFiles"], 1)
        self.bailey.sh("alice", "echo x >>/etc/services; dd if=/dev/zero of=/root/big bs=1M count=8",
                       check=True)
        after = self.filesystem("alice")["counters"]
        self.assertGreater(after["copyUps"], before["counters"]["copyUps"])
        self.assertGreater(after["copyUpBytes"], before["counters"]["copyUpBytes"])
        self.assertGreater(after["passthroughOpens"], before["counters"]["passthroughOpens"])
        self.assertGreater(after["nodes"], 0)
        # For the metrics page the same figures.
        self.assertEqual(self.bailey.metric("bailey_tenant_fs_copy_ups_total", tenant="alice"),
                         after["copyUps"])
        harness.wait_until(lambda: self.filesystem("alice")["layers"][0]["bytes"] >= 8 << 20,
                           "the upper is measured again")
        table = self.bailey.ok("show", "alice", "--fs").out
        for text in ("upper ", "template ", "busybox@1", "copyUps:", base["path"]):
            self.assertIn(text, table)
        self.assertIn("copyUps: ", self.bailey.ok("show", "alice", "--fs", "-o", "yaml").out)
        self.bailey.ok("stop", "alice")
        self.assertIsNone(self.filesystem("alice")["counters"])
        self.assertEqual(self.bailey.run("show", "nobody", "--fs").status, 3)

    def test_a_tenants_server_shows_no_counters_inside(self):
        self.bailey.launch("alice", 2, "--", "/bin/sh", "-c", "sleep 1000")
        root = self.bailey.home / "run/tenants/alice/root"
        with self.assertRaises(OSError):
            os.getxattr(root, "trusted.bailey.counters")


class HostileTemplates(harness.BaileyTest):
    """A generation as its worst author would prepare it, below real tenants."""

    def setUp(self):
        super().setUp()
        self.bailey.make_template()
        self.outside = self.bailey.home / "outside"
        shutil.rmtree(self.outside, ignore_errors=True)
        self.outside.mkdir()
        (self.outside / "precious").write_text("untouched")
        self.addCleanup(self.remove_template)

    def template(self):
        """busybox's root again, as a template of its own."""
        templates = self.bailey.home / "state/templates"
        subprocess.run(["cp", "-a", templates / "busybox", templates / "evil"], check=True)
        about = templates / "evil/1/template.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | {"name": "evil"}))
        return templates / "evil/1/root"

    def remove_template(self):
        for name in self.bailey.names():
            self.bailey.ok("rm", "--force", name)
        if "evil" in self.bailey.ok("template", "ls", "-o", "name").out.split():
            self.bailey.ok("template", "rm", "evil")
        self.assertEqual(self.look(self.outside), self.outside_before)

    def look(self, top):
        found = {}
        for path in [top, *sorted(top.rglob("*"))]:
            st = os.lstat(path)
            marks = {name: os.getxattr(path, name, follow_symlinks=False)
                     for name in os.listxattr(path, follow_symlinks=False)}
            found[str(path)] = (st.st_ino, st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_size,
                                st.st_mtime_ns, st.st_ctime_ns, marks)
        return found

    def launch(self, name, last):
        return self.bailey.run("launch", name, "--ip", self.bailey.ip(last), "--template", "evil",
                               "--", "/bin/sh", "-c", "sleep 1000")

    def fill(self, root):
        outside = str(self.outside)
        for name, kind, device in (("null", stat.S_IFCHR, os.makedev(1, 3)), ("mem", stat.S_IFCHR, os.makedev(1, 1)),
                                   ("disk", stat.S_IFBLK, os.makedev(7, 0)), ("whiteout", stat.S_IFCHR, 0),
                                   ("fifo", stat.S_IFIFO, 0)):
            os.mknod(root / name, kind | 0o666, device)
        for name, target in (("absolute", outside + "/precious"), ("up", "../" * 30 + outside[1:]),
                             ("loop", "loop"), ("procroot", "/proc/self/root/../../..")):
            os.symlink(target, root / name)
        for name in ("new\nline", "\x1b[2J", "n" * 255, "-rf"):
            (root / name).write_text("x")
        for number, value in enumerate((b"/../../outside", b"../outside", b"/nowhere", b"\xff" * 200, b"")):
            directory, file = root / f"d{number}", root / f"f{number}"
            directory.mkdir()
            (directory / "in").write_text("x")
            os.setxattr(directory, "trusted.overlay.redirect", value)
            os.setxattr(directory, "trusted.overlay.opaque", b"y" if number % 2 else b"x")
            file.touch()
            os.truncate(file, 50_000)
            os.setxattr(file, "trusted.overlay.metacopy", b"")
            os.setxattr(file, "trusted.overlay.redirect", value)
        shutil.copy(root / "bin/busybox", root / "bin/busybox-suid")
        os.chmod(root / "bin/busybox-suid", 0o6755)
        shutil.copy(root / "bin/busybox", root / "bin/busybox-capable")
        os.setxattr(root / "bin/busybox-capable", "security.capability",
                    struct.pack("<6I", 0x03000001, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0))
        deep = root
        for _ in range(300):
            deep = deep / "deep"
        deep.mkdir(parents=True)

    def test_nothing_gets_out_of_a_hostile_root(self):
        root = self.template()
        self.fill(root)
        self.outside_before, before = self.look(self.outside), self.look(root)
        for name, last in (("alice", 2), ("bob", 3)):
            done = self.launch(name, last)
            self.assertEqual(done.status, 0, done)
        # Devices: there to be seen, not to be opened, by the root of the tenant or of the host.
        for name in ("null", "mem", "disk"):
            done = self.bailey.sh("alice", f"head -c 1 </{name}")
            self.assertIn("Permission denied", done.err, done)
            with self.assertRaises(PermissionError):
                os.close(os.open(self.bailey.home / f"run/tenants/alice/root/{name}", os.O_RDONLY))
        # Whatever is looked at, read and removed, the tenant and its server go on.
        self.bailey.sh("alice", "find / -xdev -exec ls -ld {} + >/dev/null 2>&1; "
                       "find / -xdev -type f -exec cat {} + >/dev/null 2>&1; "
                       "cat /absolute /up/precious /procroot/etc/shadow >/root/stolen 2>/dev/null; true",
                       check=True)
        self.assertNotIn("untouched", self.bailey.sh("alice", "cat /root/stolen", check=True).out)
        # Setuid is the tenant's own root's.
        done = self.bailey.exec("alice", "/bin/busybox-suid", "id", "-u")
        self.assertEqual(done.out.strip(), "0", done)
        done = self.bailey.run("exec", "alice", "-u", "33", "--", "/bin/busybox-suid", "sh", "-c",
                               "cat /proc/self/uid_map; id -u")
        base = self.bailey.show("alice")["uidBase"]
        self.assertIn(str(base), done.out, done)
        # Capabilities that the tenant cannot have make a program that it cannot execute.
        done = self.bailey.exec("alice", "/bin/busybox-capable", "id")
        self.assertIn("Operation not permitted", done.err, done)
        # Neighbours on one template do not see each other's changes.
        self.bailey.sh("alice", "echo mine >/etc/motd2; chmod 600 /f0 2>/dev/null; rm -rf /d0 /new* /bin/vi",
                       check=True)
        self.assertIn("/bin/vi", self.bailey.sh("bob", "ls /bin/vi /d0", check=True).out)
        self.assertEqual(self.bailey.sh("bob", "cat /etc/motd2").status, 1)
        # A template in use stays; whose it is, is said.
        done = self.bailey.run("template", "rm", "evil")
        self.assertEqual(done.status, 7, done)
        self.assertIn("tenants alice and bob", done.err)
        self.bailey.sh("alice", "rm -rf /* 2>/dev/null; true")
        self.assertEqual(self.bailey.sh("bob", "echo alive", check=True).out, "alive\n")
        self.assertEqual(self.look(root), before)

    def test_places_of_mounts_that_lead_outside(self):
        for name in ("dev", "proc", "sys", "run", "tmp", "etc"):
            with self.subTest(name):
                root = self.template()
                place = root / name
                if place.is_dir():
                    shutil.rmtree(place)
                os.symlink(self.outside, place)
                self.outside_before = self.look(self.outside)
                done = self.launch("alice", 2)
                # Started or refused: never outside.
                self.assertEqual(self.look(self.outside), self.outside_before, done)
                seen = ["self"] + ([self.bailey.show("alice")["initPid"]] if done.status == 0 else [])
                for process in seen:
                    mounts = pathlib.Path(f"/proc/{process}/mountinfo").read_text()
                    self.assertIn(" / ", mounts)
                    self.assertNotIn(str(self.outside), mounts)
                self.assertEqual(os.listdir(self.outside), ["precious"])
                if done.status == 0:
                    self.assertNotIn("precious", self.bailey.sh("alice", f"ls /{name}/").out)
                self.remove_template()


if __name__ == "__main__":
    harness.main()
