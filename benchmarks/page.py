"""Write docs/benchmarks.md from benchmarks/results/*.json, so that no figure is typed by hand.

python benchmarks/page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    parts = [
        "# Benchmarks\n\nWritten by `python benchmarks/page.py` from `benchmarks/results/`; each section names its "
        "command. The machines were shared and slow: read times as an order of magnitude. Nothing here was "
        "measured on a GPU.\n"
    ]
    for name, section in (("pneumonia_baseline", baseline), ("real_sets", real_sets), ("demo", demo)):
        file = RESULTS / f"{name}.json"
        if file.exists():
            parts.append(section(json.loads(file.read_text(encoding="utf-8"))))
    parts.append(
        "## The simulator against real films\n\n![Grey levels and power spectrum](figures/simulator_realism.png)\n\n"
        "`python benchmarks/simulator_realism.py`. No claim rests on the simulated films.\n"
    )
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(parts), encoding="utf-8")


def baseline(found: dict[str, Any]) -> str:
    rows = [f"| seed {r['seed']} | {r['auroc']:.3f} | {r['accuracy']:.3f} |" for r in found["per_seed"]]
    rows.append(f"| **mean** | **{found['mean']['auroc']:.3f}** | **{found['mean']['accuracy']:.3f}** |")
    rows += [f"| {name}, published | {a:.3f} | {b:.3f} |" for name, (a, b) in found["published"].items()]
    table = "\n".join(rows)
    return f"""## The real-only classifier on PneumoniaMNIST

Is the opponent of the synthetic images an honest one? All {found["training_images"]} training films, plain,
{found["steps"]} steps of {found["batch"]}, official test split of {found["test_images"]} films, threshold 0.5.
Published figures: MedMNIST v2. Caution: {found["note"]}.

| classifier | AUROC | accuracy |
|---|---|---|
{table}

`{found["command"].strip()}`
"""


def real_sets(found: dict[str, Any]) -> str:
    text = f"## The four commands on real sets\n\n`{found['command']}`, seed {found['seed']}, {found['machine']}.\n"
    for name, one in found["sets"].items():
        seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in one["seconds"].items())
        arms = "\n".join(
            f"| {a['classifier']} | {a['name']}{' (chosen)' if a['chosen'] else ''} | {a['auroc']:.3f} | "
            f"{a['balanced_accuracy']:.3f} | {a['accuracy']:.3f} |"
            for a in one["arms"]
        )
        fidelity = "\n".join(
            f"| {row} | {v['kid']:.3f} | {v['precision']:.2f} | {v['recall']:.2f} | {v['coverage']:.2f} |"
            for row, v in one["fidelity"].items()
        )
        text += f"""
### {name}

**{one["verdict"]["decision"]}.** {one["verdict"]["sentence"]} {one["copying"]} {one["collapse"]}

| classifier | arm | AUROC | balanced accuracy | accuracy |
|---|---|---|---|---|
{arms}

| against held-out real films | KID | precision | recall | coverage |
|---|---|---|---|---|
{fidelity}

Times: {seconds}.
"""
    return text


def demo(found: dict[str, Any]) -> str:
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in found["seconds"].items())
    fidelity = "\n".join(f"| {name} | {v['kid']:.3f} | {v['coverage']:.2f} |" for name, v in found["fidelity"].items())
    return f"""## The demo

![Training films, generated films, verdict](figures/demo.png)

{found["verdict"]["sentence"]} {found["copying"]["sentence"]}

| against held-out simulated films | KID | coverage |
|---|---|---|
{fidelity}

Times without installation: {seconds}; together {found["seconds_total"]:.0f} s ({found["machine"]}).
`{found["command"]}`, seed {found["seed"]}.
"""


if __name__ == "__main__":
    main()
