"""Segmentations: which scan each belongs to, by its name alone, and what class it gives a slice."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from medsyn.data.tables import stem
from medsyn.errors import UsageError
from medsyn.ingest.source import Facts, Plane, Probe, Recipe, Refused, content

_SUFFIX = re.compile(r"[_-](mask|seg|segmentation|labels?|gt|lesion|dseg|roi)([_-]?\d{1,2})?$", re.IGNORECASE)
_SURE = re.compile(r"(^|[_+-])(mask|a?seg|segmentation|labels?|dseg|gt)$", re.IGNORECASE)
_CHANNEL = re.compile(r"_\d{4}$")  # of nnU-Net: case_0000, case_0001 are the sequences of one case
_IMAGES = re.compile(r"(images?|imgs?)(.*)", re.IGNORECASE)
_MASKS = re.compile(r"(masks?|labels?|segmentations?|segs?|annotations?|gt|lesions?)(.*)", re.IGNORECASE)
_CHAIN = 3
_BIDS_MASKS = frozenset({"mask", "dseg", "seg", "roi"})
_BIDS_OF_MASK = frozenset({"space", "label", "desc", "res", "den", "atlas", "hemi", "seg"})
"""Entities of a derivative that its raw scan does not have (BIDS 1.9, "Imaging derivatives")."""


# ---- classes of slices


@dataclass(frozen=True)
class MaskLabel:
    """Class of a slice by its segmentation: ``lesion>0``.

    A slice is ``name`` where at least one voxel fulfils the comparison, otherwise ``no_<name>``. How many do plays no
    part: the slices at the ends of a lesion are lesion, too.
    """

    name: str
    comparison: Literal[">", ">=", "="]
    value: int

    @classmethod
    def parse(cls, text: str) -> MaskLabel:
        """Read ``NAME>INTEGER``, ``NAME>=INTEGER`` or ``NAME=INTEGER``.

        Raises:
            UsageError: Another text, or a comparison that every voxel fulfils, or none.
        """
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(>=|>|=)\s*(\d+)", text.strip())
        if match is None:
            raise UsageError("not a rule for masks", where="--mask-label", mend="Say name>0, name>=2 or name=1.")
        made = cls(match[1], match[2], int(match[3]))  # type: ignore[arg-type]
        fulfilled = made._fulfilled(np.arange(256))
        if fulfilled.all() or not fulfilled.any():
            which = "every value" if fulfilled.all() else "no value"
            raise UsageError(
                f"{which} of a mask (0 to 255) fulfils '{text.strip()}'",
                where="--mask-label",
                mend="0 is what is not segmented: say name>0, name>=2 or name=1.",
            )
        return made

    def label(self, mask: np.ndarray) -> str:
        """Class of a slice.

        Args:
            mask: Its segmentation at full resolution, uint8 ``[H, W]``.
        """
        return self.name if self._fulfilled(mask).any() else f"no_{self.name}"

    def _fulfilled(self, values: np.ndarray) -> np.ndarray:
        return {">": np.greater, ">=": np.greater_equal, "=": np.equal}[self.comparison](values, self.value)


# ---- which belongs to which


def pair(probes: Sequence[Probe], *, named: Mapping[int, int] | None = None, prefer: str | None = None) -> int:
    """Find the scan of every segmentation, by names alone.

    Of a NIfTI volume or a picture, a segmentation is what

    - is called as it is, with ``_mask``, ``_seg``, ``_segmentation``, ``_label``, ``_labels``, ``_gt``, ``_lesion``,
      ``_dseg`` or ``_roi`` (and perhaps a number) at the end, in the same folder; or
    - is called so, or just as it is, in a folder ``masks*``, ``labels*``, ``segmentations*``, ``annotations*``,
      ``gt*`` or ``lesions*`` where the scan's is ``images*`` (``imagesTr`` and ``labelsTr``, ``images/1`` and
      ``masks/1``), or in such a folder beside the scan; an nnU-Net scan may end in its channel (``_0000``); or
    - is named by BIDS as a derivative of it: ``derivatives/*/sub-01/anat/sub-01_desc-lesion_mask.nii.gz``.

    A scan found gets `Probe.mask`, and the segmentation's `Probe.refused` says whose it is, so that it is no image.
    DICOM SEG is left out earlier, by its SOP class.

    Args:
        probes: All files.
        named: Number of a scan -> number of its segmentation, as a table says: goes before all names.
        prefer: Of several segmentations, the one with this word in its name, such as the name in ``lesion>0``.

    Returns:
        How many scans have a segmentation.
    """
    by_number = {p.number: p for p in probes}
    files = [p for p in probes if p.refused is None and p.kind in ("nifti", "raster")]
    found = _by_name(files)
    offers: dict[int, list[tuple[tuple[int, int], Probe]]] = defaultdict(list)
    for number, (rank, scans) in found.items():
        liked = prefer is not None and prefer.lower() in _stem(by_number[number]).lower()
        for scan in scans:
            offers[scan].append(((0 if liked else 1, rank), by_number[number]))
    for scan, number in (named or {}).items():
        if scan in by_number and number in by_number:
            offers[scan] = [((-1, 0), by_number[number]), *(o for o in offers[scan] if o[1].number != number)]
    told: dict[int, Refused] = {}
    for scan, candidates in sorted(offers.items()):
        best = min(rank for rank, _ in candidates)
        first = [mask for rank, mask in candidates if rank == best]
        if len(first) == 1:
            by_number[scan].mask = first[0]
            told[first[0].number] = Refused("mask_of", f"segmentation of input {scan}")
        for _, mask in candidates:
            which = "one of several segmentations" if len(first) > 1 else "a further segmentation"
            told.setdefault(mask.number, Refused("mask_unused", f"{which} of input {scan}, and not used"))
    for number, refused in told.items():
        by_number[number].refused = refused
    return sum(p.mask is not None for p in probes)


def named(found: Probe) -> bool:
    """Whether a file's name ends as that of a segmentation."""
    return _SURE.search(_stem(found)) is not None


def case(found: Probe) -> str:
    """Name of the case that a scan belongs to: its own, without folder, suffix and channel. Never leaves unkeyed."""
    return _CHANNEL.sub("", _stem(found))


def _by_name(files: Sequence[Probe]) -> dict[int, tuple[int, list[int]]]:
    """Segmentation -> how far its name is from its scan's (0: the same), and its scans."""
    index: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    bids = _Bids()
    for p in files:
        name = _stem(p)
        for place in dict.fromkeys((_folder(p), _place(p, _IMAGES))):
            for key in dict.fromkeys((name, _CHANNEL.sub("", name))):
                if place is not None:
                    index[p.kind, place, key].append(p.number)
        bids.add(p)
    found: dict[int, tuple[int, list[int]]] = {}
    for p in files:
        for rank, (place, name) in enumerate(_where_its_scan_is(p)):
            scans = [n for n in index.get((p.kind, place, name), ()) if n != p.number]
            if scans:
                found[p.number] = rank, scans
                break
        else:
            scans = bids.scans(p)
            if scans:
                found[p.number] = 100, scans
    # The segmentation of a segmentation is one of the scan: x_lesion_mask, x_lesion, x. Names may run in a circle.
    resolved = {}
    for number, (rank, scans) in found.items():
        for _ in range(_CHAIN):
            rank += any(n in found for n in scans)
            scans = list(dict.fromkeys(n for s in scans for n in (found[s][1] if s in found else [s])))
        scans = [n for n in scans if n not in found]
        if scans:
            resolved[number] = rank, scans
    return resolved


def _where_its_scan_is(p: Probe) -> Iterator[tuple[str, str]]:
    """Folder and name that a scan would have if this were its segmentation, the likeliest first."""
    name, names = _stem(p), []
    while match := _SUFFIX.search(name):
        name = name[: match.start()]
        # A further one of several, x_mask_1, comes after x_mask.
        names += ["", name] if match[2] else [name]
    parts, beside = _parts(p), _place(p, _MASKS)
    folders = [] if beside is None else [beside]
    if parts and (match := _MASKS.fullmatch(parts[-1])) and not match[2]:
        folders.append("/".join(parts[:-1]))
    for folder in folders:
        yield folder, _stem(p)
    for n in names:
        for folder in (*folders, _folder(p)):
            yield folder, n


def _place(p: Probe, role: re.Pattern[str]) -> str | None:
    """The folder with its last part that means images or masks put as ``*``; None where that means the other one."""
    parts = _parts(p)
    for i in reversed(range(len(parts))):
        if match := role.fullmatch(parts[i]):
            return "/".join([*parts[:i], "*" + match[2], *parts[i + 1 :]])
        if (_IMAGES if role is _MASKS else _MASKS).fullmatch(parts[i]):
            return None
    return None


def _folder(p: Probe) -> str:
    return "/".join(_parts(p))


def _parts(p: Probe) -> list[str]:
    return _full(p).split("/")[:-1]


def _stem(p: Probe) -> str:
    name = _full(p).rsplit("/", 1)[-1]
    packed = name[:-3] if name.lower().endswith(".gz") else name
    return packed[:-4] if packed.lower().endswith((".hdr", ".img")) else stem(name)


def _full(p: Probe) -> str:
    return p.path if p.member is None else f"{p.path}/{p.member}"


class _Bids:
    """Scans of a BIDS dataset by folder: name parts ``key-value``, and what comes last (``T1w``)."""

    def __init__(self) -> None:
        self._scans: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)

    def add(self, p: Probe) -> None:
        """Take a scan; anything else is passed over."""
        entities, last = _entities(p)
        if entities and last not in _BIDS_MASKS:
            self._scans[_folder(p)].append((p.number, entities))

    def scans(self, p: Probe) -> list[int]:
        """Scans that a segmentation belongs to: those beside it, else those it was derived from."""
        entities, last = _entities(p)
        if not entities or last not in _BIDS_MASKS:
            return []
        own = {k: v for k, v in entities.items() if k not in _BIDS_OF_MASK}
        parts = _parts(p)
        folders = [parts]
        if "derivatives" in parts:
            at = len(parts) - 1 - parts[::-1].index("derivatives")
            folders.append(parts[:at] + parts[at + 2 :])
        for folder in folders:
            fits = [(n, e) for n, e in self._scans.get("/".join(folder), ()) if own.items() <= e.items()]
            same = [n for n, e in fits if e.get("space") == entities.get("space")]
            if fits:
                return same or [n for n, _ in fits]
        return []


def _entities(p: Probe) -> tuple[dict[str, str], str]:
    *parts, last = _stem(p).split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    return (entities, last) if "sub" in entities else ({}, "")


# ---- values


def classes(values: np.ndarray) -> np.ndarray:
    """Values of a segmentation to uint8, same shape.

    Raises:
        Refused: Some are no whole numbers from 0 to 255.
    """
    with np.errstate(invalid="ignore"):
        small = values.astype(np.uint8)
    if not np.array_equal(small, values):
        raise not_classes()
    return small


def not_classes() -> Refused:
    """What is said of a segmentation whose values are no classes."""
    return Refused("mask_values", "its values are not one whole number from 0 to 255 a voxel", "quarantined")


def other_grid() -> Refused:
    """What is said of a segmentation that does not lie on its scan's grid."""
    return Refused("mask_mismatch", "it lies on another grid (shape or affine) than the scan", "quarantined")


def refusal(error: Exception) -> Refused:
    """Why a segmentation is not used, in words of ours."""
    if isinstance(error, Refused):
        return error
    return Refused("mask_unreadable", f"it cannot be decoded ({type(error).__name__})", "failed")


# ---- pictures


def attach(planes: Iterator[Plane], found: Probe, recipe: Recipe, facts: Facts) -> Iterator[Plane]:
    """Put the segmentation of a picture, page by page, into its planes.

    A segmentation that cannot be used leaves them without, and says so in ``facts``.

    Args:
        planes: Of the picture, upright and not cropped.
        found: The picture, with `Probe.mask`, or without: then nothing but a missing label is noted.
    """
    label = MaskLabel.parse(recipe.mask_label) if recipe.mask_label else None
    pages: list[np.ndarray] = []
    if found.mask is not None:
        try:
            pages = list(_pages(found.mask, recipe.max_pixels))
        except Exception as error:  # hostile input may raise anything; the picture is worth reading all the same
            _tell(facts, refusal(error))
    for number, plane in enumerate(planes):
        if pages:
            if number < len(pages) and pages[number].shape == plane.values.shape[:2]:
                plane.mask = pages[number]
            else:
                pages.clear()
                _tell(facts, other_grid())
        if label and plane.mask is not None:
            plane.label = label.label(plane.mask)
        elif label and "no label" not in facts.note:
            facts.note = "; ".join(filter(None, [facts.note, "no segmentation, so no label"]))
        yield plane


def _tell(facts: Facts, refused: Refused) -> None:
    facts.mask_refused = refused
    facts.note = "; ".join(filter(None, [facts.note, f"its segmentation is not used: {refused.detail}"]))


def _pages(found: Probe, max_pixels: int) -> Iterator[np.ndarray]:
    """Classes of every page, uint8 ``[H, W]``; of a palette, its indices."""
    image = Image.open(io.BytesIO(content(found)), formats=("PNG", "TIFF", "BMP", "JPEG"))
    if image.format == "JPEG":
        raise Refused("mask_values", "a lossy JPEG, whose values are no classes", "quarantined")
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if float(image.width) * image.height * pages > max_pixels:
        raise Refused("too_large", f"the header claims more than {max_pixels} values (--max-pixels)", "failed")
    for page in range(pages):
        image.seek(page)
        upright = np.asarray(ImageOps.exif_transpose(image))
        if upright.ndim == 3:
            # Grey saved as colour, with or without opacity.
            grey = upright[..., 0]
            channels = upright[..., : 3 if upright.shape[2] >= 3 else 1]
            if (channels != grey[..., None]).any():
                raise Refused("mask_values", "coloured: which colour is which class is not known", "quarantined")
            upright = grey
        yield classes(upright)
