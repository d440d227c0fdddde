#!/usr/bin/env python3
"""Bad input, and faults: refused with a reason that helps, nothing left behind, neighbours unharmed."""
import os
import pathlib
import signal
import unittest

import harness
from harness import fetch, wait_until


class BadInput(harness.BaileyTest):
    def setUp(self):
        super().setUp()
        self.bailey.make_template()

    def refuse(self, status, *argv, says=(), **options):
        done = self.bailey.run(*argv, **options)
        self.assertEqual(done.status, status, done)
        for text in says:
            self.assertIn(text, done.err, done)
        self.assertEqual(done.out, "")
        return done

    def create_from(self, text):
        path = self.bailey.home / "spec.toml"
        path.write_text(text)
        return ["create", "-f", path]

    def spec(self, tenant="", rest=""):
        return (f'[tenant]\nname = "web"\nip = "{self.bailey.ip(9)}"\ntemplate = "busybox"\n{tenant}\n{rest}\n')

    def test_an_ip_that_is_pinned_names_its_holder(self):
        ip = self.bailey.launch_web("alice", 2)
        self.refuse(4, "create", "mallory", "--ip", ip, "--template", "busybox", says=["alice", ip])
        self.refuse(4, "launch", "mallory", "--ip", ip, "--template", "busybox", says=["alice"])
        self.assertEqual(self.bailey.names(), ["alice"])

    def test_a_name_that_is_taken(self):
        self.bailey.launch_web("alice", 2)
        self.refuse(4, "create", "alice", "--ip", self.bailey.ip(5), "--template", "busybox", says=["alice"])

    def test_specs_are_refused_with_their_position(self):
        cases = [
            (self.spec(tenant='hostnam = "x"'), ["5:", "hostnam", "hostname"]),
            (self.spec(rest='[limits]\nmemory = "12Q"'), ["7:", "memory", "12Q"]),
            (self.spec(rest="[limits]\ncpu = -1"), ["7:", "cpu"]),
            (self.spec(rest="[limitz]\ncpu = 1"), ["limitz", "limits"]),
            (self.spec(rest='[network]\negress = { deny = ["nonsense"] }'), ["7:", "nonsense"]),
            (self.spec(rest='[process]\nrestart = "sometimes"'), ["7:", "restart"]),
            (self.spec().replace("web", "Web_1"), ["2:", "Web_1"]),
            (self.spec().replace(self.bailey.ip(9), "300.1.2.3"), ["3:", "300.1.2.3"]),
            ("[tenant\n", ["1:"]),
        ]
        for text, says in cases:
            with self.subTest(text):
                self.refuse(2, *self.create_from(text), says=says)
        self.assertEqual(self.bailey.names(), [])
        self.assertNothingLeft()

    def test_flags_are_refused_likewise(self):
        ip = self.bailey.ip(9)
        self.refuse(2, "create", "Web", "--ip", ip, "--template", "busybox", says=["Web"])
        self.refuse(2, "create", "web", "--ip", "nowhere", "--template", "busybox", says=["nowhere"])
        self.refuse(2, "create", "web", "--ip", ip, "--template", "busybox", "--memory", "lots", says=["lots"])
        self.refuse(3, "create", "web", "--ip", ip, "--template", "nothere", says=["nothere", "template"])
        self.refuse(3, "start", "nobody", says=["nobody"])
        # 125 to 127 are exec's own: every other status is the command's.
        self.refuse(125, "exec", "nobody", "--", "true", says=["nobody"])
        self.refuse(2, "frobnicate")
        self.assertNothingLeft()

    def test_a_set_that_is_refused_changes_nothing(self):
        self.bailey.launch_web("alice", 2, "--memory", "64M")
        self.refuse(2, "set", "alice", "limits.memory=much", says=["much"])
        self.refuse(2, "set", "alice", "limits.colour=red", says=["colour"])
        self.assertEqual(self.bailey.show("alice")["limits"]["memory"], 64 << 20)

    def test_a_start_that_fails_is_rolled_back(self):
        # An address that the host lacks, and no interface to add it to.
        done = self.bailey.run("launch", "web", "--ip", "198.51.100.77", "--template", "busybox")
        self.assertEqual(done.status, 10, done)
        self.assertIn("198.51.100.77", done.err)
        self.assertEqual(self.bailey.names(), [])
        self.assertNothingLeft()
        # A start command that is not there.
        done = self.bailey.run("launch", "web", "--ip", self.bailey.ip(9), "--template", "busybox",
                               "--", "/no/such/program")
        self.assertEqual(done.status, 10, done)
        self.assertIn("/no/such/program", done.err)
        self.assertEqual(self.bailey.names(), [])
        self.assertNothingLeft()

    def test_without_a_daemon(self):
        self.bailey.kill_daemon(signal.SIGTERM)
        try:
            done = self.bailey.run("ls")
            self.assertEqual(done.status, 8, done)
            self.assertIn("baileyd", done.err)
        finally:
            self.bailey.start_daemon()


