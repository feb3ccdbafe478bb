"""npz files in MedMNIST's layout: published names, colour, several labels an image, read one image at a time."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsyn.config import load_preset
from medsyn.errors import UsageError
from medsyn.ingest import medmnist, scan
from medsyn.ingest.published import KNOWN
from medsyn.ingest.source import Facts, LookFor, Plane, Recipe, Refused

COUNTS = {  # of classes, Yang et al. 2023, table 1
    "pathmnist": 9,
    "chestmnist": 14,
    "dermamnist": 7,
    "octmnist": 4,
    "pneumoniamnist": 2,
    "retinamnist": 5,
    "breastmnist": 2,
    "bloodmnist": 8,
    "tissuemnist": 8,
    "organamnist": 11,
    "organcmnist": 11,
    "organsmnist": 11,
}


def npz(path: Path, labels: np.ndarray, shape: tuple[int, ...] = (28, 28), n: int = 0) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n or len(labels), *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = labels
    np.savez(path, **arrays)
    return path


def read(path: Path, modality: str = "xray", **changes: Any) -> tuple[Facts, list[Plane]]:
    (found,) = scan.probe_chunk(scan.find([str(path)]), LookFor(b"key"))
    assert found.refused is None
    facts, planes = medmnist.read(found, Recipe(b"key", load_preset(modality), 28, False, **changes))
    return facts, list(planes)


def test_all_published_sets_are_known() -> None:
    assert {name: len(set(known.names)) for name, known in KNOWN.items()} == COUNTS
    assert all("," not in n and " " not in n for known in KNOWN.values() for n in known.names)
    modalities = {known.modality for known in KNOWN.values()}
    assert modalities == {"xray", "ultrasound", "ct", None}


@pytest.mark.parametrize(
    ("name", "modality"), [("organamnist_64", "ct"), ("chestmnist_224", "xray"), ("BreastMNIST", "ultrasound")]
)
def test_a_published_name_says_the_modality(name: str, modality: str) -> None:
    chosen, why = scan.choose_modality({("npz", ""): 1}, [f"/a/{name}.npz"], None)
    assert (chosen.modality, why) == (modality, "a published MedMNIST file")


@pytest.mark.parametrize("name", ["pathmnist", "bloodmnist_128", "other"])
def test_what_no_preset_fits_is_left_to_the_user(name: str) -> None:
    with pytest.raises(UsageError, match="modality"):
        scan.choose_modality({("npz", ""): 1}, [f"/a/{name}.npz"], None)


@pytest.mark.parametrize("name", [n for n, known in KNOWN.items() if not known.several])
def test_classes_have_their_published_names(tmp_path: Path, name: str) -> None:
    facts, planes = read(npz(tmp_path / f"{name}_28.npz", np.arange(COUNTS[name])[:, None]))
    assert [p.label for p in planes] == [*KNOWN[name].names] * 3
    assert ("Hounsfield" in facts.note) == name.startswith("organ")
    with pytest.raises(Refused, match="npz_labels"):
        read(npz(tmp_path / f"{name}.npz", np.array([[COUNTS[name]]])))


@pytest.mark.parametrize("side", [28, 64, 128, 224])
@pytest.mark.parametrize("colour", [False, True])
def test_colour_is_kept_or_turned_to_luminance(tmp_path: Path, side: int, colour: bool) -> None:
    path = npz(tmp_path / f"pathmnist_{side}.npz", np.array([[0], [8]]), (side, side, 3))
    with np.load(path) as arrays:
        published = arrays["train_images"]
    _, planes = read(path, colour=colour)
    expected = published if colour else published @ [0.299, 0.587, 0.114]
    assert np.abs(np.stack([p.values for p in planes[:2]]) - expected).max() < 1e-4
    assert planes[0].values.dtype == np.float32
    assert [(p.display.low, p.display.high) for p in planes if p.display] == [(0, 255)] * 6
    assert [p.official_split for p in planes] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert len({p.subject for p in planes}) == 6


def test_several_labels_an_image_are_targets(tmp_path: Path) -> None:
    labels = np.eye(14, dtype=np.uint8)[:3]
    path = npz(tmp_path / "chestmnist.npz", labels)
    facts, planes = read(path)
    assert facts.note == "14 labels an image are kept as targets; none, until --label-column names it, is the class"
    assert {p.label for p in planes} == {None}
    assert [list(p.targets.values()) for p in planes] == [[str(v) for v in row] for row in labels] * 3
    assert tuple(planes[0].targets) == KNOWN["chestmnist"].names
    facts, planes = read(path, target="effusion")
    assert facts.note.endswith("'effusion' is the class")
    assert [p.label for p in planes] == ["no_effusion", "no_effusion", "effusion"] * 3
    _, planes = read(npz(tmp_path / "own.npz", np.array([[3, 5], [4, 6]])), target="label_1")
    assert [(p.label, p.targets) for p in planes[:2]] == [
        ("5", {"label_0": "3", "label_1": "5"}),
        ("6", {"label_0": "4", "label_1": "6"}),
    ]


@pytest.mark.parametrize(
    "labels",
    [np.zeros((3, 1)), np.array([[0.5], [1]]), np.array([[np.nan], [1]]), np.zeros((2, 1, 1)), np.array([1j, 0])],
)
def test_labels_that_do_not_fit(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(Refused, match="npz_labels"):
        read(npz(tmp_path / "set.npz", labels, n=2))


def test_images_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = npz(tmp_path / "set.npz", np.zeros((400, 1), np.int64), (64, 64, 3))
    (found,) = scan.probe_chunk(scan.find([str(path)]), LookFor(b"key"))
    tracemalloc.start()
    _, planes = medmnist.read(found, Recipe(b"key", load_preset("xray"), 28, False))
    count = sum(1 for _ in planes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1200
    assert peak < path.stat().st_size / 4


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"train_images": np.zeros((2, 8, 8)), "val_images": np.zeros((2, 9, 9))}, "npz_shape"),
        ({"train_images": np.zeros((2, 8, 8, 8))}, "npz_shape"),  # the 3-D sets
        ({"other": np.zeros(2)}, "archive"),
    ],
)
def test_other_layouts(tmp_path: Path, arrays: dict[str, np.ndarray], reason: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    (found,) = scan.probe_chunk(scan.find([str(tmp_path / "set.npz")]), LookFor(b"key"))
    assert found.refused is not None
    assert found.refused.reason == reason


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"shape": (5, 8, 8), "fortran_order": False, "descr": "|u1"})
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("train_images.npy", header.getvalue() + bytes(100))
    with pytest.raises(Refused, match="truncated"):
        read(tmp_path / "set.npz")
