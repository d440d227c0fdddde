#!/usr/bin/env python3
"""A Debian tenant on the host's own primary address: apt works inside, nginx serves to the host.

The template's packages come from the host's own mirror.
"""
import json
import subprocess
import unittest

import harness
from harness import fetch, wait_until


def primary_address():
    """The address from which this host speaks to the world."""
    routes = json.loads(subprocess.run(["ip", "-j", "route", "get", "203.0.113.1"], check=True,
                                       capture_output=True, text=True).stdout)
    return routes[0]["prefsrc"]


class Debian(harness.BaileyTest):
    def test_nginx_from_apt_serves_the_host(self):
        self.bailey.ok("template", "create", "debian-12", "--debootstrap", "bookworm", timeout=1800)
        ip = primary_address()
        self.bailey.ok("launch", "web", "--ip", ip, "--template", "debian-12", "--publish", "80")
        self.assertEqual(self.bailey.sh("web", "cat /etc/debian_version").out[:3], "12.")
        for command in ("apt-get -qq update",
                        "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nginx"):
            done = self.bailey.sh("web", command, timeout=600)
            self.assertEqual(done.status, 0, f"{done}\n{self.bailey.logs()}")
        self.bailey.sh("web", "echo 'made by nginx' >/var/www/html/index.html", check=True)
        self.bailey.ok("restart", "web")  # /etc/rc starts what packages have installed
        wait_until(lambda: "made by nginx" in fetch(ip), "nginx serves the page")
        self.assertIn("nginx", subprocess.run(["curl", "-sI", "--noproxy", "*", f"http://{ip}/"],
                                              capture_output=True, text=True).stdout)
        self.assertEqual(self.bailey.sh("web", "dpkg --verify nginx-common").out, "")


if __name__ == "__main__":
    harness.main()
