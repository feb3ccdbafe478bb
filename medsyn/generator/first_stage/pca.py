"""Principal components of the training images: what is coarse and alike in many patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from medsyn.generator.first_stage.components import Components, principal
from medsyn.generator.first_stage.mixture import ClassMixture


class PCA(Components):
    """Images to whitened principal coefficients and back, and new coefficients from noise.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Number of components kept, K.
        classes: Number of classes.
        mixture: Gaussians of all classes together, see `ClassMixture`.
    """

    def __init__(self, image_shape: tuple[int, int, int], coefficients: int, classes: int, mixture: int) -> None:
        super().__init__(image_shape, coefficients)
        self.prior = ClassMixture(coefficients, classes, mixture)
        self.noise, self.picks = self.prior.noise, 1

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray, *, explained: float, most: int) -> PCA:
        """Fit to training images.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1].
            labels: int64 ``[n]``; every class occurs.
            explained: Share of the variance to keep, if ``most`` components suffice for it.
            most: Components at most.
        """
        found = principal(images, explained=explained, most=most)
        prior = ClassMixture.fit(found.codes, labels)
        stage = cls(tuple(images.shape[1:]), len(found.scale), *prior.share.shape)
        stage.prior = prior
        stage.take(found)
        return stage

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        classes, mixture = self.prior.share.shape
        return {"kind": "pca", "coefficients": self.coefficients, "classes": classes, "mixture": mixture}

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, 1 + K]`` and conditions ``[n, c]`` to coefficients ``[n, K]``."""
        return self.prior(noise, condition)

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """What no coefficients stand for: images ``[n, C, H, W]`` without their part along the components."""
        flat = images.flatten(1)
        return (flat - flat @ self.components.T @ self.components).view_as(images)
