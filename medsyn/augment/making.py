"""Making candidates: drawn, judged and encoded, each a pure function of (checkpoint, seed, number).

Candidates are made in units: `Generator.batch` of one class that follow one another. Whatever is asked for beside it,
and in whichever process, a unit is always computed whole, because another batch would change the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medsyn import generator
from medsyn.augment.selection import Selector, fitting, reason
from medsyn.augment.selection.near_duplicates import Sketch
from medsyn.augment.writers import ENCODERS, Origin
from medsyn.cache import Cache
from medsyn.compute import single_threaded
from medsyn.data import Dataset
from medsyn.errors import MissingError
from medsyn.images import from_pixels, to_pixels
from medsyn.metrics.features import extractor
from medsyn.workspace import Workspace


@dataclass(frozen=True)
class Spec:
    """What candidates depend on besides their numbers; small, so that it can be sent to another process.

    Attributes:
        checkpoint: Folder of the generator.
        origin: What files tell of it.
        formats: Of files of single images.
        bits: Of a pixel.
        keep_all: No selection: only images that are not finite are left out.
        workspace: Where the fitted selection lies.
        dataset: Folder of the dataset that the generator learnt from; None: it is not here.
        device: Of torch.
        selection: Key of the fitted selection in the workspace's cache; None: there is none.
    """

    checkpoint: Path
    origin: Origin
    formats: tuple[str, ...]
    bits: int
    keep_all: bool
    workspace: Path
    dataset: Path | None
    device: str
    selection: str | None = None


class Unit(NamedTuple):
    """Candidates ``(group * batch + i) * classes + label`` for i in 0 .. batch - 1."""

    group: int
    label: int


@dataclass(frozen=True)
class Candidate:
    """One image that was made.

    Attributes:
        index: Its number.
        label: Class index.
        pixels: uint8 or uint16 ``[C, H, W]``.
        scores: Rule -> score; above 1 fails.
        reason: Rule that it fails, None where it may be accepted. Whether it repeats another image is not known yet.
        distance: To the nearest training image; None where there was none to compare with.
        files: Format -> path -> content; empty where it cannot be accepted.
        thumbnail: uint8 ``[32, 32]``.
        fingerprint: uint64 ``[16]``.
    """

    index: int
    label: int
    pixels: np.ndarray
    scores: dict[str, float]
    reason: str | None
    distance: float | None
    files: dict[str, dict[str, bytes]]
    thumbnail: np.ndarray
    fingerprint: np.ndarray


class Maker:
    """Makes units of candidates.

    Args:
        spec: What they depend on.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.generator = generator.load(spec.checkpoint, spec.device)
        self.selector = Selector({}, None, None)
        if spec.dataset is not None and spec.selection is not None:
            arrays = Cache(Workspace(spec.workspace)).get(fitting.KIND, spec.selection)
            if arrays is None:
                raise MissingError("the fitted selection is gone", where=spec.workspace / "cache", mend="Run it again.")
            dataset = Dataset.open(spec.dataset, splits=("train", "tune"))
            self.selector = Selector(arrays, dataset, extractor(device=spec.device))
        self.encoders = [ENCODERS[name](spec.origin) for name in spec.formats]

    def unit(self, unit: Unit) -> list[Candidate]:
        """Make one unit."""
        made, origin = self.generator, self.spec.origin
        index, pixels, finite = drawn(made, unit, origin.seed, origin.truncation, self.spec.bits)
        images = from_pixels(pixels)
        scores, distance = self.selector.judge(images, unit.label)
        sketch = Sketch.of(images)
        found = []
        for i, k in enumerate(index.tolist()):
            own = {rule: float(values[i]) for rule, values in scores.items()}
            why = "not_finite" if not finite[i] else None if self.spec.keep_all else reason(own)
            label = made.classes[unit.label]
            files = {} if why else {e.name: e.encode(pixels[i], label, k) for e in self.encoders}
            near = None if distance is None else float(distance[i])
            sketched = (sketch.thumbnails[i], sketch.prints[i])
            found.append(Candidate(k, unit.label, pixels[i], own, why, near, files, *sketched))
        return found


def drawn(
    model: generator.Generator, unit: Unit, seed: int, truncation: float, bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of one unit as they are written, unjudged.

    Args:
        model: Makes them.
        unit: Which.
        seed: Of the set.
        truncation: Of the noise.
        bits: Of a pixel.

    Returns:
        Their numbers ``[n]``, pixels, uint8 or uint16 ``[n, C, H, W]``, and whether all of each was finite ``[n]``.
    """
    index = (unit.group * model.batch + np.arange(model.batch, dtype=np.int64)) * len(model.classes) + unit.label
    raw = model.sample(np.full(model.batch, unit.label), seed, index, truncation)
    finite = np.isfinite(raw).reshape(len(raw), -1).all(1)
    return index, to_pixels(raw, bits), finite


@lru_cache(maxsize=1)
def maker(spec: Spec) -> Maker:
    """The maker of this process: a worker builds it once."""
    return Maker(spec)


def make(spec: Spec, units: Sequence[Unit]) -> list[Candidate]:
    """Make some units, in the order of their numbers; with one thread, since more may change the last bits."""
    with single_threaded():
        found = [candidate for unit in units for candidate in maker(spec).unit(unit)]
    return sorted(found, key=lambda candidate: candidate.index)
