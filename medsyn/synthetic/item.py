"""One synthetic image as training loops take it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from medsyn.images import from_pixels


def item(pixels: np.ndarray, label: int, name: str, index: int) -> dict[str, Any]:
    """What a dataset of synthetic images gives for one of them.

    Args:
        pixels: uint8 or uint16 ``[C, H, W]``.
        label: Class index.
        name: Class.
        index: Candidate number.

    Returns:
        ``image`` (float32 tensor ``[C, H, W]`` in [0, 1], 0 black), ``label``, ``class``, ``index``, and ``synthetic``,
        which is True.
    """
    image = torch.from_numpy(from_pixels(pixels))
    return {"image": image, "label": label, "class": name, "index": index, "synthetic": True}
