"""The page and its key: what each holds, who may read it, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import blobs, make_dataset
from PIL import Image

import medsyn
from medsyn.data import Dataset
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.images import save_png, to_pixels
from medsyn.readers import stage
from medsyn.readers.options import StudyOptions
from medsyn.readers.study import Study
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import DATASET, SYNTHETIC, Workspace


def page_data(page: Path) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_every_case_shows_its_image(lab: Workspace) -> None:
    made = stage.make(StudyOptions(n=16), lab)
    key = Study.model_validate_json(made.key.read_text())
    dataset = Dataset.open(lab.latest(DATASET))
    synthetic = SyntheticSet.open(lab.latest(SYNTHETIC)).images()
    shown = page_data(made.page)["cases"]
    assert [c["case"] for c in shown] == [c.case for c in key.cases]
    for case, on_page in zip(key.cases, shown, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(on_page["image"].split(",")[1]))))
        source = dataset.images(np.array([case.image])) if case.truth == "real" else synthetic[[case.image]]
        assert np.array_equal(pixels, to_pixels(source)[0, 0])


def test_page_and_key_are_for_their_owner_alone(lab: Workspace) -> None:
    made = stage.make(StudyOptions(n=16), lab)
    assert made.page.is_relative_to(lab.private)
    assert made.key.is_relative_to(lab.private)
    for path, mode in ((made.page, 0o600), (made.key, 0o600), (made.page.parent, 0o700), (lab.private, 0o700)):
        assert path.stat().st_mode & 0o777 == mode


def test_the_page_does_not_say_what_a_case_is(lab: Workspace) -> None:
    made = stage.make(StudyOptions(n=16), lab)
    content = page_data(made.page)
    assert set(content) == {"study", "classes", "cases"}
    assert all(set(case) == {"case", "image"} for case in content["cases"])
    headers = {base64.b64decode(c["image"].split(",")[1])[:33] for c in content["cases"]}
    assert len(headers) == 1  # size, depth and kind of PNG
    chunks = {tuple(chunk_names(base64.b64decode(c["image"].split(",")[1]))) for c in content["cases"]}
    assert {name for names in chunks for name in names} == {b"IHDR", b"IDAT", b"IEND"}
    key = Study.model_validate_json(made.key.read_text())
    text = made.page.read_text()
    assert all(word not in text for word in (key.dataset.digest, key.synthetic.digest, "xray-001"))


def chunk_names(png: bytes) -> list[bytes]:
    names, at = [], 8
    while at < len(png):
        names.append(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return names


def test_the_same_options_make_the_same_study_and_another_key_another_one(lab: Workspace) -> None:
    first = stage.make(StudyOptions(n=16), lab)
    content = first.page.read_bytes()
    assert stage.make(StudyOptions(n=16), lab) == first
    assert first.page.read_bytes() == content
    assert stage.make(StudyOptions(n=16, seed=1), lab).study != first.study
    (lab.private / "project.key").write_text("6" * 64)
    other = stage.make(StudyOptions(n=16), lab)
    orders = [[c.truth for c in Study.model_validate_json(m.key.read_text()).cases] for m in (first, other)]
    assert orders[0] != orders[1]


def test_names_cannot_become_markup(lab: Workspace) -> None:
    page = stage.make(StudyOptions(n=16), lab).page
    assert "<script>alert" not in page.read_text()
    assert sorted(c["name"] for c in page_data(page)["classes"]) == ["<script>alert(1)</script>", "normal"]


def test_a_page_elsewhere_leaves_the_key_at_home(lab: Workspace, tmp_path: Path) -> None:
    made = medsyn.reader_study(n=16, out=tmp_path / "share" / "cases.html", workspace=lab.path)
    assert made.page == tmp_path / "share" / "cases.html"
    assert made.page.stat().st_mode & 0o777 == 0o600
    assert made.key.is_relative_to(lab.private)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="lies below a file"):
        medsyn.reader_study(n=16, out=tmp_path / "file" / "cases.html", workspace=lab.path)


def test_images_of_another_tool(lab: Workspace, tmp_path: Path) -> None:
    images, labels = blobs(16, side=24, seed=3)
    rows = ["file,label"]
    for i, (pixels, label) in enumerate(zip(to_pixels(images), labels, strict=True)):
        save_png(pixels[0], tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{('normal', '<script>alert(1)</script>')[label]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    made = medsyn.reader_study(n=16, synthetic=tmp_path, workspace=lab.path)
    key = Study.model_validate_json(made.key.read_text())
    assert sorted(c.image for c in key.cases if c.truth == "synthetic") != list(range(8))
    assert key.synthetic.name == tmp_path.name


def test_what_cannot_be_read_is_refused(lab: Workspace, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="n: Input should be a multiple of 2"):
        medsyn.reader_study(n=15, workspace=lab.path)
    with pytest.raises(DataError, match="Ask for fewer: --n"):
        medsyn.reader_study(n=60, workspace=lab.path)
    images, labels = blobs(60, side=32)
    other = make_dataset(lab, images, labels, class_names=["normal", "<script>alert(1)</script>"])
    with pytest.raises(DataError, match="would know them by their size"):
        medsyn.reader_study(n=16, dataset=other.path.name, workspace=lab.path)
    with pytest.raises(MissingError, match="no synthetic set yet"):
        medsyn.reader_study(workspace=workspace.path)


def test_a_key_that_was_changed_scores_nothing(lab: Workspace, save: Callable[..., Path], study: Study) -> None:
    file = lab.private / "reader-studies" / study.study / "key.json"
    answers = save("R1")
    content = json.loads(file.read_text())
    content["cases"][0]["truth"] = {"real": "synthetic", "synthetic": "real"}[content["cases"][0]["truth"]]
    for text in (json.dumps(content), "{}", "["):
        file.write_text(text)
        with pytest.raises(DataError, match="key"):
            medsyn.score_readers(answers, workspace=lab.path)
    file.unlink()
    with pytest.raises(MissingError, match="was not made in workspace"):
        medsyn.score_readers(answers, workspace=lab.path)
