"""Brightness, histograms and odd images agree with what scikit-learn and NumPy say of the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs, make_dataset
from sklearn.metrics import roc_auc_score

from inspection.conftest import make_trap
from medsyn.data import Dataset
from medsyn.inspection import pixels
from medsyn.inspection.columns import Columns
from medsyn.workspace import Workspace


def sampled(dataset: Dataset) -> tuple[Columns, np.ndarray, pixels.Sample]:
    columns = Columns(dataset.path)
    labels = columns.labels(dataset.classes)
    shards = pixels.Pixels(dataset.path, dataset.meta, columns)
    return columns, labels, pixels.read(shards, columns, labels, dataset.classes)


def test_brightness_and_histogram(trap: tuple[Workspace, Dataset]) -> None:
    dataset = trap[1]
    columns, labels, sample = sampled(dataset)
    shown = dataset.images(columns.images)
    found = pixels.brightness(sample, columns.unit.codes, dataset.classes)
    mean = shown.mean((1, 2, 3))
    for i, row in enumerate(found):
        assert row.images == 60
        assert row.mean == pytest.approx(mean[labels == i].mean(), abs=1e-6)
        assert row.auroc == pytest.approx(roc_auc_score(labels == i, mean))
        assert row.low < row.auroc < row.high
        assert row.found
    (grey,) = pixels.histograms(sample, dataset.classes)
    for i, name in enumerate(dataset.classes):
        expected = np.histogram(shown[labels == i], pixels.GREY_EDGES)[0]
        assert grey.shares[name] == pytest.approx(expected / expected.sum())


def test_ties_count_half_and_weights_as_copies() -> None:
    score, positive = np.array([1.0, 2, 2, 3, 3, 5]), np.array([False, False, True, True, False, True])
    weights = np.array([[1, 1, 1, 1, 1, 1], [0, 2, 1, 1, 3, 1]])
    for weight, value in zip(weights, pixels._auroc(score, positive, weights), strict=True):
        assert value == pytest.approx(roc_auc_score(np.repeat(positive, weight), np.repeat(score, weight)))


def test_brightness_that_tells_nothing_is_not_called(workspace: Workspace) -> None:
    images, labels = blobs(120, side=16)
    columns, _, sample = sampled(make_dataset(workspace, images, labels))
    assert not any(b.found for b in pixels.brightness(sample, columns.unit.codes, ["no_finding", "pneumonia"]))


def test_odd_images(workspace: Workspace) -> None:
    images, labels = blobs(40, side=16)
    images[3] = 0.4
    images[5], images[5, 0, 0, 0] = 0.01, 0.9
    images[6], images[6, 0, 0, 0] = 0.99, 0.1
    columns, _, sample = sampled(make_dataset(workspace, images, labels))
    found = {o.kind: o.images for o in pixels.outliers(sample, columns, side=16)}
    assert found == {
        "constant": [3],
        "nearly black": [5],
        "nearly white": [6],
        "unusual proportions": [],
        "enlarged": [],
    }


def test_what_most_images_are_is_not_odd(workspace: Workspace, edit) -> None:
    images, labels = blobs(40, side=16)
    dataset = make_dataset(workspace, images, labels)

    def found(height: list[int], width: int, side: int) -> dict[str, tuple[int, list[int]]]:
        edit(dataset, "index", lambda t: t.assign(source_height=height, source_width=width))
        columns, _, sample = sampled(dataset)
        return {o.kind: (o.found, o.images) for o in pixels.outliers(sample, columns, side)}

    some = found([8] * 4 + [16] * 36, 8, 16)
    assert some["enlarged"] == some["unusual proportions"] == (4, [0, 1, 2, 3])
    most = found([8] * 19 + [16] * 21, 8, 16)
    assert most["enlarged"] == most["unusual proportions"] == (0, [])
    columns, _, sample = sampled(dataset)
    assert pixels.outliers(sample, columns, 17)[-1].rule.endswith(": true of 40 images, so usual in this set")


def test_a_sample_is_bounded_and_the_same_each_time(
    trap: tuple[Workspace, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "PER_CLASS", 7)
    first, second = (sampled(trap[1])[2] for _ in range(2))
    assert np.bincount(first.group).tolist() == [7, 7]
    assert first.rows.tolist() == second.rows.tolist()
    assert first.mean.tolist() == second.mean.tolist()


def test_hounsfield_units_have_a_histogram_of_their_own(workspace: Workspace, edit) -> None:
    images, labels = blobs(20, side=16)
    dataset = make_dataset(workspace, images, labels)
    assert sampled(dataset)[2].hounsfield is None
    edit(dataset, "index", lambda t: t.assign(unit="HU", slope=2000 / 65535, intercept=-1000.0))
    _, labels, sample = sampled(dataset)
    _, hu = pixels.histograms(sample, dataset.classes)
    values = dataset.stored(np.arange(20)) * (2000 / 65535) - 1000.0
    for i, name in enumerate(dataset.classes):
        expected = np.histogram(values[labels == i], pixels.HU_EDGES)[0]
        assert hu.shares[name] == pytest.approx(expected / expected.sum())


def test_pictures_are_of_train_and_of_different_subjects(workspace: Workspace) -> None:
    dataset = make_trap(workspace)
    columns = Columns(dataset.path)
    chosen = pixels.for_display(columns, columns.labels(dataset.classes), dataset.classes, per_class=8)
    shards = pixels.Pixels(dataset.path, dataset.meta, columns)
    for name, rows in chosen.items():
        there = dataset.table.loc[columns.images[rows]]
        assert set(there["split"]) == {"train"}
        assert set(there["label"]) == {name}
        assert there["subject"].nunique() == len(rows) == 8
        expected = np.round(dataset.images(columns.images[rows]) * 255).astype(np.uint8)
        assert (shards.pictures(rows) == expected).all()


def test_colour_counts_by_its_luminance(workspace: Workspace) -> None:
    images, labels = blobs(20, side=16)
    colour = np.concatenate([images, images * 0, images * 0], axis=1)
    _, _, sample = sampled(make_dataset(workspace, colour, labels))
    assert sample.mean == pytest.approx(0.299 * images.mean((1, 2, 3))[sample.rows], abs=1e-4)
