"""NIfTI-1 and -2: a volume in, slices out: axial ones, or as they were acquired, as the preset says.

A segmentation that was paired with the volume is turned and cut the same way.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np

from medsyn.data.grey import luminance
from medsyn.ingest import masks
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display
from medsyn.ingest.series import chosen
from medsyn.ingest.source import Facts, Plane, Probe, Recipe, Refused, side_of_picture
from medsyn.ingest.volume import INTENT_NAME, Sample, Volume, header_of, is_picture, load

MASK_VALUES = 16
NEARLY_CONSTANT = 0.01
"""Slices whose values span less than this share of the volume's range are left out."""
SAME_GRID = 0.1
"""Share of a voxel by which the corners of two grids may differ: what tools make of one affine by rounding is less."""
_LABELS = 1002  # NIFTI_INTENT_LABEL: the values are indices of a list of labels


def looks_like(head: bytes) -> bool:
    """Whether a file's first bytes are NIfTI-1's or NIfTI-2's, plain or in gzip."""
    head = _unpacked(head)
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def probe(found: Probe, head: bytes) -> None:
    """Note whether it is a synthetic picture, as `medsyn augment` writes it, and its side.

    Args:
        found: To be filled.
        head: The first bytes of the file, which is a NIfTI file.
    """
    head = _unpacked(head)
    if INTENT_NAME in head:
        header = header_of(head)
        shape = header.get_data_shape()
        found.picture = is_picture(header)
        if found.picture and len(shape) > 1 and math.prod(shape[2:]) == 1:
            found.side = side_of_picture(int(shape[1]), int(shape[0]))


def _unpacked(head: bytes) -> bytes:
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 540)
    except zlib.error:
        return b""


def read(found: Probe, recipe: Recipe) -> tuple[Facts, Iterator[Plane]]:
    """Read one volume, of a series of volumes the first.

    Raises:
        Refused: A segmentation without its scan, no grey values, a header that lies, or no finite value.
    """
    volume = load(found, recipe.max_pixels)
    facts = Facts(
        digest=volume.digest,
        modality=recipe.preset.modality,
        subject=keyed(recipe.key, "subject-file", volume.digest),
        subject_from="file",
        volume=keyed(recipe.key, "volume", volume.digest),
        photometric="rgb" if volume.colour else "grey",
        synthetic=volume.synthetic,
    )
    facts.series = facts.volume
    notes = list(volume.notes)
    display, span = _grey_scale(volume, found, recipe, notes)
    mask = None
    if found.mask is not None:
        try:
            segmentation = load(found.mask, recipe.max_pixels)
            # The channels of one case share a segmentation, and are one patient.
            facts.subject = keyed(recipe.key, "subject-case", segmentation.digest, masks.case(found))
            mask = _whole(segmentation, volume)
        except Exception as error:  # hostile input may raise anything; the scan is worth reading all the same
            notes.append(masks.not_used(error))
    if recipe.mask_label and mask is None:
        notes.append("no segmentation, so no label")
    facts.note = "; ".join(notes)
    return facts, _planes(volume, mask, display, span, recipe)


# ---- grey values


def _grey_scale(volume: Volume, found: Probe, recipe: Recipe, notes: list[str]) -> tuple[Display | None, float]:
    """The display range of all slices, and what counts as their range when empty ones are told from others.

    Raises:
        Refused: A segmentation, a picture where Hounsfield units are stored, or no finite value.
    """
    if volume.picture and recipe.hounsfield:
        raise Refused("no_hounsfield", "a synthetic picture, which holds no Hounsfield units")
    if volume.picture and volume.stored.dtype.kind == "u":
        most = float(np.iinfo(volume.stored.dtype).max)
        return Display(0.0, most, "dtype"), most
    if volume.colour:
        if recipe.hounsfield:
            raise Refused("no_hounsfield", "a colour image, which holds no Hounsfield units")
        return Display(0.0, 255.0, "dtype"), 255.0
    sample = volume.sample()
    if not sample.values.size:
        raise Refused("not_finite", "no finite value", "failed")
    _no_segmentation(sample, volume.intent, found)
    if recipe.hounsfield and sample.values.min() >= 0:
        notes.append("no negative value: probably not in Hounsfield units")
    if volume.stored.dtype.kind == "f" and any(np.isnan(part).any() for part in volume.stored):
        notes.append("what is not a number is shown black")
    low, high = sample.percentiles(recipe.percentiles)
    span = (high - low) or float(sample.values.max() - sample.values.min())
    return (None if recipe.hounsfield or not high > low else Display(low, high, "percentiles")), span


