#!/usr/bin/env python3
"""A Debian tenant on the host's own primary address: apt works inside, nginx serves to the host.

The template's packages come from the host's own mirror. What debootstrap made is kept, packed, in
BAILEY_E2E_CACHE (default /var/cache/bailey-e2e), so that later runs do not download it again.
"""
import json
import os
import pathlib
import subprocess
import unittest

import harness
from harness import fetch, wait_until

CACHE = pathlib.Path(os.environ.get("BAILEY_E2E_CACHE", "/var/cache/bailey-e2e"))


def primary_address():
    """The address from which this host speaks to the world, and its interface."""
    routes = json.loads(subprocess.run(["ip", "-j", "route", "get", "203.0.113.1"], check=True,
                                       capture_output=True, text=True).stdout)
    return routes[0]["prefsrc"]


class Debian(harness.BaileyTest):
    def make_debian(self):
        archive = CACHE / "bookworm.tar"
        if not archive.exists():
            self.bailey.ok("template", "create", "fresh", "--debootstrap", "bookworm", timeout=1800)
            root = next((self.bailey.home / "state/templates/fresh").glob("*/root"))
            CACHE.mkdir(parents=True, exist_ok=True)
            partial = archive.with_suffix(f".{os.getpid()}")
            subprocess.run(["tar", "--numeric-owner", "--xattrs", "-C", root, "-cf", partial, "."], check=True)
            partial.rename(archive)
            return "fresh"
        self.bailey.ok("template", "create", "debian-12", "--tar", archive, timeout=600)
        return "debian-12"

    def test_nginx_from_apt_serves_the_host(self):
        template = self.make_debian()
        ip = primary_address()
        self.bailey.ok("launch", "web", "--ip", ip, "--template", template, "--publish", "80")
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
