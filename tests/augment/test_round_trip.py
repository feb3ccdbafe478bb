"""What `augment` writes, `ingest` and `SyntheticSet` read again: the same pixels, labels and patients."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from augment.small import write_generator
from helpers import fresh_workspace

from medsyn.augment.stage import run
from medsyn.config import AugmentOptions, IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.ingest import stage as ingest
from medsyn.ingest.deidentify import keyed
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import Workspace

N = 24
FOLDERS = {"png": "images", "dicom": "dicom", "nifti": "nifti"}
SETS = {"grey8": (1, 8), "grey16": (1, 16), "rgb8": (3, 8)}


@pytest.fixture(scope="module", params=SETS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> tuple[SyntheticSet, Workspace]:
    """A set in all formats, and its workspace."""
    channels, bits = SETS[request.param]
    workspace = fresh_workspace(tmp_path_factory.mktemp(request.param), empty_store)
    write_generator(workspace, channels=channels)
    options = AugmentOptions(n=N, bits=bits, formats=["png", "dicom", "nifti", "npz"], balance="equal", threads=1)
    return SyntheticSet.open(run(options, workspace).path), workspace


def stored(made: SyntheticSet) -> np.ndarray:
    """Pixels ``[n, C, H, W]`` in the order of the manifest."""
    return np.rint(made.images() * (2 ** made.card["bits"] - 1)).astype(int)


@pytest.mark.parametrize("fmt", FOLDERS)
def test_a_set_of_one_format_is_read_as_that_of_all(made: tuple[SyntheticSet, Workspace], fmt: str, tmp_path) -> None:
    whole, _ = made
    manifest = whole.manifest()
    for name in ("card.json", "manifest.parquet", *manifest[fmt]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole.path / name, tmp_path / name)
    rows = pq.read_table(tmp_path / "manifest.parquet")
    for other in FOLDERS.keys() - {fmt}:
        column = rows.schema.get_field_index(other)
        rows = rows.set_column(column, other, pa.nulls(len(rows), pa.string()))
    pq.write_table(rows, tmp_path / "manifest.parquet")
    np.testing.assert_array_equal(SyntheticSet.open(tmp_path).images(), whole.images())
    (tmp_path / manifest[fmt][0]).write_bytes(b"")
    with pytest.raises(DataError, match=r"[0-9]{8}.*cannot be read"):
        SyntheticSet.open(tmp_path).images()


def test_the_pixels_are_those_of_the_manifest(made: tuple[SyntheticSet, Workspace]) -> None:
    whole, _ = made
    images = stored(whole).astype(f"u{whole.card['bits'] // 8}")
    assert len(np.unique(images)) > 50
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    assert digests == list(whole.manifest()["pixel_digest"])


@pytest.mark.parametrize("fmt", FOLDERS)
@pytest.mark.parametrize("modality", ["xray", "mri", "ct"])
def test_ingested_again_it_is_the_same(made: tuple[SyntheticSet, Workspace], fmt: str, modality: str) -> None:
    whole, workspace = made
    dataset, result = again(made, [str(whole.path / FOLDERS[fmt])], modality)
    manifest = whole.manifest()
    digests = [hashlib.sha256((whole.path / name).read_bytes()).hexdigest() for name in manifest[fmt]]
    table = dataset.table.reset_index().set_index("source_digest").loc[digests]
    assert len(dataset.table) == N
    assert list(dataset.image_shape) == whole.card["image_shape"]  # at its own side, though that is no preset's
    same_pixels(dataset, table["image"].to_numpy(), whole)
    assert list(table["label"]) == list(manifest["label"])
    assert table["synthetic"].all()
    assert table[["spacing_row", "spacing_col", "slice_position"]].isna().all(axis=None)
    # The labels list every format; those that were not ingested are not missed.
    assert not [text for text in result.caveats if "rows of the labels" in text]
    patients = [
        keyed(workspace.project_key(), "subject", "", f"SYNTHETIC-{whole.card['checkpoint_digest'][:12]}-0-{k:06d}")
        for k in manifest["index"]
    ]
    assert list(table["subject"]) == patients
    assert not [text for text in result.caveats if "without patient id" in text or "burned-in" in text]


def test_its_npz_is_the_same(made: tuple[SyntheticSet, Workspace]) -> None:
    whole, _ = made
    dataset, _ = again(made, [str(whole.path / "images.npz")], "xray", labels=None)
    table = dataset.table
    same_pixels(dataset, table.index.to_numpy(), whole)
    assert table["synthetic"].all()
    assert [whole.card["classes"][int(label)] for label in table["label"]] == list(whole.manifest()["label"])


def test_all_formats_at_once_are_one_image_each(made: tuple[SyntheticSet, Workspace]) -> None:
    whole, _ = made
    dataset, result = again(made, [str(whole.path / folder) for folder in FOLDERS.values()], "xray")
    assert len(dataset.table) == N
    assert result.outcomes["duplicate"] == 2 * N


def again(
    made: tuple[SyntheticSet, Workspace], paths: list[str], modality: str, labels: str | None = "labels.csv"
) -> tuple[Dataset, ingest.IngestResult]:
    whole, workspace = made
    colour = "rgb" if whole.card["image_shape"][0] == 3 else None
    table = labels and str(whole.path / labels)
    options = IngestOptions.model_validate(
        {"paths": paths, "labels": table, "modality": modality, "colour": colour, "workers": 1}
    )
    result = ingest.run(options, workspace)
    return Dataset.open(result.path), result


def same_pixels(dataset: Dataset, rows: np.ndarray, whole: SyntheticSet) -> None:
    shown = np.rint(dataset.images(rows) * (2 ** whole.card["bits"] - 1)).astype(int)
    np.testing.assert_array_equal(shown, stored(whole))