def _no_segmentation(sample: Sample, intent: int, found: Probe) -> None:
    """A handful of whole numbers is a segmentation, which as an image would teach a generator outlines.

    Raises:
        Refused: It is one, by its values, by its intent code, or by its name and its values.
    """
    values = sample.values
    few = np.unique(values if sample.counts is not None else values[:: max(1, values.size // 10**6)])
    most = 255 if masks.named(found) else MASK_VALUES
    whole = 1 < len(few) <= most and np.array_equal(few, np.rint(few))
    if intent == _LABELS or whole:
        raise Refused("mask", f"a segmentation (at most {most} whole values) without its scan, not a scan")


def _whole(segmentation: Volume, scan: Volume) -> np.ndarray:
    """Values of a segmentation as uint8 ``[i, j, k]``, voxel for voxel those of its scan.

    Raises:
        Refused: It lies on another grid, or holds values that are no classes.
    """
    if segmentation.colour or segmentation.volumes > 1:
        raise masks.not_classes()
    shape = segmentation.stored.shape
    if shape != scan.stored.shape[:3]:
        raise masks.other_grid()
    corners = np.array([[*c, 1.0] for c in np.ndindex(2, 2, 2)]) * [*(np.array(shape) - 1), 1]
    apart = np.linalg.norm(corners @ (segmentation.affine - scan.affine).T, axis=1).max()
    if apart > SAME_GRID * np.linalg.norm(scan.affine[:3, :3], axis=0).min():
        raise masks.other_grid()
    if segmentation.stored.dtype == np.uint8 and (segmentation.slope, segmentation.intercept) == (1, 0):
        return segmentation.stored
    out = np.empty(shape, np.uint8)
    for number, part in enumerate(segmentation.stored):
        out[number] = masks.classes(segmentation.values(part))
    return out


# ---- slices


def _planes(
    volume: Volume, mask: np.ndarray | None, display: Display | None, span: float, recipe: Recipe
) -> Iterator[Plane]:
    stored, affine = volume.stored, volume.affine
    label = masks.MaskLabel.parse(recipe.mask_label) if recipe.mask_label else None
    # Slices run along S, columns and rows along the two others.
    s = volume.last if recipe.preset.orientation == "as_acquired" else 2
    c, r = (axis for axis in range(3) if axis != s)
    steps = [float(v) for v in np.linalg.norm(affine[:3, :3], axis=0)]
    # As radiologists look at it: numbers grow towards the patient's left, the back and the feet.
    to_lps = np.array([-1.0, -1.0, 1.0])
    orientation = [float(v) for axis in (c, r) for v in -affine[:3, axis] / steps[axis] * to_lps]
    normal = np.cross(orientation[:3], orientation[3:])

    def slices(array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, s, 0)[:, ::-1, ::-1].swapaxes(1, 2)

    parts, segmentations = slices(stored), None if mask is None else slices(mask)
    for number in chosen(stored.shape[s], recipe.slices):
        part = np.ascontiguousarray(parts[number])
        values, valid = (_colour(part, recipe), None) if volume.colour else _without_nan(volume.values(part))
        voxel = np.ones(4)
        voxel[[c, r, s]] = stored.shape[c] - 1, stored.shape[r] - 1, number
        known = values if valid is None else values[valid]
        if known.size:
            least, most = known.min(), known.max()
            if np.isfinite(least) and np.isfinite(most) and most - least <= NEARLY_CONSTANT * span:
                values = np.full_like(values, known.flat[0])
        segmented = None if segmentations is None else np.ascontiguousarray(segmentations[number])
        yield Plane(
            values,
            frame=number,
            display=display,
            valid=valid,
            spacing=None if volume.picture else (steps[r], steps[c]),
            pixel=(steps[r], steps[c]),
            orientation=None if volume.picture else orientation,
            slice_index=number,
            slice_position=None if volume.picture else float(np.dot(normal, (affine @ voxel)[:3] * to_lps)),
            label=None if label is None or segmented is None else label.label(segmented),
            mask=segmented,
        )


def _colour(part: np.ndarray, recipe: Recipe) -> np.ndarray:
    return part.astype(np.float32) if recipe.colour else luminance(part)


def _without_nan(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Values with 0 for NaN, which tools write where they know nothing, and where there was none."""
    known = ~np.isnan(values)
    return (values, None) if known.all() else (np.where(known, values, np.float32(0)), known)
