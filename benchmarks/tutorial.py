"""The tutorial, done: what the commands of docs/pages/tutorial.md say and take on PneumoniaMNIST, and its pictures.

Runs them as they stand there, in a folder that is thrown away (or --folder, kept), on pneumoniamnist.npz in
$MEDSYN_TEST_DATA, or ../shared/datasets beside the repository. Writes benchmarks/results/tutorial.json and
docs/pages/figures/tutorial_*.png: films are generated, none is a patient's.

    python benchmarks/tutorial.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from demo import ACCENT, INK, MUTED

from medsyn import Workspace, compute
from medsyn.evaluate.results import Report
from medsyn.workspace import EVALUATION, SYNTHETIC

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pages" / "tutorial.md"
FIGURES = ROOT / "docs" / "pages" / "figures"
DATA = Path(os.environ.get("MEDSYN_TEST_DATA", ROOT.parent / "shared" / "datasets")) / "pneumoniamnist.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA, folder)
        done = [
            run(line, folder) for line in re.findall(r"^medsyn .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        ]
        workspace = Workspace(folder / "medsyn-workspace")
        shutil.copy(workspace.latest(SYNTHETIC) / "contact_sheet.png", FIGURES / "tutorial_set.png")
        (classes,) = workspace.path.glob("explorations/*/classes.png")
        shutil.copy(classes, FIGURES / "tutorial_classes.png")
        evaluation = workspace.latest(EVALUATION)
        report = Report.model_validate_json((evaluation / "report.json").read_text(encoding="utf-8"))
        draw(report, FIGURES / "tutorial_verdict.png")
    found = {
        "command": "python benchmarks/tutorial.py",
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "commands": done,
        "seconds_total": round(sum(one["seconds"] for one in done), 1),
        "report": report.model_dump(
            mode="json", include={"verdict", "copying", "collapse", "labels", "shortcut", "leakage"}
        ),
    }
    file = ROOT / "benchmarks" / "results" / "tutorial.json"
    file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def run(line: str, folder: Path) -> dict[str, Any]:
    """One command, as a user calls it."""
    begin = time.monotonic()
    command = [sys.executable, "-m", *shlex.split(line, comments=True)]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "110"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    print(f"$ {line}\n{done.stdout}{done.stderr}", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return {"command": line, "seconds": round(time.monotonic() - begin, 1), "said": done.stdout.splitlines()}


def draw(report: Report, file: Path) -> None:
    """The effect with its interval, and the KID of the set beside the floor and the references."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 2.6), layout="constrained")
    verdict = report.verdict
    left.axvspan(-verdict.margin, verdict.margin, color="#e4e4e7", lw=0)
    left.axvline(0, color=INK, lw=0.8)
    left.plot([verdict.effect.low, verdict.effect.high], [0, 0], color=ACCENT, lw=2.5)
    left.plot(verdict.effect.value, 0, "o", color=ACCENT, ms=8)
    left.set_yticks([])
    left.set_xlabel(f"AUROC of '{verdict.arm}'\nminus '{verdict.control}', 95 % interval; grey: margin", fontsize=8)
    left.set_title(f"Verdict: {verdict.decision}", loc="left", fontweight="bold", color=INK)
    rows = [row for row in report.fidelity.rows if row.scope == "all" and row.kind != "unfiltered"][::-1]
    for y, row in enumerate(rows):
        colour = ACCENT if row.kind == "synthetic" else MUTED
        right.plot([row.kid.low, row.kid.high], [y, y], color=colour, lw=2)
        right.plot(row.kid.value, y, "o", color=colour)
    right.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    right.set_xlabel("KID against held-out films, 95 % interval: 0 is best", fontsize=8)
    right.set_title("Fidelity", loc="left", fontweight="bold", color=INK)
    for axes in (left, right):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e4e4e7")
    figure.savefig(file, dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
