#!/usr/bin/env python3
"""The command line as a person and a script use it: data, messages, exit codes, sessions."""
import csv
import http.client
import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import BIN, wait_until


def unix_http(path):
    connection = http.client.HTTPConnection("bailey")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    return connection


class Cli(harness.BaileyTest):
    def setUp(self):
        super().setUp()
        self.bailey.launch("acme", 2, "--memory", "64M", "--pids", "64")

    def spawn(self, *argv, **options):
        return subprocess.Popen([str(BIN / "bailey"), *argv], env=self.bailey.env, **options)

    # ---- looking
    def test_formats_agree(self):
        table = self.bailey.ok("ls").out.splitlines()
        self.assertEqual(table[0].split(),
                         "NAME STATE IP TEMPLATE CPU MEM TASKS DISK PORTS".split())
        document = self.bailey.ok("-o", "json", "ls").json()
        self.assertEqual((document["apiVersion"], document["kind"]), ("bailey/v1", "Tenant"))
        names = [item["name"] for item in document["items"]]
        self.assertEqual(names, self.bailey.names())
        rows = list(csv.DictReader(io.StringIO(self.bailey.ok("ls", "-o", "csv").out)))
        self.assertEqual([row["name"] for row in rows], names)
        self.assertIn("kind: Tenant\n", self.bailey.ok("ls", "-o", "yaml").out)
        self.assertIn("acme", self.bailey.ok("show", "acme").out)

    def test_messages_are_not_data(self):
        done = self.bailey.ok("create", "quiet", "--ip", self.bailey.ip(3))
        self.assertEqual(done.out, "")
        self.assertIn("quiet", done.err)
        done = self.bailey.ok("rm", "quiet", "-o", "name")
        self.assertEqual(done.out, "quiet\n")

    def test_exit_codes(self):
        run = self.bailey.run
        toml = tempfile.NamedTemporaryFile("w", suffix=".toml")
        toml.write(f'[tenant]\nname = "x"\nip = "{self.bailey.ip(9)}"\ntemplate = "busybox"\n'
                   'foo = 1\n')
        toml.flush()
        for status, argv in [
                (2, ["frobnicate"]), (2, ["launch", "x"]), (2, ["launch", "X", "--ip", "::9"]),
                (2, ["set", "acme", "memory=lots"]), (2, ["create", "-f", "/nonexistent"]),
                (2, ["create", "-f", toml.name]), (3, ["show", "nobody"]),
                (3, ["start", "nobody"]), (3, ["template", "rm", "nobody"]),
                (3, ["launch", "x", "--ip", self.bailey.ip(9), "--template", "nobody"]),
                (4, ["create", "acme", "--ip", self.bailey.ip(9)]),
                (4, ["create", "other", "--ip", self.bailey.ip(2)]),
                (7, ["rm", "acme"]), (7, ["template", "rm", "busybox"]),
                (125, ["exec", "nobody", "--", "true"])]:
            with self.subTest(argv=argv):
                done = run(*argv)
                self.assertEqual(done.status, status, done)
                self.assertTrue(done.err.startswith("bailey: "), done)
                self.assertEqual(done.out, "")
        self.assertIn(f"{toml.name}:5:1: ", run("create", "-f", toml.name).err)
        self.assertEqual(self.bailey.names(), ["acme"], "nothing is left of what failed")

    def test_an_error_as_json(self):
        done = self.bailey.run("show", "nobody", "-o", "json")
        self.assertEqual(done.status, 3)
        self.assertEqual(done.json()["error"]["code"], "not_found")

    def test_the_address_of_another_is_refused_by_its_holder(self):
        done = self.bailey.run("create", "other", "--ip", self.bailey.ip(2))
        self.assertIn("acme", done.err)

    def test_no_daemon(self):
        env = dict(self.bailey.env, BAILEY_RUNTIME_DIR="/nonexistent")
        done = subprocess.run([str(BIN / "bailey"), "ls"], env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 8)
        self.assertIn("baileyd", done.stderr)
        done = subprocess.run([str(BIN / "bailey"), "doctor", "-o", "json"], env=env,
                              capture_output=True, text=True)
        checks = {c["name"]: c["result"] for c in json.loads(done.stdout)["items"]}
        self.assertEqual(checks["daemon"], "warning")
        self.assertEqual(checks["FUSE passthrough"], "ok")

    # ---- life
    def test_spec_from_a_file_and_from_stdin(self):
        spec = (f'[tenant]\nname = "filed"\nip = "{self.bailey.ip(4)}"\ntemplate = "busybox"\n'
                '[limits]\npids = 32\n')
        self.bailey.ok("create", "-f", "-", input=spec)
        self.assertEqual(self.bailey.show("filed")["limits"]["pids"], 32)
        self.assertEqual(self.bailey.show("filed")["state"], "defined")
        self.bailey.ok("rm", "filed")

    def test_a_launch_that_fails_leaves_nothing_and_says_why(self):
        done = self.bailey.run("launch", "broken", "--ip", self.bailey.ip(5), "--",
                               "/no/such/program")
        self.assertNotEqual(done.status, 0)
        self.assertIn("/no/such/program", done.err)
        self.assertNotIn("broken", self.bailey.names())

    def test_set_changes_a_running_tenant(self):
        self.bailey.ok("set", "acme", "memory=32M", "limits.cpu=0.5")
        limits = self.bailey.show("acme")["limits"]
        self.assertEqual((limits["memory"], limits["cpu"]), (32 << 20, 0.5))
        self.bailey.ok("set", "acme", "cpu=", "memory=64M")
        self.assertIsNone(self.bailey.show("acme")["limits"]["cpu"])

    def test_stop_start_restart_of_several(self):
        self.bailey.ok("launch", "second", "--ip", self.bailey.ip(6))
        done = self.bailey.run("stop", "nobody", "second")
        self.assertEqual(done.status, 3, "the failure counts")
        self.assertEqual(self.bailey.show("second")["state"], "stopped", "the rest is done")
        self.bailey.ok("start", "second")
        self.bailey.ok("restart", "second")
        self.assertEqual(self.bailey.show("second")["state"], "running")
        self.bailey.ok("rm", "-f", "second")

    def test_logs(self):
        self.bailey.ok("launch", "talker", "--ip", self.bailey.ip(7), "--", "/bin/sh", "-c",
                       "for i in 1 2 3; do echo line $i; done; while :; do sleep 0.2; echo tick; done")
        wait_until(lambda: "tick" in self.bailey.ok("logs", "talker").out, "the tenant talks")
        self.assertTrue(self.bailey.ok("logs", "talker").out.startswith("line 1\nline 2\n"))
        self.assertEqual(self.bailey.ok("logs", "-n", "1", "talker").out.count("\n"), 1)
        follower = self.spawn("logs", "-f", "-n", "0", "talker", stdout=subprocess.PIPE)
        ticks = [follower.stdout.readline() for _ in range(3)]
        follower.terminate()
        follower.wait()
        follower.stdout.close()
        self.assertEqual(ticks, [b"tick\n"] * 3)
        self.bailey.ok("rm", "--force", "talker")

    # ---- exec
    def test_status_passes_through(self):
        for script, status in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137),
                               ("kill -TERM $$", 143)]:
            self.assertEqual(self.bailey.sh("acme", script).status, status, script)
        self.assertEqual(self.bailey.exec("acme", "nonexistent").status, 127)
        self.assertEqual(self.bailey.exec("acme", "/etc/passwd").status, 126)
        self.assertEqual(self.bailey.exec("acme", "/etc").status, 126)

    def test_streams_are_kept_apart(self):
        done = self.bailey.sh("acme", "echo out; echo err >&2")
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))

    def test_input_and_much_output(self):
        blob = os.urandom(3 << 20)
        done = self.bailey.run("exec", "acme", "--", "cat", text=False, input=blob)
        self.assertEqual(done.out, blob)
        done = self.bailey.run("exec", "-n", "acme", "--", "cat", input="unread")
        self.assertEqual((done.status, done.out), (0, ""), "with -n the input is empty")

    def test_a_background_child_does_not_hold_the_session(self):
        start = time.monotonic()
        done = self.bailey.sh("acme", "sleep 30 & echo started")
        self.assertEqual(done.out, "started\n")
        self.assertLess(time.monotonic() - start, 25)
        self.bailey.sh("acme", "kill $(pidof sleep)")

    def test_user_directory_environment(self):
        done = self.bailey.ok("exec", "-u", "nobody", "-w", "/tmp", "-e", "A=b c", "acme", "--",
                              "sh", "-c", "id -un; pwd; echo $A")
        self.assertEqual(done.out, "nobody\n/tmp\nb c\n")

    def test_signals_are_forwarded(self):
        process = self.spawn("exec", "acme", "--", "sh", "-c",
                             "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.1; done",
                             stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 7)
        self.assertEqual(process.stdout.read(), b"caught\n")
        process.stdout.close()

    def test_an_abandoned_session_ends(self):
        process = self.spawn("exec", "acme", "--", "sh", "-c", "echo ready; exec sleep 7777",
                             stdout=subprocess.PIPE)
        process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        wait_until(lambda: "sleep 7777" not in self.bailey.sh("acme", "ps").out.replace("ps", ""),
                   "the process gets SIGHUP")

    def test_a_terminal(self):
        pid, master = pty.fork()
        if pid == 0:
            os.execve(BIN / "bailey", ["bailey", "shell", "acme"], dict(self.bailey.env, TERM="vt100"))
        import fcntl
        import struct
        import termios
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        seen = b""

        def until(pattern):
            nonlocal seen
            end = time.monotonic() + 30
            while not re.search(pattern, seen):
                ready, _, _ = select.select([master], [], [], max(0, end - time.monotonic()))
                self.assertTrue(ready, f"{pattern} not in {seen}")
                seen += os.read(master, 4096)
            seen = b""
        until(rb"[#$] ")
        os.write(master, b"echo size $(stty size) term $TERM; tty\n")
        until(rb"size 33 101 term vt100\r\n/dev/pts/0\r\n")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        os.write(master, b"sleep 0.2; echo size $(stty size)\n")
        until(rb"size 40 90\r\n")
        os.write(master, b"sleep 100\n")
        time.sleep(0.3)
        os.write(master, b"\x03")  # the key, not a signal to us
        os.write(master, b"exit 9\n")
        while True:
            try:
                if not os.read(master, 4096):
                    break
            except OSError:
                break
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 9)
        os.close(master)

    def test_a_terminal_must_be_there(self):
        done = self.bailey.run("exec", "-it", "acme", "--", "sh")
        self.assertEqual(done.status, 125)
        self.assertIn("terminal", done.err)

    # ---- trust
    def test_every_wall_holds(self):
        done = self.bailey.run("verify", "acme", "-o", "json")
        attempts = done.json()["items"]
        self.assertEqual([a for a in attempts if a["result"] != "PASS"], [])
        self.assertEqual(done.status, 0)
        self.assertGreater(len(attempts), 150)
        walls = {a["wall"] for a in attempts}
        self.assertEqual(walls, {"identity", "mount", "devices", "namespaces", "processes",
                                 "sockets", "destinations", "network", "kernel", "files"})

    def test_verify_of_what_does_not_run(self):
        self.bailey.ok("create", "asleep", "--ip", self.bailey.ip(8))
        self.assertNotEqual(self.bailey.run("verify", "asleep").status, 0)
        self.bailey.ok("rm", "asleep")

    # ---- the API itself
    def test_metrics_and_templates_over_the_socket(self):
        connection = unix_http(self.bailey.home / "run/api.sock")
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertIn(b'bailey_tenant_info{', answer.read())
        connection.request("GET", "/v1/events?tenant=acme")  # the same connection
        events = json.loads(connection.getresponse().read())
        self.assertEqual(events["kind"], "Event")
        self.assertTrue(all(e["tenant"] == "acme" for e in events["items"]))
        connection.request("GET", "/v1/doctor")
        checks = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        self.assertEqual(checks[-1]["kind"], "Check")
        connection.close()


if __name__ == "__main__":
    harness.main()
