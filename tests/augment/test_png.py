"""PNG files of 8 and 16 bits, and what is refused."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from augment.small import KINDS, digest, digests_of_another_process, encode, pixels, write_generator
from PIL import Image

from medsyn.augment.stage import run
from medsyn.config import AugmentOptions
from medsyn.errors import UsageError
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import SYNTHETIC, Workspace

all_kinds = pytest.mark.parametrize("kind", KINDS)


@all_kinds
def test_a_picture_holds_its_pixels_and_says_that_it_is_synthetic(kind: str) -> None:
    ((name, data),) = encode("png", kind).items()
    assert name == "images/normal/00000123.png"
    picture = Image.open(io.BytesIO(data))
    assert np.array_equal(np.asarray(picture), pixels(kind).transpose(1, 2, 0).squeeze())
    assert np.asarray(picture).dtype == pixels(kind).dtype
    assert picture.text["Synthetic"] == "true"
    assert "not a patient" in picture.text["Comment"]


@all_kinds
def test_simpleitk_reads_the_pixels(kind: str, tmp_path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    (tmp_path / "a.png").write_bytes(next(iter(encode("png", kind).values())))
    found = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "a.png"))
    assert np.array_equal(found, pixels(kind).transpose(1, 2, 0).squeeze())


@all_kinds
def test_the_same_input_makes_the_same_bytes_elsewhere(kind: str) -> None:
    assert digests_of_another_process()[f"png {kind}"] == digest("png", kind)


@pytest.mark.parametrize("fmt", ["png", "dicom", "nifti"])
def test_colour_of_16_bits_is_refused_at_the_start(workspace: Workspace, fmt: str) -> None:
    write_generator(workspace, channels=3)
    with pytest.raises(UsageError, match=rf"--bits 16: {fmt} does not hold colour.*--format npz"):
        run(AugmentOptions(n=10, bits=16, formats=["npz", fmt], threads=1), workspace)
    assert not workspace.all(SYNTHETIC)


def test_an_npz_of_16_bits_may_be_in_colour(workspace: Workspace) -> None:
    write_generator(workspace, channels=3)
    made = run(AugmentOptions(n=6, bits=16, formats=["npz"], threads=1), workspace).path
    with np.load(made / "images.npz") as arrays:
        assert arrays["train_images"].dtype == arrays["test_images"].dtype == np.uint16
        assert arrays["train_images"].shape == (6, 16, 16, 3)
    images = SyntheticSet.open(made).images()
    assert len(np.unique(images)) > 1000


def test_16_bits_are_the_same_images_in_finer_steps(workspace: Workspace) -> None:
    write_generator(workspace)
    coarse, fine = (
        SyntheticSet.open(
            run(AugmentOptions(n=12, bits=bits, formats=["png"], keep_all=True, threads=1), workspace).path
        )
        for bits in (8, 16)
    )
    assert np.abs(coarse.images() - fine.images()).max() <= 0.5 / 255 + 1e-6
    assert len(np.unique(fine.images())) > len(np.unique(coarse.images())) > 50
    assert (coarse.card["bits"], fine.card["bits"]) == (8, 16)
    for made in (coarse, fine):
        stored = made.images() * (2 ** made.card["bits"] - 1)
        digests = [
            hashlib.sha256(image.round().astype(f"u{made.card['bits'] // 8}").tobytes()).hexdigest() for image in stored
        ]
        assert digests == list(made.manifest()["pixel_digest"])
