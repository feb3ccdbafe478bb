"""Nearest images in pixels, whatever their brightness, contrast, noise, mirroring or a small shift.

Two stages. The coarse one compares every query with every reference at `COARSE` px. The fine one aligns the best
candidates alone, at `FINE` px and under several low-passes. n queries among m references cost n m products of 50 views
of 14 x 14 px, or of their principal components where there are many references (`Shortlist`), and n x `CANDIDATES` fine
alignments: linear in both. Memory holds the coarse references (784 bytes each), their components (at most 260) and
chunks of everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch.nn import functional as F

from medsyn.metrics.shortlist import Shortlist

COARSE = 16
COARSE_WIDTH = 0.8
COARSE_SHIFTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""In coarse pixels. Without the halves a copy of a head, shifted by 2 of 64 px, hides behind heads of equal outline."""

FINE = 32
CANDIDATES = 20
SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Searched on both axes, in fine pixels: up to 2 of 28, 4 of 64."""

WIDTHS = (0.5, 1.0, 1.8)
"""Deviations of the Gaussian low-passes in fine pixels. The narrow one keeps what tells two patients apart; the
wide one outlives noise, which a 28 px image has much of beside its contrast."""

CLOSE = (0.38, 0.34, 0.27)
"""Ratio of distances, at each low-pass, of images that all but equal one another. The wider the low-pass, the less
tells two patients apart, and the lower other patients' images come."""

DISGUISED = 0.7
"""`Nearest.ratio` that disguised copies stay under. On chest films copies (mirrored, gamma 0.8, shifted by 2 px) stay
below 0.65 at 28 and at 64 px, and those with noise of 0.05 at 64 px; at 28 px a quarter of the noisy ones lies above
0.9. Of other patients' images 3 of 46,000 lay below 1, none below 0.9."""

SAME = 0.02
"""`Nearest.distance` below which an image is a copy whatever its ratio; rounding to 8 bits stays under 0.005."""

POOL = 256
"""Coarse neighbours among which other subjects are looked for."""

BUDGET = 4_000_000
"""Numbers held at once."""

MANY = 8192
"""References from which products are spared, see `Shortlist`."""

TOGETHER = 64
"""Queries compared at once where they are, fewer where they and the references are more than `HELD` pairs."""

HELD = 32_000_000


@dataclass(frozen=True)
class Nearest:
    """The most similar reference of each query.

    Attributes:
        rows: Its place among the references ``[n]``.
        distance: ``sqrt(2 - 2 r)`` at the narrowest low-pass ``[n]``, r the best correlation over shifts and mirroring:
            0 for the same picture, sqrt(2) for unrelated ones.
        ratio: Distance to it over the median distance to the most similar other subjects, in units of `CLOSE`, the
            least over the low-passes ``[n]``: about 2 for another patient's image, near 0 for a copy. A blurred image
            is near to everything, a copy to one image only.
        second: Nearest over second-nearest distance, the second of another subject, at the middle low-pass ``[n]``.
    """

    rows: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray
    second: np.ndarray


