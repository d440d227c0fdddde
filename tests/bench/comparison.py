"""What the comparisons of file systems share: the contestants, and the table."""
import os
import statistics
import subprocess

KINDS = ["native", "overlay", "fuse-overlayfs", "bailey"]
TITLES = {"overlay": "overlayfs"}


def in_turn(number):
    """All kinds, each run beginning with another."""
    return KINDS[number % len(KINDS):] + KINDS[:number % len(KINDS)]


def table(times):
    """Rows of works: medians, then ratios; best and worst of Bailey's runs beside."""
    head = [TITLES.get(kind, kind) for kind in KINDS]
    lines = ["| work | " + " | ".join(head) + " | bailey ÷ overlayfs | fuse-overlayfs ÷ bailey |"
             " bailey's range |", "|---|" + "---|" * (len(KINDS) + 3)]
    for work, by_kind in times.items():
        median = {kind: statistics.median(by_kind[kind]) for kind in KINDS}
        cells = [f"{median[kind]:.3f}" for kind in KINDS]
        cells += [f"{median['bailey'] / median['overlay']:.2f}",
                  f"{median['fuse-overlayfs'] / median['bailey']:.2f}",
                  f"{min(by_kind['bailey']):.3f}–{max(by_kind['bailey']):.3f}"]
        lines.append(f"| {work} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line),
                     os.uname().machine)
    said = subprocess.run(["fuse-overlayfs", "--version"], capture_output=True, text=True, check=True)
    version = next(line for line in said.stdout.splitlines() if line.startswith("fuse-overlayfs"))
    return (f"Linux {os.uname().release}, {os.cpu_count()} × {model}, {version}, "
            f"load {os.getloadavg()[0]:.1f}")
