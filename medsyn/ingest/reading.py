"""One task of a worker: files in, stored images with their records out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from medsyn.data.resize import fit_mask, pad, shrink
from medsyn.data.schema import ImageRecord
from medsyn.data.writer import thumbnail_of
from medsyn.ingest import dicom, isolation, medmnist, nifti, raster
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


class Group(NamedTuple):
    """Files that share one display range where none is stated, and the digest of all that their pixels depend on."""

    files: list[Probe]
    digest: str


@dataclass
class Image:
    """One stored image: its description, pixels ``[C, H, W]`` and segmentation ``[H, W]`` uint8, or None."""

    record: ImageRecord
    pixels: np.ndarray
    mask: np.ndarray | None
    thumbnail: np.ndarray


@dataclass(frozen=True)
class Outcome:
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
    """

    number: int
    read_as: str
    facts: Facts | None = None
    rows: list[Outcome] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)


def tasks(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups in portions of about `CHUNK` files, for one worker each."""
    task: list[Group] = []
    files = 0
    for group in groups:
        if task and files + len(group.files) > CHUNK:
            yield task
            task, files = [], 0
        task.append(group)
        files += len(group.files)
    if task:
        yield task


def read_task(task: Sequence[Group], recipe: Recipe) -> list[FileResult]:
    """Read all files of a task; a bad file ends in its own `FileResult` and nowhere else."""
    with quiet():
        return [result for group in task for result in _read_group(group, recipe)]


@dataclass
class _Small:
    """A plane after shrinking, waiting for the display range of its group."""

    plane: Plane  # without pixels
    values: np.ndarray  # [h, w] or [h, w, 3]
    mask: np.ndarray | None
    height: int
    width: int


def _read_group(group: Group, recipe: Recipe) -> list[FileResult]:
    common = Percentiles()
    results, waiting = [], []
    for found in group.files:
        result, smalls, own = FileResult(found.number, group.digest), list[_Small](), list[np.ndarray]()
        try:
            if found.refused:  # an earlier try killed its worker
                raise found.refused
            smalls, own = _read_file(found, recipe, result)
        except Refused as refused:
            result.rows = [Outcome(None, refused.outcome, refused.reason, refused.detail)]
        except NOT_A_FILES_FAULT:
            raise
        except BaseException as error:  # hostile input may raise anything; its text may quote the header
            result.rows = [Outcome(None, "failed", _reason(error), f"cannot be decoded ({type(error).__name__})")]
        for values in own:
            common.add(values)
        results.append(result)
        waiting.append(smalls)
    for result, smalls in zip(results, waiting, strict=True):
        if not smalls:
            continue
        needs_range = not recipe.hounsfield and any(s.plane.display is None for s in smalls)
        display = common.display(recipe.percentiles) if needs_range else None
        result.images = [_finish(s, display, result, recipe) for s in smalls]
    return results


def _read_file(found: Probe, recipe: Recipe, result: FileResult) -> tuple[list[_Small], list[np.ndarray]]:
    """Shrunk planes, and the values that a common display range is to be found in."""
    isolation.at(found.number)
    result.facts, planes = READERS[found.kind](found, recipe)
    smalls: list[_Small] = []
    unranged: list[np.ndarray] = []
    frames: list[int] = []
    for plane in planes:
        isolation.at(found.number)
        frames.append(plane.frame)
        valid = plane.values if plane.valid is None else plane.values[plane.valid]
        refusal = _unusable(plane.values, valid)
        if refusal is None:
            if plane.valid is not None:
                # Before resizing, or padding rings into the image and takes most of the grey scale for itself.
                black = darkest(valid, _preset_window(recipe) or plane.display, plane.inverted, recipe.hounsfield)
                plane.values = np.where(plane.valid, plane.values, np.float32(black))
            small = shrink(plane.values, recipe.size, plane.pixel)
            refusal = None if small.min() < small.max() else _CONSTANT
        if refusal is not None:
            result.rows.append(Outcome(plane.frame, *refusal))
            continue
        if plane.display is None and not recipe.hounsfield:
            unranged.append(valid)
        mask = None if plane.mask is None else fit_mask(plane.mask, recipe.size, plane.pixel)
        height, width = plane.values.shape[:2]
        plane.values, plane.valid, plane.mask = small[:0], None, None
        smalls.append(_Small(plane, small, mask, height, width))
        result.rows.append(Outcome(plane.frame, "ingested", detail=result.facts.note))
    if not frames:
        raise Refused("no_image", "no image in it")
    if len(frames) == 1:
        result.rows = [replace(result.rows[0], frame=None)]
    return smalls, unranged


_CONSTANT = ("skipped", "constant", "all its pixels are equal")


def _unusable(values: np.ndarray, valid: np.ndarray) -> tuple[str, str, str] | None:
    if not (np.isfinite(values.min(initial=0)) and np.isfinite(values.max(initial=0))):  # NaN comes through both
        return "failed", "not_finite", "a value that is not finite"
    if valid.size == 0 or valid.min() == valid.max():
        return _CONSTANT
    return None


def _finish(small: _Small, common: Display | None, result: FileResult, recipe: Recipe) -> Image:
    plane, facts = small.plane, result.facts
    assert facts is not None
    display = _preset_window(recipe) or plane.display or common
    assert display is not None
    square = pad(small.values, recipe.size, darkest(small.values, display, plane.inverted, recipe.hounsfield))
    square = square[None] if square.ndim == 2 else np.moveaxis(square, 2, 0)
    if recipe.colour and len(square) == 1:
        square = np.repeat(square, 3, axis=0)
    if recipe.hounsfield:
        stored, slope, intercept = np.clip(np.rint(square), -32768, 32767).astype(np.int16), 1.0, 0.0
    else:
        stored, slope, intercept = quantise(square)
    rows, columns = small.values.shape[:2]
    spacing = plane.spacing or (None, None)
    record = ImageRecord(
        source=result.number,
        image_key=keyed(recipe.key, "image", facts.digest, str(plane.frame)),
        subject=plane.subject or facts.subject,
        modality=facts.modality,
        source_digest=facts.digest,
        source_height=small.height,
        source_width=small.width,
        slope=slope,
        intercept=intercept,
        unit="HU" if recipe.hounsfield else "relative",
        display_low=display.low,
        display_high=display.high,
        display_source=display.source,
        inverted=plane.inverted,
        photometric=facts.photometric,
        has_mask=small.mask is not None,
        synthetic=facts.synthetic,
        frame=plane.frame if len(result.rows) > 1 else None,
        label=plane.label,
        targets={name: (value, "known") for name, value in plane.targets.items()} or None,
        official_split=plane.official_split,
        series=facts.series,
        study=facts.study,
        volume=plane.volume or facts.volume,
        slice_index=plane.slice_index,
        slice_position=plane.slice_position,
        spacing_row=None if spacing[0] is None else spacing[0] * small.height / rows,
        spacing_col=None if spacing[1] is None else spacing[1] * small.width / columns,
        orientation=plane.orientation,
        view=facts.covariates.view,
        sex=facts.covariates.sex,
        age_band=facts.covariates.age_band,
        vendor=facts.covariates.vendor,
    )
    return Image(record, stored, small.mask, thumbnail_of(record, stored))


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
