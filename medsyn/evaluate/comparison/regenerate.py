"""A generator of its own for one draw of the subjects: the procedure as a team would repeat it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import medsyn
from medsyn import stages, tracking
from medsyn.cache import VERSION, Cache, digest
from medsyn.config import AugmentOptions, EvaluateOptions, TrainOptions, load_preset
from medsyn.data import Dataset
from medsyn.data.resplit import resplit
from medsyn.errors import DataError
from medsyn.evaluate.comparison.cells import Draw
from medsyn.evaluate.inputs.images import Images
from medsyn.images import from_pixels, to_pixels
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import Workspace

LARGEST_RATIO = 5.0


@dataclass(frozen=True)
class Made:
    """Synthetic images of one generator, ``units`` empty, and its digest."""

    images: Images
    generator: str


class Regenerator:
    """Trains generators on parts of a dataset, in a workspace that goes with the evaluation.

    Args:
        dataset: The whole dataset.
        options: Budget, balance, ratios, seed, device.
        folder: Where to work; removed by the caller.
        cache: Synthetic images outlive the evaluation in it, so that one broken off can be run again.
    """

    def __init__(self, dataset: Dataset, options: EvaluateOptions, folder: Path, cache: Cache) -> None:
        self.dataset, self.options, self.cache = dataset, options, cache
        self.workspace = Workspace(folder / "regenerated")

    def __call__(self, draw: Draw, told: Callable[[str], None]) -> Made:
        """Train on the draw's train and tune, and generate for the largest ratio.

        Raises:
            DataError: Training or generating failed, with the setting named.
        """
        learnt = {i: s for i, s in draw.split_of.items() if s in ("train", "tune")}
        seed = self.options.seed * 1000 + draw.repeat
        # As many as the largest usual ratio asks for, so that one more ratio does not need another generator.
        n = max(2 * len(self.dataset.classes), round(max(LARGEST_RATIO, *self.options.ratios) * len(learnt)))
        key = digest(
            VERSION,
            self.dataset.digest,
            sorted(learnt.items()),
            [n, seed, self.options.generator_budget, self.options.balance, draw.fold, self.options.device],
            [medsyn.__version__, torch.__version__],
            load_preset(self.dataset.modality).model_dump(),
        )
        kept = self.cache.get("synthetic", key)
        if kept is None:
            told(f"training generator {draw.repeat + 1}" + (f", fold {draw.fold + 1}" if draw.fold else ""))
            kept = self._make(learnt, n, seed, told)
            self.cache.put("synthetic", key, kept)
        labels = kept["labels"].astype(np.int64)
        pixels = from_pixels(kept["pixels"])
        return Made(Images(pixels, labels, np.full(len(labels), ""), np.arange(len(labels))), str(kept["generator"]))

    def _make(self, learnt: dict[int, str], n: int, seed: int, told: Callable[[str], None]) -> dict[str, np.ndarray]:
        options, name = self.options, "part"
        path = resplit(self.dataset, learnt, self.workspace.create(), name)
        shared: dict[str, Any] = {"seed": seed, "device": options.device, "threads": options.threads}
        training = TrainOptions(dataset=path.name, budget=options.generator_budget, **shared)
        with tracking.off():
            trained = self._stage("train-gan", training, "trained on the drawn subjects")
            # A generator that cannot fill a class is a result, too.
            wanted: dict[str, Any] = {"n": n, "generator": trained.name, "balance": options.balance, "formats": ["npz"]}
            made = self._stage("augment", AugmentOptions(**wanted, allow_short=True, **shared), "made to fill a set")
        for warning in made.warnings:
            told(warning)
        opened = SyntheticSet.open(made.path)
        return {
            "pixels": to_pixels(opened.images()),
            "labels": opened.labels(self.dataset.classes),
            "generator": np.array(str(opened.card["checkpoint_digest"])),
        }

    def _stage(self, name: str, options: TrainOptions | AugmentOptions, what: str) -> Any:
        try:
            return stages.run(name, options, self.workspace)
        except DataError as error:
            raise DataError(
                f"a generator could not be {what}: {error.what}",
                where=self.dataset.path,
                mend=error.mend or "Ask for more subjects.",
            ) from error
