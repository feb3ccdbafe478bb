"""One task of a worker: files in, stored images with their records out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from medsyn.data.digest import digest
from medsyn.data.resize import fit_mask, pad, shrink_all
from medsyn.data.thumbnail import thumbnails_of_stored
from medsyn.ingest import dicom, isolation, medmnist, nifti, raster
from medsyn.ingest.block import Block
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display, Percentiles, darkest, quantise
from medsyn.ingest.source import NOT_A_FILES_FAULT, Facts, Plane, Probe, Recipe, Refused, quiet

Reader = Callable[[Probe, Recipe], tuple[Facts, Iterator[Plane]]]
READERS: dict[str, Reader] = {
    "dicom": dicom.read,
    "nifti": nifti.read,
    "raster": raster.read,
    "npz": medmnist.read,
}
CHUNK = 32
VOLUME = 8
"""Files that one volume counts for: it is as much work as many images."""
BATCH = 2**17
"""Pixels of images that are worked on in one go: they stay in the processor's cache."""


class Group(NamedTuple):
    """Files that share one display range where none is stated, and the digest of all that their pixels depend on."""

    files: list[Probe]
    digest: str


class Outcome(NamedTuple):
    """What became of one file, or of one image of a file that holds several."""

    frame: int | None
    outcome: str
    reason: str = ""
    detail: str = ""


