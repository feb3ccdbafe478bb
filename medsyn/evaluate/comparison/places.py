"""The images of every place (setting, repeat, fold), read and generated when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from medsyn.evaluate.comparison.cells import Cell, Draw, Setting
from medsyn.evaluate.comparison.regenerate import Made, Regenerator
from medsyn.evaluate.comparison.training import Where
from medsyn.evaluate.inputs.images import Images, take
from medsyn.evaluate.inputs.resolve import Inputs


class Places:
    """Gives the `Cell` of a place.

    Args:
        inputs: The dataset's images and the given synthetic set.
        settings: All of the evaluation.
        regenerator: Makes synthetic images where a setting asks for a generator of its own.
        told: Hears that a generator is being trained.
    """

    def __init__(
        self, inputs: Inputs, settings: list[Setting], regenerator: Regenerator | None, told: Callable[[str], None]
    ) -> None:
        self.inputs, self.regenerator, self.told = inputs, regenerator, told
        self._draws = {(s.name, d.repeat, d.fold): (s, d) for s in settings for d in s.draws}
        self._cells: dict[object, Cell] = {}
        self._instead: dict[str, tuple[Setting, Images]] = {}

    def __call__(self, where: Where) -> Cell:
        setting, draw = self._draws[where]
        # Repeats of the stored split share its images: only the trainings differ.
        key: object = where if setting.regenerated else (setting.name, id(draw.split_of))
        if key not in self._cells:
            self._cells[key] = self._make(setting, draw)
        return self._cells[key]

    def instead(self, setting: Setting, name: str, synthetic: Images) -> Setting:
        """A setting that has other synthetic images, and everything else as ``setting``.

        Args:
            setting: One of a given synthetic set.
            name: Of the new one.
            synthetic: As many of each class as the given set has, class by class in the same rows.
        """
        made = replace(setting, name=name, decides=False)
        self._draws |= {(name, d.repeat, d.fold): (made, d) for d in made.draws}
        self._instead[name] = (setting, synthetic)
        return made

    def _make(self, setting: Setting, draw: Draw) -> Cell:
        if setting.name in self._instead:
            like, synthetic = self._instead[setting.name]
            return replace(self((like.name, draw.repeat, draw.fold)), synthetic=synthetic)
        splits = {
            name: self.inputs.of([i for i, s in draw.split_of.items() if s == name])
            for name in ("train", "tune", "val", "test")
        }
        if setting.regenerated and self.regenerator is not None:
            made = self.regenerator(draw, self.told)
        else:
            given = self.inputs.given
            assert given is not None
            made = Made(given.images, str(given.card.get("checkpoint_digest") or ""))
        return Cell(
            **splits,
            synthetic=made.images,
            more=self.inputs.of(draw.more),
            classes=len(self.inputs.classes),
            generator=made.generator,
        )


def order_of_tests(cells: list[Cell]) -> tuple[Images, np.ndarray, np.ndarray]:
    """The test images of all folds in the order of their numbers.

    Returns:
        Images, the fold of each ``[n]``, and the place of each among the folds' tests one after another ``[n]``.
    """
    rows = np.concatenate([cell.test.rows for cell in cells])
    fold = np.repeat(np.arange(len(cells)), [len(cell.test) for cell in cells])
    order = np.argsort(rows, kind="stable")
    whole = cells[0].test
    if len(cells) > 1:
        parts = [cell.test for cell in cells]
        whole = Images(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("pixels", "labels", "units", "rows")))
    return take(whole, order), fold[order], order
