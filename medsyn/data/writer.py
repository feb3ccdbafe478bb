"""Writing a dataset: immutable parts first, the description of them last."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.data import splits as splitting
from medsyn.data.schema import CLASS_TASK, INDEX, SCHEMA_VERSION, SPLIT_TABLE, SPLITS, TARGETS, ImageRecord

SHARD_BYTES = 64 * 2**20


@dataclass
class Dropped:
    """An image that was read but not kept; reported to the ledger."""

    source: int
    reason: str  # duplicate, label_conflict, bridges_splits
    detail: str


@dataclass
class Written:
    """What `DatasetWriter.finish` made."""

    meta: dict[str, Any]
    dropped: list[Dropped] = field(default_factory=list)


class DatasetWriter:
    """Collects images in a staging file, then settles duplicates and splits, then writes the final parts.

    Args:
        folder: An empty folder, usually of `Workspace.build`.
        size: Side of the stored images in pixels.
        dtype: ``uint16`` or ``int16``.
        channels: 1 (grey) or 3 (RGB).
    """

    def __init__(self, folder: Path, *, size: int, dtype: str, channels: int = 1) -> None:
        self.folder, self.dtype = folder, np.dtype(dtype)
        self.shape = (channels, size, size)
        self.records: list[ImageRecord] = []
        self._staging = folder / ".staging.raw"
        self._file = open(self._staging, "wb")  # noqa: SIM115 - closed in finish, removed with the build folder

    def add(self, record: ImageRecord, pixels: np.ndarray) -> None:
        """Append one image.

        Args:
            record: Its description.
            pixels: ``[C, H, W]`` of the writer's shape and dtype.

        Raises:
            ValueError: Another shape or dtype.
        """
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise ValueError(f"expected {self.shape} {self.dtype}, got {pixels.shape} {pixels.dtype}")
        data = np.ascontiguousarray(pixels).tobytes()
        record.pixel_digest = hashlib.sha256(data).hexdigest()
        self._file.write(data)
        self.records.append(record)

    def finish(
        self,
        *,
        key: bytes,
        name: str,
        modality: str,
        classes: Sequence[str] | None = None,
        caveats: list[str] | None = None,
        earlier: Mapping[str, str] | None = None,
        earlier_ties: Iterable[tuple[str, str]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> Written:
        """Settle duplicates, draw the splits, write shards and tables.

        Args:
            key: Project key, for the draw.
            name: Name of the dataset.
            modality: Preset name.
            classes: Class names in order; default: those that occur, sorted.
            caveats: What the reader of every later report must know.
            earlier: subject -> split of an earlier dataset of this name; these subjects never move.
            earlier_ties: `ties` of the images of earlier datasets of this name.
            extra: More fields for dataset.json (``source``, ``options``).

        Returns:
            The content for dataset.json (to be committed last), and what was dropped.
        """
        self._file.close()
        earlier = earlier or {}
        unit_of = self._units(earlier_ties)
        kept, dropped = self._settle_duplicates(earlier)
        bound = self._bound_units(kept, unit_of, earlier)
        kept, bridging = self._settle_bridges(kept, unit_of, earlier, bound)
        dropped += bridging
        assignment = self._draw(kept, unit_of, earlier, bound, key)
        shards = self._write_shards(kept)
        self._staging.unlink()
        self._write_tables(kept, unit_of, assignment, shards)
        meta = self._describe(kept, unit_of, assignment, shards, classes, list(caveats or []))
        return Written({"name": name, "modality": modality, **meta, **(extra or {})}, dropped)

    # ---- settling

    def _units(self, earlier_ties: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Subjects, and all they are tied to, by unit: what is tied together is most likely one person."""
        edges = [tie for r in self.records for tie in ties(r.subject, r.also_subject, r.study, r.pixel_digest)]
        edges += earlier_ties
        root = splitting.join(edges, {node for edge in edges for node in edge})
        name: dict[str, str] = {}
        for subject in sorted({r.subject for r in self.records}):
            name.setdefault(root[subject], subject)
        return {node: name[of] for node, of in root.items() if of in name}

    def _settle_duplicates(self, earlier: Mapping[str, str]) -> tuple[list[int], list[Dropped]]:
        groups: dict[str, list[int]] = defaultdict(list)
        for i, record in enumerate(self.records):
            groups[record.pixel_digest].append(i)
        kept, dropped = [], []
        for group in groups.values():
            # An unlabelled copy does not contradict a labelled one.
            known = {self.records[i].label for i in group} - {None}
            if len(known) > 1:
                labels = ", ".join(sorted(map(str, known)))
                dropped += [Dropped(self.records[i].source, "label_conflict", f"labels: {labels}") for i in group]
                continue
            split_of = [earlier.get(self.records[i].subject) or self.records[i].official_split for i in group]
            best = max(
                range(len(group)),
                key=lambda k: (
                    splitting.PRECEDENCE.get(split_of[k] or "", -1),
                    self.records[group[k]].label is not None,
                    -k,
                ),
            )
            for k, i in enumerate(group):
                # A published val or test split is never thinned, so that published results stay comparable.
                official = self.records[i].official_split
                if k == best or (official in ("val", "test") and split_of[k] == split_of[best]):
                    kept.append(i)
                else:
                    winner = self.records[group[best]].source
                    dropped.append(Dropped(self.records[i].source, "duplicate", f"same pixels as input {winner}"))
        return sorted(kept), dropped

    def _bound_units(self, kept: list[int], unit_of: Mapping[str, str], earlier: Mapping[str, str]) -> dict[str, str]:
        """unit -> the split it is already bound to, the one of highest precedence where there are several."""
        bound: dict[str, str] = {}
        claims = [(unit, earlier.get(subject)) for subject, unit in unit_of.items()]
        claims += [(unit_of[self.records[i].subject], self._bound_split(i, earlier)) for i in kept]
        for unit, split in claims:
            if split and splitting.PRECEDENCE[split] > splitting.PRECEDENCE.get(bound.get(unit, ""), -1):
                bound[unit] = split
        return bound

    def _settle_bridges(
        self, kept: list[int], unit_of: Mapping[str, str], earlier: Mapping[str, str], bound: Mapping[str, str]
    ) -> tuple[list[int], list[Dropped]]:
        """Quarantine images whose unit is already bound to another split of higher precedence."""
        good, dropped = [], []
        for i in kept:
            mine, units = self._bound_split(i, earlier), bound.get(unit_of[self.records[i].subject])
            if mine and units and mine != units:
                dropped.append(Dropped(self.records[i].source, "bridges_splits", f"of {mine}, but tied to {units}"))
            else:
                good.append(i)
        return good, dropped

    def _bound_split(self, i: int, earlier: Mapping[str, str]) -> str | None:
        return earlier.get(self.records[i].subject) or self.records[i].official_split

    def _draw(
        self,
        kept: list[int],
        unit_of: Mapping[str, str],
        earlier: Mapping[str, str],
        bound: Mapping[str, str],
        key: bytes,
    ) -> dict[str, tuple[str, str, int]]:
        prevalence = Counter(str(self.records[i].label) for i in kept)
        was_there = {unit for subject, unit in unit_of.items() if subject in earlier}
        members: dict[str, list[int]] = defaultdict(list)
        for i in kept:
            members[unit_of[self.records[i].subject]].append(i)
        units = []
        for unit, rows in members.items():
            # A subject with several labels counts for the rarest: rare classes need the even spread most.
            stratum = min({str(self.records[i].label) for i in rows}, key=lambda c: (prevalence[c], c))
            official = {self.records[i].official_split for i in rows} - {None}
            # An official train split is still to be carved into train and tune; everything else that binds is final.
            settled = unit in was_there or bound.get(unit) != "train"
            given = bound.get(unit) if settled else None
            units.append(splitting.Unit(unit, stratum, given, official_train=bool(official)))
        return splitting.draw(units, key)

    # ---- writing

    def _write_shards(self, kept: list[int]) -> list[dict[str, Any]]:
        stored = np.memmap(self._staging, self.dtype, "r", shape=(len(self.records), *self.shape))
        per_shard = max(1, SHARD_BYTES // (self.dtype.itemsize * int(np.prod(self.shape))))
        shards = []
        for number, start in enumerate(range(0, len(kept), per_shard)):
            rows = kept[start : start + per_shard]
            file = self.folder / f"images-{number:05d}.npy"
            np.save(file, stored[rows])
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            shards.append({"file": file.name, "images": len(rows), "sha256": digest})
        return shards

    def _write_tables(
        self,
        kept: list[int],
        unit_of: Mapping[str, str],
        assignment: Mapping[str, tuple[str, str, int]],
        shards: list[dict[str, Any]],
    ) -> None:
        places = [(s, row) for s, shard in enumerate(shards) for row in range(shard["images"])]
        columns = set(INDEX.names)
        index, targets, split_rows = [], [], []
        for image, (i, (shard, row)) in enumerate(zip(kept, places, strict=True)):
            record = self.records[i]
            values = {k: v for k, v in asdict(record).items() if k in columns}
            index.append({"image": image, "shard": shard, "row": row, **values})
            state = "missing" if record.label is None else "known"
            targets.append({"image": image, "task": CLASS_TASK, "value": record.label, "state": state})
            unit = unit_of[record.subject]
            split, origin, fold = assignment[unit]
            split_rows.append(
                {
                    "image": image,
                    "subject": record.subject,
                    "also_subject": record.also_subject,
                    "unit": unit,
                    "split": split,
                    "origin": origin,
                    "fold": fold,
                }
            )
        for name, rows, schema in (
            ("index", index, INDEX),
            ("targets", targets, TARGETS),
            ("splits", split_rows, SPLIT_TABLE),
        ):
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), self.folder / f"{name}.parquet")

    def _describe(
        self,
        kept: list[int],
        unit_of: Mapping[str, str],
        assignment: Mapping[str, tuple[str, str, int]],
        shards: list[dict[str, Any]],
        classes: Sequence[str] | None,
        caveats: list[str],
    ) -> dict[str, Any]:
        records = [self.records[i] for i in kept]
        split_of = [assignment[unit_of[r.subject]][0] for r in records]
        classes = list(classes or sorted({r.label for r in records if r.label is not None}))
        images: dict[str, Counter[str]] = {c: Counter() for c in classes}
        subjects: dict[str, dict[str, set[str]]] = {c: defaultdict(set) for c in classes}
        for record, split in zip(records, split_of, strict=True):
            if record.label is not None:
                images[record.label][split] += 1
                subjects[record.label][split].add(unit_of[record.subject])
        units = {c: {s: len(subjects[c][s]) for s in SPLITS} for c in classes}
        return {
            "schema": SCHEMA_VERSION,
            "classes": classes,
            "task": CLASS_TASK,
            "axes": "NCHW",
            "shape": [len(kept), *self.shape],
            "dtype": self.dtype.name,
            "colour": "grey" if self.shape[0] == 1 else "rgb",
            "shards": shards,
            "masks": None,
            "condition_schema": {"class": {"kind": "categorical", "values": classes}},
            "content_digest": _content_digest(records, split_of),
            "fingerprint": {
                "images": len(records),
                "subjects": len({r.subject for r in records}),
                "unlabelled": sum(r.label is None for r in records),
                "images_per_class": {c: {s: images[c][s] for s in SPLITS} for c in classes},
                "units_per_class": units,
                "source_height": _quartiles([r.source_height for r in records]),
                "source_width": _quartiles([r.source_width for r in records]),
                "modalities": dict(sorted(Counter(r.modality for r in records).items())),
                "display_sources": dict(sorted(Counter(r.display_source for r in records).items())),
            },
            "caveats": caveats + splitting.caveats(units),
        }


def ties(subject: str, also_subject: str | None, study: str | None, pixel_digest: str) -> Iterator[tuple[str, str]]:
    """What one image ties its subject to: another name of it, its study, and whoever has the same pixels."""
    yield subject, also_subject or subject
    yield subject, f"pixels {pixel_digest}"
    if study:
        yield subject, f"study {study}"


def _content_digest(records: list[ImageRecord], split_of: list[str]) -> str:
    """SHA-256 over what the images are, independent of order and sharding."""
    lines = sorted(
        f"{r.image_key} {r.pixel_digest} {r.subject} {r.label} {split} {r.slope!r} {r.intercept!r} "
        f"{r.display_low!r} {r.display_high!r} {r.inverted}"
        for r, split in zip(records, split_of, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _quartiles(values: list[int]) -> list[float]:
    return [float(q) for q in np.percentile(values, [0, 25, 50, 75, 100])] if values else []
