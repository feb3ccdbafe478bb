"""Write docs/pages/benchmarks.md from benchmarks/results/*.json, so that no figure is typed by hand.

python benchmarks/page.py
"""

# ruff: noqa: E501 - the lines of the page are what they are
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from generators_page import section as generators
from page_augment import augment, filter_null, platforms, selection, selection_worth
from page_costs import copy_search
from page_costs import section as cost_curves
from page_ingest import dicom_agreement, fuzz, fuzz_foreign, fuzz_labels, ingest, near_duplicates
from page_training import health
from train_speed_page import section as train_speed

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "pages" / "benchmarks.md"


def main() -> None:
    PAGE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The page, of all results that there are."""
    parts = [
        "# Benchmarks\n\nWritten by `python benchmarks/page.py` from `benchmarks/results/`; each section names its "
        "command. The machines were shared and slow: read times as an order of magnitude. Nothing here was "
        "measured on a GPU.\n"
    ]
    for name, section in SECTIONS:
        file = RESULTS / f"{name}.json"
        if file.exists():
            parts.append(section(json.loads(file.read_text(encoding="utf-8"))))
    parts.append(
        "## The simulator against real films\n\n![Grey levels and power spectrum](figures/simulator_realism.png)\n\n"
        "`python benchmarks/simulator_realism.py`. No claim rests on the simulated films.\n"
    )
    return "\n".join(parts)


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
        timings = ", ".join(f"{phase} {value:.0f} s" for phase, value in one["timings"].items())
        filtered = one.get("selection", {}).get("sentence", "")
        checks = " ".join(one[name] for name in ("copying", "collapse", "labels", "leakage", "shortcut"))
        arms = "\n".join(
            f"| {a['classifier']} | {a['name']}{' (chosen)' if a['chosen'] else ''} | {three(a['val_auroc'])} | "
            f"{three(a['auroc'])} | {three(a['balanced_accuracy'])} | {three(a['accuracy'])} |"
            for a in one["arms"]
        )
        fidelity = "\n".join(
            f"| {row} | {v['kid']:.3f} | {v['precision']:.2f} | {v['recall']:.2f} | {v['coverage']:.2f} | "
            f"{v['spectrum']:.1f} | {v['texture']:.2f} | {three(v['c2st'])} |"
            for row, v in one["fidelity"].items()
        )
        text += f"""
### {name}

**{one["verdict"]["decision"]}.** {one["verdict"]["sentence"]}{note(one)}

{checks} {filtered}

| classifier | arm | AUROC on val | AUROC on test | balanced accuracy | accuracy |
|---|---|---|---|---|---|
{arms}

| against held-out real images | KID | precision | recall | coverage | spectrum, dB | texture | C2ST |
|---|---|---|---|---|---|---|---|
{fidelity}

Times: {seconds}. Where the evaluation's went: {timings}.
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


def three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def statistics(found: dict[str, Any]) -> str:
    rows = [
        f"| {r['name']} | {percent(r['decided']) if not r['effect'] else ''} | {percent(r['coverage'])} | "
        + (f"{percent(r['power'])} ({percent(r['power_in_theory'])}) |" if r["effect"] else "|")
        for r in found["scenarios"]
    ]
    table = "\n".join(rows)
    return f"""## The statistics

Are `helps` and `hurts` false as seldom as they should be, and do the intervals hold what they promise? {found["simulations"]:,}
simulated studies a row, through the code that `evaluate` runs: clustered subjects ({found["images_per_subject"]} images each),
{found["seeds"]} seeds, seed variance and its interaction with subjects, {found["draws"]} bootstrap draws. Monte-Carlo standard error
of 5 %: {percent(found["monte_carlo_se_of_5_percent"])}.

| simulated | `helps` + `hurts` | coverage of the 95 % interval | power (theory) |
|---|---|---|---|
{table}

`{found["command"]}`
"""


def null(found: dict[str, Any]) -> str:
    false, decisions = found["false_verdicts"], ", ".join(f"{n} {d}" for d, n in sorted(found["decisions"].items()))
    return f"""### End to end, where nothing can help

{found["runs"]} whole comparisons on PneumoniaMNIST with `probe` ({found["subjects"]["train"]} films in training,
{found["subjects"]["test"]} in test) in which the "synthetic" images are real training films once more, against a control that
duplicates as many: {decisions}. False verdicts: {percent(false["share"])} (95 % interval {percent(false["low"])} to
{percent(false["high"])}).

`{found["command"]}`
"""


