"""NIfTI: a volume in, slices out: axial ones, or as they were acquired, as the preset says."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.source import Facts, Plane, Probe, Recipe, Refused, stream

MAX_BYTES = 2**29
"""Stored bytes of one volume: with the copies of its slices and its sample, a worker stays around 1 GiB."""
SAMPLE = 2**24
"""Voxels above which percentiles come from a regular grid of them."""
MASK_VALUES = 16
NEARLY_CONSTANT = 0.01
"""Slices whose values span less than this share of the volume's range are left out."""


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are NIfTI-1's or NIfTI-2's, plain or in gzip."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 512)
        except zlib.error:
            return False
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read one volume.

    Raises:
        Refused: A mask, a header without data, or values that are not finite.
    """
    with stream(found) as file, _plain(file) as data:
        digest = _digest(file)
        magic = data.read(348)
        if magic[344:348] == b"ni1\0" or magic[4:8] == b"ni2\0":
            raise Refused("nifti_pair", "the header of an .hdr/.img pair")
        data.seek(0)
        kind = nibabel.Nifti2Image if magic[4:8] == b"n+2\0" else nibabel.Nifti1Image
        image = kind.from_stream(data)
        shape = image.shape
        if len(shape) < 2 or 0 in shape:
            raise Refused("zero_size", "a volume without extent", "failed")
        proxy = image.dataobj
        if np.prod([float(n) for n in shape[:3]]) * proxy.dtype.itemsize > MAX_BYTES:
            raise Refused("too_large", f"the header claims more than {MAX_BYTES >> 20} MiB a volume", "failed")
        # The first of a series lies in one piece at the start of the data.
        first = ArrayProxy(data, ((*shape, 1)[:3], proxy.dtype, proxy.offset, proxy.slope, proxy.inter))
        volume = _Volume(np.asanyarray(first.get_unscaled()), float(proxy.slope), float(proxy.inter))
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="file",
        volume=keyed(recipe.key, "volume", digest),
    )
    facts.series = facts.volume
    sample = volume.sample()
    if not sample.size:
        raise Refused("not_finite", "no finite value", "failed")
    # A handful of whole numbers is a segmentation, which as an image would teach a generator outlines.
    few = np.unique(sample[:: max(1, sample.size // 10**6)])
    if 1 < len(few) <= MASK_VALUES and np.array_equal(few, np.rint(few)):
        raise Refused("mask", f"at most {MASK_VALUES} whole values: a segmentation, not a scan")
    if len(shape) > 3:
        facts.note = "first volume of a series"
    if recipe.hounsfield and sample.min() >= 0:
        facts.note = "no negative value: probably not in Hounsfield units"
    return facts, _planes(volume, image.affine, sample, recipe)


@dataclass
class _Volume:
    """Values as they are stored; floating-point copies are made of one slice, or of a sample."""

    stored: np.ndarray  # [i, j, k]
    slope: float
    intercept: float

    def values(self, part: np.ndarray) -> np.ndarray:
        """Stored values to float32."""
        return (part * np.float64(self.slope) + self.intercept).astype(np.float32)

    def sample(self) -> np.ndarray:
        """Finite values ``[n]``: all of them, or every so-manieth along every axis of a large volume."""
        step = math.ceil((self.stored.size / SAMPLE) ** (1 / 3))
        values = self.values(self.stored[::step, ::step, ::step])
        return values[np.isfinite(values)]


def _planes(volume: _Volume, affine: np.ndarray, sample: np.ndarray, recipe: Recipe) -> Iterator[Plane]:
    to_ras = nibabel.io_orientation(affine)
    acquired = int(to_ras[2, 0])  # the patient's axis that the last stored one runs along
    stored = nibabel.apply_orientation(volume.stored, to_ras)
    affine = affine @ nibabel.orientations.inv_ornt_aff(to_ras, volume.stored.shape)
    # Slices run along S, columns and rows along the two others.
    s = acquired if recipe.preset.orientation == "as_acquired" else 2
    c, r = (axis for axis in range(3) if axis != s)
    steps = [float(v) or 1.0 for v in np.linalg.norm(affine[:3, :3], axis=0)]
    # As radiologists look at it: numbers grow towards the patient's left, the back and the feet.
    to_lps = np.array([-1.0, -1.0, 1.0])
    orientation = [float(v) for axis in (c, r) for v in -affine[:3, axis] / steps[axis] * to_lps]
    low, high = (float(v) for v in np.percentile(sample, recipe.percentiles))
    span = (high - low) or float(sample.max() - sample.min())
    normal = np.cross(orientation[:3], orientation[3:])
    for number in range(stored.shape[s]):
        plane = volume.values(np.moveaxis(stored, s, 0)[number][::-1, ::-1].T)
        voxel = np.ones(4)
        voxel[[c, r, s]] = stored.shape[c] - 1, stored.shape[r] - 1, number
        if np.isfinite(plane).all() and plane.max() - plane.min() <= NEARLY_CONSTANT * span:
            plane = np.full_like(plane, plane.flat[0])
        yield Plane(
            np.ascontiguousarray(plane),
            frame=number,
            display=None if recipe.hounsfield else Display(low, high, "percentiles") if high > low else None,
            spacing=(steps[r], steps[c]),
            pixel=(steps[r], steps[c]),
            orientation=orientation,
            slice_index=number,
            slice_position=float(np.dot(normal, (affine @ voxel)[:3] * to_lps)),
        )


def _plain(file: BinaryIO) -> BinaryIO:
    """The file without its compression."""
    magic = file.read(2)
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if magic == b"\x1f\x8b" else file  # type: ignore[return-value]


def _digest(file: BinaryIO) -> str:
    """SHA-256 of the whole file; leaves it at its start."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest
