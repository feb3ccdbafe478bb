"""Principal components of the training images: what is coarse and alike in many patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from medsyn.generator.first_stage.mixture import ClassMixture

MAX_SIDE = 1500
"""Side of the largest matrix that is decomposed exactly; beyond, a randomised method takes seconds, not minutes."""


class PCA(nn.Module):
    """Images to whitened principal coefficients and back, and new coefficients from noise.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Number of components kept, K.
        classes: Number of classes.
        mixture: Gaussians of all classes together, see `ClassMixture`.
    """

    def __init__(self, image_shape: tuple[int, int, int], coefficients: int, classes: int, mixture: int) -> None:
        super().__init__()
        self.image_shape, self.coefficients = image_shape, coefficients
        self.prior = ClassMixture(coefficients, classes, mixture)
        self.noise, self.picks = self.prior.noise, 1
        pixels = int(np.prod(image_shape))
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(coefficients, pixels))
        self.register_buffer("scale", torch.ones(coefficients))

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray, *, explained: float, most: int) -> PCA:
        """Fit to training images.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1].
            labels: int64 ``[n]``; every class occurs.
            explained: Share of the variance to keep, if ``most`` components suffice for it.
            most: Components at most.
        """
        flat = images.reshape(len(images), -1).astype(np.float64)
        mean = flat.mean(0)
        flat -= mean
        most = min(most, len(flat) - 1, flat.shape[1])
        vectors, deviation = _components(flat, most)
        share = np.cumsum(deviation**2) * len(flat) / max((flat**2).sum(), 1e-12)
        keep = min(int(np.searchsorted(share, explained)) + 1, most)
        scale = np.maximum(deviation[:keep], 1e-6)
        prior = ClassMixture.fit(flat @ vectors[:keep].T / scale, labels)
        stage = cls(tuple(images.shape[1:]), keep, *prior.share.shape)
        stage.prior = prior
        stage.mean.copy_(torch.from_numpy(mean))
        stage.components.copy_(torch.from_numpy(vectors[:keep]))
        stage.scale.copy_(torch.from_numpy(scale))
        return stage

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        classes, mixture = self.prior.share.shape
        return {"kind": "pca", "coefficients": self.coefficients, "classes": classes, "mixture": mixture}

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """``[n, C, H, W]`` to coefficients ``[n, K]``, of unit variance over the training images."""
        return (images.flatten(1) - self.mean) @ self.components.T / self.scale

    def decode(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Coefficients ``[n, K]`` to images ``[n, C, H, W]``, not clipped."""
        return ((coefficients * self.scale) @ self.components + self.mean).unflatten(1, self.image_shape)

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, 1 + K]`` and conditions ``[n, c]`` to coefficients ``[n, K]``."""
        return self.prior(noise, condition)

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """What no coefficients stand for: images ``[n, C, H, W]`` without their part along the components."""
        flat = images.flatten(1)
        return (flat - flat @ self.components.T @ self.components).view_as(images)


def _components(flat: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit components ``[most, D]`` and standard deviations ``[most]`` of centred rows, largest first."""
    n, d = flat.shape
    if min(n, d) > MAX_SIDE:
        from sklearn.utils.extmath import randomized_svd

        _, singular, vectors = randomized_svd(flat, most, n_iter=4, random_state=0)
    elif n <= d:
        values, left = np.linalg.eigh(flat @ flat.T)
        singular = np.sqrt(np.clip(values[::-1][:most], 0, None))
        vectors = (left[:, ::-1][:, :most].T @ flat) / np.maximum(singular, 1e-9)[:, None]
    else:
        values, right = np.linalg.eigh(flat.T @ flat)
        singular = np.sqrt(np.clip(values[::-1][:most], 0, None))
        vectors = right[:, ::-1][:, :most].T
    return np.ascontiguousarray(vectors), np.ascontiguousarray(singular) / np.sqrt(n)
