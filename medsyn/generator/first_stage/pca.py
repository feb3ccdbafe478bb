"""Principal components of the training images: what is coarse and alike in many patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from medsyn.generator.first_stage import prior as priors
from medsyn.generator.first_stage.components import Components, principal
from medsyn.generator.first_stage.fitting import Fitting
from medsyn.generator.networks.pyramid import at_sizes


class PCA(Components):
    """Images to whitened principal coefficients and back, and new coefficients from noise.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Number of components kept, K.
        prior: Kind and sizes of what makes new coefficients, see `medsyn.generator.first_stage.prior`.
        halvings: How often images are halved before; coarse images stay that small.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], coefficients: int, prior: dict[str, Any], halvings: int = 0
    ) -> None:
        c, h, w = image_shape
        super().__init__((c, h >> halvings, w >> halvings), coefficients)
        self.halvings = halvings
        self.prior = priors.build(prior, coefficients)
        self.noise, self.picks = self.prior.noise, self.prior.picks

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray, fitting: Fitting) -> PCA:
        """Fit to training images.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1].
            labels: int64 ``[n]``; every class occurs.
            fitting: What is wished for.
        """
        small = at_sizes(torch.from_numpy(images), fitting.halvings + 1)[0].numpy()
        found = principal(small, explained=fitting.explained, most=fitting.most)
        made = priors.fit(found.codes, labels, fitting.prior, priors.moved(small, fitting.prior, found.of))
        stage = cls(tuple(images.shape[1:]), len(found.scale), made.sizes(), fitting.halvings)
        stage.prior = made
        stage.take(found)
        return stage

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        parts = {"coefficients": self.coefficients, "halvings": self.halvings}
        return {"kind": "pca", **parts, "prior": self.prior.sizes()}

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]`` to coefficients ``[n, K]``, of unit variance over those that were fitted."""
        return super().encode(at_sizes(images, self.halvings + 1)[0])

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, noise]`` and conditions ``[n, c]`` to coefficients ``[n, K]``."""
        return self.prior(noise, condition)
