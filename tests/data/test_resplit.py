"""A dataset with other splits."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs, make_dataset

from medsyn.data import Dataset
from medsyn.data.resplit import resplit
from medsyn.errors import DataError


@pytest.fixture
def dataset(workspace):
    return make_dataset(workspace, *blobs(60))


def test_named_images_get_their_split_and_keep_their_pixels(workspace, dataset):
    rows = dataset.rows()[::2]
    split_of = {int(i): "tune" if i % 10 == 0 else "train" for i in rows}
    part = Dataset.open(resplit(dataset, split_of, workspace, "part"))
    assert part.table["split"].to_dict() == split_of
    assert np.array_equal(part.images(part.rows()), dataset.images(rows))
    assert part.table["image_key"].tolist() == dataset.table.loc[rows, "image_key"].tolist()
    assert part.digest != dataset.digest
    counts = part.meta["fingerprint"]["images_per_class"]
    assert sum(n for c in counts.values() for n in c.values()) == len(rows)
    part.verify()
    (part.path / "splits.parquet").write_bytes((dataset.path / "splits.parquet").read_bytes())
    with pytest.raises(DataError, match=r"splits\.parquet: is damaged or missing"):
        part.verify()


def test_another_split_is_another_content(workspace, dataset):
    digests = {
        Dataset.open(resplit(dataset, {0: split, 1: "train"}, workspace, "part")).digest for split in ("train", "test")
    }
    assert len(digests) == 2


def test_a_unit_cannot_be_in_two_splits(workspace):
    images, labels = blobs(6)
    dataset = make_dataset(workspace, images, labels, subjects=["a", "a", "b", "b", "c", "c"])
    with pytest.raises(ValueError, match="two splits"):
        resplit(dataset, {0: "train", 1: "test"}, workspace, "part")
    with pytest.raises(ValueError, match="unknown split"):
        resplit(dataset, {0: "training"}, workspace, "part")
