"""Which images stay, which belong together, and where each goes: settled on columns, so that millions fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medsyn.data import splits as splitting

COLUMNS = ("source", "frame", "subject", "also_subject", "study", "label", "official_split", "pixel_digest")
"""What is settled on: these columns of `medsyn.data.schema.ImageRecord`."""


@dataclass(frozen=True)
class Dropped:
    """An image that was read but not kept; reported to the ledger."""

    source: int
    frame: int | None
    reason: str  # duplicate, label_conflict, bridges_splits
    detail: str


@dataclass(frozen=True)
class Settled:
    """What became of ``n`` images.

    Attributes:
        kept: Places of the images that stay, int64, ascending.
        unit: Unit of each image, str ``[n]``.
        assignment: unit -> (split, origin, fold), see `medsyn.data.splits.draw`.
        dropped: The others, with the reason.
    """

    kept: np.ndarray
    unit: np.ndarray
    assignment: dict[str, tuple[str, str, int]]
    dropped: list[Dropped]


def settle(
    images: pd.DataFrame,
    earlier: Mapping[str, str],
    more_ties: Iterable[tuple[str, str]],
    key: bytes,
) -> Settled:
    """Drop duplicates, contradictions and bridges, join subjects to units, draw the splits.

    Args:
        images: `COLUMNS`, one row an image, index 0..n-1; and ``featureless``, bool: pictures that hold too little to
            tell two patients apart, such as an empty slice. Being identical, these tie nobody.
        earlier: subject -> split of earlier datasets of this name; these subjects never move.
        more_ties: Further pairs of names that belong together: `ties` of earlier images, near-duplicates.
        key: Project key, for the draw.
    """
    unit_of = _units(images, more_ties)
    images = images.assign(unit=images["subject"].map(unit_of), own=_own_split(images, earlier))
    kept, dropped = _settle_duplicates(images)
    bound, torn = _bound_units(images.loc[kept], unit_of, earlier)
    kept, bridging = _settle_bridges(images, kept, bound, torn)
    was_there = {unit_of[subject] for subject in earlier if subject in unit_of}
    assignment = _draw(images.loc[kept], bound, was_there, key)
    return Settled(kept, images["unit"].to_numpy(object), assignment, dropped + bridging)


def ties(
    subject: str, also_subject: str | None, study: str | None, pixel_digest: str | None
) -> Iterator[tuple[str, str]]:
    """What one image ties its subject to: another name of it, its study, and whoever has the same pixels.

    ``pixel_digest`` is None for a picture that holds too little to tell two patients apart.
    """
    yield subject, also_subject or subject
    if pixel_digest:
        yield subject, f"pixels {pixel_digest}"
    if study:
        yield subject, f"study {study}"


def _units(images: pd.DataFrame, more_ties: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Subjects, and all they are tied to, by unit: what is tied together is most likely one person."""
    subject = images["subject"]
    also = images["also_subject"].fillna(subject)
    study, told = images["study"].notna(), ~images["featureless"]
    edges = [
        (subject, also),
        (subject[told], "pixels " + images.loc[told, "pixel_digest"]),
        (subject[study], "study " + images.loc[study, "study"].astype(str)),
    ]
    more = list(more_ties)
    left = pd.concat([*(a for a, _ in edges), pd.Series([a for a, _ in more], dtype=object)], ignore_index=True)
    right = pd.concat([*(b for _, b in edges), pd.Series([b for _, b in more], dtype=object)], ignore_index=True)
    component = splitting.join(left, right)
    # A unit is named by the smallest of its subjects that have an image here.
    name: dict[int, str] = {}
    for subject_here in sorted(subject.unique()):
        name.setdefault(int(component[subject_here]), subject_here)
    return {str(node): name[c] for node, c in component.items() if c in name}


def _own_split(images: pd.DataFrame, earlier: Mapping[str, str]) -> pd.Series:
    """The split that an image brings along: its subject's from an earlier dataset, else the official one."""
    was = images["subject"].map(earlier) if earlier else pd.Series(None, index=images.index, dtype=object)
    return was.astype(object).where(was.notna(), images["official_split"])


