#!/usr/bin/env python3
"""What the tenant's root tries from inside: each fails with a clean errno, and is counted where
the wall can see it."""
import os
import subprocess
import unittest

import harness
from harness import wait_until

# name → (program inside, layer of bailey_tenant_denials_total that must have moved, or None where
# the kernel itself refuses before a wall of ours can see it)
ATTEMPTS = {
    "mount a tmpfs": ("mount -t tmpfs none /mnt", "ns"),
    "remount the root": ("mount -o remount,rw /", "ns"),
    "unmount proc": ("umount /proc", "ns"),
    "make a character device": ("mknod /tmp/null c 1 3", "cap"),
    "make a block device": ("mknod /root/vda b 254 0", "cap"),
    "add an address": ("ip addr add 127.77.250.1/32 dev lo", None),
    "change a route": ("ip route add 198.51.100.0/24 dev lo", None),
    "take lo down": ("ip link set lo down", None),
    "ping over a raw socket": ("arping -c 1 -I lo 127.77.250.1", "cap"),
    "a namespace of its own": ("unshare -m true", "ns"),
    "a network namespace": ("unshare -n true", "ns"),
    "another hostname by sysctl": ("echo 1 >/proc/sys/kernel/sysrq", None),
    "the core pattern": ("echo '|/tmp/x' >/proc/sys/kernel/core_pattern", None),
    "more namespaces": ("echo 10 >/proc/sys/user/max_user_namespaces", None),
    "the magic key": ("echo b >/proc/sysrq-trigger", None),
    "the host's clock": ("date -s 2001-01-01 2>&1 | grep -v 'not permitted' | grep set", "cap"),
    "a kernel module": ("echo >/tmp/none.ko; insmod /tmp/none.ko || exit 1", "cap"),
    "the host's kernel log": ("dmesg", "cap"),
    "swap": ("swapon /etc/passwd", "cap"),
    "leaving by chroot": ("chroot /proc/1/root/../.. cat /etc/debian_version", None),
}


class Walls(harness.BaileyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bailey.launch_web("alice", 2)
        cls.bailey.launch_web("bob", 3)

    def _remove_tenants(self):
        pass  # the two stay for every test of this class

    def denials(self, layer):
        return self.bailey.metric("bailey_tenant_denials_total", tenant="alice", layer=layer)

    def test_attempts_of_the_tenants_root(self):
        for what, (script, layer) in ATTEMPTS.items():
            with self.subTest(what):
                before = self.denials(layer) if layer else None
                done = self.bailey.sh("alice", script)
                self.assertNotEqual(done.status, 0, done)
                self.assertLess(done.status, 126, f"not tried at all: {done}")
                if layer:
                    self.assertGreater(self.denials(layer), before, f"{what} is not counted")

    def test_a_device_node_is_refused_and_counted(self):
        before = self.denials("seccomp") + self.denials("fs") + self.denials("cap")
        done = self.bailey.sh("alice", "mknod /root/null c 1 3")
        self.assertIn("Operation not permitted", done.err)
        after = self.denials("seccomp") + self.denials("fs") + self.denials("cap")
        self.assertGreater(after, before)

    def test_processes_of_the_host_are_out_of_reach(self):
        with subprocess.Popen(["sleep", "1000"]) as victim:
            try:
                done = self.bailey.sh("alice", f"kill -9 {victim.pid}")
                self.assertNotEqual(done.status, 0)
                self.assertIn("No such process", done.err)
                # …nor to be seen: only our own pids are in /proc.
                pids = self.bailey.sh("alice", "echo /proc/[0-9]*").out.split()
                self.assertLess(len(pids), 20)
                self.assertIsNone(victim.poll())
                # Killing everything from inside leaves the host's and bob's alone.
                self.bailey.sh("alice", "kill -TERM -1")
                self.assertIsNone(victim.poll())
            finally:
                victim.kill()
        wait_until(lambda: self.bailey.show("bob")["state"] == "running", "bob runs")
        wait_until(lambda: self.bailey.show("alice")["state"] != "running", "alice has ended")
        self.bailey.ok("start", "alice")

    def test_files_of_others_are_out_of_reach(self):
        secret = self.bailey.home / "secret"
        secret.write_text("host only")
        self.bailey.sh("bob", "echo bob only >/root/secret", check=True)
        bob_upper = self.bailey.home / "state/tenants/bob/upper/root/secret"
        self.assertEqual(bob_upper.read_text(), "bob only\n")
        for path in [secret, bob_upper, self.bailey.home / "run/api.sock",
                     "/proc/1/root/../../" + str(secret)]:
            for prefix in ["", "/proc/1/root", "/proc/self/root", "/proc/1/cwd/../../../.."]:
                done = self.bailey.sh("alice", f"cat {prefix}{path}")
                self.assertNotEqual(done.status, 0, f"{prefix}{path}")
                self.assertNotIn("only", done.out)
        # A symlink that the tenant plants means its own root, for the host's view too.
        self.bailey.sh("alice", f"ln -s {secret} /root/link", check=True)
        self.assertNotEqual(self.bailey.sh("alice", "cat /root/link").status, 0)

    def test_ids_inside_are_shifted_outside(self):
        item = self.bailey.show("alice")
        self.bailey.sh("alice", "echo x >/root/mine", check=True)
        status = open(f"/proc/{item['initPid']}/status").read()
        self.assertIn(f"Uid:\t{item['uidBase']}", status)
        upper = self.bailey.home / "state/tenants/alice/upper/root/mine"
        self.assertEqual(os.stat(upper).st_uid, 0)  # disk holds canonical ids
        self.assertEqual(self.bailey.sh("alice", "stat -c %u /root/mine").out.strip(), "0")

    def test_verify_finds_every_wall(self):
        done = self.bailey.run("verify", "alice", "-o", "json")
        self.assertEqual(done.status, 0, done)
        items = done.json()["items"]
        self.assertGreater(len(items), 30)
        self.assertEqual([i for i in items if not i["ok"]], [])


if __name__ == "__main__":
    harness.main()
