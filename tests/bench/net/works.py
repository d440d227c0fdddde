"""What is measured. Each work gives {row: figure} for one contestant."""
import json
import re
import time

from world import BULK, CLIENT, DATAGRAMS, HTTP, cpu_seconds, private_bytes, status

GIGA = 1e9


class Works:
    """`seconds`: how long each single measurement takes."""

    def __init__(self, world, seconds):
        self.world, self.seconds = world, seconds

    def bulk(self, one):
        took = {}
        for direction, option in (("up", []), ("down", ["-R"])):
            for streams in (1, 4):
                before = sum(map(cpu_seconds, one.proxies))
                done = json.loads(self.world.client.run(
                    "iperf3", "-J", "-c", one.address, "-p", str(BULK), "-t", str(self.seconds),
                    "-P", str(streams), *option))
                sent = done["end"]["sum_received"]
                row = f"{direction}, {streams} stream{'s' if streams > 1 else ''}"
                took[f"Gbit/s {row}"] = sent["bits_per_second"] / GIGA
                if one.proxies:
                    used = sum(map(cpu_seconds, one.proxies)) - before
                    took[f"CPU ms per GB {row}"] = 1000 * used / (sent["bytes"] / GIGA)
        return took

    def requests(self, one):
        before = sum(map(cpu_seconds, one.proxies))
        done = self._wrk(self.world.client, one.address, 64)
        took = {"requests/s, 64 clients": done["rate"]}
        if one.proxies:
            used = sum(map(cpu_seconds, one.proxies)) - before
            took["CPU µs per request"] = 1e6 * used / (done["rate"] * done["seconds"])
        return took

    def latency(self, one):
        done = self._wrk(self.world.client, one.address, 1)
        return {"latency p50, µs": done["p50"], "latency p99, µs": done["p99"]}

    def connections(self, one):
        close = ["-H", "Connection: close"]
        took = {"connections/s in": self._wrk(self.world.client, one.address, 64, close)["rate"]}
        if one.goes_out:
            took["connections/s out"] = self._wrk(one.place, CLIENT, 64, close)["rate"]
        return took

    def datagrams(self, one):
        if not one.has_datagrams:
            return {}
        program = str(self.world.datagram_program)

        def run(how):
            return float(self.world.client.run(program, how, one.address, str(DATAGRAMS),
                                               str(self.seconds)))
        return {"datagrams/s, one way": run("flood"), "datagrams/s, there and back": run("echo")}

    def idle(self, one):
        """Memory and wake-ups of the proxy while nobody speaks, some time after it has worked."""
        if not one.proxies:
            return {}
        time.sleep(6)
        def wakes():
            return sum(status(pid, "voluntary_ctxt_switches") for pid in one.proxies)
        before, cpu = wakes(), sum(map(cpu_seconds, one.proxies))
        time.sleep(self.seconds)
        return {"idle: private KiB": sum(map(private_bytes, one.proxies)) / 1024,
                "idle: wake-ups/s": (wakes() - before) / self.seconds,
                "idle: CPU µs/s": 1e6 * (sum(map(cpu_seconds, one.proxies)) - cpu) / self.seconds}

    def _wrk(self, place, address, clients, options=()):
        said = place.run("wrk", "-t1", f"-c{clients}", f"-d{self.seconds}s", "--latency", *options,
                         f"http://{address}:{HTTP}/")
        failed = re.search(r"Socket errors: (.*)|Non-2xx.*", said)
        if failed:
            raise AssertionError(f"{address}: {failed.group(0)}")
        seconds = float(re.search(r"requests in ([\d.]+)s", said).group(1))
        return {"rate": float(re.search(r"Requests/sec: +([\d.]+)", said).group(1)),
                "seconds": seconds,
                "p50": microseconds(re.search(r"50% +(\S+)", said).group(1)),
                "p99": microseconds(re.search(r"99% +(\S+)", said).group(1))}


def microseconds(text):
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


ALL = ["bulk", "requests", "latency", "connections", "datagrams", "idle"]
