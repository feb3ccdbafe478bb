"""One NIfTI-1 or -2 file: its first volume as it is stored, turned to the patient's axes."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import math
import zlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

from medsyn.ingest.contents import stream
from medsyn.ingest.intensity import percentiles_of, tally
from medsyn.ingest.source import Probe, Refused

MAX_OFFSET = 2**26
"""Bytes of header extensions above which a header is taken for a lie: they have to be unpacked to get past them."""
SAMPLE = 2**24
"""Voxels above which percentiles come from a regular grid of them."""
INTENT_NAME = b"synthetic"
"""What `medsyn augment` writes into ``intent_name``: NIfTI has no element of its own that says so."""
_BLOCK = 2**20
_NOT_GREY = frozenset({1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011})  # matrices, vectors, points, meshes


class Sample(NamedTuple):
    """Values of a volume, float32 ``[n]``; with ``counts``: ascending, and how often each occurs."""

    values: np.ndarray
    counts: np.ndarray | None = None

    def percentiles(self, percentiles: Sequence[float]) -> list[float]:
        if self.counts is None:
            return [float(v) for v in np.percentile(self.values, percentiles)]
        return percentiles_of(self.values, self.counts, percentiles)


@dataclass
class Volume:
    """Values as they are stored; floating-point copies are made of one slice, or of a sample.

    Attributes:
        stored: ``[i, j, k]`` along R, A and S of the patient (nearest axes); colour uint8 ``[i, j, k, 3]``.
        affine: Voxel of ``stored`` to mm in RAS, ``[4, 4]``.
        last: The axis of ``stored`` that was the last one in the file.
        digest: SHA-256 of the file.
        intent: Code of what the values mean (``intent_code``).
        volumes: How many the file holds; this is the first.
        synthetic: By its own word.
        picture: See `is_picture`.
    """

    stored: np.ndarray
    slope: float
    intercept: float
    affine: np.ndarray
    last: int
    digest: str
    intent: int
    volumes: int
    synthetic: bool
    picture: bool
    notes: list[str]

    @property
    def colour(self) -> bool:
        return self.stored.ndim == 4

    def values(self, part: np.ndarray) -> np.ndarray:
        """Stored values to float32."""
        if self.slope == 1 and self.intercept == 0:
            return part.astype(np.float32)
        return (part * np.float64(self.slope) + self.intercept).astype(np.float32)

    def sample(self) -> Sample:
        """Finite values: all of them, or every so-manieth along every axis of a large volume."""
        step = math.ceil((self.stored.size / SAMPLE) ** (1 / 3))
        part = self.stored[::step, ::step, ::step]
        if part.dtype.kind in "iu" and part.dtype.itemsize <= 2:
            stored, counts = tally(part)
            values = self.values(stored)
            upwards = slice(None, None, -1 if self.slope < 0 else 1)
            known = np.isfinite(values[upwards])
            return Sample(values[upwards][known], counts[upwards][known])
        values = self.values(part).ravel(order="K")  # as it lies in memory
        known = np.isfinite(values)
        return Sample(values if known.all() else values[known])


def load(found: Probe, max_pixels: int) -> Volume:
    """Read the first volume of a file, and no byte beyond it.

    Raises:
        Refused: A header that claims too much or says nothing usable, or a file that ends too early.
    """
    with ExitStack() as opened:
        file = opened.enter_context(stream(found))
        magic = opened.enter_context(_plain(file)).read(540)
        header = header_of(magic)
        files = [file]
        if not header.is_single:
            data = _beside(found, "hdr", "img")
            try:
                if data is None:
                    raise FileNotFoundError
                files.append(opened.enter_context(stream(data)))
            except (OSError, KeyError):
                raise Refused("nifti_pair", "a header whose .img file is not beside it", "failed") from None
        digest = _digest(files)
        shape, dtype = _shape_and_type(header, max_pixels)
        offset = header.get_data_offset()
        if header.is_single:
            offset = max(offset, header.single_vox_offset)  # some writers say 0
        if not 0 <= offset <= MAX_OFFSET:
            raise Refused("too_large", "the header puts the data too far into the file", "failed")
        stored = _array(opened.enter_context(_plain(files[-1])), offset, shape, dtype)
    slope, intercept = header.get_slope_inter()
    affine, notes = _affine(header)
    volumes = math.prod(header.get_data_shape()[3:])
    if volumes > 1:
        notes.append(f"first of {volumes} volumes")
    to_ras = nibabel.io_orientation(affine)
    return Volume(
        nibabel.apply_orientation(stored, to_ras),
        1.0 if slope is None or stored.ndim == 4 else slope,
        0.0 if slope is None or stored.ndim == 4 else intercept,
        affine @ nibabel.orientations.inv_ornt_aff(to_ras, shape),
        int(to_ras[2, 0]),
        digest,
        int(header["intent_code"]),
        volumes,
        _says_synthetic(header),
        is_picture(header),
        notes,
    )


def is_data(found: Probe) -> bool:
    """Whether this is the ``.img`` of a NIfTI header beside it."""
    header = _beside(found, "img", "hdr")
    if header is None:
        return False
    try:
        with stream(header) as file, _plain(file) as plain:
            magic = plain.read(348)
    except (OSError, KeyError, EOFError, zlib.error, Refused):
        return False
    return magic[344:348] == b"ni1\0" or magic[4:8] == b"ni2\0"


def header_of(magic: bytes) -> Nifti1Header:
    """The header without its extensions, which hold text that nobody asked for."""
    if magic[4:8] in (b"n+2\0", b"ni2\0"):
        return (Nifti2Header if magic[4:8] == b"n+2\0" else Nifti2PairHeader)(magic[:540])
    return (Nifti1Header if magic[344:348] == b"n+1\0" else Nifti1PairHeader)(magic[:348])


def _says_synthetic(header: Nifti1Header) -> bool:
    return bytes(header["intent_name"].item()).strip().lower() == INTENT_NAME


def is_picture(header: Nifti1Header) -> bool:
    """Whether it is a synthetic picture: grey values as they are shown, and no word of how it lies in a patient."""
    return _says_synthetic(header) and not header["sform_code"] and not header["qform_code"]


def _shape_and_type(header: Nifti1Header, max_pixels: int) -> tuple[tuple[int, int, int], np.dtype]:
    full, dtype = header.get_data_shape(), header.get_data_dtype()
    if len(full) < 2 or min(full) < 1:
        raise Refused("zero_size", "a volume without extent", "failed")
    if int(header["intent_code"]) in _NOT_GREY:
        raise Refused("not_grey_values", "vectors, matrices or a surface, which are no grey values")
    if dtype.kind == "c":
        raise Refused("not_grey_values", "complex values, which are no grey values: save their magnitude")
    shape = (*(int(n) for n in full[:3]), 1)[:3]
    values = math.prod(shape)
    # Two bytes a value at the default: with a copy of its slices and its sample, a worker stays around 1 GiB.
    if values > max_pixels or values * dtype.itemsize > 2 * max_pixels:
        raise Refused("too_large", f"the header claims more than {max_pixels} values (--max-pixels)", "failed")
    return shape, dtype  # type: ignore[return-value]


def _array(data: BinaryIO, offset: int, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Stored values ``[i, j, k]``, or colour uint8 ``[i, j, k, 3]``."""
    data.seek(offset)
    flat = np.empty(math.prod(shape), dtype)  # of what a lying header claims, no page is touched
    view = memoryview(flat.view(np.uint8))  # type: ignore[arg-type]
    place = 0
    while place < len(view):
        part = data.read(min(_BLOCK, len(view) - place))
        if not part:
            raise Refused("truncated", "the file ends before its data do", "failed")
        view[place : place + len(part)] = part
        place += len(part)
    if dtype.names is None:
        return flat.reshape(shape, order="F")
    # RGB and RGBA, a byte each; opacity says nothing about the patient.
    channels = flat.view(np.uint8).reshape((dtype.itemsize, *shape), order="F")
    return np.moveaxis(channels[:3], 0, -1)


