"""One image of a synthetic set, whatever its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medsyn.data.digest import digest as digest_of
from medsyn.errors import DataError


def read_image(path: str | Path) -> np.ndarray:
    """Pixels of a PNG, DICOM or NIfTI file as `augment` writes them.

    Args:
        path: The file; its suffix tells the format.

    Returns:
        uint8 or uint16 ``[C, H, W]``, 0 black; C 1 (grey) or 3 (RGB).

    Raises:
        DataError: Missing, damaged, or another kind of file.
    """
    path = Path(path)
    read = next((read for suffix, read in _READERS.items() if path.name.endswith(suffix)), None)
    if read is None:
        raise DataError("is neither PNG, DICOM nor NIfTI by its suffix", where=path)
    try:
        pixels = read(path)
    except FileNotFoundError:
        raise DataError("is missing from its set", where=path, mend="Generate the set again.") from None
    except Exception as error:  # each library has errors of its own for a damaged file
        raise DataError(
            f"cannot be read ({type(error).__name__})", where=path, mend="Generate the set again."
        ) from None
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"holds {pixels.dtype} pixels, not whole numbers of 8 or 16 bits", where=path)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def check(pixels: np.ndarray, digest: str, where: object) -> np.ndarray:
    """An image of a set, compared with its manifest.

    Args:
        pixels: ``[C, H, W]`` as stored.
        digest: The manifest's ``pixel_digest``; ``""`` where it tells none.
        where: The image, for the message.

    Returns:
        The same pixels.

    Raises:
        DataError: Other pixels than the manifest says.
    """
    if digest and digest_of(pixels) != digest:
        raise DataError(
            "does not hold the pixels that its manifest says",
            where=where,
            mend="Generate the set again; 'medsyn verify' tells what else was changed.",
        )
    return pixels


def inside(folder: Path, name: str) -> Path:
    """A file of a set by the name in its manifest.

    Raises:
        DataError: A name that leads out of the set.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise DataError(f"names a file outside of the set: {name}", where=folder / "manifest.parquet")
    return folder / name


def _png(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image)


def _dicom(path: Path) -> np.ndarray:
    from pydicom.pixels import pixel_array

    return pixel_array(path)


def _nifti(path: Path) -> np.ndarray:
    import nibabel

    stored = np.asarray(nibabel.load(path).dataobj)[:, :, 0].T  # type: ignore[attr-defined]
    return stored if stored.dtype.names is None else np.stack([stored[c] for c in stored.dtype.names], -1)


_READERS = {".png": _png, ".dcm": _dicom, ".nii.gz": _nifti, ".nii": _nifti}
