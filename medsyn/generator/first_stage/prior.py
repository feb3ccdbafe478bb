"""Where codes of new patients come from, by the name in config.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from medsyn.errors import DataError
from medsyn.generator.first_stage.flow import Changed, ClassFlow
from medsyn.generator.first_stage.mixture import ClassMixture

Prior = ClassMixture | ClassFlow
PRIORS: dict[str, type[ClassMixture] | type[ClassFlow]] = {"mixture": ClassMixture, "flow": ClassFlow}

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
    sizes = dict(config)
    kind = sizes.pop("kind", None)
    if kind not in PRIORS:
        raise DataError(f"prior '{kind}' is not known", where="config.json", mend="Upgrade medsyn.")
    return PRIORS[kind](codes, **sizes)


def fit(codes: np.ndarray, labels: np.ndarray, *, steps: int, seed: int, changed: Iterable[Changed] = ()) -> Prior:
    """A flow where there are steps enough to train one, else a mixture.

    Args:
        codes: float ``[n, K]``, of about unit variance.
        labels: int64 ``[n]``; every class occurs.
        steps: Of training, at most.
        seed: Of the flow; not negative.
        changed: Codes of the same images changed, see `ClassFlow.fit`; only asked for where there is a flow.
    """
    if steps < FEWEST_STEPS:
        return ClassMixture.fit(codes, labels)
    return ClassFlow.fit(codes, labels, steps=steps, seed=seed, changed=changed)
