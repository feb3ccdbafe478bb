"""The tables, sums, sheets and card of a complete set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medsyn import generator
from medsyn.augment import sheets
from medsyn.augment.making import Spec
from medsyn.augment.unfinished import Unfinished
from medsyn.augment.writers import tables
from medsyn.augment.writers.npz import NpzWriter
from medsyn.compute import single_threaded
from medsyn.images import to_pixels
from medsyn.sums import SUMS, sha256, write_sums
from medsyn.synthetic import arrays

TABLES = ("manifest.parquet", "manifest.csv", "labels.csv")


def finish(
    made: Unfinished,
    spec: Spec,
    npz: NpzWriter | None,
    card: Mapping[str, Any],
    shown: dict[str, np.ndarray],
) -> str:
    """Write all that a set holds besides its images and card.json.

    Args:
        made: The set, with all images written.
        spec: What its images depend on.
        npz: Where pixels of all wait, or None.
        card: What card.md tells.
        shown: What `first_images` gives, for the sheets.

    Returns:
        SHA-256 of ``SHA256SUMS``, which names all other files.
    """
    folder = made.path
    written = [*TABLES[: 3 if spec.formats else 2], "card.md"]
    tables.write(folder, made.rows(), spec.formats)
    if npz is not None:
        npz.finish(folder / arrays.NAME, _labels(made, card["classes"]))
        written.append(arrays.NAME)
    written += sheets.write(shown, folder)
    (folder / "card.md").write_text(tables.card_text(card), encoding="utf-8")

    def lines() -> Iterator[tuple[str, str]]:
        for rows in made.rows("digests"):
            for row in rows:
                yield from row["digests"].items()
        for name in sorted(written):
            yield name, sha256(folder / name)

    return write_sums(lines(), folder / SUMS)


def first_images(made: Unfinished, spec: Spec, model: generator.Generator, n: int) -> dict[str, np.ndarray]:
    """Class -> its first accepted images, uint8 ``[at most n, C, H, W]``, made again."""
    numbers: dict[str, list[int]] = {label: [] for label in model.classes}
    for rows in made.rows("label", "accepted", "index"):
        for row in rows:
            if row["accepted"] and len(numbers[row["label"]]) < n:
                numbers[row["label"]].append(row["index"])
        if all(len(found) >= n for found in numbers.values()):
            break
    origin, found = spec.origin, {}
    with single_threaded():
        for place, (label, index) in enumerate(numbers.items()):
            if index:
                made_again = model.sample(np.full(len(index), place), origin.seed, np.array(index), origin.truncation)
                found[label] = to_pixels(made_again)
    return found


def _labels(made: Unfinished, classes: list[str]) -> np.ndarray:
    place = {label: i for i, label in enumerate(classes)}
    accepted = made.rows("label", "accepted")
    parts = [np.array([place[row["label"]] for row in rows if row["accepted"]], np.int64) for rows in accepted]
    return np.concatenate([np.zeros(0, np.int64), *parts])
