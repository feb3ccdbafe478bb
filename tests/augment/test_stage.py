"""The synthetic set: what is in it, and that it is the same whenever it is made again."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from helpers import blobs, closed_form_generator, make_dataset
from PIL import Image

import medsyn
from medsyn import terminal
from medsyn.augment.stage import run
from medsyn.augment.writers.base import safe_name
from medsyn.config import AugmentOptions
from medsyn.errors import DataError, EnvironmentFault, MissingError
from medsyn.progress import Silent
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import SYNTHETIC, Workspace

SIDE = 16


def write_generator(workspace: Workspace, contrast: float = 1.0, signal: float = 0.6):
    """A class Gaussian of a small dataset, unequal classes."""
    images, labels = blobs(240, side=SIDE, signal=signal)
    kept = (labels == 0) | (np.arange(240) % 3 == 0)
    return closed_form_generator(workspace, make_dataset(workspace, images[kept], labels[kept]), contrast=contrast)


def test_a_set_is_complete_and_every_table_agrees(workspace):
    source = write_generator(workspace)
    result = run(AugmentOptions(n=30, balance="equal", threads=1), workspace)
    made = SyntheticSet.open(result.path)
    manifest = made.manifest()
    assert result.n == made.card["n"] == len(manifest) == 30
    assert result.images_per_class == {"no_finding": 15, "pneumonia": 15}
    assert made.card["generator"] == source.name
    images = (made.images() * 255).round().astype(np.uint8)
    with open(result.path / "labels.csv", newline="") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    for row in manifest.itertuples():
        assert hashlib.sha256(images[row.row].tobytes()).hexdigest() == row.pixel_digest
        picture = Image.open(result.path / row.png)
        assert picture.text["Synthetic"] == "true"
        np.testing.assert_array_equal(np.asarray(picture), images[row.row, 0])
        assert labels[row.png] == row.label
        assert 0 < row.nearest_train_distance < 1
    judged = pd.read_csv(result.path / "manifest.csv")
    assert judged["accepted"].sum() == 30
    assert len(judged) == sum(made.card["judged"].values()) == 30 + sum(result.rejected.values())
    assert list(judged["index"]) == sorted(judged["index"])
    with np.load(result.path / "images.npz") as arrays:
        assert arrays["train_images"].shape == (30, SIDE, SIDE)
        np.testing.assert_array_equal(arrays["train_labels"][:, 0], made.labels(made.card["classes"]))
        assert len(arrays["val_images"]) == len(arrays["test_images"]) == 0


def test_a_larger_set_begins_with_the_smaller_one(workspace):
    write_generator(workspace)
    small = run(AugmentOptions(n=20, balance="equal", threads=1), workspace)
    large = run(AugmentOptions(n=60, balance="match", threads=1), workspace)
    first = SyntheticSet.open(small.path).manifest().set_index("index")["pixel_digest"]
    second = SyntheticSet.open(large.path).manifest().set_index("index")["pixel_digest"]
    common = first.index.intersection(second.index)
    assert len(common) >= 20
    assert (first[common] == second[common]).all()
    other = run(AugmentOptions(n=20, balance="equal", seed=1, threads=1), workspace)
    assert not set(SyntheticSet.open(other.path).manifest()["pixel_digest"]) & set(first)


def test_a_set_of_counted_classes(workspace):
    write_generator(workspace)
    result = run(AugmentOptions(balance="pneumonia=7", threads=1), workspace)
    assert (result.n, result.images_per_class) == (7, {"no_finding": 0, "pneumonia": 7})
    assert "7 pneumonia asked for" in (result.path / "card.md").read_text()


def test_truncated_images_are_nearer_to_each_other_and_the_card_tells(workspace):
    write_generator(workspace)
    wide, narrow = (
        SyntheticSet.open(run(AugmentOptions(n=40, truncation=psi, threads=1), workspace).path) for psi in (1.0, 0.5)
    )
    assert narrow.images().std(0).mean() < 0.7 * wide.images().std(0).mean()
    assert (wide.card["truncation"], narrow.card["truncation"]) == (1.0, 0.5)


def test_that_the_same_images_come_again_is_told(workspace):
    write_generator(workspace)
    said = []

    class Heard(Silent):
        def say(self, text):
            said.append(text)

    def told(seed):
        said.clear()
        run(AugmentOptions(n=4, seed=seed, formats=["png"], keep_all=True, threads=1), workspace, Heard())
        return [text for text in said if "of the same seed" in text]

    assert told(0) == []
    assert told(1) == []
    (workspace.path / "synthetic" / "xray-002" / "card.json").write_text("{")  # stands in nobody's way
    assert told(0) == ["xray-001 is of the same seed: images of it come again; --seed makes others"]


@pytest.mark.parametrize("fmt", ["png", "npz"])
def test_each_format_alone_gives_the_same_images(workspace, fmt):
    write_generator(workspace)
    both = SyntheticSet.open(run(AugmentOptions(n=10, threads=1), workspace).path)
    alone = run(AugmentOptions(n=10, formats=[fmt], threads=1), workspace).path
    np.testing.assert_array_equal(SyntheticSet.open(alone).images(), both.images())
    assert (alone / "images.npz").exists() == (fmt == "npz")
    assert (alone / "images").exists() == (fmt == "png")


def test_a_collapsed_class_is_an_error_that_keeps_what_was_made(workspace):
    write_generator(workspace, contrast=0.0, signal=0.0)  # classes that nobody can tell apart: no label is doubted
    with pytest.raises(DataError, match=r"of 8 images of class 'no_finding' in [0-9]+ tries.*kept as xray-001"):
        run(AugmentOptions(n=10, threads=1), workspace)
    (path,) = workspace.all(SYNTHETIC)
    made = SyntheticSet.open(path)
    assert len(made.manifest()) == made.card["n"] == len(made.images())
    assert not made.card["complete"]
    assert f"Not complete: {made.card['n']} images of the 10" in (path / "card.md").read_text()
    assert not list(path.parent.glob(".unfinished*"))
    with pytest.warns(UserWarning, match="xray-001: holds fewer images than were asked for"):
        assert len(medsyn.load_synthetic(path)) == made.card["n"]
    verified = medsyn.verify_synthetic(path, workspace=workspace.path)
    assert (verified.images, verified.wanted) == (made.card["n"], 10)
    with terminal.out.capture() as told:
        terminal.verified(verified, as_json=False)
    assert f"{made.card['n']} images of the 10 that were asked for" in told.get()


def test_little_truncation_left_is_named_as_the_cause(workspace):
    write_generator(workspace)
    with pytest.raises(DataError, match="raise it") as refused:
        run(AugmentOptions(n=30, truncation=0.01, max_tries=2, threads=1), workspace)
    assert "--truncation 0.01" in refused.value.mend


def test_no_generator_yet(workspace):
    with pytest.raises(MissingError, match="train-gan"):
        run(AugmentOptions(n=10), workspace)


def test_tampered_weights_are_refused(workspace):
    source = write_generator(workspace)
    weights = source / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match="SHA-256"):
        run(AugmentOptions(n=10, threads=1), workspace)


def test_more_than_fits_is_refused_before_the_first_image(workspace):
    write_generator(workspace)
    with pytest.raises(EnvironmentFault, match="GiB"):
        run(AugmentOptions(n=10**11, threads=1), workspace)


def test_without_the_dataset_the_distance_stays_empty(workspace):
    write_generator(workspace)
    for path in (workspace.path / "datasets").iterdir():
        if path.is_dir():
            (path / "dataset.json").unlink()
    said = []

    class Listener(Silent):
        def say(self, text):
            said.append(text)

    made = run(AugmentOptions(n=6, threads=1), workspace, Listener())
    assert SyntheticSet.open(made.path).manifest()["nearest_train_distance"].isna().all()
    assert any("not in this workspace" in text for text in said)
    assert "no test for copies" in made.warnings[0]


def test_the_python_function_is_the_stage(workspace):
    write_generator(workspace)
    result = medsyn.augment(8, workspace=workspace.path, threads=1)
    assert result.n == 8
    assert json.loads((result.path / "card.json").read_text())["synthetic"] is True


def test_labels_become_safe_folder_names():
    assert safe_name("normal") == "normal"
    assert "/" not in safe_name("../a b/<x>")
    assert safe_name("a b") != safe_name("a_b")
    assert safe_name("")
