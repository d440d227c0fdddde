#!/usr/bin/env python3
"""A tenant's life through the command line, as the README tells it."""
import json
import os
import signal
import subprocess
import unittest

import harness
from harness import fetch, wait_until


class Life(harness.BaileyTest):
    def test_two_tenants_serve_their_own_pages(self):
        alice = self.bailey.launch_web("alice", 2)
        bob = self.bailey.launch_web("bob", 3)
        self.assertEqual(fetch(alice).strip(), "page of alice")
        self.assertEqual(fetch(bob).strip(), "page of bob")
        items = self.bailey.ok("ls", "-o", "json").json()["items"]
        self.assertEqual([(i["name"], i["state"], i["ip"]) for i in items],
                         [("alice", "running", alice), ("bob", "running", bob)])
        # Each sees its own processes and files alone.
        self.assertNotIn("httpd -f -v -p 0.0.0.0:80 -h /srv/bob", self.bailey.sh("alice", "ps").out)
        self.assertEqual(self.bailey.sh("alice", "hostname").out.strip(), "alice")

    def test_stop_start_keeps_what_the_tenant_wrote(self):
        ip = self.bailey.launch_web("alice", 2)
        self.bailey.sh("alice", "echo kept >/root/note; rm /etc/services", check=True)
        self.bailey.ok("stop", "alice")
        self.assertEqual(self.bailey.show("alice")["state"], "stopped")
        self.assertEqual(fetch(ip), "")
        self.bailey.ok("start", "alice")
        wait_until(lambda: fetch(ip), "alice serves again")
        self.assertEqual(self.bailey.sh("alice", "cat /root/note").out.strip(), "kept")
        self.assertNotEqual(self.bailey.sh("alice", "cat /etc/services").status, 0)
        self.bailey.ok("restart", "alice")
        wait_until(lambda: fetch(ip), "alice serves once more")
        self.assertEqual(self.bailey.sh("alice", "cat /root/note").out.strip(), "kept")

    def test_start_and_stop_twice_are_the_same_as_once(self):
        self.bailey.launch_web("alice", 2)
        self.bailey.ok("start", "alice")
        self.bailey.ok("stop", "alice")
        self.bailey.ok("stop", "alice")

    def test_a_suspended_tenant_stands_still(self):
        ip = self.bailey.launch_web("alice", 2)
        self.assertEqual(self.bailey.ok("suspend", "alice", "-o", "json").json()["items"][0]["state"], "suspended")
        self.assertEqual(self.bailey.show("alice")["state"], "suspended")
        self.assertEqual(self.bailey.metric("bailey_tenant_state", tenant="alice", state="suspended"), 1)
        self.bailey.ok("suspend", "alice")
        for verb in (("exec", "alice", "--", "true"), ("start", "alice")):
            refused = self.bailey.run(*verb)
            self.assertNotEqual(refused.status, 0)
            self.assertIn("bailey resume alice", refused.err)
        self.bailey.ok("set", "alice", "pids=77")
        self.bailey.ok("resume", "alice")
        wait_until(lambda: fetch(ip), "alice serves again")
        self.assertEqual(self.bailey.show("alice")["limits"]["pids"], 77)
        self.bailey.ok("suspend", "alice")
        self.bailey.ok("restart", "alice")
        wait_until(lambda: fetch(ip), "alice serves once more")
        self.bailey.ok("suspend", "alice")
        self.bailey.ok("stop", "alice")
        self.assertEqual(self.bailey.run("suspend", "alice").status, 10)
        self.bailey.ok("rm", "alice")
        self.assertNothingLeft()

    def test_a_tenant_reboots_and_powers_off(self):
        ip = self.bailey.launch_web("alice", 2)
        first = self.bailey.show("alice")["initPid"]
        self.bailey.sh("alice", "reboot")
        wait_until(lambda: self.bailey.show("alice")["initPid"] not in (None, first), "alice runs again")
        wait_until(lambda: fetch(ip).strip() == "page of alice", "alice serves again")
        self.bailey.sh("alice", "poweroff")
        wait_until(lambda: self.bailey.show("alice")["state"] == "stopped", "alice is off")
        self.assertIsNone(self.bailey.show("alice")["error"])

    def test_rm_leaves_nothing(self):
        self.bailey.launch_web("alice", 2)
        refused = self.bailey.run("rm", "alice")
        self.assertEqual(refused.status, 7, refused)
        self.assertIn("--force", refused.err)
        self.bailey.ok("rm", "--force", "alice")
        self.assertEqual(self.bailey.run("show", "alice").status, 3)
        self.assertNothingLeft()

    def test_exec_passes_the_status_and_the_streams(self):
        self.bailey.launch_web("alice", 2)
        self.assertEqual(self.bailey.sh("alice", "exit 7").status, 7)
        self.assertEqual(self.bailey.sh("alice", "kill -9 $$").status, 137)
        self.assertEqual(self.bailey.exec("alice", "/nonexistent").status, 127)
        self.assertEqual(self.bailey.exec("alice", "/etc/passwd").status, 126)
        both = self.bailey.sh("alice", "echo out; echo err >&2")
        self.assertEqual((both.out, both.err), ("out\n", "err\n"))
        big = os.urandom(3 << 20)
        through = self.bailey.exec("alice", "cat", text=False, input=big)
        self.assertEqual(through.out, big)
        self.assertEqual(self.bailey.run("exec", "alice", "--user", "nobody", "--", "id", "-un").out.strip(), "nobody")

    def test_exec_is_in_the_tenants_cgroup_and_dies_with_its_client(self):
        self.bailey.launch_web("alice", 2)
        client = subprocess.Popen([str(harness.BIN / "bailey"), "exec", "alice", "--", "sleep", "4242"],
                                  env=self.bailey.env, stdin=subprocess.DEVNULL)
        find = "ps -o pid,args | grep '[s]leep 4242'"
        wait_until(lambda: self.bailey.sh("alice", find).out, "sleep runs")
        client.send_signal(signal.SIGKILL)
        client.wait()
        wait_until(lambda: not self.bailey.sh("alice", find).out, "sleep is gone")

    def test_logs_show_what_the_start_command_wrote(self):
        ip = self.bailey.launch("alice", 2, "--", "/bin/sh", "-c", "echo hello from inside; exec sleep 1000")
        wait_until(lambda: "hello from inside" in self.bailey.ok("logs", "alice").out, "the line is logged")
        del ip

    def test_a_start_command_that_ends_stops_the_tenant(self):
        self.bailey.make_template()
        self.bailey.ok("create", "short", "--ip", self.bailey.ip(4), "--template", "busybox",
                       "--", "/bin/sh", "-c", "sleep 0.2; exit 3")
        self.bailey.run("start", "short")
        wait_until(lambda: self.bailey.show("short")["state"] in ("failed", "stopped"), "short has ended")
        self.bailey.ok("rm", "--force", "short")
        self.assertNothingLeft()

    def test_limits_hold_inside_and_change_live(self):
        self.bailey.launch_web("alice", 2, "--memory", "64M", "--pids", "64", "--cpu", "0.5")
        limits = self.bailey.show("alice")["limits"]
        self.assertEqual((limits["memory"], limits["pids"], limits["cpu"]), (64 << 20, 64, 0.5))
        self.bailey.ok("set", "alice", "limits.memory=96M")
        self.assertEqual(self.bailey.show("alice")["limits"]["memory"], 96 << 20)
        self.assertEqual(self.bailey.metric("bailey_tenant_memory_limit_bytes", tenant="alice"), 96 << 20)

    def test_output_formats(self):
        self.bailey.launch_web("alice", 2)
        answer = json.loads(self.bailey.ok("show", "alice", "-o", "json").out)
        self.assertEqual((answer["apiVersion"], answer["kind"]), ("bailey/v1", "Tenant"))
        self.assertIn("alice", self.bailey.ok("ls", "-o", "csv").out)
        self.assertIn("alice", self.bailey.ok("ls", "-o", "yaml").out)
        self.assertEqual(self.bailey.ok("ls", "-o", "name").out, "alice\n")
        self.assertRegex(self.bailey.ok("ls").out, r"(?m)^NAME +STATE")

    def test_doctor_and_verify(self):
        self.bailey.launch_web("alice", 2)
        doctor = self.bailey.run("doctor", "-o", "json")
        self.assertEqual(doctor.status, 0, doctor)
        verify = self.bailey.run("verify", "alice")
        self.assertEqual(verify.status, 0, verify)


if __name__ == "__main__":
    harness.main()
