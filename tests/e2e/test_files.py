#!/usr/bin/env python3
"""Files through a tenant's root: many small ones come back identical, big ones bypass the server."""
import hashlib
import io
import random
import tarfile
import unittest

import harness

SMALL_FILES = 5155  # as in the project's first measurements


def tree(seed=7):
    """A reproducible tree: path → contents."""
    rng = random.Random(seed)
    files = {}
    while len(files) < SMALL_FILES:
        path = "/".join(f"d{rng.randrange(12)}" for _ in range(rng.randrange(1, 5)))
        files[f"tree/{path}/f{len(files)}"] = rng.randbytes(rng.choice((0, 40, 700, 4096, 9000)))
    return files


def pack(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(data), 0o640, 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: (archive.extractfile(m).read(), m.mode, m.mtime)
                for m in archive.getmembers() if m.isfile()}


class Files(harness.BaileyTest):
    def test_a_tree_of_small_files_comes_back_identical(self):
        self.bailey.launch_web("alice", 2)
        files = tree()
        done = self.bailey.exec("alice", "tar", "-C", "/srv", "-xf", "-", text=False, input=pack(files))
        self.assertEqual(done.status, 0, done)
        for copy in ("tree", "copy"):
            if copy == "copy":
                self.bailey.ok("exec", "alice", "--", "cp", "-a", "/srv/tree", "/srv/copy")
            done = self.bailey.exec("alice", "tar", "-C", "/srv", "-cf", "-", copy, text=False)
            back = unpack(done.out)
            self.assertEqual(len(back), SMALL_FILES)
            for path, data in files.items():
                self.assertEqual(back[path.replace("tree/", copy + "/", 1)], (data, 0o640, 1_600_000_000), path)
        # The same after the server has forgotten everything.
        self.bailey.ok("restart", "alice")
        done = self.bailey.exec("alice", "tar", "-C", "/srv", "-cf", "-", "tree", text=False)
        self.assertEqual({p: d for p, (d, _, _) in unpack(done.out).items()}, files)

    def test_big_files_bypass_the_server(self):
        self.bailey.launch_web("alice", 2)
        before = {kind: self.bailey.metric("bailey_tenant_fs_operations_total", tenant="alice", kind=kind)
                  for kind in ("read", "write")}
        self.bailey.sh("alice", "dd if=/dev/urandom of=/root/big bs=1M count=64 2>/dev/null", check=True)
        inside = self.bailey.sh("alice", "sha256sum </root/big").out.split()[0]
        backing = self.bailey.home / "state/tenants/alice/upper/root/big"
        self.assertEqual(hashlib.sha256(backing.read_bytes()).hexdigest(), inside)
        for kind, count in before.items():
            self.assertEqual(self.bailey.metric("bailey_tenant_fs_operations_total", tenant="alice", kind=kind),
                             count, f"{kind}s went through the server")
        self.assertGreater(self.bailey.metric("bailey_tenant_fs_passthrough_opens_total", tenant="alice"), 0)


if __name__ == "__main__":
    harness.main()
