"""The demo, stage by stage: how long it takes, what it finds, and the figure in README.

Runs pipelines/demo.yaml on the built-in sample in a workspace that is thrown away (or --workspace, kept). Writes
benchmarks/results/demo.json and docs/pages/figures/demo.png; every film shown is simulated or generated.

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
from matplotlib.ticker import MaxNLocator

from medsyn import Dataset, SyntheticSet, Workspace, compute, stages
from medsyn.config import load_pipeline
from medsyn.evaluate.results import Report

ROOT = Path(__file__).resolve().parents[1]
INK, MUTED, ACCENT = "#27272a", "#71717a", "#0f766e"
COLUMNS, GAP = 6, 3


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
        draw(
            dataset,
            SyntheticSet.open(results["augment"].path),
            report,
            ROOT / "docs" / "pages" / "figures" / "demo.png",
        )
    rows = {row.name: row for row in report.fidelity.rows if row.scope == "all"}
    numbers = {
        "command": "python benchmarks/demo.py",
        "seed": 0,
        "machine": f"{platform.machine()}, {compute.threads_of_environment() or compute.cores()} of "
        f"{compute.cores()} cores, no GPU",
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
    rows = dataset.rows("train")
    generated, labels = synthetic.images(), synthetic.labels(classes)
    films, made = [], []
    for number in range(len(classes)):
        of_class = rows[dataset.labels(rows) == number]
        _, first = np.unique(dataset.subjects(of_class), return_index=True)
        films.append(dataset.images(of_class[np.sort(first)][:COLUMNS]))
        made.append(generated[labels == number][:COLUMNS])
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(15, 3.9), layout="constrained", gridspec_kw={"width_ratios": [1.6, 1.6, 1.3]}
    )
    side = dataset.image_shape[-1]
    for axes, images, title, colour in (
        (left, films, "Training films (simulated)", INK),
        (middle, made, "Generated films", ACCENT),
    ):
        axes.imshow(mosaic(images), cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
        axes.set_title(title, loc="left", color=colour, fontweight="bold")
        axes.set_xticks([])
        axes.set_yticks([(side + GAP) * (i + 0.5) for i in range(len(classes))], classes if axes is left else [])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    verdict = report.verdict
    shown = [c for c in report.contrasts if c.classifier == verdict.classifier and c.measure == verdict.measure][::-1]
    for y, contrast in enumerate(shown):
        effect, colour = contrast.effect, ACCENT if contrast.primary else MUTED
        right.plot([effect.low, effect.high], [y, y], color=colour, lw=2.5 if contrast.primary else 1.2)
        right.plot(effect.value, y, "o", color=colour, ms=8 if contrast.primary else 5)
    right.set_yticks(range(len(shown)), [c.arm.replace(" + ", "\n+ ", 1) for c in shown], fontsize=8)
    right.xaxis.set_major_locator(MaxNLocator(4))
    right.set_ylim(-0.6, len(shown) - 0.4)
    right.axvline(0, color=INK, lw=0.8)
    right.set_xlabel(
        f"{verdict.measure.upper()} minus that of '{verdict.control}'\ntest split, 95 % interval", fontsize=8
    )
    right.set_title(f"Verdict: {verdict.decision}", loc="left", fontweight="bold", color=INK)
    right.spines[["top", "right", "left"]].set_visible(False)
    right.tick_params(axis="y", length=0)
    right.grid(axis="x", color="#e4e4e7")
    figure.savefig(file, dpi=110, facecolor="white")


def mosaic(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of images ``[n, 1, H, W]`` as one picture, white between them."""
    side = rows[0].shape[-1]
    sheet = np.ones((len(rows) * (side + GAP) - GAP, COLUMNS * (side + GAP) - GAP))
    for r, images in enumerate(rows):
        for c, image in enumerate(images):
            top, start = r * (side + GAP), c * (side + GAP)
            sheet[top : top + side, start : start + side] = image[0]
    return sheet


if __name__ == "__main__":
    main()
