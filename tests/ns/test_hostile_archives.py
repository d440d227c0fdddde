#!/usr/bin/env python3
"""Archives that mean harm, made byte by byte where tarfile would not: whatever is in them, a build
writes nothing outside its template, ends in time, and a refused one leaves nothing."""
import os
import pathlib
import stat
import struct
import subprocess
import unittest

import template_builder


def header(name, typeflag=b"0", size=0, mode=b"0000644", link=b"", devices=(0, 0), uid=b"0000000",
           mtime=b"00000000000", user=b"root", magic=b"ustar\x0000"):
    """512 bytes of ustar; `size` may be raw bytes for what no archiver would write."""
    size = size if isinstance(size, bytes) else b"%011o" % size
    block = b"".join([
        name[:100].ljust(100, b"\0"), mode.ljust(8, b"\0"), uid.ljust(8, b"\0"), uid.ljust(8, b"\0"),
        size.ljust(12, b"\0"), mtime.ljust(12, b"\0"), b" " * 8, typeflag, link[:100].ljust(100, b"\0"),
        magic, user.ljust(32, b"\0"), user.ljust(32, b"\0"), b"%07o\0" % devices[0],
        b"%07o\0" % devices[1]]).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def file(name, data=b"x", **more):
    return header(name, size=len(data), **more) + padded(data)


def pax(records, typeflag=b"x"):
    body = b""
    for key, value in records.items():
        line = b" " + key + b"=" + value + b"\n"
        length = len(line) + 1
        while len(str(length)) + len(line) != length:
            length = len(str(length)) + len(line)
        body += str(length).encode() + line
    return header(b"pax", typeflag, len(body)) + padded(body)


def directory(name, **more):
    return header(name, b"5", mode=b"0000755", **more)


