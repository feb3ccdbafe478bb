"""A set in a training loop: the same images whatever its format, one at a time, and clear words where it cannot be."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers import blobs, closed_form_generator, fresh_workspace, make_dataset, make_synthetic
from monai.data import DataLoader
from monai.data import Dataset as MonaiDataset
from monai.transforms import Compose, LoadImaged, ScaleIntensityRanged, SqueezeDimd, Transposed

import medsyn
from medsyn.augment.stage import run
from medsyn.augment.writers import ENCODERS
from medsyn.config import AugmentOptions
from medsyn.data.digest import digest
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.images import save_png
from medsyn.synthetic import SyntheticSet
from medsyn.synthetic.reading import read_image
from medsyn.workspace import Workspace

SIDE = 16
FORMATS = [*ENCODERS, "npz"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    """A workspace with a set in every format."""
    made = fresh_workspace(tmp_path_factory.mktemp("loading"), empty_store)
    images, labels = blobs(120, side=SIDE)
    closed_form_generator(made, make_dataset(made, images, labels))
    run(AugmentOptions(n=24, formats=FORMATS, keep_all=True, threads=1), made)
    return made


@pytest.fixture
def alone(place: Workspace, tmp_path: Path):
    """A copy of the set that has one format only."""

    def copied(fmt: str) -> Path:
        folder = Path(shutil.copytree(place.path / "synthetic" / "xray-001", tmp_path / fmt))
        table = pq.read_table(folder / "manifest.parquet")
        for other in {*ENCODERS} - {fmt}:
            place_of = table.schema.get_field_index(other)
            table = table.set_column(place_of, table.schema.field(other), pa.nulls(len(table), pa.string()))
        pq.write_table(table, folder / "manifest.parquet")
        if fmt != "npz":
            (folder / "images.npz").unlink()
        return folder

    return copied


def told(folder: Path, digests: list[str]) -> None:
    """Write other digests of the pixels into a set's manifest."""
    table = pq.read_table(folder / "manifest.parquet")
    place_of = table.schema.get_field_index("pixel_digest")
    changed = table.set_column(place_of, table.schema.field("pixel_digest"), pa.array(digests))
    pq.write_table(changed, folder / "manifest.parquet")


@pytest.mark.parametrize("fmt", FORMATS)
def test_each_format_gives_the_images_of_the_set_in_its_order(place, alone, fmt):
    whole = SyntheticSet.open(place.path / "synthetic" / "xray-001")
    manifest, images = whole.manifest(), whole.images()
    found = medsyn.load_synthetic(alone(fmt))
    assert len(found) == len(manifest) == 24
    assert found.classes == ["no_finding", "pneumonia"]
    np.testing.assert_array_equal(found.labels, whole.labels(found.classes))
    for i, made in enumerate(found):
        np.testing.assert_array_equal(made["image"].numpy(), images[i])
        assert made["image"].dtype == torch.float32
        assert found.classes[made["label"]] == made["class"] == manifest["label"][i]
        assert made["index"] == manifest["index"][i]
        assert made["synthetic"] is True
    assert torch.equal(found[-1]["image"], found[23]["image"])
    with pytest.raises(IndexError):
        found[24]


@pytest.mark.parametrize("fmt", ["png", "npz"])
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_the_same(alone, fmt, start):
    found = medsyn.load_synthetic(alone(fmt))
    if start == "spawn":  # what a worker that starts afresh is sent
        found = pickle.loads(pickle.dumps(found))
        batches = [next(iter(DataLoader(found, batch_size=24)))]
    else:
        batches = list(DataLoader(found, batch_size=12, num_workers=2))
    images = torch.cat([batch["image"] for batch in batches])
    assert torch.equal(images, torch.stack([made["image"] for made in found]))
    assert torch.cat([batch["synthetic"] for batch in batches]).all()


def test_colour_and_sixteen_bits(workspace):
    images = np.random.default_rng(0).integers(0, 256, (6, 3, SIDE, SIDE)) / 255
    dataset = make_dataset(workspace, images, np.arange(6) % 2)
    path = make_synthetic(workspace, dataset, images, np.arange(6) % 2)
    found = medsyn.load_synthetic(path)
    np.testing.assert_allclose(torch.stack([made["image"] for made in found]).numpy(), images, atol=1e-6)
    deep = np.random.default_rng(0).integers(0, 65536, (6, SIDE, SIDE)).astype(np.uint16)
    np.savez_compressed(path / "images.npz", train_images=deep, train_labels=np.zeros((6, 1), np.uint8))
    told(path, [digest(image) for image in deep])
    found = medsyn.load_synthetic(path)
    np.testing.assert_allclose(torch.stack([made["image"] for made in found])[:, 0].numpy(), deep / 65535, atol=1e-6)


@pytest.mark.parametrize("fmt", list(ENCODERS))
def test_monai_reads_the_listed_files(place, fmt):
    """With the axes turned and the values scaled, what MONAI's readers give is what this dataset gives."""
    found = medsyn.load_synthetic("xray", workspace=place.path)
    dicts = found.as_dicts(fmt)
    assert all(Path(made["image"]).is_absolute() for made in dicts)
    steps = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            *([SqueezeDimd("image", dim=-1)] if fmt == "nifti" else []),  # a volume of one slice
            Transposed("image", (0, 2, 1)),
            ScaleIntensityRanged("image", 0, 255, 0, 1),
        ]
    )
    for plain, made in zip(MonaiDataset(dicts, steps), found, strict=True):
        torch.testing.assert_close(plain["image"].as_tensor().reshape(1, SIDE, SIDE), made["image"])
        assert {k: v for k, v in plain.items() if k != "image"} == {k: v for k, v in made.items() if k != "image"}


