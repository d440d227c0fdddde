"""How figures are printed, and the machine that they are from."""
import os
import statistics
import subprocess


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def cell(values, ranges):
    if not values:
        return "–"
    text = number(statistics.median(values))
    return f"{text} ({number(min(values))}–{number(max(values))})" if ranges else text


def table(figures, names, ranges=False):
    """`figures`: row → name → values."""
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row, by_name in figures.items():
        cells = [cell(by_name.get(name, []), ranges) for name in names]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def version(*argv):
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()[0].strip()


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line),
                     os.uname().machine)
    peers = [version("haproxy", "-v").split(" - ")[0], package("passt"), package("slirp4netns")]
    return (f"Linux {os.uname().release}, {os.cpu_count()} × {model}, load "
            f"{os.getloadavg()[0]:.1f}; " + ", ".join(peers))


def package(name):
    return version("dpkg-query", "-W", "-f", "${Package} ${Version}", name)