class Faults(harness.BaileyTest):
    def test_tenants_outlive_the_daemon(self):
        ip = self.bailey.launch_web("alice", 2)
        init = self.bailey.show("alice")["initPid"]
        self.bailey.kill_daemon(signal.SIGKILL)
        self.assertEqual(fetch(ip).strip(), "page of alice")
        self.bailey.start_daemon()
        item = self.bailey.show("alice")
        self.assertEqual((item["state"], item["initPid"]), ("running", init))
        self.assertEqual(self.bailey.sh("alice", "echo still").out, "still\n")
        self.assertIsNotNone(self.bailey.metric("bailey_tenant_tasks", tenant="alice"))
        self.bailey.ok("rm", "--force", "alice")
        self.assertNothingLeft()

    def victims(self, name):
        """The processes around one tenant, by the name of their program."""
        found = {}
        for pid in self.bailey.processes() | {self.bailey.show(name)["initPid"]}:
            try:
                found.setdefault(pathlib.Path(f"/proc/{pid}/comm").read_text().strip(), pid)
            except FileNotFoundError:
                pass
        return found

    def test_kill_9_of_any_process_leaves_what_the_next_start_cleans_up(self):
        self.bailey.launch_web("alice", 2)
        kinds = sorted(self.victims("alice"))
        for kind in ("bailey-supervis", "bailey-fs", "bailey-netproxy", "bailey-init"):
            self.assertIn(kind, kinds)
        for kind in kinds:
            with self.subTest(kind):
                pid = self.victims("alice").get(kind)
                if pid is None:
                    continue
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"{kind} is gone")

                def settled():
                    state = self.bailey.show("alice")["state"]
                    return state in ("running", "stopped", "failed") and state
                wait_until(settled, "a state that lasts")
                # The supervisor or the daemon may need a moment to notice.
                wait_until(lambda: self.bailey.run("start", "alice").status == 0, "alice starts")
                wait_until(lambda: fetch(self.bailey.ip(2)).strip() == "page of alice", "alice serves")
        self.bailey.ok("rm", "--force", "alice")
        self.assertNothingLeft()

    def test_everything_killed_at_once(self):
        self.bailey.launch_web("alice", 2)
        for pid in self.bailey.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # went with one before it
        self.bailey.kill_daemon(signal.SIGKILL)
        self.bailey.start_daemon()
        wait_until(lambda: self.bailey.run("start", "alice").status == 0, "alice starts")
        wait_until(lambda: fetch(self.bailey.ip(2)), "alice serves")
        self.bailey.ok("rm", "--force", "alice")
        self.assertNothingLeft()

    def test_memory_and_forks_without_end_hurt_only_their_tenant(self):
        bob = self.bailey.launch_web("bob", 3)
        self.bailey.launch_web("alice", 2, "--memory", "48M", "--pids", "40")
        hog = self.bailey.sh("alice", "tail /dev/zero")
        self.assertIn(hog.status, (137, 1), hog)
        self.assertGreater(self.bailey.metric("bailey_tenant_oom_kills_total", tenant="alice"), 0)
        self.bailey.sh("alice", "f() { f | f & }; f; sleep 1", timeout=60)
        wait_until(lambda: (self.bailey.metric("bailey_tenant_forks_refused_total", tenant="alice") or 0) > 0,
                   "refused forks are counted")
        self.assertLessEqual(self.bailey.metric("bailey_tenant_tasks", tenant="alice"), 40)
        self.assertEqual(fetch(bob).strip(), "page of bob")
        self.assertEqual(self.bailey.metric("bailey_tenant_oom_kills_total", tenant="bob"), 0)
        self.bailey.ok("rm", "--force", "alice")
        self.assertEqual(fetch(bob).strip(), "page of bob")


if __name__ == "__main__":
    harness.main()
