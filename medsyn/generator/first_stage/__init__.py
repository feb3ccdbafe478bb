"""First stages, by the name in config.json: coarse images of new patients, from which a network goes on."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from medsyn.generator.first_stage.aligned_pca import AlignedPCA
from medsyn.generator.first_stage.autoencoder import Autoencoder
from medsyn.generator.first_stage.fitting import Fitting
from medsyn.generator.first_stage.flow import PriorTraining
from medsyn.generator.first_stage.none import NoStage
from medsyn.generator.first_stage.pca import PCA
from medsyn.generator.kinds import kind_and_sizes


class FirstStage(Protocol):
    """What a network builds upon: an ``nn.Module`` that is fitted before the training and fixed while it lasts.

    Attributes:
        noise: Standard normal numbers that `sample` takes for one image.
        picks: How many of them, the first ones, pick a kind of patient, so that their size has no meaning.
    """

    noise: int
    picks: int

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]`` in [0, 1] to codes ``[n, K]``."""
        ...

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Noise ``[n, noise]`` and conditions ``[n, c]`` to codes ``[n, K]``."""
        ...

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``[n, K]`` to coarse images ``[n, C, H, W]``."""
        ...

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """What a coarse image cannot show of images ``[n, C, H, W]``: the network may add no more than that."""
        ...

    def sizes(self) -> dict[str, Any]:
        """What `build` needs to make it again, its ``kind`` among them."""
        ...


Stage = PCA | AlignedPCA | Autoencoder | NoStage
"""Every first stage there is: as a module of torch, beside what `FirstStage` asks for."""

Kind = type[PCA] | type[AlignedPCA] | type[Autoencoder] | type[NoStage]
FIRST_STAGES: dict[str, Kind] = {
    "pca": PCA,
    "aligned-pca": AlignedPCA,
    "autoencoder": Autoencoder,
    "none": NoStage,
}


def build(config: dict[str, Any], image_shape: tuple[int, int, int]) -> Stage:
    """The first stage of ``config["first_stage"]``, without its weights yet.

    Args:
        config: Its ``kind`` and all its sizes.
        image_shape: ``(C, H, W)``.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    made, sizes = kind_and_sizes(config, FIRST_STAGES, "first stage")
    return made(image_shape, **sizes)


def fit(kind: str, images: np.ndarray, labels: np.ndarray, fitting: Fitting) -> Stage:
    """Fit one kind of first stage.

    Args:
        kind: A name in `FIRST_STAGES`.
        images: float32 ``[n, C, H, W]`` in [0, 1].
        labels: int64 ``[n]``; every class occurs.
        fitting: What is wished for.
    """
    return FIRST_STAGES[kind].fit(images, labels, fitting)


__all__ = [
    "FIRST_STAGES",
    "PCA",
    "AlignedPCA",
    "Autoencoder",
    "FirstStage",
    "Fitting",
    "NoStage",
    "PriorTraining",
    "Stage",
    "build",
    "fit",
]
