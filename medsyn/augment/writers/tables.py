"""Tables and card of a synthetic set."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.augment.selection import RULES
from medsyn.augment.writers.base import patient_id
from medsyn.compute import portions
from medsyn.synthetic import MANIFEST

GROUP = 4096
"""Rows of manifest.parquet that are written at a time."""


def write(folder: Path, parts: Iterable[list[dict[str, Any]]], formats: Sequence[str]) -> None:
    """Write manifest.parquet, manifest.csv and, where there are files of single images, labels.csv; memory stays flat.

    Args:
        folder: The set.
        parts: Rows in their order; what is no column of `MANIFEST` is left out.
        formats: Of files of single images.
    """
    columns = [name for name in MANIFEST.names if name != "scores"]
    with (
        pq.ParquetWriter(folder / "manifest.parquet", MANIFEST) as parquet,
        open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as plain,
        open(folder / "labels.csv", "w", newline="", encoding="utf-8") as named,
    ):
        manifest, labels = csv.writer(plain), csv.writer(named)
        manifest.writerow([*columns, *(f"score_{rule}" for rule in RULES)])
        labels.writerow(["file", "label", "patient_id", "format", "synthetic"])
        for rows in portions(chain.from_iterable(parts), GROUP):
            known: list[dict[str, Any]] = [{name: row.get(name) for name in MANIFEST.names} for row in rows]
            parquet.write_table(pa.Table.from_pylist(known, schema=MANIFEST))
            for row in known:
                scores = dict(row["scores"])
                manifest.writerow([*(row[c] for c in columns), *(scores.get(rule) for rule in RULES)])
                patient = patient_id(row["checkpoint_digest"], row["seed"], row["index"])
                labels.writerows([row[fmt], row["label"], patient, fmt, "true"] for fmt in formats if row[fmt])
    if not formats:
        (folder / "labels.csv").unlink()


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    counts = "\n".join(
        f"| {label} | {n} | {card['judged'].get(label, 0)} | {_rates(card['rates'].get(label, {}))} |"
        for label, n in card["images_per_class"].items()
    )
    limits = "\n".join(f"- {limit}" for limit in card["limits"])
    return f"""# Synthetic {card["modality"]} images: {card["n"]} cases

Made by medsyn {card["medsyn"]} from generator `{card["generator"]}`
(checkpoint SHA-256 `{card["checkpoint_digest"]}`), seed {card["seed"]}. No image shows a patient.

| class | images | candidates judged | of these fail |
|---|---|---|---|
{counts}

Balance: {_told(card["balance"])}. Truncation: {card["truncation"]:g}.
{_selection(card)}
Size: {" x ".join(map(str, card["image_shape"]))} (channels, height, width), {card["bits"]} bit.
Formats: {", ".join(card["formats"])}.

Image `index` of manifest.csv is a pure function of checkpoint, seed, truncation and index. `medsyn verify` checks
every file against SHA256SUMS, and images against the generator.

## Limits
{limits}
"""


def _rates(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{rule} {rate:.1%}" for rule, rate in rates.items()) or "none"


def _selection(card: Mapping[str, Any]) -> str:
    found = card["selection"]
    if found["kept_all"]:
        return "Selection: none (--keep-all)."
    if not found["calibrated_on"]:
        return "Selection: technical faults and near-duplicates only; the real images were not at hand."
    real = found["calibrated_on"]
    return f"Selection: calibrated on {real['tune']} images of tune and {real['train']} of train."


def _told(balance: str | Mapping[str, int]) -> str:
    return balance if isinstance(balance, str) else ", ".join(f"{n} {c}" for c, n in balance.items()) + " asked for"
