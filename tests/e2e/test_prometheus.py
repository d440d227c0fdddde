#!/usr/bin/env python3
"""A real Prometheus scrapes a real baileyd with two tenants: every query of the dashboard has data,
and the shipped rules load."""
import json
import pathlib
import shutil
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import harness
from harness import fetch, wait_until

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DASHBOARD = SOURCE / "monitoring/dashboards/tenants.json"
WINDOW = "20s"  # $__rate_interval at a scrape every second


def queries(node):
    """Every PromQL expression below a node of the dashboard, with its panel's title."""
    if isinstance(node, dict):
        for target in node.get("targets", []):
            if "expr" in target:
                yield node.get("title", "?"), target["expr"]
        for value in node.values():
            yield from queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries(value)


class Prometheus(harness.BaileyTest):
    def start_prometheus(self):
        home = self.bailey.home / "prometheus"
        home.mkdir()
        rules = "\n".join(f"  - {p}" for p in sorted((SOURCE / "monitoring/rules").glob("*.yml")))
        (home / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files:\n{rules}\n"
            "scrape_configs:\n"
            "  - job_name: bailey\n"
            f"    static_configs: [{{targets: ['{self.bailey.metrics}']}}]\n")
        address = f"{self.bailey.net}.1:9090"
        log = open(home / "log", "wb")
        server = subprocess.Popen(
            ["prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
             f"--web.listen-address={address}", "--log.level=warn"],
            stdout=log, stderr=log, preexec_fn=harness.die_with_parent)
        log.close()

        def stop():
            server.terminate()
            server.wait(harness.PATIENCE)
            shutil.rmtree(home)
        self.addCleanup(stop)
        self.api = f"http://{address}/api/v1"
        wait_until(lambda: self.ask("query", query="up{job='bailey'} == 1"), "the first scrape")

    def ask(self, what, **arguments):
        """The result of an API call; None while Prometheus is not up."""
        url = f"{self.api}/{what}?{urllib.parse.urlencode(arguments)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=10) as answer:
                data = json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it listens, and is still reading its own store
                return None
            raise harness.Failed(f"{arguments}: {error.read().decode()}") from error
        except urllib.error.URLError:
            return None
        return data.get("result", data)

    def traffic(self, ips):
        for ip in ips:
            fetch(ip)
        for name in ("alice", "bob"):
            self.bailey.sh(name, "echo x >>/etc/passwd; cat /etc/services >/dev/null; mount /dev/null /mnt; "
                                 "nslookup tenant.invalid; nc -w 1 169.254.169.254 80 </dev/null")

    def test_every_query_of_the_dashboard_has_data(self):
        ips = [self.bailey.launch_web("alice", 2, "--memory", "64M", "--pids", "64", "--cpu", "1"),
               self.bailey.launch_web("bob", 3, "--memory", "64M", "--pids", "64", "--cpu", "1")]
        self.bailey.ok("set", "alice", "limits.connections=1000")
        self.start_prometheus()
        # Counters must move between two scrapes for rate() to speak.
        for _ in range(4):
            self.traffic(ips)
            time.sleep(1)  # scrapes go by the clock
        panels = list(queries(json.loads(DASHBOARD.read_text())))
        self.assertGreater(len(panels), 30)
        for title, query in panels:
            with self.subTest(panel=title, query=query):
                text = (query.replace("$__rate_interval", WINDOW).replace("$tenant", "alice|bob")
                        .replace("$__range", WINDOW).replace("${datasource}", ""))
                self.assertTrue(self.ask("query", query=text), "no data")
        groups = self.ask("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertGreater(len(rules), 5)
        self.assertEqual([r for r in rules if r["health"] == "err"], [])

    def test_the_page_is_well_formed(self):
        self.bailey.launch_web("alice", 2, "--memory", "64M")
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.bailey.page(),
                                 capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


if __name__ == "__main__":
    harness.main()
