"""The demo, stage by stage: how long it takes, what it finds, and the figure in README.

Runs pipelines/demo.yaml on the built-in sample in a workspace that is thrown away (or --workspace, kept). Writes
benchmarks/results/demo.json and docs/figures/demo.png; every film shown is simulated or generated.

    python benchmarks/demo.py
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from medsyn import Dataset, SyntheticSet, Workspace, compute, stages
from medsyn.config import load_pipeline
from medsyn.evaluate.results import Report

ROOT = Path(__file__).resolve().parents[1]
INK, MUTED, ACCENT = "#27272a", "#71717a", "#0f766e"
COLUMNS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="keep everything here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(arguments.workspace or folder)
        seconds: dict[str, float] = {}
        results: dict[str, Any] = {}
        for name, options in load_pipeline("demo"):
            begin = time.monotonic()
            results[name] = stages.run(name, options, workspace)
            seconds[name] = round(time.monotonic() - begin, 1)
        report = results["evaluate"].report
        dataset = Dataset.open(results["ingest"].path)
        draw(dataset, SyntheticSet.open(results["augment"].path), report, ROOT / "docs" / "figures" / "demo.png")
    rows = {row.name: row for row in report.fidelity.rows if row.scope == "all"}
    numbers = {
        "command": "python benchmarks/demo.py",
        "seed": 0,
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "seconds": seconds,
        "seconds_total": round(sum(seconds.values()), 1),
        "kimg": round(results["train-gan"].kimg, 1),
        "verdict": report.verdict.model_dump(),
        "fidelity": {name: {"kid": row.kid.value, "coverage": row.coverage} for name, row in rows.items()},
        "copying": report.copying.model_dump(),
    }
    file = ROOT / "benchmarks" / "results" / "demo.json"
    file.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(numbers, indent=2))


def draw(dataset: Dataset, synthetic: SyntheticSet, report: Report, file: Path) -> None:
    """Training films beside generated ones, and the effect of every arm with its interval."""
    classes = dataset.classes
    figure = plt.figure(figsize=(12, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.35, 1])
    panels = left.subplots(len(classes), 2 * COLUMNS + 1, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    generated, labels = synthetic.images(), synthetic.labels(classes)
    rows = dataset.rows("train")
    for r, label in enumerate(classes):
        of_class = rows[dataset.labels(rows) == r]
        _, first = np.unique(dataset.subjects(of_class), return_index=True)
        films = dataset.images(of_class[np.sort(first)][:COLUMNS])
        made = generated[labels == r][:COLUMNS]
        for c, axes in enumerate(panels[r]):
            axes.axis("off")
            if c == COLUMNS:
                continue
            image = films[c] if c < COLUMNS else made[c - COLUMNS - 1]
            axes.imshow(image[0], cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
        panels[r][0].text(-0.12, 0.5, label, transform=panels[r][0].transAxes, rotation=90, va="center", ha="right")
    left.text(0.27, 1.0, "training films (simulated)", ha="center", va="top", color=INK)
    left.text(0.77, 1.0, "generated films", ha="center", va="top", color=ACCENT)
    axes = right.subplots()
    verdict = report.verdict
    shown = [c for c in report.contrasts if c.classifier == verdict.classifier and c.measure == verdict.measure]
    for y, contrast in enumerate(reversed(shown)):
        effect, colour = contrast.effect, ACCENT if contrast.primary else MUTED
        axes.plot([effect.low, effect.high], [y, y], color=colour, lw=2.5 if contrast.primary else 1.2)
        axes.plot(effect.value, y, "o", color=colour, ms=8 if contrast.primary else 5)
    axes.set_yticks(range(len(shown)), [c.arm for c in reversed(shown)], fontsize=9)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_xlabel(
        f"difference in {verdict.measure.upper()} to '{verdict.control}' on test, 95 % interval", fontsize=9
    )
    axes.set_title(f"Verdict: {verdict.decision}", loc="left", fontweight="bold", color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e7")
    figure.savefig(file, dpi=110, facecolor="white", bbox_inches="tight")


if __name__ == "__main__":
    main()
