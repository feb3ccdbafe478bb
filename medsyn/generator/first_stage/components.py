"""Principal components of a set of arrays: there and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

MAX_SIDE = 1500
"""Side of the largest matrix that is decomposed exactly; beyond, a randomised method takes seconds, not minutes."""


class Principal(NamedTuple):
    """What the components of arrays are, all float64."""

    mean: np.ndarray  # [D]
    vectors: np.ndarray  # [K, D], orthonormal, largest first
    scale: np.ndarray  # standard deviations along them, [K]
    codes: np.ndarray  # of the arrays, of unit variance, [n, K]

    def of(self, arrays: np.ndarray) -> np.ndarray:
        """Codes ``[n, K]`` of other arrays."""
        return (arrays.reshape(len(arrays), -1) - self.mean) @ self.vectors.T / self.scale


class Components(nn.Module):
    """Arrays to whitened principal coefficients and back.

    Args:
        shape: Of one array.
        coefficients: Number of components kept, K.
    """

    mean: torch.Tensor
    components: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: tuple[int, ...], coefficients: int) -> None:
        super().__init__()
        self.array_shape, self.coefficients = shape, coefficients
        size = int(np.prod(shape))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(coefficients, size))
        self.register_buffer("scale", torch.ones(coefficients))

    def take(self, found: Principal) -> None:
        """Become these components."""
        self.mean.copy_(torch.from_numpy(found.mean))
        self.components.copy_(torch.from_numpy(found.vectors))
        self.scale.copy_(torch.from_numpy(found.scale))

    def encode(self, arrays: torch.Tensor) -> torch.Tensor:
        """``[n, *shape]`` to coefficients ``[n, K]``, of unit variance over those that were fitted."""
        return (arrays.flatten(1) - self.mean) @ self.components.T / self.scale

    def decode(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Coefficients ``[n, K]`` to arrays ``[n, *shape]``, not clipped."""
        return ((coefficients * self.scale) @ self.components + self.mean).unflatten(1, self.array_shape)

    def detail(self, arrays: torch.Tensor) -> torch.Tensor:
        """What no coefficients stand for: arrays ``[n, *shape]`` without their part along the components."""
        flat = arrays.flatten(1)
        return (flat - flat @ self.components.T @ self.components).view_as(arrays)


def principal(arrays: np.ndarray, *, explained: float, most: int) -> Principal:
    """Find the components.

    Args:
        arrays: ``[n, ...]``.
        explained: Share of the variance to keep, if ``most`` components suffice for it.
        most: Components at most.
    """
    flat = arrays.reshape(len(arrays), -1).astype(np.float64)
    mean = flat.mean(0)
    flat -= mean
    most = min(most, len(flat) - 1, flat.shape[1])
    vectors, deviation = _components(flat, most)
    share = np.cumsum(deviation**2) * len(flat) / max((flat**2).sum(), 1e-12)
    keep = min(int(np.searchsorted(share, explained)) + 1, most)
    scale = np.maximum(deviation[:keep], 1e-6)
    return Principal(mean, vectors[:keep], scale, flat @ vectors[:keep].T / scale)


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