@dataclass
class FileResult:
    """What became of one file.

    Attributes:
        read_as: Digest of its group.
        rows: One, or one for every image of a file that holds several.
        blocks: The stored images.
    """

    number: int
    read_as: str
    facts: Facts | None = None
    rows: list[Outcome] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def tasks(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups in portions of about `CHUNK` files, of volumes fewer, for one worker each."""
    task: list[Group] = []
    work = 0
    for group in groups:
        more = sum(VOLUME if p.kind == "nifti" else 1 for p in group.files)
        if task and work + more > CHUNK:
            yield task
            task, work = [], 0
        task.append(group)
        work += more
    if task:
        yield task


def read_task(task: Sequence[Group], recipe: Recipe) -> list[FileResult]:
    """Read all files of a task; a bad file ends in its own `FileResult` and nowhere else."""
    with quiet():
        return [result for group in task for result in _read_group(group, recipe)]


@dataclass
class _Batch:
    """Planes of one shape after shrinking, waiting for the display range of their group."""

    planes: list[Plane]  # without pixels
    values: np.ndarray  # [n, h, w] or [n, h, w, 3]
    masks: list[np.ndarray | None]
    height: int
    width: int


def _read_group(group: Group, recipe: Recipe) -> list[FileResult]:
    common = Percentiles()
    results, waiting = [], []
    for found in group.files:
        result, batches, own = FileResult(found.number, group.digest), list[_Batch](), list[np.ndarray]()
        try:
            if found.refused:  # an earlier try killed its worker
                raise found.refused
            batches, own = _read_file(found, recipe, result)
        except Refused as refused:
            result.rows = [Outcome(None, refused.outcome, refused.reason, refused.detail)]
        except NOT_A_FILES_FAULT:
            raise
        except BaseException as error:  # hostile input may raise anything; its text may quote the header
            result.rows = [Outcome(None, "failed", _reason(error), f"cannot be decoded ({type(error).__name__})")]
        for values in own:
            common.add(values)
        results.append(result)
        waiting.append(batches)
    for result, batches in zip(results, waiting, strict=True):
        needs_range = not recipe.hounsfield and any(p.display is None for batch in batches for p in batch.planes)
        display = common.display(recipe.percentiles) if needs_range else None
        result.blocks = [_finish(batch, display, result, recipe) for batch in batches]
    return results


def _read_file(found: Probe, recipe: Recipe, result: FileResult) -> tuple[list[_Batch], list[np.ndarray]]:
    """Shrunk planes, and the values that a common display range is to be found in."""
    isolation.at(found.number)
    result.facts, planes = READERS[found.kind](found, recipe)
    batches: list[_Batch] = []
    unranged: list[np.ndarray] = []
    for alike in _alike(planes, found.number, recipe.size):
        valid = [p.values if p.valid is None else p.values[p.valid] for p in alike]
        batch, refusals = _shrink(alike, valid, recipe)
        for plane, values, refusal in zip(alike, valid, refusals, strict=True):
            result.rows.append(Outcome(plane.frame, *(refusal or ("ingested", "", result.facts.note))))
            if refusal is None and plane.display is None and not recipe.hounsfield:
                unranged.append(values)
        if batch is not None:
            batches.append(batch)
        for plane in alike:
            plane.values, plane.valid, plane.mask = _NOTHING, None, None
    if not result.rows:
        raise Refused("no_image", "no image in it")
    if len(result.rows) == 1:
        result.rows = [result.rows[0]._replace(frame=None)]
    return batches, unranged


_NOTHING = np.zeros(0, np.float32)


def _alike(planes: Iterable[Plane], number: int, size: int) -> Iterator[list[Plane]]:
    """Planes of one shape that follow one another, some at a time."""
    batch: list[Plane] = []
    for plane in planes:
        isolation.at(number)
        first = batch[0] if batch else plane
        most = BATCH // max(1, size**2, math.prod(first.values.shape[:2]))
        same = plane.values.shape == first.values.shape and plane.pixel == first.pixel
        if batch and (not same or len(batch) >= most):
            yield batch
            batch = []
        batch.append(plane)
    if batch:
        yield batch


def _shrink(
    alike: list[Plane], valid: list[np.ndarray], recipe: Recipe
) -> tuple[_Batch | None, list[tuple[str, str, str] | None]]:
    """Those of some planes that can be used, and why each of the others cannot."""
    refusals = [_unusable(p.values, values) for p, values in zip(alike, valid, strict=True)]
    good = [i for i, refusal in enumerate(refusals) if refusal is None]
    if not good:
        return None, refusals
    whole = [_filled(alike[i], valid[i], recipe) for i in good]
    small = shrink_all(np.stack(whole) if len(whole) > 1 else whole[0][None], recipe.size, alike[0].pixel)
    flat = small.reshape(len(small), -1)
    varied = flat.min(axis=1) < flat.max(axis=1)
    for i, fine in zip(good, varied, strict=True):
        refusals[i] = None if fine else _CONSTANT
    planes = [p for p, refusal in zip(alike, refusals, strict=True) if refusal is None]
    masks = [None if p.mask is None else fit_mask(p.mask, recipe.size, p.pixel) for p in planes]
    height, width = whole[0].shape[:2]
    return (_Batch(planes, small[varied], masks, height, width) if planes else None), refusals


def _filled(plane: Plane, valid: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Values with black for padding: left as it is, it rings into the image and takes most of the grey scale."""
    if plane.valid is None:
        return plane.values
    black = darkest(valid, _preset_window(recipe) or plane.display, plane.inverted, recipe.hounsfield)
    return np.where(plane.valid, plane.values, np.float32(black))


_CONSTANT = ("skipped", "constant", "all its pixels are equal")


def _unusable(values: np.ndarray, valid: np.ndarray) -> tuple[str, str, str] | None:
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if values.size and not (np.isfinite(low) and np.isfinite(high)):  # NaN comes through both
        return "failed", "not_finite", "a value that is not finite"
    if valid is not values:
        low, high = valid.min(initial=np.inf), valid.max(initial=-np.inf)
    return None if low < high else _CONSTANT


def _finish(batch: _Batch, common: Display | None, result: FileResult, recipe: Recipe) -> Block:
    facts, planes = result.facts, batch.planes
    assert facts is not None
    shown = [_preset_window(recipe) or plane.display or common for plane in planes]
    displays = [display for display in shown if display is not None]
    stored, slopes, intercepts = _stored(batch, displays, recipe)
    low, high = (np.array([getattr(display, end) for display in displays]) for end in ("low", "high"))
    inverted = np.array([plane.inverted for plane in planes])
    thumbnails = thumbnails_of_stored(stored, slopes, intercepts, low, high, inverted)
    masks = None
    if any(mask is not None for mask in batch.masks):
        none = np.zeros((recipe.size, recipe.size), np.uint8)
        masks = np.stack([none if mask is None else mask for mask in batch.masks])
    rows, columns = batch.values.shape[1:3]
    spacing = [plane.spacing or (None, None) for plane in planes]
    n = len(planes)
    alike = {
        "source": result.number,
        "modality": facts.modality,
        "source_digest": facts.digest,
        "source_height": batch.height,
        "source_width": batch.width,
        "unit": "HU" if recipe.hounsfield else "relative",
        "photometric": facts.photometric,
        "synthetic": facts.synthetic,
        "also_subject": None,
        "series": facts.series,
        "study": facts.study,
        "view": facts.covariates.view,
        "sex": facts.covariates.sex,
        "age_band": facts.covariates.age_band,
        "vendor": facts.covariates.vendor,
    }
    own = {
        "image_key": [keyed(recipe.key, "image", facts.digest, str(p.frame)) for p in planes],
        "subject": [p.subject or facts.subject for p in planes],
        "slope": slopes.tolist(),
        "intercept": intercepts.tolist(),
        "display_low": [display.low for display in displays],
        "display_high": [display.high for display in displays],
        "display_source": [display.source for display in displays],
        "inverted": [p.inverted for p in planes],
        "has_mask": [mask is not None for mask in batch.masks],
        "frame": [p.frame if len(result.rows) > 1 else None for p in planes],
        "label": [p.label for p in planes],
        "targets": [{name: (v, "known") for name, v in p.targets.items()} if p.targets else None for p in planes],
        "official_split": [p.official_split for p in planes],
        "volume": [p.volume or facts.volume for p in planes],
        "slice_index": [p.slice_index for p in planes],
        "slice_position": [p.slice_position for p in planes],
        "spacing_row": [None if s[0] is None else s[0] * batch.height / rows for s in spacing],
        "spacing_col": [None if s[1] is None else s[1] * batch.width / columns for s in spacing],
        "orientation": [p.orientation for p in planes],
        "pixel_digest": [digest(image) for image in stored],
        "mask_digest": [None if mask is None else digest(mask) for mask in batch.masks],
    }
    return Block.pack({**{name: [value] * n for name, value in alike.items()}, **own}, stored, masks, thumbnails)


def _stored(batch: _Batch, displays: list[Display], recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squares ``[n, C, H, W]`` as they are stored, slope and intercept float64 ``[n]``."""
    squares = batch.values
    if squares.shape[1:3] != (recipe.size, recipe.size):
        fills = [
            darkest(values, display, plane.inverted, recipe.hounsfield)
            for values, display, plane in zip(batch.values, displays, batch.planes, strict=True)
        ]
        squares = np.stack([pad(v, recipe.size, fill) for v, fill in zip(batch.values, fills, strict=True)])
    squares = squares[:, None] if squares.ndim == 3 else np.moveaxis(squares, 3, 1)
    if recipe.colour and squares.shape[1] == 1:
        squares = np.repeat(squares, 3, axis=1)
    if recipe.hounsfield:
        n = len(squares)
        return np.clip(np.rint(squares), -32768, 32767).astype(np.int16), np.ones(n), np.zeros(n)
    return quantise(squares)


def _preset_window(recipe: Recipe) -> Display | None:
    """The display range of Hounsfield units: the preset's or the user's, whatever the file says."""
    if not recipe.hounsfield:
        return None
    centre, width = recipe.preset.window or (40.0, 400.0)
    return Display(centre - width / 2, centre + width / 2, recipe.window_source)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "too_large"
    if isinstance(error, NotImplementedError | RuntimeError):
        return "undecodable"
    return "corrupt"
