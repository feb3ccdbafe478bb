"""Segmentations: which scan each belongs to, by its name alone, and what class it gives a slice."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from medsyn.data.tables import stem
from medsyn.errors import UsageError
from medsyn.ingest.contents import content
from medsyn.ingest.source import Facts, Plane, Probe, Recipe, Refused

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


@dataclass
class Pairs:
    """What belongs together, by ledger number.

    Attributes:
        masks: Scan -> its segmentation.
        refused: Every segmentation of a scan, whether used or not: it is no image.
    """

    masks: dict[int, int] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)


def pair(files: Callable[[], Iterable[Probe]], *, prefer: str | None = None) -> Pairs:
    """Find the scan of every segmentation, by names alone.

    Of a NIfTI volume or a picture, a segmentation is what

    - is called as it is, with ``_mask``, ``_seg``, ``_segmentation``, ``_label``, ``_labels``, ``_gt``, ``_lesion``,
      ``_dseg`` or ``_roi`` (and perhaps a number) at the end, in the same folder; or
    - is called so, or just as it is, in a folder ``masks*``, ``labels*``, ``segmentations*``, ``annotations*``,
      ``gt*`` or ``lesions*`` where the scan's is ``images*`` (``imagesTr`` and ``labelsTr``, ``images/1`` and
      ``masks/1``), or in a folder ``masks`` beside the scan; an nnU-Net scan may end in its channel (``_0000``); or
    - is named by BIDS as a derivative of it: ``derivatives/*/sub-01/anat/sub-01_desc-lesion_mask.nii.gz``.

    DICOM SEG is left out earlier, by its SOP class.

    Args:
        files: All that can be read, by number; gone through twice, so that only segmentations stay in memory.
        prefer: Of several segmentations, the one with this word in its name, such as the name in ``lesion>0``.
    """
    candidates = {p.number: c for p in files() if (c := _candidate(p, prefer))}
    offers: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # scan -> how unlikely, and which
    for number, (rank, scans) in (_scans(files(), candidates) if candidates else {}).items():
        for scan in scans:
            offers[scan].append((0 if candidates[number].liked else 1, rank, number))
    pairs = Pairs()
    for scan, all_offers in sorted(offers.items()):
        best = min(all_offers)[:2]
        first = [number for *rank, number in all_offers if tuple(rank) == best]
        if len(first) == 1:
            pairs.masks[scan] = first[0]
            pairs.refused[first[0]] = Refused("mask_of", f"segmentation of input {scan}")
        for *_, number in all_offers:
            which = "one of several segmentations" if len(first) > 1 else "a further segmentation"
            pairs.refused.setdefault(number, Refused("mask_unused", f"{which} of input {scan}, and not used"))
    return pairs


def named(found: Probe) -> bool:
    """Whether a file's name ends as that of a segmentation."""
    return _SURE.search(_split(found)[1]) is not None


def case(found: Probe) -> str:
    """Name of the case that a scan belongs to: its own, without folder, suffix and channel. Never leaves unkeyed."""
    return _CHANNEL.sub("", _split(found)[1])


@dataclass
class _Candidate:
    """What the scan of a file would be called if the file were a segmentation."""

    keys: Sequence[tuple[str, str, str]]  # kind, folder and name, the likeliest first
    bids: dict[str, str]
    folders: list[str]  # of BIDS, the likeliest first
    liked: bool


def _candidate(p: Probe, prefer: str | None) -> _Candidate | None:
    folder, name = _split(p)
    stem, names = name, []
    while match := _SUFFIX.search(stem):
        stem = stem[: match.start()]
        # A further one of several, x_mask_1, comes after x_mask.
        names += ["", stem] if match[2] else [stem]
    beside = _mask_folders(folder)
    keys = [(p.kind, place, name) for place in beside]
    keys += [(p.kind, place, n) for n in names for place in (*beside, folder)]
    entities, last = _entities(name)
    bids = {k: v for k, v in entities.items() if k not in _BIDS_OF_MASK or k == "space"} if last in _BIDS_MASKS else {}
    if not keys and not bids:
        return None
    return _Candidate(keys, bids, _bids_folders(folder), prefer is not None and prefer.lower() in name.lower())


def _scans(files: Iterable[Probe], candidates: Mapping[int, _Candidate]) -> dict[int, tuple[int, list[int]]]:
    """Segmentation -> how far its name is from its scan's (0: the same), and its scans."""
    wanted = {key for c in candidates.values() for key in c.keys}
    wanted_folders = {(folder, c.bids["sub"]) for c in candidates.values() if c.bids for folder in c.folders}
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    bids: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = defaultdict(list)
    for p in files:
        folder, name = _split(p)
        for place in _scan_folders(folder):
            for key in dict.fromkeys((name, _CHANNEL.sub("", name))):
                if (p.kind, place, key) in wanted:
                    index[p.kind, place, key].append(p.number)
        entities, last = _entities(name)
        if last not in _BIDS_MASKS and (folder, entities.get("sub", "")) in wanted_folders:
            bids[folder, entities["sub"]].append((p.number, entities))
    found: dict[int, tuple[int, list[int]]] = {}
    for number, c in candidates.items():
        by_name = ((rank, [n for n in index.get(key, ()) if n != number]) for rank, key in enumerate(c.keys))
        by_bids = ((len(c.keys) + i, _bids_scans(c, bids.get((f, c.bids["sub"]), ()))) for i, f in enumerate(c.folders))
        for rank, scans in chain(by_name, by_bids if c.bids else ()):
            if scans:
                found[number] = rank, scans
                break
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


def _bids_scans(c: _Candidate, scans: Iterable[tuple[int, dict[str, str]]]) -> list[int]:
    """Scans that have all that the segmentation's name says of its scan; those in the same space, where there are."""
    own = {k: v for k, v in c.bids.items() if k != "space"}
    fits = [(n, e) for n, e in scans if own.items() <= e.items()]
    return [n for n, e in fits if e.get("space") == c.bids.get("space")] or [n for n, _ in fits]


# ---- names


def _split(p: Probe) -> tuple[str, str]:
    """Folder, and name without suffix; an archive is a folder."""
    folder, _, name = (p.path if p.member is None else f"{p.path}/{p.member}").rpartition("/")
    packed = name[:-3] if name.lower().endswith(".gz") else name
    return folder, packed[:-4] if packed.lower().endswith((".hdr", ".img")) else stem(name)


@lru_cache(4096)
def _mask_folders(folder: str) -> list[str]:
    """Where the scans would be if this were a folder of segmentations."""
    above, _, last = folder.rpartition("/")
    match = _MASKS.fullmatch(last)
    places = [_starred(folder, _MASKS), above if match and not match[2] else None]
    return [place for place in places if place is not None]


@lru_cache(4096)
def _scan_folders(folder: str) -> list[str]:
    """How the folder of a scan may be looked for."""
    return [place for place in (folder, _starred(folder, _IMAGES)) if place is not None]


def _starred(folder: str, role: re.Pattern[str]) -> str | None:
    """The folder with its last part that means images or masks put as ``*``; None where that means the other one."""
    parts = folder.split("/")
    for i in reversed(range(len(parts))):
        if match := role.fullmatch(parts[i]):
            return "/".join([*parts[:i], "*" + match[2], *parts[i + 1 :]])
        if (_IMAGES if role is _MASKS else _MASKS).fullmatch(parts[i]):
            return None
    return None


@lru_cache(4096)
def _bids_folders(folder: str) -> list[str]:
    """The folder, and the one of the raw data that it was derived from."""
    parts = folder.split("/")
    if "derivatives" not in parts:
        return [folder]
    at = len(parts) - 1 - parts[::-1].index("derivatives")
    return [folder, "/".join(parts[:at] + parts[at + 2 :])]


def _entities(name: str) -> tuple[dict[str, str], str]:
    """The parts ``key-value`` of a BIDS name and what comes last (``T1w``); of another name, nothing."""
    if not name.startswith("sub-"):
        return {}, ""
    *parts, last = name.split("_")
    return {k: v for k, dash, v in (part.partition("-") for part in parts) if dash}, last


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


def not_used(error: Exception) -> str:
    """Why a segmentation is not used, in words of ours, for the ledger's row of its scan."""
    if isinstance(error, Refused):
        reason, detail = error.reason, error.detail
    else:
        reason, detail = "mask_unreadable", f"it cannot be decoded ({type(error).__name__})"
    return f"its segmentation is not used ({reason}): {detail}"


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
            _note(facts, not_used(error))
    for number, plane in enumerate(planes):
        if pages:
            if number < len(pages) and pages[number].shape == plane.values.shape[:2]:
                plane.mask = pages[number]
            else:
                pages.clear()
                _note(facts, not_used(other_grid()))
        if label and plane.mask is not None:
            plane.label = label.label(plane.mask)
        elif label and "no label" not in facts.note:
            _note(facts, "no segmentation, so no label")
        yield plane


def _note(facts: Facts, sentence: str) -> None:
    facts.note = "; ".join(filter(None, [facts.note, sentence]))


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
