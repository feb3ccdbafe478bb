"""Near-duplicates and subjects in two splits are found; sound splits are left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import blobs
from PIL import Image

from medsyn.evaluate.checks import leakage
from medsyn.evaluate.inputs.sample import Sample


def sample(images, labels, units):
    return Sample(images.astype(np.float32), images.reshape(len(images), -1), labels, np.asarray(units, str))


@pytest.fixture(scope="module")
def splits():
    images, labels = blobs(320, side=28, seed=4)
    units = np.array([f"s{i}" for i in range(320)])
    return [sample(images[r], labels[r], units[r]) for r in (slice(0, 200), slice(200, 260), slice(260, 320))]


def test_sound_splits(splits):
    train, val, test = splits
    result = leakage.test(train, {"val": val, "test": test}, 0)
    assert not result.found
    assert (result.near_duplicates, result.examined, len(result.checks)) == (0, 120, 4)
    assert "No sign of leakage" in result.sentence


def test_a_brightened_mirrored_film_under_another_name_is_found(splits):
    train, val, test = splits
    again = sample(train.pixels[7:8, :, :, ::-1] ** 0.8, train.labels[7:8], ["somebody"])
    result = leakage.test(train, {"val": val, "test": test.join(again)}, 0)
    assert (result.found, result.near_duplicates) == (True, 1)
    assert "1 of 61 images of test all but equal a training image of another subject." in result.checks


def test_a_subject_in_two_splits_is_counted(splits):
    train, val, test = splits
    another = sample(test.pixels[:1], test.labels[:1], train.units[:1])
    assert leakage.shared_units(train, val.join(another)) == ["s0"]
    result = leakage.test(train, {"val": val.join(another), "test": test.take(np.arange(1, 60))}, 0)
    assert (result.found, result.near_duplicates) == (True, 0)
    assert "1 subjects are in train and in another split" in result.sentence


@pytest.mark.real
def test_a_dataset_that_repeats_itself_is_found(real_data):
    table = pd.read_csv(real_data / "mri" / "labels.csv")
    table = table[table["label"] == "no_tumor"].reset_index(drop=True)
    images = [Image.open(real_data / "mri" / f).convert("L").resize((64, 64)) for f in table["file"]]
    pixels = np.stack(images)[:, None].astype(np.float32) / 255
    group = table["dup_group"].to_numpy(str)
    first = table["orig_file"].str.startswith("Training").to_numpy()
    everything = sample(pixels, np.zeros(len(table), int), np.arange(len(table)).astype(str))
    result = leakage.test(everything.take(first), {"test": everything.take(~first)}, 0)
    across = np.isin(group[~first], group[first]).sum()
    assert across > 0
    assert result.near_duplicates >= across // 2
