"""The snippets of docs/evaluate.md run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import blobs

from medsyn.evaluate import classifiers
from medsyn.metrics.features import extractor

PAGE = (Path(__file__).parent.parent / "docs" / "evaluate.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))


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


DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md"]), ids=lambda p: p.name)
def test_links_to_pages_and_headings_exist(page):
    for target, heading in re.findall(r"\]\((?!https?:)([\w./-]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8")):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}, heading
