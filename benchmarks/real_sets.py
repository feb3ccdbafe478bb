"""The four commands, as a user types them, on real public sets: times and verdicts.

Reads the folder of real scans (CONTRIBUTING.md). Writes benchmarks/results/real_sets.json.

    python benchmarks/real_sets.py [pneumoniamnist] [xray]
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from real_data import REAL_DATA

from medsyn import Workspace, compute
from medsyn.workspace import EVALUATION, read_json

ROOT = Path(__file__).resolve().parents[1]
SETS = {
    "pneumoniamnist": [REAL_DATA / "pneumoniamnist.npz", "--modality", "xray"],
    "xray": [REAL_DATA / "xray", "--labels", REAL_DATA / "xray" / "labels.csv", "--modality", "xray"],
}
STAGES = [
    ["train-gan", "--budget", "3m"],
    ["augment", "--n", "5000", "--balance", "equal"],
    ["evaluate"],
]
ONE_MORE = ["evaluate", *(part for ratio in (0.25, 0.5, 0.75, 1, 2, 5) for part in ("--ratio", str(ratio)))]
"""The same evaluation with one more ratio: what the cache is worth."""


def run(name: str, folder: Path) -> dict[str, Any]:
    """All four commands on one set in a workspace of its own."""
    seconds, workspace = {}, folder / name
    for command in [["ingest", *map(str, SETS[name]), "--name", name], *STAGES]:
        print("medsyn", *command, flush=True)
        begin = time.monotonic()
        subprocess.run([sys.executable, "-m", "medsyn", *command, "--workspace", str(workspace)], check=True)
        seconds[command[0]] = round(time.monotonic() - begin, 1)
    report = read_json(Workspace(workspace).latest(EVALUATION) / EVALUATION.main_file)
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "medsyn", *ONE_MORE, "--workspace", str(workspace)], check=True)
    seconds["evaluate, one more ratio"] = round(time.monotonic() - begin, 1)
    fidelity = {row["name"]: row for row in report["fidelity"]["rows"] if row["scope"] == "all"}
    return {
        "seconds": seconds,
        "verdict": report["verdict"],
        "timings": report["timings"],
        "arms": [
            {k: arm[k] for k in ("classifier", "name", "chosen")}
            | {"val_auroc": arm["val"]["value"] if arm["val"] else None}
            | {
                measure: arm["test"][measure]["value"] if arm["test"] else None
                for measure in ("auroc", "balanced_accuracy", "accuracy", "brier")
            }
            for arm in report["arms"]
        ],
        "fidelity": {
            row: {k: fidelity[row][k] for k in ("precision", "recall", "coverage", "spectrum", "texture")}
            | {"kid": fidelity[row]["kid"]["value"], "c2st": (fidelity[row]["c2st"] or {}).get("value")}
            for row in fidelity
        },
        "selection": report["selection"],
        **{name: report[name]["sentence"] for name in ("copying", "collapse", "labels", "leakage", "shortcut")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", choices=[[], *SETS], help="default: all")
    parser.add_argument("--keep", type=Path, help="keep the workspaces here")
    arguments = parser.parse_args()
    if not (REAL_DATA / "pneumoniamnist.npz").exists():
        sys.exit(f"no real scans at {REAL_DATA}: set MEDSYN_TEST_DATA")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: run(name, arguments.keep or Path(folder)) for name in arguments.sets or SETS}
    numbers = {
        "command": "python benchmarks/real_sets.py",
        "seed": 0,
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "sets": found,
    }
    file = ROOT / "benchmarks" / "results" / "real_sets.json"
    if file.exists():
        numbers["sets"] = read_json(file)["sets"] | found
    file.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