def _settle_duplicates(images: pd.DataFrame) -> tuple[np.ndarray, list[Dropped]]:
    repeated = images[images.duplicated("pixel_digest", keep=False)]
    out: list[int] = []
    dropped = []
    for _, group in repeated.groupby("pixel_digest", sort=False):
        rows = group.index.to_list()
        # An unlabelled copy does not contradict a labelled one.
        known = sorted(set(group["label"].dropna()))
        if len(known) > 1:
            out += rows
            dropped += [_dropped(images, i, "label_conflict", f"labels: {', '.join(known)}") for i in rows]
            continue
        best = max(rows, key=lambda i: (_precedence(images.at[i, "own"]), images.at[i, "label"] is not None, -i))
        for i in rows:
            # A published val or test split is never thinned, so that published results stay comparable.
            published = images.at[i, "official_split"] in ("val", "test")
            if i != best and not (published and images.at[i, "own"] == images.at[best, "own"]):
                out.append(i)
                told = f"same pixels as input {images.at[best, 'source']}"
                dropped.append(_dropped(images, i, "duplicate", told))
    return np.setdiff1d(images.index.to_numpy(np.int64), np.asarray(out, np.int64)), dropped


def _bound_units(
    kept: pd.DataFrame, unit_of: Mapping[str, str], earlier: Mapping[str, str]
) -> tuple[dict[str, str], set[str]]:
    """unit -> the split it is already bound to, and the units that are bound to several: there the highest wins."""
    claims = {(unit_of[subject], split) for subject, split in earlier.items() if subject in unit_of}
    claiming = kept.loc[kept["own"].notna(), ["unit", "own"]].drop_duplicates()
    claims.update(claiming.itertuples(index=False, name=None))
    bound: dict[str, str] = {}
    torn = set()
    for unit, split in claims:
        if bound.get(unit, split) != split:
            torn.add(unit)
        if _precedence(split) > _precedence(bound.get(unit)):
            bound[unit] = split
    return bound, torn


def _settle_bridges(
    images: pd.DataFrame, kept: np.ndarray, bound: Mapping[str, str], torn: set[str]
) -> tuple[np.ndarray, list[Dropped]]:
    """Quarantine images whose unit is bound to another split of higher precedence, and newcomers between two splits."""
    claiming = images.loc[kept, ["unit", "own"]]
    claiming = claiming[claiming["unit"].isin(torn)]
    bridging = claiming[claiming["own"].isna() | (claiming["own"] != claiming["unit"].map(bound))]
    dropped = [
        _dropped(images, i, "bridges_splits", f"of {own or 'a new subject'}, but tied to {bound[unit]}")
        for i, unit, own in bridging.itertuples(name=None)
    ]
    return np.setdiff1d(kept, bridging.index.to_numpy(np.int64)), dropped


def _draw(
    kept: pd.DataFrame, bound: Mapping[str, str], was_there: set[str], key: bytes
) -> dict[str, tuple[str, str, int]]:
    label = kept["label"].astype(object).where(kept["label"].notna(), "None").astype(str)
    # A subject with several labels counts for the rarest: rare classes need the even spread most.
    prevalence = label.map(label.value_counts())
    ranked = pd.DataFrame({"unit": kept["unit"], "label": label, "prevalence": prevalence})
    strata = ranked.sort_values(["prevalence", "label"], kind="stable").drop_duplicates("unit")
    official = set(kept.loc[kept["official_split"].notna(), "unit"])
    units = []
    for unit, stratum in zip(strata["unit"], strata["label"], strict=True):
        # An official train split is still to be carved into train and tune; everything else that binds is final.
        given = bound.get(unit) if unit in was_there or bound.get(unit) != "train" else None
        units.append(splitting.Unit(unit, stratum, given, official_train=unit in official))
    return splitting.draw(units, key)


def _precedence(split: str | None) -> int:
    return splitting.PRECEDENCE.get(split or "", -1)


def _dropped(images: pd.DataFrame, i: int, reason: str, detail: str) -> Dropped:
    frame = images.at[i, "frame"]
    return Dropped(int(images.at[i, "source"]), None if pd.isna(frame) else int(frame), reason, detail)