def test_what_is_unpacked_leaves_no_file(alone, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    path = alone("npz")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    found = medsyn.load_synthetic(path)
    assert not list(folder.iterdir())
    assert found[0]["image"].shape == (1, SIDE, SIDE)


def test_the_newest_by_name_and_by_folder(place):
    newest = medsyn.load_synthetic(workspace=place.path)
    assert newest.path == medsyn.load_synthetic("xray-001", workspace=place.path).path
    assert newest.path == medsyn.load_synthetic(newest.path).path


def test_what_is_no_set(place, tmp_path):
    with pytest.raises(DataError, match=r"is not a synthetic set: it holds no card.json"):
        medsyn.load_synthetic(tmp_path)
    with pytest.raises(MissingError, match=r"no synthetic set 'mri-004'.*xray-001"):
        medsyn.load_synthetic("mri-004", workspace=place.path)
    with pytest.raises(MissingError, match="medsyn augment"):
        medsyn.load_synthetic(workspace=tmp_path)


def test_files_that_are_not_there(alone):
    packed = alone("npz")
    with pytest.raises(DataError, match=r"no files of single images.*--format png"):
        medsyn.load_synthetic(packed).as_dicts()
    plain = medsyn.load_synthetic(alone("png"))
    with pytest.raises(UsageError, match=r"no files of format 'dicom'. There are: png"):
        plain.as_dicts("dicom")
    Path(plain.as_dicts()[3]["image"]).unlink()
    with pytest.raises(DataError, match="is missing from its set"):
        plain[3]
    data = (packed / "images.npz").read_bytes()
    (packed / "images.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"images.npz: cannot be read"):
        medsyn.load_synthetic(packed)
    (packed / "images.npz").unlink()
    with pytest.raises(DataError, match="holds no images"):
        medsyn.load_synthetic(packed)


def test_a_pixel_that_was_changed_is_found_by_whoever_reads_it(alone):
    folder = alone("png")
    found = medsyn.load_synthetic(folder)
    file = Path(found.as_dicts()[3]["image"])
    pixels = read_image(file)[0].copy()
    pixels[5, 7] ^= 1
    save_png(pixels, file)
    told_of_it = rf"{file.name}: does not hold the pixels that its manifest says. Generate the set again"
    assert found[2]["image"].shape == (1, SIDE, SIDE)
    with pytest.raises(DataError, match=told_of_it):
        found[3]
    with pytest.raises(DataError, match=told_of_it):
        SyntheticSet.open(folder).images()
    told(folder, [""] * 24)  # a manifest that tells no digests
    np.testing.assert_array_equal(SyntheticSet.open(folder).images()[3], medsyn.load_synthetic(folder)[3]["image"])


def test_two_rows_that_were_swapped_are_found_by_whoever_reads_them(alone):
    folder = alone("npz")
    with np.load(folder / "images.npz") as packed:
        arrays = dict(packed)
    order = np.arange(24)
    order[[4, 9]] = 9, 4
    np.savez_compressed(folder / "images.npz", **arrays | {"train_images": arrays["train_images"][order]})
    found = medsyn.load_synthetic(folder)
    assert found[3]["image"].shape == (1, SIDE, SIDE)
    for row in (4, 9):
        with pytest.raises(DataError, match=rf"images\.npz, image {row}: does not hold the pixels"):
            found[row]
    with pytest.raises(DataError, match=r"images\.npz, image 4: does not hold the pixels"):
        SyntheticSet.open(folder).images()


def test_an_error_in_a_worker_still_says_what_is_wrong(alone):
    found = medsyn.load_synthetic(alone("png"))
    Path(found.as_dicts()[0]["image"]).unlink()
    with pytest.raises(DataError, match=r"is missing from its set\. Generate the set again"):
        next(iter(DataLoader(found, batch_size=2, num_workers=1)))


def test_a_manifest_that_does_not_fit(alone):
    folder = alone("npz")
    table = pq.read_table(folder / "manifest.parquet")
    pq.write_table(table.slice(1), folder / "manifest.parquet")
    with pytest.raises(DataError, match="holds 24 images, its manifest 23"):
        medsyn.load_synthetic(folder)
    other = pa.array(["cat"] * len(table))
    pq.write_table(table.set_column(1, table.schema.field("label"), other), folder / "manifest.parquet")
    with pytest.raises(DataError, match=r"label 'cat', which card\.json does not know"):
        medsyn.load_synthetic(folder)
    broken = pa.array([b"\x80" * 64] * len(table), pa.binary()).view(pa.string())
    pq.write_table(
        table.set_column(table.schema.get_field_index("pixel_digest"), "pixel_digest", broken),
        folder / "manifest.parquet",
    )
    with pytest.raises(DataError, match=r"manifest.parquet: cannot be read"):
        medsyn.load_synthetic(folder)
    (folder / "manifest.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"manifest.parquet: cannot be read"):
        medsyn.load_synthetic(folder)
