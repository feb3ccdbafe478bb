"""What `evaluate` refuses, and that it leaves no trace when it does."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import blobs, make_dataset, make_generator, make_synthetic

from medsyn.config import EvaluateOptions
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.evaluate.inputs.resolve import resolve
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


def test_a_subject_in_two_splits(workspace):
    images, labels = blobs(120)
    subjects = [f"subject{i // 4}" for i in range(120)]
    dataset = make_dataset(workspace, images, labels, subjects=subjects)
    make_synthetic(workspace, dataset, *blobs(40, seed=1))
    file = dataset.path / "splits.parquet"
    table = pq.read_table(file)
    splits = table["split"].to_pylist()
    splits[splits.index("train")] = "test"
    changed = table.set_column(
        table.column_names.index("split"), "split", pa.array(splits, table.schema.field("split").type)
    )
    pq.write_table(changed, file)
    refused(workspace, "1 subjects are in two splits at once")


def test_a_synthetic_set_where_generators_are_trained(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, seed=1))
    for given in ({"regenerate": True}, {"folds": 3}, {"rare": {"pneumonia": 9}}, {"fractions": [0.5]}):
        options = EvaluateOptions(**{**OPTIONS.model_dump(), "synthetic": "xray-001", **given})
        refused(workspace, "cannot be combined with --regenerate", UsageError, options)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"rare": {"covid19": 5}}, "no class 'covid19'.*no_finding, pneumonia"),
        ({"rare": {"pneumonia": 500}}, "500 subjects of 'pneumonia' asked for"),
        ({"rare": {"pneumonia": 9}, "train_subjects": 10}, "leave 1 for the classes"),
        ({"folds": 2}, "2 folds"),
    ],
)
def test_settings_that_the_dataset_does_not_allow(workspace, dataset, given, match):
    refused(workspace, match, options=EvaluateOptions(**{**OPTIONS.model_dump(), **given}))


def test_dataset_not_here(workspace, dataset):
    make_synthetic(workspace, dataset, *blobs(40, seed=1), dataset_digest="0" * 64)
    refused(workspace, "not in this workspace.*--dataset", MissingError)


def test_nothing_to_evaluate(workspace):
    refused(workspace, "medsyn augment", MissingError)
