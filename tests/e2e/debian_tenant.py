"""What the tests of Debian tenants share: the template, the address, apt, services."""
import json
import subprocess

from harness import Failed


def primary_address():
    """The address from which this host speaks to the world, and to its package mirror."""
    routes = json.loads(subprocess.run(["ip", "-j", "route", "get", "203.0.113.1"], check=True,
                                       capture_output=True, text=True).stdout)
    return routes[0]["prefsrc"]


class DebianTenant:
    """A tenant of the template debian-12 on the host's primary address."""

    def __init__(self, bailey, name, *argv):
        self.bailey, self.name, self.ip = bailey, name, primary_address()
        bailey.ok("template", "create", "debian-12", "--debootstrap", "bookworm", timeout=1800)
        bailey.ok("launch", name, "--ip", self.ip, "--template", "debian-12", *argv)

    def run(self, script, **options):
        """A shell script inside, as root; a Result."""
        options.setdefault("timeout", 900)
        return self.bailey.exec(self.name, "/bin/bash", "-c", script, **options)

    def ok(self, script, **options):
        """Its output; what fails says why. A pipe fails if a part of it does."""
        done = self.run("set -eo pipefail; " + script, **options)
        if done.status != 0:
            raise Failed(f"{done}\n{self.bailey.logs()}")
        return done.out

    def apt(self, words):
        return self.ok(f"DEBIAN_FRONTEND=noninteractive apt-get -y {words} 2>&1")

    def write(self, path, text, mode=0o644):
        self.ok(f"cat >{path} && chmod {mode:o} {path}", input=text)

    def restart(self):
        """Starts it again, whatever state it is in."""
        self.bailey.ok("restart" if self.bailey.show(self.name)["state"] == "running" else "start",
                       self.name)

    def changed_files(self):
        """Of the files that packages brought, those that differ; changed conffiles excepted."""
        lines = self.run("dpkg --verify").out.splitlines()
        return [line for line in lines if line[9:12] != " c "]
