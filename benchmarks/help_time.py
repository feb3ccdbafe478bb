"""Processor time of `medsyn --help`: user and system of a process of its own, which a loaded machine does not hide.

    python benchmarks/help_time.py --runs 20

The bar is 0.5 s. Beside it, a bare interpreter on the same machine at the same time: what no command can save.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import medsyn

ROOT = Path(__file__).resolve().parents[1]
BAR = 0.5
COMMANDS = {"medsyn --help": ["-m", "medsyn", "--help"], "python": ["-c", "pass"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()

    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for arguments in COMMANDS.values():  # what is compiled, and what is in the disk's cache, stays there
        seconds(arguments)
    for _ in range(options.runs):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    found = {
        "runs": options.runs,
        "bar_s": BAR,
        "within": statistics.median(taken["medsyn --help"]) <= BAR,
        "commands": {
            name: {"median_s": round(statistics.median(s), 3), "low_s": round(min(s), 3), "high_s": round(max(s), 3)}
            for name, s in taken.items()
        },
        "versions": {"medsyn": medsyn.__version__, "python": platform.python_version()},
        "processors": os.cpu_count(),
    }
    file = ROOT / "benchmarks" / "results" / "help_time.json"
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(file.read_text(encoding="utf-8"))


def seconds(arguments: list[str]) -> float:
    """User and system seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