class Gallery:
    """References that queries are compared with, their coarse views made once.

    Args:
        references: ``[m, C, H, W]`` in [0, 1], m >= 1; or what gives those at some places, int64 ``[k]``, so that they
            may stay on disk.
        units: Subject of each reference ``[m]``; empty where nobody asks for `nearest`.
        views: Of an earlier gallery of the same references (`views`), which saves making them.
    """

    def __init__(
        self,
        references: np.ndarray | Callable[[np.ndarray], np.ndarray],
        units: np.ndarray,
        views: np.ndarray | None = None,
    ) -> None:
        self._read = references if callable(references) else references.__getitem__
        self._shortlist: Shortlist | None = None
        self.units, m = units, len(units) if callable(references) else len(references)
        self.views = (
            np.concatenate([self._coarse(i, min(i + 1024, m)) for i in range(0, m, 1024)]) if (views is None) else views
        )

    def _coarse(self, start: int, end: int) -> np.ndarray:
        part = np.asarray(self._read(np.arange(start, end)))
        return _still(_shrunk(part, COARSE), COARSE_WIDTH, COARSE_SHIFTS).numpy()

    def coarse(self, queries: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Coarse distances to all references in chunks, ``(rows of queries, float32 [rows, m])``: ``sqrt(2 - 2 r)``.

        Blind to brightness and contrast, to mirroring and to a shift by 1/16 of the side.

        Args:
            queries: ``[n, C, H, W]`` in [0, 1].
        """
        start, rows, theirs = 0, max(1, BUDGET // len(self.views)), torch.from_numpy(self.views).T
        for part in _parts(queries, rows):
            small = _shrunk(part, COARSE)
            best = torch.full((len(small), len(self.views)), -1.0)
            for view in _views(small, COARSE_WIDTH, COARSE_SHIFTS):
                torch.maximum(best, view @ theirs, out=best)
            yield slice(start, start + len(small)), _distance(best).numpy()
            start += len(small)

    def nearest(self, queries: np.ndarray, own: np.ndarray | None = None) -> Nearest:
        """The most similar reference of each query, whatever its class.

        Args:
            queries: ``[n, C, H, W]`` in [0, 1].
            own: Subject of each query ``[n]``: references of the same subject are passed over. None: there is none.
        """
        codes, own_codes = self._codes, None
        if own is not None:
            both = np.unique(np.concatenate([self.units, own]), return_inverse=True)[1]
            codes, own_codes = both[: len(self.units)], both[len(self.units) :]
        found: list[Nearest] = []
        for part, chosen in self._candidates(queries, codes, own_codes):
            for start in range(0, len(chosen), 128):
                rows = chosen[start : start + 128]
                first = part.start + start
                found.append(_compare(rows, self._aligned(queries[first : first + len(rows)], rows), codes))
        fields = ("rows", "distance", "ratio", "second")
        if not found:
            return Nearest(np.zeros(0, int), *(np.zeros(0) for _ in fields[1:]))
        return Nearest(*(np.concatenate([getattr(f, name) for f in found]) for name in fields))

    def _candidates(
        self, queries: np.ndarray, codes: np.ndarray, own: np.ndarray | None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """References to align queries with, in chunks: ``(rows of queries, their places int64 [rows, CANDIDATES])``."""
        if (spared := self._spared()) is None:
            for part, distance in self.coarse(queries):
                if own is not None:
                    distance[own[part][:, None] == codes] = np.inf
                pool = min(POOL, distance.shape[1])
                order = np.argpartition(distance, pool - 1, axis=1)[:, :pool]
                yield part, _candidates(order, np.take_along_axis(distance, order, 1), codes)
            return
        together = max(1, min(TOGETHER, HELD // len(self.views)))
        for start in range(0, len(queries), together):
            part = slice(start, min(start + together, len(queries)))
            small = _shrunk(queries[part], COARSE)
            views = torch.stack(list(_views(small, COARSE_WIDTH, COARSE_SHIFTS)))
            passed = None if own is None else torch.from_numpy(np.asarray(own[part, None] == codes))
            best, r = spared.best(views, POOL, passed)
            yield part, _candidates(best.numpy(), _distance(r).numpy(), codes)

    @cached_property
    def _codes(self) -> np.ndarray:
        """A number for the subject of each reference: names are sorted once, and not for every few queries."""
        return np.unique(self.units, return_inverse=True)[1]

    def _spared(self) -> Shortlist | None:
        """What spares most of the products, where there are enough references for it."""
        if len(self.views) < MANY:
            return None
        if self._shortlist is None:
            self._shortlist = Shortlist(torch.from_numpy(self.views))
        return self._shortlist if self._shortlist.pays else None

    def _aligned(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Fine distances of queries to their candidates, float32 ``[n, k, len(WIDTHS)]``; infinite where none is."""
        used, place = np.unique(np.maximum(rows, 0), return_inverse=True)
        small, theirs = _shrunk(queries, FINE), _shrunk(np.asarray(self._read(used)), FINE)
        out = np.empty((*rows.shape, len(WIDTHS)), np.float32)
        for j, width in enumerate(WIDTHS):
            target = _still(theirs, width, SHIFTS)[place.reshape(rows.shape)]
            views = torch.stack(list(_views(small, width, SHIFTS)), dim=1)
            out[..., j] = _distance((views @ target.transpose(1, 2)).amax(1)).numpy()
        out[rows < 0] = np.inf
        return out


def coarse(queries: np.ndarray, references: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """`Gallery.coarse` with ``references``, once."""
    return Gallery(references, np.empty(0)).coarse(queries)


def nearest(queries: np.ndarray, references: np.ndarray, units: np.ndarray, own: np.ndarray | None = None) -> Nearest:
    """`Gallery.nearest` with ``references`` of subjects ``units``, once."""
    return Gallery(references, units).nearest(queries, own)


def _candidates(order: np.ndarray, distance: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Of the nearest references and their distances ``[n, k]``: half whoever they are of, half of subjects that are not
    among those; -1: none."""
    sorting = np.argsort(distance, axis=1)
    order, distance = np.take_along_axis(order, sorting, 1), np.take_along_axis(distance, sorting, 1)
    pool, half = order.shape[1], CANDIDATES // 2
    places = np.full((len(order), CANDIDATES), -1)
    places[:, : min(half, pool)] = np.arange(min(half, pool))
    for i, row in enumerate(codes[order]):
        _, firsts = np.unique(row, return_index=True)
        others = np.sort(firsts[~np.isin(row[firsts], row[:half])])[: CANDIDATES - half]
        places[i, half : half + len(others)] = others
    there = np.maximum(places, 0)
    possible = (places >= 0) & np.isfinite(np.take_along_axis(distance, there, 1))
    return np.where(possible, np.take_along_axis(order, there, 1), -1)


def _compare(rows: np.ndarray, distance: np.ndarray, codes: np.ndarray) -> Nearest:
    best = distance.min(1, keepdims=True)
    # The low-pass under which one candidate stands out most names the nearest reference.
    subject = codes[np.take_along_axis(rows[..., None], distance.argmin(1, keepdims=True), 1)]
    others = np.where((codes[rows][..., None] != subject) & np.isfinite(distance), distance, np.nan)
    alone = np.asarray(np.isnan(others).all(1, keepdims=True))
    others = np.where(alone, np.inf, others)
    typical = np.nanmedian(others, axis=1)
    ratios = best[:, 0] / np.maximum(typical, 1e-6) / np.array(CLOSE, np.float32)
    ratios[alone[:, 0]] = 1 / min(CLOSE)
    least, every = ratios.argmin(1), np.arange(len(rows))
    middle = len(WIDTHS) // 2
    second = best[:, 0, middle] / np.maximum(np.nanmin(others, axis=1)[:, middle], 1e-6)
    return Nearest(
        rows=rows[every, distance.argmin(1)[every, least]],
        distance=best[:, 0, 0],
        ratio=ratios[every, least],
        second=np.where(alone[:, 0, middle], 1, second),
    )


def _parts(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _shrunk(images: np.ndarray, side: int) -> torch.Tensor:
    x = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    if min(x.shape[-2:]) <= side:
        return x
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _distance(r: torch.Tensor) -> torch.Tensor:
    return (2 - 2 * r).clamp_min(0).sqrt()


def _normalised(images: torch.Tensor) -> torch.Tensor:
    """Flat images of mean 0 and length 1, float32 ``[n, CHW]``; a flat picture becomes 0."""
    flat = images.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat.div(flat.norm(dim=1, keepdim=True).clamp_min(1e-4))


def _views(images: torch.Tensor, width: float, shifts: tuple[float, ...]) -> Iterator[torch.Tensor]:
    """Every shift, as it is and mirrored: low-passed, cropped by the largest shift, normalised."""
    for turned in (images, images.flip(3)):
        for down in shifts:
            rows = _sampler(images.shape[-2], width, shifts[-1], down) @ turned
            for right in shifts:
                yield _normalised(rows @ _sampler(images.shape[-1], width, shifts[-1], right).T)


def _still(images: torch.Tensor, width: float, shifts: tuple[float, ...]) -> torch.Tensor:
    """What the views of a query are compared with."""
    rows, columns = (_sampler(side, width, shifts[-1], 0.0) for side in images.shape[-2:])
    return _normalised(rows @ images @ columns.T)


@cache
def _sampler(side: int, width: float, margin: float, shift: float) -> torch.Tensor:
    """Gaussian low-pass, shift and crop along one axis, as a matrix ``[side - 2 margin, side]``.

    The Gaussian is sampled at the shifted places, so a shift by part of a pixel blurs no more than none does.
    """
    crop = int(np.ceil(margin))
    place = torch.arange(crop, side - crop, dtype=torch.float32) + shift
    weights = torch.exp(-((place[:, None] - torch.arange(side)) ** 2) / (2 * width**2))
    return weights / weights.sum(1, keepdim=True)
