"""Pictures that stand beside the numbers of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsyn.images import to_pixels


@dataclass(frozen=True)
class NearestPair:
    """A synthetic image and the training image it is nearest to.

    Attributes:
        synthetic: uint8 ``[C, H, W]``.
        train: uint8 ``[C, H, W]``; a real patient's image.
        label: Class of the synthetic image.
        distance: To it, over the distance to the nearest images of other subjects (see `singles`); below
            `Copying.limit` for a copy, about 2 for another patient.
    """

    synthetic: np.ndarray
    train: np.ndarray
    label: str
    distance: float


@dataclass(frozen=True)
class Galleries:
    """Images of a report. ``real`` and the ``train`` side of ``closest`` show real patients: they may go into the
    HTML file of the workspace, never to MLflow or another shared place.

    Attributes:
        synthetic: class -> uint8 ``[n, C, H, W]``.
        real: class -> uint8 ``[n, C, H, W]``, real images of val and test.
        closest: The nearest pairs, closest first.
    """

    synthetic: dict[str, np.ndarray]
    real: dict[str, np.ndarray]
    closest: list[NearestPair]


def samples(images: np.ndarray, labels: np.ndarray, classes: Sequence[str], n: int = 12) -> dict[str, np.ndarray]:
    """The first ``n`` images of every class as uint8.

    Args:
        images: float32 ``[N, C, H, W]`` in [0, 1].
        labels: Class indices ``[N]``.
        classes: Class names.
        n: Images a class at most.
    """
    return {name: to_pixels(images[np.flatnonzero(labels == c)[:n]]) for c, name in enumerate(classes)}
