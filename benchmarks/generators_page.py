"""The tables and the picture of benchmarks/generators.py, for docs/pages/benchmarks.md and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MEASURES = ("kid", "fid", "precision", "recall", "density", "coverage", "agreement")
COLUMNS = (
    *("scans", "generator", "KID", "FID", "precision", "recall", "density", "coverage", "agreement"),
    *("copy test", "samples/s", "MiB", "parameters", "trained, s (CPU)"),
)
EACH, CELL, GAP, MARGIN, TITLE = 3, 64, 8, 110, 22


def section(found: Mapping[str, Any]) -> str:
    """Of docs/pages/benchmarks.md."""
    text = """## Generators at equal time

Every generator learns from the same images for the same time on the same threads; closed forms take what they take.
All networks, ours and others', are trained in bfloat16 where the processor computes in it by itself, else in float32;
all samples are made in float32.
Subjects are held out at random, anew for every seed, and are the reference: as many samples of every class as held-out
images. The floor is real training images. Features: EfficientNet-Lite0, pooled, 96 px; 5 neighbours; FID at these
numbers is biased upward: compare it with the floor's. Agreement: how often a classifier of real training images sees
the class asked for; of the floor: its accuracy on held-out images. Copy test: that of `medsyn evaluate`, the share of
samples that lie nearer to training than to held-out images, with the limit of its null; in bold outside it, or with
images that all but equal a training image. MiB: peak memory of a process that trains and samples. ±: standard deviation
over seeds; rows without it are of one.
"""
    return text + "".join(_set(entry) for entry in found["sets"].values())


def _set(entry: Mapping[str, Any]) -> str:
    share = f", {entry['train']} training images" if entry["train"] else ""
    seed, first = min(entry["floor"].items(), key=lambda of: int(of[0]))
    mix = ", ".join(f"{name} {first['scopes'][name]['n']}" for name in entry["classes"])
    learnt = ", ".join(f"{name} {n}" for name, n in first["learnt"].items())
    bars = "\n".join(f"- {line}" for line in bar_lines(entry))
    return f"""
### {entry["title"]}, {entry["side"]} px{share}

Learnt from {learnt}, compared with {mix} (seed {seed}); {entry["budget"]} a training,
{_counted(entry["threads"], "thread")}, {_counted(len(entry["floor"]), "seed")}, {entry["machine"]}.

![Generated scans, one class a row](figures/{entry["figure"]})

Scans: {entry["credit"]}; no real scan is kept in this repository: the script puts them beside these.

{table(entry)}
{_health(entry)}
Bars, for `{entry["judged"]}`:

{bars}

`{entry["command"]}`
"""


def _health(entry: Mapping[str, Any]) -> str:
    """What trainings said of themselves when they ended early."""
    told = [
        f"- `{arm}`, seed {seed}: {sentence}\n"
        for arm, cells in entry["arms"].items()
        for seed, cell in cells.items()
        for sentence in cell["notes"].get("health", ())
    ]
    return "".join(["\nEnded early:\n\n", *told]) if told else ""


def table(entry: Mapping[str, Any]) -> str:
    """All generators over all scans, then class by class, as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for scope in ("all", *entry["classes"]):
        lines.append(_row(scope, "floor: real training images", entry["floor"]))
        lines += [_row(scope, entry["titles"].get(name, name), cells) for name, cells in entry["arms"].items()]
    return "\n".join(lines)


def _row(scope: str, title: str, cells: Mapping[str, Any]) -> str:
    of = {name: [cell["scopes"][scope][name] for cell in cells.values()] for name in MEASURES}
    digits = {"kid": 3, "fid": 0}
    told = [_spread(values, digits.get(name, 2)) for name, values in of.items()]
    costs = ["", "", "", "", ""]
    if scope == "all" and all("copying" in cell for cell in cells.values()):
        costs = [_copying(cells), *_costs(cells)]
    return f"| {scope} | {title} | {' | '.join([*told, *costs])} |"


def _spread(values: list[float], digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _copying(cells: Mapping[str, Any]) -> str:
    told = [cell["copying"] for cell in cells.values()]
    copies = sum(one["copies"] for one in told)
    text = f"{np.mean([one['share'] for one in told]):.2f} (limit {np.mean([one['null_99'] for one in told]):.2f})"
    text += f", {copies} copies" if copies else ""
    found = sum(one["found"] for one in told)
    return f"**{text}**" + (f" in {found} of {len(told)}" if found < len(told) else "") if found else text


def _costs(cells: Mapping[str, Any]) -> list[str]:
    def mean(name: str) -> float:
        return float(np.mean([cell[name] for cell in cells.values()]))

    parameters = next(iter(cells.values()))["parameters"]
    known = "–" if parameters is None else f"{parameters / 1e6:.2f} M"
    trained = f"{mean('train_seconds'):.0f} ({mean('train_cpu_seconds'):.0f})"
    return [f"{mean('samples_per_second'):,.0f}", f"{mean('peak_mib'):.0f}", known, trained]


def bar_lines(entry: Mapping[str, Any]) -> list[str]:
    """What was demanded, what came of it, met or missed."""
    verdict = {True: "met", False: "**missed**", None: "not measured"}
    return [
        f"{bar['text']}: {_number(bar['figure'])} (bar {_number(bar['limit'])}): {verdict[bar['met']]}"
        for bar in entry["bars"]
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def save_grid(images: Mapping[str, np.ndarray], labels: np.ndarray, classes: tuple[str, ...], path: Path) -> None:
    """Write a PNG: side by side real scans and those of every generator, one class a row.

    Args:
        images: Title -> float32 ``[n, 1, side, side]`` in [0, 1].
        labels: Of all of them, int64 ``[n]``.
        classes: Names.
        path: Where to.
    """
    block, height = EACH * CELL + GAP, EACH * CELL + GAP
    sheet = Image.new("L", (MARGIN + block * len(images), TITLE + height * len(classes)), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for row, name in enumerate(classes):
        pen.text((4, TITLE + row * height + height // 2 - 8), name, fill=0, font=font)
    for column, (title, of_title) in enumerate(images.items()):
        left = MARGIN + column * block
        pen.text((left, 3), title, fill=0, font=font)
        for row in range(len(classes)):
            for place, image in enumerate(of_title[labels == row][: EACH**2]):
                tile = Image.fromarray(np.round(image[0] * 255).astype(np.uint8)).resize((CELL, CELL), Image.BICUBIC)
                sheet.paste(tile, (left + place % EACH * CELL, TITLE + row * height + place // EACH * CELL))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"
