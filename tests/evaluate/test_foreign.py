from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import blobs
from PIL import Image

from medsyn.errors import DataError
from medsyn.evaluate.inputs import foreign

CLASSES = ["normal", "pneumonia"]
SHAPE = (1, 32, 32)


@pytest.fixture
def pixels() -> np.ndarray:
    return blobs(6, side=32)[0][:, 0]


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """What other tools write: 8-bit PNG, 16-bit PNG, RGB JPEG, 8-bit TIFF, 16-bit TIFF, float TIFF."""
    made = tmp_path / "made"
    (made / "more").mkdir(parents=True)
    eight, sixteen = (pixels * 255).round().astype(np.uint8), (pixels * 65535).round().astype(np.uint16)
    Image.fromarray(eight[0]).save(made / "a.png")
    Image.fromarray(sixteen[1]).save(made / "b.png")
    Image.fromarray(np.repeat(eight[2][..., None], 3, 2)).save(made / "c.jpg", quality=98)
    Image.fromarray(eight[3]).save(made / "d.tif")
    Image.fromarray(sixteen[4]).save(made / "more" / "e.tiff")
    Image.fromarray(pixels[5]).save(made / "more" / "f.tif")
    (made / "labels.csv").write_text(
        "File,Label\na.png,normal\nb,pneumonia\n./c.jpg,normal\nd.tif,pneumonia\nmore/e.tiff,normal\nf.tif,pneumonia\n"
    )
    return made


def read(path: Path, table: Path | None = None, **changes: object) -> foreign.Foreign:
    return foreign.read(path, table, **{"classes": CLASSES, "image_shape": SHAPE, "modality": "xray", **changes})  # type: ignore[arg-type]


def test_files_of_all_kinds(folder: Path, pixels: np.ndarray) -> None:
    found = read(folder)
    assert found.images.shape == (6, *SHAPE)
    assert found.images.dtype == np.float32
    for i, tolerance in enumerate((0.002, 1e-5, 0.03, 0.002, 1e-5, 1e-7)):
        assert found.images[i, 0] == pytest.approx(pixels[i], abs=tolerance), found.files[i]
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert found.files == ["a.png", "b.png", "c.jpg", "d.tif", "more/e.tiff", "more/f.tif"]
    card = found.card
    assert (card["n"], card["classes"], card["foreign"]) == (6, CLASSES, True)
    assert (card["image_shape"], card["source_sizes"]) == ([1, 32, 32], {"32 x 32": 6})
    assert card["notes"] == []


def test_csv_elsewhere_and_csv_alone(folder: Path, tmp_path: Path) -> None:
    inside = read(folder / "labels.csv")
    elsewhere = tmp_path / "table.csv"
    (folder / "labels.csv").rename(elsewhere)
    named = read(folder, elsewhere)
    assert np.array_equal(inside.images, named.images)
    assert inside.card["digest"] == named.card["digest"]


def test_digest_follows_labels_and_pixels(folder: Path) -> None:
    before = read(folder).card["digest"]
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("a.png,normal", "a.png,pneumonia"))
    assert read(folder).card["digest"] != before


def test_folders_named_like_classes(tmp_path: Path, pixels: np.ndarray) -> None:
    for i, name in enumerate(["pneumonia", "normal", "normal"]):
        (tmp_path / "s" / name / "deep").mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels[i] * 255).astype(np.uint8)).save(tmp_path / "s" / name / "deep" / f"{i}.png")
    found = read(tmp_path / "s")
    assert dict(zip(found.files, found.labels.tolist(), strict=True)) == {
        "normal/deep/1.png": 0,
        "normal/deep/2.png": 0,
        "pneumonia/deep/0.png": 1,
    }
    with pytest.raises(DataError, match=r"unknown label 'normal' in sub-folder.*classes: healthy, ill"):
        read(tmp_path / "s", classes=["healthy", "ill"])


def test_another_size_is_fitted_as_ingest_fits_it(tmp_path: Path) -> None:
    # A checkerboard of single pixels is grey when it is made smaller with antialiasing, not black or white.
    fine = (np.indices((128, 64)).sum(0) % 2 * 255).astype(np.uint8)
    (tmp_path / "normal").mkdir()
    Image.fromarray(fine).save(tmp_path / "normal" / "x.png")
    image = read(tmp_path).images[0, 0]
    assert image[:, :8].max() == 0  # half as wide as high: black beside it
    assert image[:, 24:].max() == 0
    assert image[4:-4, 10:22] == pytest.approx(0.5, abs=0.02)
    small = tmp_path / "small" / "normal"
    small.mkdir(parents=True)
    Image.fromarray(fine[:16, :16]).save(small / "y.png")
    assert read(tmp_path / "small").images.shape == (1, *SHAPE)


