from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SMALL

from gan.toy import toy_images, write_dataset
from medsyn.config import TrainOptions
from medsyn.gan import material, run, training_images
from medsyn.gan.material import Material
from medsyn.generator import load
from medsyn.workspace import Workspace

CPU = torch.device("cpu")


def test_read_as_they_are_shown_they_are_the_same_numbers(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_images, "PORTION", 7)
    of = Material.open(toy)
    resident = training_images.load(of.dataset, of.train, CPU)
    monkeypatch.setattr(training_images, "RESIDENT", 0)
    read = training_images.load(of.dataset, of.train, CPU)
    assert isinstance(resident, torch.Tensor)
    assert isinstance(read, training_images.OnDisk)
    assert read.shape == resident.shape
    assert np.array_equal(resident.numpy(), of.dataset.images(of.train))
    for rows in ([5, 5, 0, 140], []):
        assert torch.equal(read[torch.tensor(rows, dtype=torch.long)], resident[torch.tensor(rows, dtype=torch.long)])


def test_a_training_from_disk_is_that_from_memory(
    workspace: Workspace, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainOptions(budget="0.5kimg", threads=1, knobs=SMALL)
    one = load(run(options, workspace).path).state()
    monkeypatch.setattr(training_images, "RESIDENT", 0)
    two = load(run(options, workspace).path).state()
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_of_many_images_few_are_fitted_to_and_no_class_is_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = toy_images(40)
    rare = write_dataset(workspace, images[:-90], labels[:-90])
    of = Material.open(rare)
    assert np.array_equal(of.few, np.arange(len(of.train)))
    monkeypatch.setattr(material, "FEW", 20)
    monkeypatch.setattr(material, "RARE", 8)
    of = Material.open(rare)
    counts = np.bincount(of.few_labels)
    assert counts.min() == 8
    assert 20 <= len(of.few) == len(np.unique(of.few)) == len(of.few_images) <= 28
