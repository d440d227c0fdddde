#!/usr/bin/env python3
"""What baileyd promises of itself: desired state is kept, whoever dies, and nobody waits for another."""
import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import subprocess
import unittest

import harness
from harness import fetch, wait_until


class Daemon(harness.BaileyTest):
    def child(self, comm):
        """A child process of the daemon by the name of its program."""
        for entry in pathlib.Path("/proc").iterdir():
            try:
                status = (entry / "status").read_text() if entry.name.isdigit() else ""
            except OSError:
                continue
            if f"Name:\t{comm}\n" in status and f"PPid:\t{self.bailey.daemon_pid()}\n" in status:
                return int(entry.name)
        return None

    def supervisor(self, name):
        directory = str(self.bailey.home / "run/tenants" / name).encode()
        for entry in pathlib.Path("/proc").iterdir():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else [b""]
            except OSError:
                continue
            if argv[0].endswith(b"/bailey-supervisor") and directory in argv:
                return int(entry.name)
        return None

    def state(self, name):
        return self.bailey.show(name)["state"]

    def test_a_tenant_whose_supervisor_died_runs_again_by_itself(self):
        ip = self.bailey.launch_web("alice", 2)
        first = self.bailey.show("alice")["initPid"]
        os.kill(self.supervisor("alice"), signal.SIGKILL)
        wait_until(lambda: self.bailey.show("alice")["initPid"] not in (None, first), "alice runs again")
        wait_until(lambda: fetch(ip).strip() == "page of alice", "alice serves again")
        events = self.bailey.metric("bailey_tenant_starts_total", tenant="alice")
        self.assertEqual(events, 2)

    def test_a_suspended_tenant_is_found_again_and_never_started_anew(self):
        ip = self.bailey.launch_web("alice", 2)
        first = self.bailey.show("alice")["initPid"]
        self.bailey.ok("suspend", "alice")
        self.bailey.kill_daemon(signal.SIGKILL)
        self.bailey.start_daemon()
        wait_until(lambda: self.state("alice") == "suspended", "alice is still suspended")
        self.bailey.ok("resume", "alice")
        self.assertEqual(self.bailey.show("alice")["initPid"], first)
        wait_until(lambda: fetch(ip), "alice serves again")
        # What was frozen has gone with its supervisor: whoever suspended it decides.
        self.bailey.ok("suspend", "alice")
        os.kill(self.supervisor("alice"), signal.SIGKILL)
        wait_until(lambda: self.state("alice") == "failed", "alice has failed")
        self.bailey.kill_daemon(signal.SIGTERM)
        self.bailey.start_daemon()
        self.assertEqual(self.state("alice"), "failed")
        self.bailey.ok("start", "alice")
        wait_until(lambda: fetch(ip), "alice serves once more")

    def test_a_stop_ends_the_attempts_to_start_again(self):
        self.bailey.launch_web("alice", 2)
        os.kill(self.supervisor("alice"), signal.SIGKILL)
        self.bailey.ok("stop", "alice")
        self.assertEqual(self.state("alice"), "stopped")
        self.bailey.kill_daemon(signal.SIGTERM)
        self.bailey.start_daemon()
        self.assertEqual(self.state("alice"), "stopped")

    def test_after_a_reboot_runs_what_ran_and_nothing_else(self):
        ip = self.bailey.launch_web("alice", 2)
        self.bailey.launch_web("bob", 3)
        self.bailey.ok("stop", "bob")
        self.bailey.kill_daemon(signal.SIGKILL)
        # A reboot leaves the state directory, and nothing else.
        for pid in self.bailey.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.bailey.start_daemon()
        wait_until(lambda: self.state("alice") == "running", "alice runs")
        wait_until(lambda: fetch(ip).strip() == "page of alice", "alice serves")
        self.assertEqual(self.state("bob"), "stopped")

    def test_the_api_process_is_replaced_when_it_dies(self):
        self.bailey.launch_web("alice", 2)
        first = self.child("bailey-api")
        self.assertIsNotNone(first)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: self.bailey.run("ls").status == 0, "the API answers again")
        self.assertNotEqual(self.child("bailey-api"), first)
        self.assertEqual(self.state("alice"), "running")

    def test_the_api_process_has_no_privileges(self):
        status = pathlib.Path(f"/proc/{self.child('bailey-api')}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        self.assertNotIn("0", fields["Uid"].split())
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(fields[name], 16), 0, name)
        self.assertEqual((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"))

    def test_many_start_at_once(self):
        self.bailey.make_template()
        names = [f"t{i}" for i in range(8)]
        for i, name in enumerate(names):
            self.bailey.ok("create", name, "--ip", self.bailey.ip(20 + i), "--template", "busybox")
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            done = list(pool.map(lambda name: self.bailey.run("start", name), names))
        self.assertEqual([d.status for d in done], [0] * len(names), done)
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            done = list(pool.map(lambda name: self.bailey.run("rm", "--force", name), names))
        self.assertEqual([d.status for d in done], [0] * len(names), done)
        self.assertNothingLeft()

    def test_starts_and_stops_that_cross_end_as_the_last_one_says(self):
        self.bailey.make_template()
        self.bailey.ok("create", "alice", "--ip", self.bailey.ip(2), "--template", "busybox")
        calls = ["start", "stop", "restart", "start", "stop", "start"] * 3
        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            done = list(pool.map(lambda verb: self.bailey.run(verb, "alice"), calls))
        self.assertEqual({d.status for d in done}, {0}, done)
        self.bailey.ok("stop", "alice")
        self.assertEqual(self.state("alice"), "stopped")
        self.bailey.ok("start", "alice")
        self.assertEqual(self.state("alice"), "running")

    def test_a_stop_is_asked_for_again_by_the_next_daemon(self):
        self.bailey.make_template()
        ip = self.bailey.ip(2)
        script = "trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done"
        self.bailey.ok("launch", "alice", "--ip", ip, "--template", "busybox", "--", "/bin/sh", "-c", script)
        stop = subprocess.Popen([str(harness.BIN / "bailey"), "stop", "alice"], env=self.bailey.env,
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.state("alice") == "stopping", "alice is stopping")
        self.bailey.kill_daemon(signal.SIGKILL)
        stop.wait()
        self.bailey.start_daemon()
        wait_until(lambda: self.state("alice") == "stopped", "alice is stopped")
        self.assertIsNone(self.supervisor("alice"))

    def test_a_second_daemon_is_refused(self):
        done = subprocess.run([str(harness.BIN / "baileyd")], env=self.bailey.env, capture_output=True,
                              text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(self.bailey.daemon_pid()), done.stderr)

    def test_neighbours_are_told_of_those_that_come_and_go(self):
        self.bailey.launch_web("alice", 2)
        ip = self.bailey.launch_web("bob", 3)
        # What bob publishes is open to alice; a port that he does not publish is not there for her.
        wait_until(lambda: self.bailey.sh("alice", f"wget -q -O- http://{ip}/").out.strip() == "page of bob",
                   "alice reads bob's page")
        self.bailey.ok("rm", "--force", "bob")
        self.assertNotEqual(self.bailey.sh("alice", f"wget -q -T 5 -O- http://{ip}/").status, 0)

    def test_a_client_that_says_nothing_holds_up_nobody(self):
        idle = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(self.bailey.home / "run/api.sock"))
            client.send(b"GET /v1/ten")
            idle.append(client)
        self.assertEqual(self.bailey.ok("ls", "-o", "json").json()["items"], [])
        for client in idle:
            client.close()

    def test_events_tell_the_story(self):
        self.bailey.launch_web("alice", 2)
        self.bailey.ok("stop", "alice")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.bailey.home / "run/api.sock"))
        client.send(b"GET /v1/events?tenant=alice HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        client.close()
        items = json.loads(answer.split(b"\r\n\r\n", 1)[1])["items"]
        self.assertEqual([i["kind"] for i in items][-3:], ["created", "started", "stopped"])

    def test_an_idle_daemon_sleeps(self):
        self.bailey.launch_web("alice", 2)

        def switches():
            text = pathlib.Path(f"/proc/{self.bailey.daemon_pid()}/status").read_text()
            return int(text.split("voluntary_ctxt_switches:\t")[1].split()[0])
        # Requests that are under way are over once the figure stands still.
        def stands_still():
            before = switches()
            subprocess.run(["sleep", "2"], check=True)
            return switches() == before
        wait_until(stands_still, "the daemon sleeps")


if __name__ == "__main__":
    harness.main()
