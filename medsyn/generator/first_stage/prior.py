"""Where codes of new patients come from, by the name in config.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from medsyn.compute import keyed_seed
from medsyn.generator.first_stage.changes import changed
from medsyn.generator.first_stage.flow import BATCH, Changed, ClassFlow, PriorTraining
from medsyn.generator.first_stage.mixture import ClassMixture
from medsyn.generator.kinds import kind_and_sizes

Prior = ClassMixture | ClassFlow
PRIORS: dict[str, type[ClassMixture] | type[ClassFlow]] = {"mixture": ClassMixture, "flow": ClassFlow}

COPIES = 15
"""Of every image, changed, from which a prior learns beside the image itself."""

FEWEST_STEPS = 500
"""Of a flow: after fewer the mixture is as good, and made in a moment."""


def build(config: dict[str, Any], codes: int) -> Prior:
    """A prior without its weights yet.

    Args:
        config: Of its ``sizes``.
        codes: Length of a code.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    made, sizes = kind_and_sizes(config, PRIORS, "prior")
    return made(codes, **sizes)


def moved(
    images: np.ndarray, training: PriorTraining, encode: Callable[[np.ndarray], np.ndarray], most: int = COPIES
) -> Iterator[Changed]:
    """Codes of changed images, as often as a prior of so many steps can use them.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
        training: Of the prior.
        encode: Images to codes ``[n, K]``.
        most: Of every image, beside `COPIES`.
    """
    for copy in range(min(most, COPIES, math.ceil(training.steps * BATCH / len(images)))):
        arrays, told = changed(images, keyed_seed(training.seed, copy))
        yield encode(arrays), told


def fit(codes: np.ndarray, labels: np.ndarray, training: PriorTraining, changed: Iterable[Changed] = ()) -> Prior:
    """A flow where there are steps enough to train one, else a mixture; also where the flow diverged.

    Args:
        codes: float ``[n, K]``, of about unit variance.
        labels: int64 ``[n]``; every class occurs.
        training: Of the flow.
        changed: Codes of the same images changed, see `ClassFlow.fit`; only asked for where there is a flow.
    """
    if training.steps >= FEWEST_STEPS:
        with suppress(ArithmeticError):
            return ClassFlow.fit(codes, labels, training, changed)
    return ClassMixture.fit(codes, labels)