class Archives(template_builder.TemplateTest):
    refusal = None

    def setUp(self):
        super().setUp()
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        (self.outside / "precious").write_text("untouched")
        os.setxattr(self.outside / "precious", "user.mark", b"1")
        self.before = self.look_outside()

    def look_outside(self):
        found = []
        for path in (self.outside, *sorted(self.outside.rglob("*"))):
            st = os.lstat(path)
            found.append((str(path), st.st_ino, st.st_mode, st.st_nlink, st.st_size, st.st_uid,
                          st.st_ctime_ns, st.st_mtime_ns))
        return found

    def write(self, *blocks, name="root.tar"):
        path = self.folder / name
        path.write_bytes(b"".join(blocks) + b"\0" * 1024)
        return str(path)

    def attempt(self, *blocks):
        """Builds; either way nothing outside may change. The root, or None when it was refused."""
        answer = self.build(name="evil", kind="tar", path=self.write(*blocks))
        self.assertEqual(self.look_outside(), self.before, answer)
        self.assertNotIn(str(self.folder), pathlib.Path("/proc/self/mountinfo").read_text())
        if "error" in answer:
            self.assertNothingLeft()
            self.refusal = answer["error"]["message"]
            return None
        root = self.state / "templates/evil/1/root"
        self.addCleanup(subprocess.run, ["rm", "-rf", str(self.state / "templates/evil")], check=True)
        self.assertNoTrouble(root)
        return root

    def assertNoTrouble(self, root):
        """What no template from an archive may have."""
        for where, directories, files in os.walk(root):
            for name in directories + files:
                path = os.path.join(where, name)
                st = os.lstat(path)
                self.assertFalse(stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode), path)
                self.assertLessEqual(max(st.st_uid, st.st_gid), 65534, path)
                for attribute in os.listxattr(path, follow_symlinks=False):
                    self.assertTrue(attribute.startswith(("user.", "system.posix_acl_"))
                                    or attribute == "security.capability", (path, attribute))
                self.assertFalse(st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode)
                                 and os.path.samestat(st, os.stat(self.outside / "precious")), path)

    def remake(self):
        subprocess.run(["rm", "-rf", str(self.state / "templates/evil")], check=True)

    def test_hard_links_out_of_the_tree(self):
        target = os.fsencode(self.outside / "precious")
        for link in (target, b"../../../outside/precious", b"../" * 12 + target[1:], b"out/precious",
                     b"/proc/self/root" + target, b"/root/../.." + target):
            with self.subTest(link):
                self.attempt(header(b"out", b"2", link=os.fsencode(self.outside)),
                             header(b"stolen", b"1", link=link),
                             file(b"stolen", b"overwritten"))
                self.remake()

    def test_links_that_lead_out_step_by_step(self):
        where = os.fsencode(self.outside)
        for blocks in (
                [header(b"a", b"2", link=b"."), header(b"a/b", b"2", link=b".."),
                 header(b"a/b/c", b"2", link=b"../.."), file(b"a/b/c/outside/precious")],
                [directory(b"d"), header(b"d", b"2", link=where), file(b"d/precious")],
                [header(b"d", b"2", link=where), directory(b"d"), file(b"d/precious")],
                [header(b"d", b"2", link=where), header(b"d", b"1", link=b"d"), file(b"d/precious")],
                [header(b"f", b"2", link=where + b"/precious"), file(b"f", b"through the link")],
                [header(b"etc", b"2", link=where), file(b"etc/rc")],
                [header(b".", b"2", link=where), file(b"./precious")],
                [pax({b"path": b"../../../outside/precious"}), file(b"x")],
                [pax({b"path": where + b"/precious"}), file(b"x")],
                [pax({b"linkpath": where}), header(b"l", b"2", link=b"inside"), file(b"l/precious")],
                [header(b"././@LongLink", b"K", len(where) + 1), padded(where + b"\0"),
                 header(b"l", b"2"), file(b"l/precious")],
                [header(b"././@LongLink", b"L", 30), padded(b"../../../outside/precious\0\0\0\0\0"),
                 file(b"x")]):
            with self.subTest(blocks[-1][:20]):
                self.attempt(*blocks)
                self.remake()

    def test_entries_that_come_twice(self):
        root = self.attempt(file(b"same", b"first"), file(b"same", b"second"), directory(b"turns"),
                            file(b"turns/x"),
                            header(b"link", b"2", link=b"same"), file(b"link", b"file again"))
        self.assertEqual((root / "same").read_bytes(), b"second")
        self.assertFalse((root / "link").is_symlink())
        self.assertEqual((root / "link").read_bytes(), b"file again")

    def test_attributes_of_an_overlay(self):
        marks = {b"SCHILY.xattr.trusted.overlay." + mark: value for mark, value in (
            (b"opaque", b"y"), (b"redirect", b"/../../etc"), (b"metacopy", b""), (b"impure", b"y"),
            (b"whiteout", b"y"), (b"origin", b"x" * 200))}
        marks |= {b"SCHILY.xattr.trusted.bailey.ino": b"1", b"SCHILY.xattr.security.selinux": b"x",
                  b"SCHILY.xattr.security.ima": b"x", b"SCHILY.xattr.user.kept": b"yes",
                  b"SCHILY.xattr.user.overlay.opaque": b"y"}
        root = self.attempt(pax(marks), directory(b"d"), pax(marks), file(b"f"),
                            pax(marks, b"g"), file(b"later"))
        for name in ("d", "f"):
            self.assertEqual(os.getxattr(root / name, "user.kept"), b"yes")

    def test_file_capabilities_stay(self):
        value = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
        root = self.attempt(pax({b"SCHILY.xattr.security.capability": value}), file(b"ping"))
        self.assertEqual(os.getxattr(root / "ping", "security.capability")[4:8], value[4:8])

    def test_devices_fifos_and_kinds_that_nobody_knows(self):
        root = self.attempt(
            header(b"null", b"3", devices=(1, 3), mode=b"0000666"),
            header(b"whiteout", b"3", devices=(0, 0)), header(b"disk", b"4", devices=(8, 0)),
            header(b"fifo", b"6", mode=b"0000666"),
            file(b"etc/strange", typeflag=b"0", mode=b"0006777"))
        self.assertIsNotNone(root, self.refusal)
        for name in ("null", "whiteout", "disk"):
            self.assertFalse(os.path.lexists(root / name), name)
        self.assertTrue(stat.S_ISFIFO(os.lstat(root / "fifo").st_mode))
        for kind in (b"7", b"V", b"M", b"D", b"N", b"S", b"X", b"Z", b"\xff"):
            with self.subTest(kind):
                self.remake()
                self.attempt(file(b"kind", b"Rename x to /y\0" * 4, typeflag=kind), file(b"after"))

    def test_numbers_that_cannot_be(self):
        negative = b"\xff" * 12
        huge = b"\x80" + b"\0" * 3 + struct.pack(">Q", 1 << 62)
        for blocks in ([header(b"f", size=negative)], [header(b"f", size=huge), b"x" * 512],
                       [header(b"f", size=b"9z9z9z9z9z9\0")],
                       [header(b"pax", b"x", negative)], [header(b"pax", b"x", huge)],
                       [header(b"pax", b"x", 20), padded(b"99999999999 path=x\n")],
                       [header(b"pax", b"x", 12), padded(b"-5 path=xy\n")],
                       [header(b"././@LongLink", b"L", huge)],
                       [pax({b"size": b"-1"}), file(b"f")],
                       [pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
                             b"GNU.sparse.realsize": b"-9"}), file(b"f", b"1\n0\n-5\n".ljust(512))],
                       [pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0",
                             b"GNU.sparse.realsize": b"100"}), file(b"f", b"999999999\n0\n5\n".ljust(512))]):
            with self.subTest(blocks[0][:10], size=blocks[0][124:136]):
                self.attempt(*blocks)
                self.remake()
        root = self.attempt(file(b"old", mtime=negative), file(b"owner", uid=b"\xff" * 8),
                            pax({b"mtime": b"99999999999999999999", b"uid": b"-7"}), file(b"pax"))
        if root is not None:
            self.assertTrue((root / "old").exists())

    def test_a_file_of_holes_takes_no_space(self):
        size = 1 << 40
        root = self.attempt(
            pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"holes",
                 b"GNU.sparse.realsize": str(size).encode()}),
            file(b"x", (b"1\n%d\n1\n" % (size - 1)).ljust(512, b"\0") + b"e"))
        self.assertEqual(os.stat(root / "holes").st_size, size)
        self.assertLess(os.stat(root / "holes").st_blocks, 1000)

    def test_names_of_every_kind(self):
        names = [b"new\nline", b"\x1b[2Jescape", b"\x01\x02", b"\xff\xfe\x80", b"-rf", b"--help", b" ",
                 b"a" * 100, b"quote'\"`$(id)", b"back\\slash", b"*?[x]", b"%s%n"]
        root = self.attempt(*[file(name) for name in names],
                            pax({b"path": b"p" * 255}), file(b"x"),
                            header(b"loop1", b"2", link=b"loop2"), header(b"loop2", b"2", link=b"loop1"),
                            header(b"self", b"2", link=b"self"), header(b"up", b"2", link=b"../../../.."),
                            header(b"abs", b"2", link=b"/etc/shadow"))
        found = os.listdir(os.fsencode(root))
        for name in names + [b"p" * 255]:
            self.assertIn(name, found)
        self.assertIsNone(self.again_with(pax({b"path": b"p" * 256}), file(b"x")))

    def again_with(self, *blocks):
        self.remake()
        return self.attempt(*blocks)

    def test_directories_too_deep_for_anybody(self):
        self.assertIsNone(self.attempt(pax({b"path": b"d/" * 600 + b"f"}), file(b"x")))
        self.assertIsNone(self.again_with(pax({b"path": b"d/" * 10_000 + b"f"}), file(b"x")))
        # Through a link, tar gets deeper than any path.
        blocks = []
        for _ in range(8):
            blocks += [pax({b"path": b"d/" * 1500}), directory(b"x")]
        self.assertIsNone(self.again_with(*blocks))

    def test_the_root_of_the_archive_itself(self):
        root = self.attempt(pax({b"SCHILY.xattr.trusted.overlay.opaque": b"y"}),
                            directory(b"./", uid=b"0003720"), file(b"./f"), directory(b"/"))
        self.assertIsNotNone(root, self.refusal)
        self.assertEqual(os.listxattr(root), [])
        self.assertIsNone(self.again_with(file(b"f"), directory(b"../")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
