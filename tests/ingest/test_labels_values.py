"""What written labels mean: renamed, missing, uncertain, and further targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn.config import IngestOptions
from medsyn.errors import DataError, UsageError
from medsyn.ingest import stage
from medsyn.ingest.labels.table import LabelTable
from medsyn.ingest.labels.values import Target, meaning
from medsyn.workspace import Workspace, read_json

from .conftest import picture, png, table
from .looking import join


def films(folder: Path, columns: dict[str, list[str]]) -> Path:
    n = len(next(iter(columns.values())))
    for i in range(n):
        png(folder / "scans" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
    rows = [{"file": f"{i}.png", **{c: values[i] for c, values in columns.items()}} for i in range(n)]
    return table(folder / "labels.csv", rows)


def states(written: list[str], label_map: dict[str, str] | None = None, classes: tuple[str, ...] = ()) -> list[Target]:
    return [meaning(written, label_map or {}, classes)[text] for text in written]


def test_doubts_are_told_from_classes() -> None:
    known, doubt, nothing = (lambda v: Target(v, "known")), Target(None, "uncertain"), Target(None, "missing")
    assert states(["1.0", "0.0", "-1.0", ""]) == [known("1.0"), known("0.0"), doubt, nothing]
    assert states(["1", "0", "-1", "NaN"]) == [known("1"), known("0"), doubt, nothing]
    assert states(["1", "-1"]) == [known("1"), known("-1")]  # a negative class
    assert states(["1", "0", "-1", "2"])[2] == known("-1")
    assert states(["1", "0", "-1"], classes=("-1", "0", "1"))[2] == known("-1")
    assert states(["1", "0", "-1"], {"-1": "positive"})[2] == known("positive")
    assert states(["1", "0", "-1"], {"-1": ""})[2] == nothing
    assert states(["yes", "Uncertain", "equivocal "]) == [known("yes"), doubt, doubt]
    assert states(["yes", "uncertain"], classes=("yes", "uncertain"))[1] == known("uncertain")


def test_labels_are_renamed_before_everything(tmp_path: Path) -> None:
    labels = films(tmp_path, {"label": ["pos", "neg", "neg ", "?", ""]})
    options = {"labels": str(labels), "label_map": {"pos": "pneumonia", "neg": "normal", "?": ""}}
    got, _ = join(tmp_path / "scans", **options, classes=["normal", "pneumonia"])
    assert list(got.values()) == [
        ("pneumonia", "known"),
        *[("normal", "known")] * 2,
        *[(None, "missing")] * 2,
    ]
    with pytest.raises(DataError, match="unknown label 'pneumonia' in row 2"):
        join(tmp_path / "scans", **options, classes=["normal", "tumour"])


def test_a_map_of_labels_that_do_not_occur_is_refused(tmp_path: Path) -> None:
    labels = films(tmp_path, {"label": ["pos", "neg"]})
    with pytest.raises(UsageError, match=r"--map 'psitive', 'x': no such label occurs. There are: 'neg', 'pos'"):
        join(tmp_path / "scans", labels=str(labels), label_map={"pos": "p", "psitive": "p", "x": ""})


def test_further_columns_are_targets_of_their_own(tmp_path: Path) -> None:
    columns = {
        "label": list("abab"),
        "edema": ["1.0", "0.0", "-1.0", ""],
        "grade": ["high", "low", "uncertain", "low"],
    }
    labels = films(tmp_path, columns)
    names = ["label", "edema", "grade"]
    _, joined = join(tmp_path / "scans", labels=str(labels), label_columns=names, label_map={"a": "A"})
    assert [dict(row.targets) for row in joined.rows.values()] == [
        {"edema": ("1.0", "known"), "grade": ("high", "known")},
        {"edema": ("0.0", "known"), "grade": ("low", "known")},
        {"edema": (None, "uncertain"), "grade": (None, "uncertain")},
        {"edema": (None, "missing"), "grade": ("low", "known")},
    ]
    assert joined.caveats == [
        "further label columns are kept in targets.parquet (edema, grade): training and evaluation use the class only"
    ]
    for wrong in (["label", "edema", "edema"], ["label", "class"]):
        with pytest.raises((UsageError, DataError)):
            LabelTable.open(labels, wrong)


def test_a_further_column_called_class_would_be_taken_for_the_first(tmp_path: Path) -> None:
    labels = films(tmp_path, {"label": list("ab"), "class": list("cd")})
    with pytest.raises(UsageError, match="'class'"):
        LabelTable.open(labels, ["label", "class"])
    assert LabelTable.open(labels, ["class"]).label_columns == ("class",)


def test_rows_that_contradict_each_other_in_a_further_column(tmp_path: Path) -> None:
    labels = films(tmp_path, {"label": list("ab"), "edema": list("01")})
    labels.write_text(labels.read_text() + "1.png,b,0\n")
    with pytest.raises(DataError, match=r"different values in 'edema' name one case, 1 times: '1.png' \('0' and '1'\)"):
        join(tmp_path / "scans", labels=str(labels), label_columns=["label", "edema"])
    assert len(join(tmp_path / "scans", labels=str(labels))[0]) == 2


def test_doubtful_images_are_left_out_and_counted(tmp_path: Path, workspace: Workspace) -> None:
    labels = films(tmp_path, {"label": [*"01" * 6, "-1", "-1", ""]})
    paths = {"paths": [str(tmp_path / "scans")], "labels": str(labels), "subject_from": "file"}
    options = {**paths, "modality": "xray", "size": 32, "workers": 1, "label_map": {"0": "no", "1": "yes"}}
    result = stage.run(IngestOptions.model_validate(options), workspace)
    assert set(result.images_per_class) == {"no", "yes"}
    assert result.outcomes["skipped"] == 3
    ledger = result.ledger.read_text()
    assert ledger.count("uncertain_label") == 2
    assert ledger.count("no_label") == 1
    assert read_json(result.path / "dataset.json")["classes"] == ["no", "yes"]


def test_further_targets_are_written(tmp_path: Path, workspace: Workspace) -> None:
    labels = films(tmp_path, {"label": list("abab" * 3), "edema": ["1", "0", "-1", ""] * 3})
    options = {"paths": [str(tmp_path / "scans")], "labels": str(labels), "subject_from": "file", "workers": 1}
    more = {"modality": "xray", "size": 32, "label_columns": ["label", "edema"]}
    result = stage.run(IngestOptions.model_validate({**options, **more}), workspace)
    rows = pd.read_parquet(result.path / "targets.parquet")
    assert rows.groupby(["task", "state"]).size().to_dict() == {
        ("class", "known"): 12,
        ("edema", "known"): 6,
        ("edema", "missing"): 3,
        ("edema", "uncertain"): 3,
    }
    assert set(rows.loc[rows["task"] == "edema", "value"].dropna()) == {"0", "1"}
    assert any("training and evaluation use the class only" in caveat for caveat in result.caveats)


def test_labels_of_npz_files_are_renamed_too(tmp_path: Path, workspace: Workspace) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=np.arange(40)[:, None] % 3)
    options = {"paths": [str(tmp_path / "a.npz")], "modality": "xray", "workers": 1}
    label_map = {"0": "none", "1": "some", "2": ""}
    result = stage.run(IngestOptions.model_validate({**options, "label_map": label_map}), workspace)
    assert {c: sum(s.values()) for c, s in result.images_per_class.items()} == {"none": 14, "some": 13}
    with pytest.raises(UsageError, match=r"--map '3': no such label occurs. There are: '0', '1', '2'"):
        stage.run(IngestOptions.model_validate({**options, "label_map": {"3": "many"}}), workspace)


def test_a_map_without_any_label_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    films(tmp_path, {"label": list("ab")})
    options = {"paths": [str(tmp_path / "scans")], "modality": "xray", "subject_from": "file", "label_map": {"a": "b"}}
    with pytest.raises(UsageError, match="--map 'a': no such label occurs"):
        stage.run(IngestOptions.model_validate(options), workspace)
