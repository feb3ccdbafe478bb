"""Files and frames to volumes: which slices lie above each other, in which order, and which of them are taken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medsyn.ingest.source import Probe, Refused

SAME_ORIENTATION = 5e-3
"""Largest difference of two direction cosines that count as equal."""
SAME_PLACE = 0.01
"""Millimetres within which two slices lie at one place."""
UNEVEN = 0.1
"""Share of the usual distance by which one between two slices may differ."""
MAJORITY = 0.75
"""Share of a series above which its commonest orientation makes the others strangers."""

_TOLD = {
    "localiser": "some images have another orientation than the rest: those were left out as localisers",
    "orientations": "images have several orientations (a three-plane localiser?): each orientation is a volume of its "
    "own",
    "repeated": "several images lie at one place (echoes, time points): each repetition is a volume of its own",
    "uneven": "slices lie at uneven distances",
    "gaps": "slices are missing between others, by their positions",
    "instances": "images are missing, by their instance numbers",
}


def chosen(n: int, rule: str) -> list[int]:
    """Which of ``n`` slices, frames or files in order are taken.

    Args:
        rule: ``all``, ``middle`` (one: the upper of the two of an even number) or ``every=N`` (every Nth, as much left
            out before the first as behind the last).

    Returns:
        Ascending indices; at least one where ``n`` is not 0.
    """
    if rule == "all" or n == 0:
        return list(range(n))
    if rule == "middle":
        return [n // 2]
    match = re.fullmatch(r"every=([1-9]\d*)", rule)
    if not match:
        raise ValueError("all, middle or every=N")
    step = int(match[1])
    return list(range((n - 1) % step // 2, n, step))


@dataclass(frozen=True)
class Place:
    """Where one image of a series or of a multi-frame file lies.

    Attributes:
        position: Millimetres along the normal.
        orientation: Six direction cosines.
        order: Instance or frame number: which of several images at one place comes first.
        identity: Equal for copies of one image.
    """

    position: float
    orientation: tuple[float, ...]
    order: int
    identity: str | int


@dataclass
class Stacks:
    """Images in volumes.

    Attributes:
        part: Number of the volume of every image.
        index: Place of every image within its volume, from 0 along the normal (PS3.3 C.7.6.2.1.1).
        direction: Number of the orientation of every image, the commonest first.
        told: Codes of `_TOLD` that hold for the whole.
    """

    part: list[int]
    index: list[int]
    direction: list[int]
    told: set[str]


def stack(places: Sequence[Place]) -> Stacks:
    """Sort images into volumes, by orientation, then by place along the normal, then by repetition.

    The k-th image of every place, by ``order``, belongs to the k-th volume.
    """
    direction = _directions([p.orientation for p in places])
    count = len(places)
    result = Stacks([0] * count, [0] * count, direction, set())
    if len(set(direction)) > 1:
        result.told.add("orientations")
    parts = 0
    for number in range(len(set(direction))):
        volumes: list[list[list[int]]] = []  # repetition -> slices -> copies of one image
        for members in _locations([i for i in range(count) if direction[i] == number], places):
            copies: dict[str | int, list[int]] = {}
            for i in sorted(members, key=lambda i: places[i].order):
                copies.setdefault(places[i].identity, []).append(i)
            for repetition, same in enumerate(copies.values()):
                if repetition == len(volumes):
                    volumes.append([])
                volumes[repetition].append(same)
        if len(volumes) > 1:
            result.told.add("repeated")
        for part, volume in enumerate(volumes, parts):
            for index, same in enumerate(volume):
                for i in same:
                    result.part[i], result.index[i] = part, index
            result.told |= _distances([places[same[0]].position for same in volume])
        parts += len(volumes)
    return result


def _locations(members: Sequence[int], places: Sequence[Place]) -> list[list[int]]:
    """Images at one place, from the lowest place upwards."""
    found: list[list[int]] = []
    for i in sorted(members, key=lambda i: places[i].position):
        if found and places[i].position - places[found[-1][0]].position <= SAME_PLACE:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def _directions(orientations: Sequence[tuple[float, ...]]) -> list[int]:
    known: list[np.ndarray] = []
    found: list[int] = []
    for orientation in orientations:
        cosines = np.asarray(orientation)
        same = next((i for i, k in enumerate(known) if np.abs(k - cosines).max() <= SAME_ORIENTATION), None)
        if same is None:
            same = len(known)
            known.append(cosines)
        found.append(same)
    rank = {direction: place for place, (direction, _) in enumerate(Counter(found).most_common())}
    return [rank[direction] for direction in found]


def _distances(positions: Sequence[float]) -> set[str]:
    steps = np.diff(positions)
    if len(steps) < 2:
        return set()
    usual = float(np.median(steps))
    if (np.abs(steps - usual) <= UNEVEN * usual).all():
        return set()
    # A step of two or more usual ones is a hole; anything else is another distance.
    multiples = np.rint(steps / usual)
    holes = (multiples >= 2) & (np.abs(steps - multiples * usual) <= UNEVEN * usual)
    even = np.abs(steps - usual) <= UNEVEN * usual
    return ({"gaps"} if holes.any() else set()) | ({"uneven"} if (~holes & ~even).any() else set())


@dataclass
class Settled:
    """What became of one series.

    Attributes:
        places: Ledger number -> number of its volume within the series, and its place in that.
        refused: Ledger number -> why it is not taken.
        told: Code of `_TOLD` -> 1.
    """

    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)


def sentences(told: Mapping[str, int]) -> list[str]:
    """What a user should know, one sentence a kind of peculiarity; ``told``: `Settled.told` of all series, added."""
    return [f"in {told[code]} series {sentence}" for code, sentence in _TOLD.items() if told.get(code)]


def settle(members: Sequence[Probe], rule: str = "all") -> Settled:
    """Order one series, leave out what does not belong to it, and choose slices.

    Where one orientation makes up most of a series, the others are localisers and are left out; where none does, each
    is a volume of its own. Nothing else is left out but what ``rule`` says.

    Args:
        members: Single-frame DICOM files of one series with a position and an orientation; what lacks them, and
            multi-frame files, are no slices of a volume, or a volume by themselves.
        rule: Of `chosen`, for every volume by itself.
    """
    members = list(members)
    settled = Settled()
    stacks = stack([_place(p) for p in members])
    sizes = Counter(stacks.direction)
    if len(sizes) > 1 and sizes[0] > MAJORITY * len(members):
        for p, direction in zip(members, stacks.direction, strict=True):
            if direction:
                settled.refused[p.number] = Refused("localiser", "in another orientation than most of its series")
        members = [p for p, direction in zip(members, stacks.direction, strict=True) if not direction]
        stacks = stack([_place(p) for p in members])
        settled.told["localiser"] = 1
    settled.told.update(stacks.told)
    instances = {p.instance for p in members if p.instance > 0}
    if not settled.refused and len(instances) == len(members) and max(instances) - min(instances) >= len(members):
        settled.told["instances"] = 1
    lengths = Counter[int]()
    for part, index in zip(stacks.part, stacks.index, strict=True):
        lengths[part] = max(lengths[part], index + 1)
    wanted = {part: set(chosen(n, rule)) for part, n in lengths.items()}
    for p, part, index in zip(members, stacks.part, stacks.index, strict=True):
        settled.places[p.number] = part, index
        if index not in wanted[part]:
            settled.refused[p.number] = Refused("not_selected", "a slice that --slices leaves out")
    return settled


def _place(p: Probe) -> Place:
    assert p.position is not None
    return Place(p.position, p.orientation, p.instance, p.names.get("sop", p.number))
