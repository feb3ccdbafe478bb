"""What the checks say of good and bad synthetic sets, in the report of a whole evaluation."""

from __future__ import annotations

import html
import shutil

import numpy as np
import pytest
from evaluate.stage_lab import dataset, judged, lab, options, three
from helpers import blobs, make_dataset, make_synthetic

from medsyn.evaluate.stage import run
from medsyn.workspace import DATASET

__all__ = ["dataset", "lab", "three"]


def told(result):
    """Warnings of the verdict and the text of the page."""
    return " ".join(result.report.verdict.warnings), html.unescape(result.html.read_text())


def test_a_copier_is_called_out(lab):
    _, dataset = lab
    images, labels = blobs(120, seed=1)
    rows = dataset.rows("train")[:12]
    images[:12], labels[:12] = dataset.images(rows), dataset.labels(rows)
    result = judged(lab, images, labels)
    assert (result.report.copying.copies, result.report.copying.examined) == (12, 120)
    for text in told(result):
        assert "12 of 120 synthetic images all but equal a training image" in text
    assert "Serious finding." in told(result)[1]


def test_a_generator_with_one_image_per_class_is_called_out(lab):
    images, labels = blobs(120, seed=1)
    one = images[:2][labels] + np.random.default_rng(0).normal(0, 0.004, images.shape)
    result = judged(lab, np.clip(one, 0, 1), labels)
    for text in told(result):
        assert "The generator repeats itself" in text
    assert "Serious finding." in told(result)[1]


def test_unseen_real_images_are_not_called_out(lab):
    result = judged(lab, *blobs(120, seed=1))
    assert result.report.copying.tested
    for text in told(result):
        assert "synthetic images all but equal a training image" not in text
        assert "Train for less long" not in text
        assert "repeats itself" not in text
    assert "Serious finding." not in told(result)[1]
    assert any("record of training subjects was not found" in w for w in result.report.verdict.warnings)


def test_a_generator_of_unknown_origin_is_tested_for_what_it_knows(lab):
    _, dataset = lab
    images, labels = blobs(120, seed=1)
    assert any("learnt from test subjects" in c for c in judged(lab, images, labels).report.leakage.checks)
    rows = dataset.rows("test")[:10]
    images[:10], labels[:10] = dataset.images(rows), dataset.labels(rows)
    result = judged(lab, images, labels)
    assert result.report.leakage.found
    assert result.report.copying.copies == 0
    for text in told(result):
        assert "10 of 120 synthetic images all but equal a test image" in text


@pytest.mark.parametrize("which", ["lab", "three"])
def test_a_set_without_some_class(which, request):
    here = request.getfixturevalue(which)
    classes = here[1].classes
    fake, labels = blobs(90, classes=len(classes), seed=1)
    report = judged(here, fake[labels > 0], labels[labels > 0]).report
    assert not any(a.name.startswith("synthetic only") for a in report.arms)
    assert any(f"has no '{classes[0]}': the arm that trains on synthetic images only is left out" in w
               for w in report.verdict.warnings)  # fmt: skip


def test_copies_are_sought_where_the_generator_learnt(workspace, dataset):
    other = make_dataset(workspace, *blobs(160, seed=4), class_names=("no_finding", "pneumonia"))
    images, labels = blobs(60, seed=1)
    rows = dataset.rows("train")[:9]
    images[:9], labels[:9] = dataset.images(rows), dataset.labels(rows)
    make_synthetic(workspace, dataset, images, labels)
    here = options(dataset=other.path.name)
    assert run(here, workspace).report.copying.copies == 9

    shutil.rmtree(workspace.find(DATASET, dataset.path.name))
    result = run(here, workspace)
    assert not result.report.copying.tested
    assert not result.report.copying.found
    for text in told(result):
        assert "Copying was not tested: the dataset that its generator learnt from is not in this workspace." in text