def _affine(header: Nifti1Header) -> tuple[np.ndarray, list[str]]:
    """Voxel to mm in RAS: sform before qform before voxel sizes alone (methods 3, 2 and 1 of nifti1.h), as in nibabel.

    A matrix that cannot be one (not finite, flat) counts as none.
    """
    for told in (header.get_sform, header.get_qform):
        try:
            affine, _ = told(coded=True)
        except ValueError:  # a quaternion that is none; nibabel's own error is one, too
            continue
        if affine is not None and _usable(affine):
            return affine, []
    if is_picture(header):  # its first axis runs from left to right, its second from top to bottom
        return np.diag([-1.0, -1.0, 1.0, 1.0]), []
    note = "the header does not say how the volume lies in the patient: left and right are a guess"
    affine = header.get_base_affine()
    return (affine if _usable(affine) else np.diag([-1.0, 1.0, 1.0, 1.0])), [note]


def _usable(affine: np.ndarray) -> bool:
    if not np.isfinite(affine).all():
        return False
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(steps.min() > 0 and abs(np.linalg.det(affine[:3, :3] / steps)) > 1e-3)


def _beside(found: Probe, suffix: str, other: str) -> Probe | None:
    """The second file of a pair, by the name of the first; None where that does not end in ``suffix``."""
    name = found.path if found.member is None else found.member
    base, packed = (name[:-3], name[-3:]) if name.lower().endswith(".gz") else (name, "")
    if not base.lower().endswith("." + suffix):
        return None
    new = base[: -len(suffix)] + (other.upper() if base[-1].isupper() else other) + packed
    if found.member is None:
        return dataclasses.replace(found, path=new)
    return dataclasses.replace(found, member=new)


def _plain(file: BinaryIO) -> BinaryIO:
    """The file from its start, without its compression."""
    file.seek(0)
    magic = file.read(2)
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if magic == b"\x1f\x8b" else file  # type: ignore[return-value]


def _digest(files: Iterable[BinaryIO]) -> str:
    """SHA-256 of the whole file, or of header and data one after the other."""
    digest = hashlib.sha256()
    for file in files:
        file.seek(0)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
