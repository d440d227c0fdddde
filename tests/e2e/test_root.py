#!/usr/bin/env python3
"""What an operator sees of a tenant's root, and what a hostile template can do to anybody."""
import os
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


if __name__ == "__main__":
    harness.main()
