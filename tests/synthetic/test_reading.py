"""One image of a set, whatever its format, and what is said of a file that is none."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from augment.small import KINDS, encode, pixels
from PIL import Image

from medsyn.augment.writers import ENCODERS
from medsyn.errors import DataError
from medsyn.synthetic.reading import read_image


@pytest.mark.parametrize("fmt", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_read_as_it_was_written(tmp_path: Path, fmt: str, kind: str) -> None:
    for name, data in encode(fmt, kind).items():
        (tmp_path / Path(name).name).write_bytes(data)
    found = read_image(tmp_path / Path(next(iter(encode(fmt, kind)))).name)
    np.testing.assert_array_equal(found, pixels(kind))
    assert found.dtype == pixels(kind).dtype


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.nii.gz"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: is missing"):
        read_image(tmp_path / name)
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(DataError, match=rf"{name}: cannot be read"):
        read_image(tmp_path / name)


def test_what_is_no_image_of_a_set_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="neither PNG"):
        read_image(tmp_path / "a.jpg")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 1), np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="float32"):
        read_image(tmp_path / "a.nii.gz")
