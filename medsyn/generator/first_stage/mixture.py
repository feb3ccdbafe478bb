"""The closed-form start of a generator: a Gaussian mixture of codes for every class."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

LEADING = 32
"""Coefficients, of those with most variance, by which images are sorted into components."""

COMPONENTS = (1, 2, 3, 4, 6, 8)
"""Numbers of components that are tried for every class."""

HELD_OUT = 5
"""Every so many-th image tells which number is best: likelihood of what was fitted always wants more."""

FEWEST = 20
"""Images of the smallest component: the mean of a handful would be a portrait of them."""

FLOOR = 0.05
"""Added to the variances while sorting, in units of the code's own."""


class ClassMixture(nn.Module):
    """Codes of a class as a mixture of Gaussians.

    One Gaussian a class cannot say that a bright film is bright everywhere: patients come in kinds. Figures are in
    docs/pages/decisions.md.

    Args:
        codes: Length of a code, K.
        classes: Number of classes.
        components: Gaussians of all classes together.
    """

    picks = 1

    mean: torch.Tensor
    factor: torch.Tensor
    share: torch.Tensor

    def __init__(self, codes: int, classes: int, components: int) -> None:
        super().__init__()
        self.noise = 1 + codes
        self.register_buffer("mean", torch.zeros(components, codes))
        self.register_buffer("factor", torch.zeros(components, codes, codes))
        self.factor.diagonal(dim1=1, dim2=2).fill_(1)
        self.register_buffer("share", torch.full((classes, components), 1 / components))

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        classes, components = self.share.shape
        return {"kind": "mixture", "classes": classes, "components": components}

    @classmethod
    def fit(cls, codes: np.ndarray, labels: np.ndarray) -> ClassMixture:
        """Fit by expectation maximisation in the leading coefficients; covariances are of all coefficients.

        A component's covariance is shrunk towards that of all components of its class with weight K / (K + n), where n
        is the number of its images: few images have too few directions of their own.

        Args:
            codes: float ``[n, K]``, of about unit variance.
            labels: int64 ``[n]``; every class occurs.
        """
        width = codes.shape[1]
        means, factors, shares = [], [], []
        for c in range(int(labels.max()) + 1):
            x = codes[labels == c].astype(np.float64)
            belongs = _sort(x[:, :LEADING])
            size = belongs.sum(0)
            centre = belongs.T @ x / size[:, None]
            own = [((x - m) * r[:, None]).T @ (x - m) for m, r in zip(centre, belongs.T, strict=True)]
            # A class of one image has no spread of its own.
            within = sum(own) / len(x) if len(x) > 1 else np.eye(width) * FLOOR
            for n, scatter in zip(size, own, strict=True):
                weight = width / (width + n)
                values, vectors = np.linalg.eigh((1 - weight) * scatter / n + weight * within)
                factors.append(vectors * np.sqrt(np.clip(values, 0, None)))
            means.append(centre)
            shares.append(size / len(x))
        made = cls(width, len(means), len(factors))
        made.mean.copy_(torch.from_numpy(np.concatenate(means)))
        made.factor.copy_(torch.from_numpy(np.stack(factors)))
        made.share.zero_()
        first = 0
        for c, share in enumerate(shares):
            made.share[c, first : first + len(share)] = torch.from_numpy(share)
            first += len(share)
        return made

    def forward(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Codes ``[n, K]``: the first number of the noise picks the component, the others are its Gaussian.

        Args:
            noise: Standard normal ``[n, 1 + K]``.
            condition: ``[n, c]`` with the classes first.
        """
        share = self.share[condition[:, : len(self.share)].argmax(1)]
        place = 0.5 * torch.erfc(-noise[:, :1] / 2**0.5)  # uniform in [0, 1]
        ends = share.cumsum(1) / share.sum(1, keepdim=True)
        last = (share > 0).long().cumsum(1).argmax(1)  # rounding must not lead to a component of another class
        component = torch.minimum((place > ends).sum(1), last)
        return self.mean[component] + torch.einsum("njk,nk->nj", self.factor[component], noise[:, 1:])


def _sort(x: np.ndarray) -> np.ndarray:
    """Share of every image that belongs to each component, ``[n, components]``."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    def fitted(rows: np.ndarray, components: int) -> GaussianMixture:
        return GaussianMixture(components, reg_covar=FLOOR, random_state=0, max_iter=50).fit(rows)

    held = np.arange(len(x)) % HELD_OUT == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # half-way is good enough to sort by
        tried = [n for n in COMPONENTS if n * FEWEST <= len(x)]
        by_likelihood = sorted(tried, key=lambda n: -fitted(x[~held], n).score(x[held])) if len(tried) > 1 else ()
        for components in by_likelihood:
            belongs = fitted(x, components).predict_proba(x) if components > 1 else np.ones((len(x), 1))
            if belongs.sum(0).min() >= FEWEST:
                return belongs
    return np.ones((len(x), 1))