def detection(found: dict[str, Any]) -> str:
    words = {
        "fault": "Faults put in on purpose: found",
        "honest": "Honest sets: false alarms",
        "other": "Neither: called out",
    }
    text = """## What the checks find

Every repeat draws new subjects and puts one fault in, or none. 95 % intervals are Clopper and Pearson's.
"""
    for kind, title in words.items():
        rows = [r for r in found["rows"] if r["kind"] == kind]
        names = dict.fromkeys(r["name"] for r in rows)
        sets = dict.fromkeys(r["set"] for r in rows)
        of = {(r["name"], r["set"]): f"{r['alarms']} of {r['n']}" for r in rows}
        table = "\n".join(f"| {name} | " + " | ".join(of.get((name, s), "–") for s in sets) + " |" for name in names)
        head = f"| {title} | {' | '.join(sets)} |\n|---|{'---|' * len(sets)}"
        text += f"\n{head}\n{table}\n"
    return f"{text}\n`{found['command']}`\n"


def fidelity_rule(found: dict[str, Any]) -> str:
    rows = [f"| {r['data']} | {r['per_class']} | {r['set']} | {r['flagged']} of {r['of']} |" for r in found["rows"]]
    table = "\n".join(rows)
    return f"""## Far from real images: the rule of fidelity

{found["rule"]}

| data | images a class | set | called far |
|---|---|---|---|
{table}

`{found["command"]}`
"""


def rare_class(found: dict[str, Any]) -> str:
    text = f"""## Rare classes, the whole procedure

Every repeat draws other subjects, trains a generator on them alone (60 thousand images shown) and trains every arm of `cnn`.
All arms are opened on test here; those not chosen on val are exploration. {found["machine"]}.

`{found["command"]}`
"""
    for name, one in found["sets"].items():
        arms = "\n".join(
            f"| {a['name']}{' (chosen)' if a['chosen'] else ''} | {three(a['val_auroc'])} | {within(a['auroc'])} | "
            f"{within(a['balanced_accuracy'])} | {within(a['balanced_accuracy_at_half'])} |"
            for a in one["arms"]
        )
        worth = (one["verdict"]["worth"] or {}).get("sentence", "")
        text += f"""
### {name}

{one["compared"][0]["description"]} {one["settings"]["seeds"]} repeats of {one["settings"]["steps"]} steps; {one["seconds"] // 60} min.{note(one)}

**{one["verdict"]["decision"]}.** {one["verdict"]["sentence"]} {worth} {one["copying"]}

| arm | AUROC on val | AUROC on test | balanced accuracy, threshold of val | at 0.5 |
|---|---|---|---|---|
{arms}
"""
    return text


def note(one: dict[str, Any]) -> str:
    """What was written into a result by hand; a new measurement is without it."""
    return f" {one['note']}" if "note" in one else ""


def within(e: dict[str, float] | None) -> str:
    return "–" if e is None else f"{e['value']:.3f} ({e['low']:.3f} to {e['high']:.3f})"


def help_time(found: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| `{name}` | {one['median_s']:.2f} | {one['low_s']:.2f} | {one['high_s']:.2f} |"
        for name, one in found["commands"].items()
    )
    return f"""## Help

Processor time (user and system) of a process of its own, {found["runs"]} runs; the bar is {found["bar_s"]} s.

| command | median, s | least, s | most, s |
|---|---|---|---|
{rows}

`python benchmarks/help_time.py`
"""


SECTIONS = (
    ("pneumonia_baseline", baseline),
    ("statistics_simulation", statistics),
    ("null_end_to_end", null),
    ("filter_null", filter_null),
    ("detection_rates", detection),
    ("fidelity_rule", fidelity_rule),
    ("generators", generators),
    ("health", health),
    ("selection", selection),
    ("selection_worth", selection_worth),
    ("augment", augment),
    ("platforms", platforms),
    ("rare_class", rare_class),
    ("real_sets", real_sets),
    ("ingest", ingest),
    ("dicom_agreement", dicom_agreement),
    ("fuzz_ingest", fuzz),
    ("fuzz_labels", fuzz_labels),
    ("fuzz_foreign", fuzz_foreign),
    ("near_duplicates", near_duplicates),
    ("train_speed", train_speed),
    ("copy_search", copy_search),
    ("cost_curves", cost_curves),
    ("demo", demo),
    ("help_time", help_time),
)


if __name__ == "__main__":
    main()
