"""Candidates of a synthetic set made again from their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from medsyn.compute import single_threaded
from medsyn.errors import DataError
from medsyn.generator import Generator
from medsyn.images import to_pixels
from medsyn.workspace import SYNTHETIC


def remake(model: Generator, candidates: pd.DataFrame, card: Mapping[str, Any]) -> np.ndarray:
    """The pixels of candidates as they were judged, accepted or not.

    Args:
        model: The generator with the set's ``checkpoint_digest``.
        candidates: Rows of the set's manifest.
        card: The set's card: ``bits``, ``truncation``.

    Returns:
        uint8 or uint16 ``[m, C, H, W]``. Equal to the bit for one version of torch, device and instruction set.

    Raises:
        DataError: A seed, number, label or truncation that the generator has not.
    """
    try:
        labels = np.array([model.classes.index(label) for label in candidates["label"]], np.int64)
        index, seed = candidates["index"].to_numpy(np.int64), int(candidates["seed"].iloc[0])
        with single_threaded():
            drawn = model.sample(labels, seed, index, float(card.get("truncation", 1.0)))
        return to_pixels(drawn, int(card.get("bits", 8)))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"its candidates cannot be made again ({error})", where=SYNTHETIC.main_file) from None


def agree(pixels: np.ndarray, candidates: pd.DataFrame) -> np.ndarray:
    """Whether each image has the ``pixel_digest`` of its row in the manifest, where that tells one, bool ``[m]``."""
    told = candidates["pixel_digest"].fillna("").to_numpy(str)
    return np.asarray(
        (told == "") | (told == np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]))
    )
