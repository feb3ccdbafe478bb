"""NIfTI: a volume in, axial slices out."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator

import nibabel
import numpy as np

from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.source import MAX_VALUES, Facts, Plane, Probe, Recipe, Refused

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
    digest = _digest(found.path)
    opener = gzip.open if _is_gzip(found.path) else open
    with opener(found.path, "rb") as stream:
        magic = stream.read(348)
        if magic[344:348] == b"ni1\0" or magic[4:8] == b"ni2\0":
            raise Refused("nifti_pair", "the header of an .hdr/.img pair")
        stream.seek(0)
        kind = nibabel.Nifti2Image if magic[4:8] == b"n+2\0" else nibabel.Nifti1Image
        image = kind.from_stream(stream)
        shape = image.shape
        if len(shape) < 2 or 0 in shape:
            raise Refused("zero_size", "a volume without extent", "failed")
        if np.prod([float(n) for n in shape[:3]]) > MAX_VALUES:
            raise Refused("too_large", f"the header claims more than {MAX_VALUES} values", "failed")
        volume = _first_volume(image)
    facts = Facts(
        digest=digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", digest),
        subject_from="file",
        volume=keyed(recipe.key, "volume", digest),
    )
    facts.series = facts.volume
    values = volume.get_fdata(dtype=np.float32)
    if not np.isfinite(values).any():
        raise Refused("not_finite", "no finite value", "failed")
    # A handful of whole numbers is a segmentation, which as an image would teach a generator outlines.
    few = np.unique(values[np.isfinite(values)][:: max(1, values.size // 10**6)])
    if 1 < len(few) <= MASK_VALUES and np.array_equal(few, np.rint(few)):
        raise Refused("mask", f"at most {MASK_VALUES} whole values: a segmentation, not a scan")
    if len(shape) > 3:
        facts.note = "first volume of a series"
    if recipe.hounsfield and np.nanmin(values) >= 0:
        facts.note = "no negative value: probably not in Hounsfield units"
    return facts, _planes(values, volume.affine, recipe)


def _first_volume(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """The first 3-D volume in RAS orientation."""
    shape = (*image.shape, 1)[:3]
    data = np.asanyarray(image.dataobj[(..., *(0,) * max(0, len(image.shape) - 3))])
    return nibabel.as_closest_canonical(nibabel.Nifti1Image(data.astype(np.float32).reshape(shape), image.affine))


def _planes(values: np.ndarray, affine: np.ndarray, recipe: Recipe) -> Iterator[Plane]:
    dx, dy, _ = (float(v) or 1.0 for v in np.linalg.norm(affine[:3, :3], axis=0))
    # As radiologists look at it: column numbers grow towards the patient's left, row numbers towards the back.
    along_row, down_column = -affine[:3, 0] / dx, -affine[:3, 1] / dy
    to_lps = np.array([-1.0, -1.0, 1.0])
    orientation = [float(v) for v in np.concatenate([along_row * to_lps, down_column * to_lps])]
    finite = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(finite, recipe.percentiles))
    span = (high - low) or float(finite.max() - finite.min())
    normal = np.cross(orientation[:3], orientation[3:])
    for z in range(values.shape[2]):
        plane = values[::-1, ::-1, z].T
        corner = affine @ np.array([values.shape[0] - 1, values.shape[1] - 1, z, 1.0])
        if np.isfinite(plane).all() and plane.max() - plane.min() <= NEARLY_CONSTANT * span:
            plane = np.full_like(plane, plane.flat[0])
        yield Plane(
            np.ascontiguousarray(plane),
            frame=z,
            display=None if recipe.hounsfield else Display(low, high, "percentiles") if high > low else None,
            spacing=(dy, dx),
            pixel=(dy, dx),
            orientation=orientation,
            slice_index=z,
            slice_position=float(np.dot(normal, corner[:3] * to_lps)),
        )


def _is_gzip(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
