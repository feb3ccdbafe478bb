"""A dataset, a set and an evaluation of both, small enough to score by hand."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate.report_pictures import make_galleries
from evaluate.report_sample import make_binary
from helpers import blobs, fresh_workspace, make_dataset, make_synthetic

from medsyn.evaluate.report import write
from medsyn.readers import stage
from medsyn.readers.options import StudyOptions
from medsyn.readers.study import Study
from medsyn.workspace import EVALUATION, Workspace

CLASSES = ["normal", "<script>alert(1)</script>"]


@pytest.fixture(scope="package")
def material(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A workspace with 100 images of 100 patients, 40 synthetic ones, and their evaluation."""
    made = fresh_workspace(tmp_path_factory.mktemp("readers"), empty_store)
    images, labels = blobs(100, side=24)
    dataset = make_dataset(made, images, labels, class_names=CLASSES)
    synthetic, of = blobs(40, side=24, seed=7)
    make_synthetic(made, dataset, synthetic, of)
    facts = {"dataset__name": dataset.path.name, "dataset__digest": dataset.digest, "synthetic__name": "xray-001"}
    report = make_binary(CLASSES, **facts)
    with made.build(EVALUATION, "xray") as build:
        write(report, make_galleries(CLASSES), build.path)
        build.commit(report.model_dump(mode="json"))
    return made.path


@pytest.fixture
def lab(material: Path, tmp_path: Path) -> Workspace:
    """A copy of it for one test."""
    return Workspace(shutil.copytree(material, tmp_path / "lab"))


@pytest.fixture
def study(lab: Workspace) -> Study:
    """A study of 16 cases in it."""
    made = stage.make(StudyOptions(n=16), lab)
    return Study.model_validate_json(made.key.read_text())


def signed(content: dict[str, Any]) -> dict[str, Any]:
    """Answers with the checksum that the page would give them, computed as the page does: by hand."""
    rows = [
        "\t".join(str(a[key]) for key in ("case", "call", "label", "call_ms", "label_ms", "undone"))
        for a in content["answers"]
    ]
    text = "\n".join([*(content[key] for key in ("study", "reader", "session", "started")), *rows])
    return {**content, "checksum": f"{zlib.crc32(text.encode()):08x}"}


def make_answers(study: Study, reader: str, told: list[bool], named: list[bool], /, **changes: Any) -> dict[str, Any]:
    """Answers that are right where they are told to be."""
    other = {"real": "synthetic", "synthetic": "real"}
    names = study.classes
    rows = [
        {
            "case": c.case,
            "call": c.truth if right else other[c.truth],
            "label": c.label if knows else names[(names.index(c.label) + 1) % len(names)],
            "call_ms": 1000 + 100 * i,
            "label_ms": 500,
            "undone": 0,
        }
        for i, (c, right, knows) in enumerate(zip(study.cases, told, named, strict=False))
    ]
    content = {
        "kind": "medsyn reader-study answers",
        "schema_version": 1,
        "study": study.study,
        "reader": reader,
        "session": f"session of {reader}",
        "started": "2026-01-02T03:04:05.678Z",
        "answers": rows,
    }
    return signed({**content, **changes})


@pytest.fixture
def save(tmp_path: Path, study: Study) -> Callable[..., Path]:
    """Write the answers of a reader who is right with a certain chance."""

    def write_answers(reader: str, ability: float = 0.8, n: int | None = None, **changes: Any) -> Path:
        rng = np.random.default_rng(sum(map(ord, reader)))
        told, named = rng.random((2, n or study.n)) < ability
        file = tmp_path / f"answers-{len(list(tmp_path.glob('answers-*')))}.json"
        file.write_text(json.dumps(make_answers(study, reader, list(told), list(named), **changes)))
        return file

    return write_answers
