"""An inspection as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment
from PIL import Image

from medsyn.data.schema import SPLITS
from medsyn.data.splits import FRACTIONS
from medsyn.inspection.results import UNKNOWN, Inspection
from medsyn.page.environment import environment, style
from medsyn.workspace import atomic_file, disk_errors

PACKAGE = "medsyn.inspection"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TILES, TILES_PER_CLASS, TILE_SIDE = 96, 8, 160
WIDTH, HEIGHT = 640, 48  # of a drawn histogram, in its own units


@dataclass(frozen=True)
class Gallery:
    """Pictures of the page, uint8 ``[n, C, H, W]``.

    Attributes:
        classes: Class -> random training images.
        odd: Kind of outlier -> image number -> ``[C, H, W]``; none of val and test.
    """

    classes: dict[str, np.ndarray]
    odd: dict[str, dict[int, np.ndarray]]


def tiles_per_class(classes: int) -> int:
    """Pictures a class that keep the page small."""
    return min(TILES_PER_CLASS, max(2, TILES // max(1, classes)))


def write(report: Inspection, gallery: Gallery, file: Path) -> None:
    """Write the page; the same dataset makes the same bytes.

    Raises:
        EnvironmentFault: The disk is full or not writable.
    """
    text = render(report, gallery)
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")


def render(report: Inspection, gallery: Gallery) -> str:
    """The page as text."""
    totals = {s: sum(c.images[s] for c in report.counts) for s in SPLITS}
    return (
        _html()
        .get_template("inspection.html.j2")
        .render(
            r=report,
            g=gallery,
            style=style(PACKAGE),
            policy=POLICY,
            splits=SPLITS,
            fractions={s: round(100 * share) for s, share in FRACTIONS.items()},
            totals=totals,
            same={title: value for title, value in report.same.items() if value != UNKNOWN},
            unknown=[title for title, value in report.same.items() if value == UNKNOWN],
            single=report.per_subject.quartiles[-1:] == [1.0],
        )
    )


@cache
def _html() -> Environment:
    made = environment(PACKAGE)
    made.filters["percent"] = percent
    made.filters["area"] = area
    made.filters["mean"] = lambda shares: np.mean(list(shares), axis=0).tolist()
    made.filters["small"] = small
    made.globals["ticks"] = ticks
    made.globals["box"] = f"0 0 {WIDTH} {HEIGHT}"
    return made


def percent(share: float) -> str:
    """A share of 0..1 in whole per cent; what is neither none nor all does not read as such."""
    value = 100 * share
    if 0 < value < 0.5:
        return "< 1 %"
    return "> 99 %" if 99.5 <= value < 100 else f"{value:.0f} %"


def area(shares: Sequence[float], top: float) -> str:
    """A histogram as path data: heights are square roots of the shares, so that rare values stay visible.

    Args:
        shares: Of one class.
        top: The share that reaches the upper edge.
    """
    step = WIDTH / len(shares)
    tall = [HEIGHT - HEIGHT * (s / top) ** 0.5 if top else HEIGHT for s in shares]
    steps = "".join(f"V{y:.1f}H{(i + 1) * step:.1f}" for i, y in enumerate(tall))
    return f"M0 {HEIGHT}{steps}V{HEIGHT}Z"


def ticks(edges: Sequence[float]) -> list[str]:
    """Values at equal distances along an axis: quarters of 0 to 1, else thirds."""
    low, high = edges[0], edges[-1]
    parts = 4 if high <= 1 else 3
    return [f"{low + (high - low) * i / parts:g}".replace("-", "−") for i in range(parts + 1)]


def small(pixels: np.ndarray) -> np.ndarray:
    """A picture ``[C, H, W]`` uint8 no larger than a tile."""
    if max(pixels.shape[1:]) <= TILE_SIDE:
        return pixels
    size = [max(1, round(n * TILE_SIDE / max(pixels.shape[1:]))) for n in pixels.shape[:0:-1]]
    return np.stack([np.asarray(Image.fromarray(c).resize(size, Image.Resampling.LANCZOS)) for c in pixels])