def test_colour(tmp_path: Path) -> None:
    (tmp_path / "normal").mkdir()
    colour = np.zeros((32, 32, 3), np.uint8)
    colour[..., 0] = 255
    Image.fromarray(colour).save(tmp_path / "normal" / "red.png")
    assert read(tmp_path).images == pytest.approx(0.299, abs=1e-3)
    kept = read(tmp_path, image_shape=(3, 32, 32)).images[0]
    assert kept.mean((1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_npz(tmp_path: Path, pixels: np.ndarray, dtype: type) -> None:
    top = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    stored = (pixels * top).astype(dtype)
    labels = np.array([[0], [1], [0], [1]], np.uint8)
    test = {"test_images": stored[4:], "test_labels": [1, 1]}
    np.savez(tmp_path / "s.npz", train_images=stored[:4], train_labels=labels, **test)  # type: ignore[arg-type]
    found = read(tmp_path / "s.npz")
    assert found.images[:, 0] == pytest.approx(pixels, abs=1 / 250)
    assert found.labels.tolist() == [0, 1, 0, 1, 1, 1]
    assert found.files[4] == "s.npz#test/0"
    assert found.card["notes"] == ["labels of the npz are places in 0 normal, 1 pneumonia"]
    np.savez(tmp_path / "n.npz", train_images=stored, train_labels=["pneumonia"] * 6)
    assert read(tmp_path / "n.npz").labels.tolist() == [1] * 6
    # Classes that are numbers are names, not places.
    np.savez(tmp_path / "d.npz", train_images=stored, train_labels=[2, 2, 1, 1, 2, 1])
    assert read(tmp_path / "d.npz", classes=["1", "2"]).labels.tolist() == [1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"train_images": np.zeros((2, 8, 8), np.uint8)}, "no label for each of 2 images"),
        ({"train_images": np.zeros((2, 8, 8), np.uint8), "train_labels": [0, 7]}, "unknown label '7' in place 1"),
        (
            {"train_images": np.full((2, 8, 8), 3.0), "train_labels": [0, 1]},
            "holds values from 3 to 3, expected 0 to 1",
        ),
        ({"train_images": np.zeros((2, 8), np.uint8), "train_labels": [0, 1]}, r"has shape \[2, 8\]"),
        ({"train_images": np.zeros((2, 8, 8), np.int64), "train_labels": [0, 1]}, "has dtype int64"),
        ({"images": np.zeros((2, 8, 8), np.uint8)}, "holds no train_images"),
    ],
)
def test_wrong_npz(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=told) as caught:
        read(tmp_path / "s.npz")
    assert "s.npz" in caught.value.line()


def replace(old: str, new: str):
    def change(folder: Path) -> None:
        table = folder / "labels.csv"
        table.write_text(table.read_text().replace(old, new))

    return change


def damage(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:60])


def copy_name(folder: Path) -> None:
    (folder / "more" / "a.png").write_bytes((folder / "a.png").read_bytes())
    replace("a.png", "a")(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (replace("a.png,normal", "a.png,norml"), r"row 2: unknown label 'norml' in column 'Label'.*normal, pneumonia"),
        (replace("a.png,normal", "a.png,"), r"row 2: no label in column 'Label'"),
        (replace("a.png", "z.png"), r"row 2, column 'File': no file 'z.png'"),
        (replace("a.png", "a" * 5000), r"row 2, column 'File': no file 'aaa"),  # longer than any disk takes
        (replace("d.tif", "a.png"), r"row 5, column 'File': 'a.png' is named in row 2 already"),
        (copy_name, r"row 2, column 'File': 'a' fits 2 files"),
        (damage("b.png"), r"b.png: cannot be read as a picture"),
        (damage("c.jpg"), r"c.jpg: cannot be read as a picture"),
        (replace("File", "Whatever"), r"no column 'file'; there are: Whatever, Label"),
        (replace("Label", "Whatever"), r"no column 'label'; there are: File, Whatever"),
        (lambda folder: (folder / "labels.csv").unlink(), r"a.png: has no label: it is in no sub-folder"),
        (lambda folder: (folder / "labels.csv").write_text("file,label\n"), r"labels.csv: has no row"),
        (
            lambda folder: Image.fromarray(np.full((8, 8), 7.5, np.float32)).save(folder / "d.tif"),
            r"d.tif: holds values from 7.5 to 7.5, expected 0 to 1",
        ),
        (
            lambda folder: Image.new("L", (8, 8)).save(
                folder / "d.tif", save_all=True, append_images=[Image.new("L", (8, 8))]
            ),
            r"d.tif: holds 2 pages",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(folder: Path, change, told: str) -> None:
    change(folder)
    with pytest.raises(DataError, match=told) as caught:
        read(folder)
    assert "\n" not in caught.value.line()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no PNG, JPEG or TIFF"):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "empty", tmp_path / "no.csv")
    for name in ("a.csv", "b.csv"):
        (tmp_path / "empty" / name).write_text("file,label\nx.png,normal\n")
    with pytest.raises(DataError, match="holds 2 CSV files"):
        read(tmp_path / "empty")


def test_notes_for_the_reader(folder: Path, pixels: np.ndarray) -> None:
    replace("f.tif,pneumonia\n", "")(folder)
    (folder / "d.tif").unlink()
    Image.fromarray((pixels[0] * 255).round().astype(np.uint8)).save(folder / "d.tif")  # what a.png shows
    notes = read(folder).card["notes"]
    assert notes[0].startswith("1 pictures in the folder have no row in labels.csv")
    assert notes[1].startswith("1 of 5 images equal another one")
    dark = folder.parent / "dark" / "normal"
    dark.mkdir(parents=True)
    Image.fromarray((pixels[0] * 4095).astype(np.uint16)).save(dark / "x.png")  # 12 bits in 16
    assert "were fewer bits used" in read(dark.parent).card["notes"][0]
