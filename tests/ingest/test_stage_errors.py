"""What an ingest refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn.errors import DataError, MedsynError, UsageError
from medsyn.workspace import DATASET, Workspace

from .conftest import picture, png, table
from .whole import Pictures, go


def failing(workspace: Workspace, kind: type[MedsynError], match: str, *args: object, **more: object) -> None:
    before = sorted(p for p in (workspace.path / DATASET.folder).iterdir() if p.name != ".lock")
    with pytest.raises(kind, match=match) as caught:
        go(workspace, *args, **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert sorted(p for p in (workspace.path / DATASET.folder).iterdir() if p.name != ".lock") == before


def test_errors_of_folders(tmp_path: Path, workspace: Workspace) -> None:
    failing(workspace, DataError, "no such file or folder", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    failing(workspace, DataError, "no file in it", tmp_path / "empty")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x")
    failing(workspace, DataError, "no readable image", tmp_path / "text")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    failing(workspace, DataError, "not one of 1 files", tmp_path / "bad", subject_from="file")


def test_errors_of_labels(tmp_path: Path, workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(12)
    rows = pd.read_csv(labels)
    own = tmp_path / "own.csv"

    def with_table(frame: pd.DataFrame, match: str, **more: object) -> None:
        frame.to_csv(own, index=False)
        failing(workspace, DataError, match, folder, own, **more)

    failing(workspace, DataError, "no such file", folder, tmp_path / "none.csv")
    own.write_bytes(b"\xff\xfe\x00file,label")
    failing(workspace, DataError, "cannot be read as UTF-8", folder, own)
    with_table(rows[:0], "has no row")
    with_table(rows, "no label column 'diagnosis'; there are: file, label, patient_id", label_columns="diagnosis")
    with_table(
        rows.assign(file="x"), r"no row fits .*\(columns looked at: 'file', 'patient_id'\): column 'file' says 'x'"
    )
    with_table(rows, "no column 'who'", subject_from="who")
    with_table(rows.assign(label="a"), "only the class 'a'")
    with_table(rows.assign(label=""), "no label at all")
    with_table(rows.assign(label=["rare", *"ab" * 5, "a"]), "class 'rare' has fewer than 2 subjects")
    with_table(rows.assign(file="other_" + rows["file"]), "column 'file' says 'other_im0.png', 'other_im1.png'")
    with_table(
        pd.concat([rows, rows.assign(label="c")]),
        r"rows with different values in 'label' .* 12 times: 'im0.png' \('a' and 'c'\), 'im1.png'",
    )
    png(folder / "copy" / "im3.png", picture(77, 32, 8).astype(np.uint8))
    png(folder / "copy2" / "im3.png", picture(78, 32, 8).astype(np.uint8))
    with_table(rows.assign(file="there/" + rows["file"]), "column 'file' says 'there/im0.png'")
    copies = pd.concat([rows, pd.DataFrame([{"file": "im3.png", "label": "a"}])])
    with_table(copies.assign(file=copies["file"].str[:-4]), "names fit more than one file: 'im3'")
    failing(workspace, UsageError, "labels without scans", [], labels)


def test_a_name_with_a_folder_fits_no_other_folder(tmp_path: Path, workspace: Workspace) -> None:
    rows = []
    for i in range(8):
        png(tmp_path / "scans" / "data" / "siteB" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"file": f"siteA/{i}.png", "label": "ab"[i % 2]})
    (tmp_path / "tables").mkdir()
    labels = tmp_path / "tables" / "labels.csv"
    failing(workspace, DataError, "no row fits an image", tmp_path / "scans", table(labels, rows))
    for name in ("data/siteB/{}.png", "siteB/{}.png", "siteB/{}", "../scans/data/siteB/{}.png", "{}"):
        named = [{**row, "file": name.format(i)} for i, row in enumerate(rows)]
        result = go(workspace, tmp_path / "scans", table(labels, named), subject_from="file")
        assert result.outcomes["ingested"] == 8, name
    named = [{**row, "file": f"iteB/{i}.png"} for i, row in enumerate(rows)]
    failing(workspace, DataError, "no row fits an image", tmp_path / "scans", table(labels, named))


def test_the_more_exact_row_wins(tmp_path: Path, workspace: Workspace) -> None:
    rows = []
    for i in range(8):
        png(tmp_path / "scans" / "siteA" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows += [{"file": f"{i}", "label": "c"}, {"file": f"siteA/{i}.png", "label": "ab"[i % 2]}]
    for order in (rows, rows[::-1]):
        result = go(workspace, tmp_path / "scans", table(tmp_path / "labels.csv", order), subject_from="file")
        assert set(result.images_per_class) == {"a", "b"}
        assert (
            "8 rows of the labels name no file that was found, or one that another row names better" in result.caveats
        )


def test_labels_beside_npz_are_told(tmp_path: Path, workspace: Workspace) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=np.arange(40)[:, None] % 2)
    labels = table(tmp_path / "labels.csv", [{"file": "a.npz", "label": "x"}])
    result = go(workspace, tmp_path / "a.npz", labels)
    assert set(result.images_per_class) == {"0", "1"}
    assert "the labels file does not apply to npz files: they carry their own labels" in result.caveats


def test_missing_labels_are_skipped(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(24)
    rows = pd.read_csv(labels, dtype=str)
    rows.loc[3, "label"] = "NaN"
    rows.loc[len(rows)] = ["gone.png", "a", "pat0"]
    rows.to_csv(labels, index=False)
    result = go(workspace, folder, labels)
    assert result.outcomes["skipped"] == 1
    assert set(result.images_per_class) == {"a", "b"}
    assert "1 rows of the labels name no file that was found, or one that another row names better" in result.caveats


def test_nothing_says_the_modality(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(12)
    failing(
        workspace,
        UsageError,
        "--modality xray|mri|ct|ultrasound|mammography|angiography|nuclear",
        folder,
        labels,
        modality=None,
    )


def test_npz_labels_out_of_range(tmp_path: Path, workspace: Workspace) -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "pneumoniamnist.npz", train_images=images, train_labels=np.arange(20)[:, None] % 3)
    failing(workspace, DataError, "npz_labels", tmp_path / "pneumoniamnist.npz")
