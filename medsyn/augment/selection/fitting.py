"""Fitting the selection once for a dataset, and finding it again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from medsyn.augment.selection import selector
from medsyn.cache import Cache
from medsyn.compute import platform_facts
from medsyn.data import Dataset
from medsyn.metrics.features import FeatureExtractor, extractor
from medsyn.progress import Progress
from medsyn.workspace import Workspace

KIND = "selections"
"""Kind of what the cache holds."""

VERSION = 2
"""Counts up whenever a rule computes something else."""


def fitted(
    workspace: Workspace, dataset: Path, key: str, classes: list[str], device: str, progress: Progress
) -> dict[str, Any]:
    """Fit the selection, unless it was for an earlier set.

    Args:
        workspace: Its cache keeps the result: features of patients, so its mode is 0700.
        dataset: Folder of the dataset that the generator learnt from.
        key: Of `key_of`.
        classes: Of the generator.
        device: Where features are computed.
        progress: Listener.

    Returns:
        What a card tells of it.
    """
    cache = Cache(workspace)
    facts = cache.get(KIND, key, selector.FACTS)
    if facts is None:
        with cache.alone(KIND):
            facts = cache.get(KIND, key, selector.FACTS)
            if facts is None:
                progress.say(f"Calibrating the selection on real images of {dataset.name}")
                opened = Dataset.open(dataset, splits=("train", "tune"))
                # The last bits of a matrix product depend on the number of threads, those of features do not.
                with threadpool_limits(1, user_api="blas"):
                    facts = selector.fit(opened, extractor(device=device), classes)
                cache.put(KIND, key, facts)
    return selector.facts_of(facts)


def key_of(dataset: Path, classes: list[str], device: str) -> str:
    """Where the cache holds the selection.

    It depends on the images and on their numbers in the dataset, and in the last bits on what it was computed by.

    Args:
        dataset: Folder of the dataset.
        classes: Of the generator.
        device: Of torch.
    """
    opened = Dataset.open(dataset, splits=("train", "tune"))
    order = hashlib.sha256("".join(opened.table["pixel_digest"]).encode() + opened.rows().tobytes())
    made_by = {**platform_facts(), "device": device, "numpy": np.__version__, "scikit-learn": sklearn.__version__}
    facts = [VERSION, opened.digest, order.hexdigest(), FeatureExtractor.name, classes, made_by]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
