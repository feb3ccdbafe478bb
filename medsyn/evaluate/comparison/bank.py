"""Features of images, computed once."""

from __future__ import annotations

import hashlib

import numpy as np

from medsyn.cache import Cache, digest
from medsyn.evaluate.inputs.images import Images
from medsyn.evaluate.inputs.sample import Sample
from medsyn.metrics.features import Extractor
from medsyn.plugin import fingerprint


class Bank:
    """Features by content, in memory and in the workspace's cache.

    Args:
        extractor: The frozen network.
        cache: Where features outlive the evaluation.
        spec: What the user named it by: ``imagenet``, or ``module:factory``.
    """

    def __init__(self, extractor: Extractor, cache: Cache, spec: str = "imagenet") -> None:
        self.extractor, self.cache = extractor, cache
        # Code of the user's own may change, or share its display name with other code.
        own = "" if spec == "imagenet" else f" {fingerprint(spec, '--extractor')}"
        self.name = f"{extractor.name}{own}"
        self._known: dict[str, np.ndarray] = {}
        self._single: dict[bytes, np.ndarray] = {}

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Features ``[n, d]`` of images ``[n, C, H, W]``."""
        key = digest(self.name, pixels)
        if key not in self._known:
            kept = self.cache.get("features", key)
            if kept is None:
                kept = {"features": np.asarray(self.extractor(pixels), np.float32)}
                self.cache.put("features", key, kept)
            self._known[key] = kept["features"]
        return self._known[key]

    def but_for(self, pixels: np.ndarray, others: np.ndarray, rows: np.ndarray) -> None:
        """Learn the features of images that equal ``others`` but for some rows: only these are computed."""
        features = self.of(others).copy()
        features[rows] = self.of(pixels[rows])
        self._known[digest(self.name, pixels)] = features

    def sample(self, images: Images) -> Sample:
        """Images with their features, as the checks take them."""
        return Sample(images.pixels, self.of(images.pixels), images.labels, images.units)

    def each(self, pixels: np.ndarray) -> np.ndarray:
        """Features image by image, remembered in memory: for augmented copies, which arms share in part."""
        keys = [hashlib.sha256(image.tobytes()).digest() for image in np.ascontiguousarray(pixels)]
        new = {key: i for i, key in enumerate(keys) if key not in self._single}
        if new:
            found = np.asarray(self.extractor(pixels[list(new.values())]), np.float32)
            self._single |= dict(zip(new, found, strict=True))
        return np.stack([self._single[key] for key in keys])
