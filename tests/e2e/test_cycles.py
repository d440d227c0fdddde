#!/usr/bin/env python3
"""Launch and remove, again and again: the host is afterwards exactly as before.

    test_cycles.py [CYCLES]      default 12; the campaign is 200
"""
import os
import sys
import unittest

import harness
from harness import fetch

CYCLES = 12


def namespaces():
    """How many namespaces of each kind processes of this host are in."""
    kinds = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for kind in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup"):
                try:
                    kinds.setdefault(kind, set()).add(os.readlink(f"/proc/{entry}/ns/{kind}"))
                except OSError:
                    pass
    return kinds


class Cycles(harness.BaileyTest):
    def test_cycles_leave_the_host_as_it_was(self):
        def cycle():
            ip = self.bailey.launch_web("alice", 2)
            self.assertIn("alice", fetch(ip))
            self.bailey.ok("rm", "--force", "alice")
        cycle()  # what is made once and kept (caches, the cgroup of the instance) is there now
        before = self.bailey.leftovers()
        fds = self.bailey.daemon_fds()
        ours = {os.readlink(f"/proc/{self.bailey.daemon.pid}/ns/net")}
        for _ in range(CYCLES):
            cycle()
        self.assertEqual(self.bailey.leftovers(), before)
        self.assertEqual(self.bailey.daemon_fds(), fds)
        # Nobody is left in a user namespace of a tenant of ours: its processes are all gone.
        self.assertFalse(self.bailey.processes())
        self.assertTrue(ours <= namespaces()["net"])
        self.assertNothingLeft()


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].isdigit():
        CYCLES = int(sys.argv.pop(1))
    harness.main()
