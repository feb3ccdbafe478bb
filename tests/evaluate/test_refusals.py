"""What `evaluate` refuses, and that it leaves no trace when it does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers import blobs, make_dataset, make_generator, make_synthetic

from medsyn.config import EvaluateOptions
from medsyn.errors import DataError, MissingError
from medsyn.evaluate.inputs import resolve
from medsyn.evaluate.stage import run
from medsyn.progress import SILENT
from medsyn.workspace import EVALUATION

OPTIONS = EvaluateOptions(seeds=2, steps=2, bootstrap=100, classifiers=["probe"], primary="probe", threads=1)


@pytest.fixture
def dataset(workspace):
    images, labels = blobs(120)
    return make_dataset(workspace, images, labels)


def refused(workspace, match, error=DataError, options=OPTIONS):
    with pytest.raises(error, match=match):
        run(options, workspace)
    assert workspace.all(EVALUATION) == []
    assert not (workspace.path / "looks.jsonl").exists()


@pytest.mark.parametrize("split", ["val", "test"])
def test_generator_that_learnt_from_held_out_subjects(workspace, dataset, split):
    subjects = dataset.table.loc[dataset.rows("train"), "subject"].tolist()
    leaked = dataset.table.loc[dataset.rows(split)[0], "subject"]
    generator = make_generator(workspace, dataset, [*subjects, leaked])
    make_synthetic(workspace, dataset, *blobs(40, seed=1), generator=generator)
    refused(workspace, f"learnt from 1 subjects that are in {split}")


def test_leak_by_unit(workspace):
    # Two subjects that share an identical image are one unit; the generator knows only the other name.
    images, labels = blobs(120)
    official = np.array(["train"] * 40 + ["val"] * 40 + ["test"] * 40)
    subjects = [f"subject{i}" for i in range(120)]
    images[101], labels[101] = images[100], labels[100]
    subjects[100], subjects[101] = "zeta", "alpha"
    dataset = make_dataset(workspace, images, labels, subjects=subjects, official=official)
    assert set(dataset.table.loc[dataset.table["subject"] == "zeta", "unit"]) == {"alpha"}
    generator = make_generator(workspace, dataset, ["alpha"])
    make_synthetic(workspace, dataset, *blobs(40, seed=1), generator=generator)
    refused(workspace, "learnt from")


def test_generator_is_found_by_digest_not_by_name(workspace, dataset):
    leaked = dataset.table.loc[dataset.rows("test"), "subject"].tolist()
    guilty = make_generator(workspace, dataset, leaked, digest="a" * 64)
    make_synthetic(workspace, dataset, *blobs(40, seed=1), generator=guilty, digest="b" * 64)
    make_generator(workspace, dataset, leaked, digest="b" * 64)
    refused(workspace, "xray-002.*learnt from")


def test_the_record_of_subjects_outlives_the_generator(workspace, dataset):
    leaked = dataset.table.loc[dataset.rows("test"), "subject"].tolist()
    generator = make_generator(workspace, dataset, leaked, digest="b" * 64)
    make_synthetic(workspace, dataset, *blobs(40, seed=1), generator=generator, digest="b" * 64)
    (generator / "subjects.parquet").rename(workspace.private / f"subjects-{'b' * 16}.parquet")
    shutil.rmtree(generator)
    refused(workspace, f"subjects-{'b' * 16}.parquet: the generator learnt from {len(leaked)} subjects")


def test_a_generator_named_like_a_folder_here_is_not_taken_from_it(workspace, dataset, monkeypatch):
    leaked = dataset.table.loc[dataset.rows("test"), "subject"].tolist()
    outside = make_generator(workspace, dataset, leaked, digest="b" * 64).rename(workspace.path.parent / "here")
    make_synthetic(workspace, dataset, *blobs(40, seed=1), generator=outside, digest="b" * 64)
    monkeypatch.chdir(outside.parent)
    assert resolve(OPTIONS, workspace, SILENT).generator_subjects is None


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_synthetic_images_among_the_real_ones(workspace, split):
    images, labels = blobs(90)
    official = np.array(["train"] * 30 + ["val"] * 30 + ["test"] * 30)
    marked = np.arange(90) == 30 * ["train", "val", "test"].index(split)
    dataset = make_dataset(workspace, images, labels, official=official, synthetic=marked)
    where = dataset.table.loc[dataset.table["synthetic"], "split"].item()
    make_synthetic(workspace, dataset, *blobs(40, seed=1))
    refused(workspace, f"holds 1 images marked synthetic, in {where}")


def test_other_classes(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, seed=1), classes=["no_finding", "covid19"])
    refused(workspace, "has classes no_finding, covid19, but dataset xray-001 has no_finding, pneumonia")


def test_other_shape(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, side=28, seed=1), image_shape=[1, 28, 28])
    refused(workspace, r"shape \[1, 28, 28\]")


def test_class_absent_in_test(workspace):
    images, labels = blobs(90)
    official = np.array(["train"] * 30 + ["val"] * 30 + ["test"] * 30)
    labels[60:] = 0
    dataset = make_dataset(workspace, images, labels, official=official)
    make_synthetic(workspace, dataset, *blobs(40, seed=1))
    refused(workspace, "has no 'pneumonia' in test")


def test_dataset_not_here(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, seed=1), dataset_digest="0" * 64)
    refused(workspace, "not in this workspace.*--dataset", MissingError)


def test_nothing_to_evaluate(workspace):
    refused(workspace, "medsyn augment", MissingError)
