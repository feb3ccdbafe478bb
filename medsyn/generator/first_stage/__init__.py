"""First stages, by the name in config.json: between images and the codes that the network makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from medsyn.errors import DataError
from medsyn.generator.first_stage.aligned_pca import AlignedPCA
from medsyn.generator.first_stage.pca import PCA

FirstStage = PCA | AlignedPCA
FIRST_STAGES: dict[str, type[PCA] | type[AlignedPCA]] = {"pca": PCA, "aligned-pca": AlignedPCA}


def build(config: dict[str, Any], image_shape: tuple[int, int, int]) -> FirstStage:
    """The first stage of ``config["first_stage"]``, without its weights yet.

    Args:
        config: Its ``kind`` and all its sizes.
        image_shape: ``(C, H, W)``.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    sizes = dict(config)
    kind = sizes.pop("kind", None)
    if kind not in FIRST_STAGES:
        raise DataError(f"first stage '{kind}' is not known", where="config.json", mend="Upgrade medsyn.")
    return FIRST_STAGES[kind](image_shape, **sizes)


def sizes(stage: FirstStage) -> dict[str, Any]:
    """What `build` needs to make ``stage`` again."""
    if isinstance(stage, AlignedPCA):
        parts = {"coefficients": stage.appearance.coefficients, "shape_coefficients": stage.shape.coefficients}
        return {"kind": "aligned-pca", **parts}
    return {"kind": "pca", "coefficients": stage.coefficients}


def fit(kind: str, images: np.ndarray, *, explained: float, most: int) -> tuple[FirstStage, torch.Tensor]:
    """Fit one kind of first stage.

    Args:
        kind: A name in `FIRST_STAGES`.
        images: float32 ``[n, C, H, W]`` in [0, 1].
        explained: Share of the variance to keep, if ``most`` components suffice for it.
        most: Components at most.

    Returns:
        The first stage and the codes of the images, ``[n, K]``.
    """
    if kind == "aligned-pca":
        return AlignedPCA.fit(images, explained=explained, most=most)
    stage = PCA.fit(images, explained=explained, most=most)
    return stage, stage.encode(torch.tensor(images))


__all__ = ["FIRST_STAGES", "PCA", "AlignedPCA", "FirstStage", "build", "fit", "sizes"]
