"""What a classifier is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch

from medsyn.config import Augmentation

Balance = Literal["none", "oversample", "weights"]
"""As they come; all classes shown equally often; or a loss weighted by inverse class frequency."""


@dataclass(frozen=True, eq=False)
class Task:
    """One training of one classifier, and what to predict with it.

    Attributes:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class indices, int64 ``[n]``.
        classes: Number of classes.
        val_images: float32 ``[v, C, H, W]``; nothing is trained on them.
        val_labels: ``[v]``.
        predict: Name -> images to predict besides val.
        steps: Optimiser steps, the same for every arm.
        batch: Images a step.
        seed: Repeat: initial weights, order and augmentation follow from it.
        device: Where to train.
        augmentation: Strength of classical augmentation; None without.
        balance: What is done about unequal classes.
        stop: Asked now and then; True ends the training.
        features: For `probe`: features ``[., d]`` of ``train``, ``val`` and the sets of ``predict``, where they are
            known already.
        extract: For `probe`: features ``[n, d]`` of images, for what ``features`` does not hold; default: the
            extractor that is installed with medsyn.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int
    val_images: np.ndarray
    val_labels: np.ndarray
    predict: dict[str, np.ndarray]
    steps: int = 800
    batch: int = 64
    seed: int = 0
    device: torch.device | str = "cpu"
    augmentation: Augmentation | None = None
    balance: Balance = "none"
    stop: Callable[[], bool] | None = None
    features: dict[str, np.ndarray] = field(default_factory=dict)
    extract: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def wanted(self) -> dict[str, np.ndarray]:
        """Name -> images of everything to predict, ``val`` first."""
        return {"val": self.val_images, **self.predict}

    def check_stop(self) -> None:
        """End here where that was asked for.

        Raises:
            CancelledError: ``stop`` says so.
        """
        if self.stop is not None and self.stop():
            raise CancelledError


class Classifier(Protocol):
    """Trains on a task and predicts; picklable by name, so that a worker process can run it."""

    @property
    def name(self) -> str:
        """As it stands in reports."""
        ...

    def fit_predict(self, task: Task) -> dict[str, np.ndarray]:
        """Train with fixed settings and predict.

        Returns:
            Class probabilities, float64 ``[n, classes]``, of ``val`` and of every set of ``task.predict``.

        Raises:
            CancelledError: ``task.stop`` said so.
        """
        ...
