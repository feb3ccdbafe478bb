"""What a synthetic set would be had nothing been rejected: of every class the first candidates, fit or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from medsyn import generator
from medsyn.errors import DataError, MissingError
from medsyn.images import from_pixels
from medsyn.synthetic.lineage import checkpoints
from medsyn.synthetic.remaking import agree, remake
from medsyn.synthetic.set import SyntheticSet
from medsyn.workspace import Workspace

OTHER_IMAGE = 2 / 255
"""Another machine or version of torch changes single grey levels; further apart, it is another image."""


@dataclass(frozen=True)
class Unfiltered:
    """Rejected candidates in the places of the accepted ones that came in for them.

    Everywhere else the unfiltered set holds what the set itself holds, so that two trainings on the same rows of both
    differ in what was rejected and in nothing else. Every row has the class that it has in the set.

    Attributes:
        rows: Places in the set that a rejected candidate takes, int64 ``[m]``, ascending.
        pixels: The rejected candidates, float32 ``[m, C, H, W]`` in [0, 1].
        changed: How many of them have other pixels than those that were judged.
        apart: Where some have: grey difference of images of the set to themselves made again here, in [0, 1]: the
            largest of each image, and of those the median.
    """

    rows: np.ndarray
    pixels: np.ndarray
    changed: int = 0
    apart: float = 0.0

    def place(self, images: np.ndarray) -> np.ndarray:
        """The unfiltered images, from those of the set ``[n, C, H, W]``."""
        placed = images.copy()
        placed[self.rows] = self.pixels
        return placed


def swaps(candidates: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which accepted candidates came in for which rejected ones.

    With ``n`` accepted candidates of a class, the unfiltered set has its first ``n`` candidates. Those of them that
    were rejected are as many as were accepted later.

    Args:
        candidates: `SyntheticSet.candidates`.

    Returns:
        Places in ``candidates`` of accepted ones, in order of their ``row``, and of the rejected ones that take their
        places, int64 ``[m]`` each.
    """
    labels, accepted = candidates["label"].to_numpy(str), candidates["accepted"].to_numpy(bool)
    late, early = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        first, later = np.split(mine, [accepted[mine].sum()])
        late.append(later[accepted[later]])
        early.append(first[~accepted[first]])
    came, went = np.concatenate(late), np.concatenate(early)
    order = np.argsort(candidates["row"].to_numpy(float)[came], kind="stable")
    return came[order], went[order]


def make(made: SyntheticSet, images: np.ndarray, workspace: Workspace, device: torch.device | str) -> Unfiltered:
    """Make the rejected candidates of the unfiltered set again.

    Args:
        made: The set.
        images: Its images, float32 ``[n, C, H, W]`` in [0, 1].
        workspace: Where its generator is looked for.
        device: Where the generator shall run.

    Raises:
        MissingError: The generator is not in the workspace.
        DataError: It is damaged, or makes other images than those that were judged.
    """
    candidates = made.candidates()
    came, went = swaps(candidates)
    rows = candidates["row"].to_numpy(float)[came].astype(np.int64)
    if not len(rows):
        return Unfiltered(rows, np.empty((0, *images.shape[1:]), np.float32))
    found = checkpoints(workspace, str(made.card.get("checkpoint_digest")))
    if not found:
        raise MissingError("the generator is not in this workspace", where=made.path)
    model = generator.load(found[0], device)
    rejected = candidates.iloc[went]
    pixels = remake(model, rejected, made.card)
    changed = int((~agree(pixels, rejected)).sum())
    apart = 0.0
    if changed:
        again = remake(model, candidates.iloc[came], made.card)
        differences = np.abs(from_pixels(again) - images[rows])
        apart = float(np.median(differences.max((1, 2, 3))))
    if apart > OTHER_IMAGE:
        raise DataError("the generator makes other images here than those that were judged", where=found[0])
    return Unfiltered(rows, from_pixels(pixels), changed, apart)
