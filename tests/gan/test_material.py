"""What a training may see, of datasets that are large for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gan.toy import toy_images, write_dataset
from medsyn.gan import material
from medsyn.gan.material import Material
from medsyn.workspace import Workspace


@pytest.fixture
def large(workspace: Workspace) -> Path:
    """A dataset of 300 images."""
    return write_dataset(workspace, *toy_images(150))


def test_of_a_large_tune_split_some_are_watched(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Material.open(large)
    assert np.array_equal(whole.watched, whole.tune)
    of_each = np.bincount(whole.watched_labels)
    monkeypatch.setattr(material, "WATCHED", len(whole.tune) // 2)
    monkeypatch.setattr(material, "WATCHED_RARE", int(of_each.max()) - 1)
    some = Material.open(large)
    assert np.bincount(some.watched_labels).tolist() == np.minimum(of_each, of_each.max() - 1).tolist()
    monkeypatch.setattr(material, "WATCHED_RARE", 1)
    some = Material.open(large)
    assert len(whole.tune) // 2 - len(of_each) <= len(some.watched) <= len(whole.tune) // 2
    assert set(some.watched) < set(whole.tune)
    assert np.array_equal(some.watched, Material.open(large).watched), "drawn anew each time"
    assert len(some.watched_images) == len(some.watched_units) == len(some.watched)
