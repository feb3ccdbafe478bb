"""Does selecting earn its keep? `medsyn evaluate` on the selected set against the unfiltered one, on PneumoniaMNIST.

    python benchmarks/selection_worth.py --data <folder with pneumoniamnist.npz>

The four commands as a user types them, five seeds; the official split. A report tells of the selection whatever its
arms are, so only some are trained.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

from real_data import REAL_DATA

import medsyn
from medsyn import compute

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--n", type=int, default=5000)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        medsyn.ingest(options.data / "pneumoniamnist.npz", workspace=folder)
        medsyn.train_gan(workspace=folder, budget=options.budget)
        made = medsyn.augment(options.n, workspace=folder, balance="equal")
        report = medsyn.evaluate(workspace=folder, seeds=5, ratios=[0.5, 1.0], classical="with").report
    rows = {row.name: row for row in report.fidelity.rows if row.scope == "all"}
    numbers = {
        "command": " ".join(["python benchmarks/selection_worth.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "budget": options.budget,
        "n": made.n,
        "rates": made.rates,
        "selection": report.selection.model_dump(mode="json"),
        "verdict": report.verdict.sentence,
        "fidelity": {
            name: {"kid": row.kid.value if row.kid else None, "coverage": row.coverage, "recall": row.recall}
            for name, row in rows.items()
            if row.kind in ("synthetic", "unfiltered", "floor")
        },
        "seconds": round(time.monotonic() - begun),
    }
    file = ROOT / "benchmarks" / "results" / "selection_worth.json"
    file.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
