"""Do synthetic cases help where a class is rare? The whole procedure on real films and slices, every arm opened.

    python benchmarks/rare_class.py [pneumoniamnist] [xray] [mri]

Every repeat draws other training and validation subjects, trains a generator on the training subjects alone, and
trains every arm of `cnn` on them; test is the whole stored test split. All arms are opened on test here, which
`medsyn evaluate` does not do by itself: read those that were not chosen on val as exploration.

- ``pneumoniamnist``: 300 films in training, 15 of them normal; 60 in val, 3 of them normal; official test split.
- ``pneumoniamnist_75_25``: 300 films, 75 of them normal.
- ``mri``: glioma, meningioma, pituitary at 64 px; near-duplicate group as subject, a tenth of the subjects.

Reads the folder of real scans (CONTRIBUTING.md). Writes benchmarks/results/rare_class.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from real_data import REAL_DATA

import medsyn
from medsyn import Workspace, compute

ROOT = Path(__file__).resolve().parents[1]
TUMOURS = ["glioma", "meningioma", "pituitary"]
SETTINGS: dict[str, dict[str, Any]] = {
    "pneumoniamnist": {"rare": {"normal": 15}, "train_subjects": 300},
    "pneumoniamnist_75_25": {"rare": {"normal": 75}, "train_subjects": 300},
    "mri": {"fractions": [0.1]},
}
MEASURES = ("auroc", "auprc", "balanced_accuracy", "accuracy", "brier")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", choices=[[], *SETTINGS], help="default: all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--budget", default="60kimg", help="of each generator")
    parser.add_argument("--keep", type=Path, help="keep the workspaces here")
    options = parser.parse_args()
    if not (REAL_DATA / "pneumoniamnist.npz").exists():
        sys.exit(f"no real scans at {REAL_DATA}: set MEDSYN_TEST_DATA")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: run(name, options, (options.keep or Path(folder)) / name) for name in options.sets or SETTINGS}
    file = ROOT / "benchmarks" / "results" / "rare_class.json"
    earlier = json.loads(file.read_text())["sets"] if file.exists() else {}
    numbers = {
        "command": "python benchmarks/rare_class.py",
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "sets": earlier | found,
    }
    file.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


def run(name: str, options: argparse.Namespace, workspace: Path) -> dict[str, Any]:
    """Ingest and evaluate one set; every arm in every measure."""
    if not Workspace(workspace).path.exists():
        ingest(name, workspace)
    begun = time.monotonic()
    settings = SETTINGS[name] | {
        "seeds": options.seeds,
        "screen": options.seeds,
        "steps": options.steps,
        "generator_budget": options.budget,
        "ratios": [0.25, 0.5, 1, 2, 5],
        "classifiers": ["cnn"],
        "test_arms": "all",
    }
    result = medsyn.evaluate(workspace=workspace, **settings)
    report = result.report
    print(name, report.verdict.sentence, f"({time.monotonic() - begun:.0f} s)", flush=True)
    return {
        "settings": settings,
        "seed": 0,
        "seconds": round(time.monotonic() - begun),
        "timings": report.timings,
        "compared": [s.model_dump() for s in report.compared],
        "verdict": report.verdict.model_dump(),
        "fidelity": [r.model_dump() for r in report.fidelity.rows if r.scope == "all"],
        "copying": report.copying.sentence,
        "arms": [
            {"name": a.name, "kind": a.kind, "chosen": a.chosen, "training_images": a.training_images}
            | {"val_auroc": a.val.value if a.val else None}
            | {m: short(a.test[m]) for m in MEASURES if a.test and m in a.test}
            | {"balanced_accuracy_at_half": short(a.test_at_half["balanced_accuracy"]) if a.test_at_half else None}
            for a in report.arms
        ],
    }


def short(estimate: Any) -> dict[str, float]:
    return {k: round(getattr(estimate, k), 4) for k in ("value", "low", "high")}


def ingest(name: str, workspace: Path) -> None:
    """Put one of the sets into a workspace of its own."""
    if name.startswith("pneumoniamnist"):
        medsyn.ingest(REAL_DATA / "pneumoniamnist.npz", modality="xray", workspace=workspace)
        return
    workspace.mkdir(parents=True, exist_ok=True)
    labels = workspace / "labels.csv"
    with open(REAL_DATA / "mri" / "labels.csv", newline="") as source, open(labels, "w", newline="") as target:
        rows = [row for row in csv.DictReader(source) if row["label"] in TUMOURS]
        writer = csv.DictWriter(target, ["file", "patient_id", "label"], extrasaction="ignore")
        writer.writeheader()
        # No patient is known: near-duplicates share a group, which is the nearest thing to one.
        writer.writerows(row | {"patient_id": row["dup_group"]} for row in rows)
    scans = REAL_DATA / "mri"
    medsyn.ingest(scans, labels=str(labels), modality="mri", size=64, subject_from="file", workspace=workspace)


if __name__ == "__main__":
    main()
