"""The images.npz of a synthetic set: what it holds is known before any of it is unpacked."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from medsyn.errors import DataError
from medsyn.packing import is_bomb

NAME = "images.npz"
MEMBER = "train_images.npy"


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, from the start of a .npy file.

    Raises:
        ValueError: Not one of uint8 or uint16 images ``[n, H, W]`` or ``[n, H, W, 3]``.
    """
    np.lib.format.read_magic(member)
    shape, turned, dtype = np.lib.format.read_array_header_1_0(member)
    grey_or_rgb = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if turned or dtype not in (np.uint8, np.uint16) or not grey_or_rgb or min(shape[1:]) < 1:
        raise ValueError("no images of 8 or 16 bits")
    return shape, dtype


def check_images(file: Path, n: int) -> None:
    """Compare what an images.npz says of its images with its size, and with its manifest.

    Args:
        file: The npz.
        n: Images in the manifest.

    Raises:
        DataError: It is missing, damaged or packed like no image, or holds something else.
    """
    try:
        with zipfile.ZipFile(file) as archive, archive.open(MEMBER) as member:
            entry = archive.getinfo(MEMBER)
            shape, dtype = read_header(member)
            size = member.tell() + math.prod(shape) * dtype.itemsize
    except Exception as error:  # damaged files may raise anything
        raise _wrong(file, f"cannot be read ({type(error).__name__})") from None
    if shape[0] != n:
        raise _wrong(file, f"holds {shape[0]} images, its manifest {n}")
    if entry.file_size != size or is_bomb(entry):
        raise _wrong(file, "holds other pixels than it says")


def read_images(file: Path, n: int) -> np.ndarray:
    """All images, uint8 or uint16 ``[n, H, W]`` or ``[n, H, W, 3]``.

    Raises:
        DataError: As of `check_images`.
    """
    check_images(file, n)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return np.asarray(arrays[MEMBER.removesuffix(".npy")])
    except Exception as error:  # damaged files may raise anything
        raise _wrong(file, f"cannot be read ({type(error).__name__})") from None


def image(file: Path, row: int) -> str:
    """One image of an images.npz, for a message."""
    return f"{file}, image {row}"


def _wrong(file: Path, what: str) -> DataError:
    return DataError(what, where=file, mend="Generate the set again.")
