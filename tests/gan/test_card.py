"""The model card: card.json says what was trained, card.md nothing else."""

from __future__ import annotations

import copy
import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL
from markdown_it import MarkdownIt

from gan.toy import toy_images, write_dataset
from medsyn.config import TrainOptions
from medsyn.data import Dataset
from medsyn.gan import TrainResult, card, run
from medsyn.generator import load
from medsyn.metrics.features import FeatureExtractor
from medsyn.workspace import Workspace, read_json

HOSTILE = ["<script>alert(1)</script>", "a | b\n| c", "*_`x`_* [y](http://z) &amp; # $1$"]


@pytest.fixture
def facts(trained: tuple[Workspace, TrainResult]) -> dict[str, Any]:
    return read_json(trained[1].path / "card.json")


def rendered(markdown: str) -> tuple[list[str], str]:
    """Texts of the table cells as a reader sees them, and the HTML."""
    reader = MarkdownIt("commonmark").enable("table")
    tokens = reader.parse(markdown)
    cells = [
        "".join(part.content for part in token.children or [])
        for before, token in pairwise(tokens)
        if before.type in ("td_open", "th_open")
    ]
    return cells, reader.render(markdown)


def test_it_counts_what_was_learnt_from(trained: tuple[Workspace, TrainResult], facts: dict[str, Any]) -> None:
    workspace, result = trained
    dataset = Dataset.open(workspace.path / "datasets" / "toy-001")
    for split, told in (("train", facts["training_data"]), ("tune", facts["evaluation_data"])):
        rows = dataset.rows(split)
        labels = dataset.table.loc[rows, "label"]
        assert told["images"] == len(rows)
        assert told["images_per_class"] == {c: int((labels == c).sum()) for c in dataset.classes}
        assert told["subjects"] == dataset.table.loc[rows, "subject"].nunique()
    assert facts["training_data"]["content_digest"] == dataset.digest
    weights = (result.path / "generator.safetensors").read_bytes()
    assert facts["model"]["checkpoint_digest"] == hashlib.sha256(weights).hexdigest()
    assert facts["model"]["parameters"]["network"] == sum(p.numel() for p in load(result.path).network.parameters())
    assert facts["training"]["kimg"] == result.kimg
    assert facts["training"]["health"] == result.health
    config = read_json(result.path / "config.json")
    assert facts["training"]["plan"] == config["plan"]
    assert facts["metrics"]["extractor"] == FeatureExtractor.name
    assert facts["metrics"]["all"] == result.monitor
    assert set(facts["metrics"]["per_class"]) == set(dataset.classes)
    assert all(0 <= found["coverage"] <= 1 for found in facts["metrics"]["per_class"].values())


def test_no_key_of_a_patient_is_in_it(trained: tuple[Workspace, TrainResult]) -> None:
    subjects = pd.read_parquet(trained[1].path / "subjects.parquet")
    for name in ("card.json", "card.md"):
        text = (trained[1].path / name).read_text()
        assert not [key for key in {*subjects["subject"], *subjects["unit"]} if key in text]


def test_the_text_is_made_of_the_facts(trained: tuple[Workspace, TrainResult], facts: dict[str, Any]) -> None:
    text = (trained[1].path / "card.md").read_text()
    assert card.markdown(facts) == text
    assert trained[1].card.read_text() == text
    for heading in ("Intended use", "Training data", "Evaluation data", "Metrics", "Ethical considerations", "Limits"):
        assert f"\n## {heading}\n" in text
    cells, html = rendered(text)
    for name, found in facts["metrics"]["per_class"].items():
        place = len(cells) - cells[::-1].index(name) - 1
        assert cells[place + 4] == f"{found['coverage']:.2f}"
    assert {str(n) for n in facts["training_data"]["images_per_class"].values()} <= set(cells)
    assert "{{" not in html
    assert "\n\n\n" not in text


def test_labels_cannot_break_out(facts: dict[str, Any]) -> None:
    hostile = copy.deepcopy(facts)
    names = dict(zip(facts["model"]["classes"], HOSTILE, strict=False))
    hostile["model"]["classes"] = list(names.values())
    for data in (hostile["training_data"], hostile["evaluation_data"]):
        data["images_per_class"] = {names[k]: n for k, n in data["images_per_class"].items()}
        data["subjects_by"] = {"vendor": {HOSTILE[2]: 7}}
    hostile["metrics"]["per_class"] = {names[k]: v for k, v in facts["metrics"]["per_class"].items()}
    hostile["training"]["health"] = [f"class '{HOSTILE[0]}' collapsed"]
    cells, html = rendered(card.markdown(hostile))
    assert "<script" not in html
    assert "<a " not in html
    for name in names.values():
        assert cells.count(" ".join(name.split())) >= 3  # both counts, and the metrics
    plain_cells, _ = rendered(card.markdown(facts))
    assert len(cells) == len(plain_cells)


def test_a_tune_that_is_too_small(workspace: Workspace) -> None:
    images, labels = toy_images(6)
    write_dataset(workspace, images, labels)
    result = run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace)
    facts = json.loads((result.path / "card.json").read_text())
    assert facts["metrics"]["all"] is None
    assert facts["metrics"]["per_class"] == {}
    assert "too few to compare with" in result.card.read_text()


def test_small_groups_are_not_counted(trained: tuple[Workspace, TrainResult]) -> None:
    from medsyn.gan.material import Material

    material = Material.open(trained[0].path / "datasets" / "toy-001")
    table = material.dataset.table
    subjects = table.loc[material.train, "subject"].unique()
    few = set(subjects[:3])
    table["sex"] = np.where(table["subject"].isin(few), "F", "M")
    told = card._split(material, "train")["subjects_by"]
    assert told == {"sex": {"F": "fewer than 5", "M": len(subjects) - 3}}


def test_a_kept_closed_form_is_told(facts: dict[str, Any]) -> None:
    for kept in (True, False):
        text = card.markdown(facts | {"training": facts["training"] | {"closed_form": kept}})
        assert ("No snapshot came nearer" in text) is kept
        assert ("kimg was kept" in text) is not kept
