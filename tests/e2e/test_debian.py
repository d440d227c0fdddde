#!/usr/bin/env python3
"""A Debian tenant on the host's own primary address: apt works inside, nginx serves to the host,
and what SQLite has committed survives kill -9. tests/e2e/test_distribution.py is the whole of it.

The template's packages come from the host's own mirror.
"""
import os
import signal
import subprocess
import unittest

import harness
from database_writers import SqliteWriter
from debian_tenant import DebianTenant
from harness import fetch, wait_until


class Debian(harness.BaileyTest):
    def test_a_debian_tenant(self):
        web = DebianTenant(self.bailey, "web", "--publish", "80")
        self.assertEqual(web.ok("cat /etc/debian_version")[:3], "12.")
        web.apt("update")
        web.apt("install --no-install-recommends nginx python3")
        self.assertEqual(web.changed_files(), [])
        web.ok("echo 'made by nginx' >/var/www/html/index.html")
        with self.subTest("the package has started its service"):
            wait_until(lambda: "made by nginx" in fetch(web.ip), "nginx serves the page")
        with self.subTest("/etc/rc starts what packages have installed"):
            self.bailey.ok("restart", "web")
            wait_until(lambda: "made by nginx" in fetch(web.ip), "nginx serves the page")
            head = subprocess.run(["curl", "-sI", "--noproxy", "*", f"http://{web.ip}/"],
                                  capture_output=True, text=True).stdout
            self.assertIn("nginx", head)
        with self.subTest("commits survive kill -9"):
            writer = SqliteWriter(web)
            writer.start()
            wait_until(lambda: len(writer.acknowledged) > 50, "commits")
            os.kill(self.bailey.show("web")["initPid"], signal.SIGKILL)
            writer.finish()
            wait_until(lambda: self.bailey.show("web")["state"] == "failed", "the tenant is down")
            self.bailey.ok("start", "web")
            writer.check()
            self.assertEqual(writer.missing(), [])
        self.assertEqual(web.changed_files(), [])


if __name__ == "__main__":
    harness.main()
