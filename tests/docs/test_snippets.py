"""The Python of the pages runs as it stands there."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from helpers import blobs, closed_form_generator, fresh_workspace, make_dataset

from docs.pages import PAGES, blocks
from medsyn.augment.stage import run
from medsyn.config import AugmentOptions
from medsyn.evaluate import classifiers
from medsyn.metrics.features import extractor


def snippets(page: str) -> dict[str, str]:
    """Those that begin with the name of a file."""
    code = [re.match(r"# (\w+)\.py\n(.*)", b.text, re.DOTALL) for b in blocks(PAGES / page, "python")]
    return {match[1]: match[2] for match in code if match}


SNIPPETS = snippets("how-to/own-classifier.md")
LOOPS = snippets("how-to/training-loop.md")


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, text in SNIPPETS.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in SNIPPETS:
        sys.modules.pop(name, None)


def test_there_are_snippets():
    assert set(SNIPPETS) == {"mine", "forest", "texture"}


@pytest.mark.parametrize("name", ["mine:network", "forest:factory"])
def test_a_classifier_of_the_page(here, name):
    images, labels = blobs(24)
    task = classifiers.Task(images, labels, 2, images[:6], labels[:6], {"test": images[:5]}, steps=2, batch=4)
    found = classifiers.get(name).fit_predict(task)
    assert found["test"].shape == (5, 2)
    assert np.allclose(found["test"].sum(1), 1)


def test_the_extractor_of_the_page(here):
    images, _ = blobs(6)
    assert extractor("texture:factory")(images).shape[0] == 6


@pytest.fixture(scope="module")
def generated(tmp_path_factory, empty_store):
    """The folder that a user of the page works in: a dataset, a generator and a set."""
    made = fresh_workspace(tmp_path_factory.mktemp("loops"), empty_store)
    (made.private / "project.key").write_text("5" * 64)  # the same splits every time
    images, labels = blobs(90, side=32)
    closed_form_generator(made, make_dataset(made, images, labels))
    run(AugmentOptions(n=20, threads=1), made)
    return made.path.rename(made.path.with_name("medsyn-workspace")).parent


def test_there_are_loops():
    assert set(LOOPS) == {"training_loop", "from_a_set"}


def test_the_training_loop_of_the_page(generated, monkeypatch):
    monkeypatch.chdir(generated)
    names: dict[str, Any] = {}
    exec(LOOPS["training_loop"], names)
    batch, made = names["batch"], names["made"]
    real = len(batch["image"]) - 16
    assert batch["image"].shape == (real + 16, 1, 32, 32)
    assert real > 0
    assert torch.equal(torch.as_tensor(batch["image"][real:]), torch.as_tensor(made["image"]))
    assert torch.equal(batch["label"][real:], made["label"])
    assert made["label"].bincount().tolist() == [8, 8]
    assert made["index"].min() > 40, "the second epoch began anew"
    assert torch.isfinite(names["loss"])


def test_the_loaders_of_the_page(generated, monkeypatch):
    monkeypatch.chdir(generated)
    names: dict[str, Any] = {}
    exec(LOOPS["from_a_set"], names)
    for loader in ("loader", "files"):
        batches = list(names[loader])
        assert sum(len(batch["image"]) for batch in batches) == 20
        assert batches[0]["image"].shape == (16, 1, 32, 32)
        assert batches[0]["image"].max() <= 1.2
    # Not shuffled, both are the same images.
    names["files"].dataset.data.sort(key=lambda made: made["index"])
    plain = {made["index"]: made["image"] for made in names["made"]}
    for made in names["files"].dataset:
        torch.testing.assert_close(made["image"].as_tensor(), plain[made["index"]])
