"""Writing a dataset: immutable parts first, the description of them last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.data import near, settling
from medsyn.data import splits as splitting
from medsyn.data.columns import categories, marked, numbers, table, texts
from medsyn.data.digest import digest
from medsyn.data.earlier import Earlier
from medsyn.data.names import NOBODY, codes
from medsyn.data.near import NearTies
from medsyn.data.rows import Pictures, Rows
from medsyn.data.schema import (
    CLASS_TASK,
    INDEX,
    SCHEMA_VERSION,
    SPLIT_TABLE,
    SPLITS,
    STAGED,
    TABLES,
    TARGETS,
    ImageRecord,
    Split,
)
from medsyn.data.settling import Dropped, Images, Settled
from medsyn.data.thumbnail import SIDE, thumbnails_of_stored
from medsyn.sums import noted

SHARD_BYTES = 64 * 2**20
BATCH = 4096
"""Rows that wait in memory."""


@dataclass
class Written:
    """What `DatasetWriter.finish` made."""

    meta: dict[str, Any]
    kept: np.ndarray  # places of the images that stay, in the order of `DatasetWriter.add`
    dropped: list[Dropped] = field(default_factory=list)


class DatasetWriter:
    """Collects images in staging files, then settles duplicates and splits, then writes the final parts.

    Memory holds the columns that are settled on, never pixels or whole records.

    Args:
        folder: An empty folder, usually of `Workspace.build`.
        size: Side of the stored images in pixels.
        dtype: ``uint16`` or ``int16``.
        channels: 1 (grey) or 3 (RGB).
    """

    def __init__(self, folder: Path, *, size: int, dtype: str, channels: int = 1) -> None:
        self.folder, self.dtype = folder, np.dtype(dtype)
        self.shape = (channels, size, size)
        self._count, self._masks = 0, 0
        self._waiting = _no_rows()
        self._staging = {name: folder / f".staging.{name}" for name in ("pixels", "masks", "thumbnails", "parquet")}
        self._pixels, self._mask_file, self._thumbnails = (
            open(self._staging[name], "wb")  # noqa: SIM115 - closed in finish, removed with the build folder
            for name in ("pixels", "masks", "thumbnails")
        )
        self._records = pq.ParquetWriter(self._staging["parquet"], STAGED)

    def add(
        self,
        record: ImageRecord,
        pixels: np.ndarray,
        mask: np.ndarray | None = None,
        thumbnail: np.ndarray | None = None,
    ) -> None:
        """Append one image.

        Args:
            record: Its description.
            pixels: ``[C, H, W]`` of the writer's shape and dtype.
            mask: Segmentation ``[H, W]`` uint8, or None.
            thumbnail: As `medsyn.data.thumbnail.thumbnail` makes it of the shown image; made here where None.

        Raises:
            ValueError: Another shape or dtype.
        """
        columns = {f.name: [getattr(record, f.name)] for f in fields(record)}
        columns |= {"pixel_digest": [digest(pixels)], "has_mask": [mask is not None]}
        columns["mask_digest"] = [None if mask is None else digest(mask)]
        if thumbnail is None:
            ends = (record.display_low, record.display_high)
            thumbnail = thumbnails_of_stored(pixels[None], record.slope, record.intercept, *ends, record.inverted)[0]
        self.extend(columns, pixels[None], None if mask is None else mask[None], thumbnail[None])

    def extend(
        self,
        columns: Mapping[str, Sequence[Any]],
        pixels: np.ndarray,
        masks: np.ndarray | None,
        thumbnails: np.ndarray,
    ) -> None:
        """Append images, described column by column.

        Args:
            columns: Every column of `ImageRecord`, with the digests, ``n`` values each.
            pixels: ``[n, C, H, W]`` of the writer's shape and dtype.
            masks: Segmentations ``[n, H, W]`` uint8, of which those with ``has_mask`` count; None where none has.
            thumbnails: uint8 ``[n, SIDE, SIDE]``, see `thumbnails_of_stored`.

        Raises:
            ValueError: Another shape or dtype.
        """
        n = len(pixels)
        if pixels.shape[1:] != self.shape or pixels.dtype != self.dtype:
            raise ValueError(f"expected {self.shape} {self.dtype}, got {pixels.shape[1:]} {pixels.dtype}")
        if masks is not None and (masks.shape != (n, *self.shape[1:]) or masks.dtype != np.uint8):
            raise ValueError(f"expected masks {self.shape[1:]} uint8, got {masks.shape[1:]} {masks.dtype}")
        if masks is not None:
            for k in np.flatnonzero(columns["has_mask"]):
                # Rows without one stay a hole in the file.
                self._mask_file.seek((self._count + int(k)) * masks[k].size)
                self._mask_file.write(np.ascontiguousarray(masks[k]).data)
                self._masks += 1
        self._pixels.write(np.ascontiguousarray(pixels).data)
        self._thumbnails.write(np.ascontiguousarray(thumbnails).data)
        self._count += n
        for name, waiting in self._waiting.items():
            waiting.extend(columns[name])
        if len(self._waiting["source"]) >= BATCH:
            self._flush()

    def __len__(self) -> int:
        return self._count

    def finish(
        self,
        *,
        key: bytes,
        name: str,
        modality: str,
        classes: Sequence[str] | None = None,
        caveats: list[str] | None = None,
        earlier: Earlier | None = None,
        join_alike: bool = True,
        extra: Mapping[str, Any] | None = None,
    ) -> Written:
        """Settle duplicates, draw the splits, write shards and tables.

        Args:
            key: Project key, for the draw.
            name: Name of the dataset.
            modality: Preset name.
            classes: Class names in order; default: those that occur, sorted.
            caveats: What the reader of every later report must know.
            earlier: Datasets of this name; their subjects never move.
            join_alike: Whether subjects with near-duplicate images count as one.
            extra: More fields for dataset.json (``source``, ``options``).

        Returns:
            The content for dataset.json (to be committed last), and what was dropped.
        """
        self._flush()
        for file in (self._pixels, self._mask_file, self._thumbnails):
            file.close()
        self._records.close()
        pa.default_memory_pool().release_unused()
        staged = table(self._staging["parquet"])
        places = np.arange(self._count, dtype=np.int32)
        thumbnails = Rows(self._staging["thumbnails"], places, (SIDE, SIDE), np.dtype(np.uint8))
        images = self._images(staged, near.featureless(Pictures([thumbnails])))
        before = earlier or Earlier()
        alike = self._near_ties(thumbnails, images, before) if len(images.source) and join_alike else NearTies.none()
        settled = settling.settle(images, before, alike.edges, key)
        replace(thumbnails, places=settled.kept).save(self.folder / "thumbnails.npy")
        self._write_units(images, settled)
        shards = self._write_shards(settled.kept, "pixels", "images", self.dtype, self.shape)
        masks = (
            self._write_shards(settled.kept, "masks", "masks", np.dtype("uint8"), self.shape[1:])
            if self._masks
            else None
        )
        digest = self._write_tables(images, settled, shards)
        meta = self._describe(staged, images, settled, shards, classes, [*(caveats or ()), *alike.caveats], digest)
        meta |= {"masks": masks, "tables": noted(self.folder, TABLES)}
        staged.close()
        for path in self._staging.values():
            path.unlink()
        return Written({"name": name, "modality": modality, **meta, **(extra or {})}, settled.kept, settled.dropped)

    # ---- staging

    def _flush(self) -> None:
        waiting = self._waiting
        waiting["targets"] = [told and list(told.items()) for told in waiting["targets"]]
        self._records.write_table(pa.Table.from_pydict(waiting, STAGED))
        self._waiting = _no_rows()

    def _images(self, staged: pq.ParquetFile, featureless: np.ndarray) -> Images:
        subjects, first, subject = np.unique(marked(staged, "subject"), return_index=True, return_inverse=True)
        pictures, pixels = codes(marked(staged, "pixel_digest"))
        label, labels = categories(staged, "label")
        subject = subject.astype(np.int32)
        also, study = (marked(staged, column) for column in ("also_subject", "study"))
        return Images(
            source=numbers(staged, "source", "int64"),
            frame=numbers(staged, "frame"),
            subject=subject,
            subjects=subjects,
            names=texts(staged, "subject", first),
            pixels=pixels,
            pictures=pictures,
            label=label,
            labels=labels,
            official=categories(staged, "official_split", SPLITS)[0].astype(np.int8),
            featureless=featureless,
            also=(subject[also != NOBODY], also[also != NOBODY]),
            studies=(subject[study != NOBODY], study[study != NOBODY]),
        )

    @staticmethod
    def _near_ties(thumbnails: Rows, images: Images, before: Earlier) -> NearTies:
        return near.near_ties(
            Pictures([*before.pictures.parts, thumbnails]),
            np.concatenate([before.shown[:, 0], images.subjects[images.subject]]),
            len(before.shown),
            np.concatenate([before.featureless, images.featureless]),
        )

    # ---- writing

    def _write_shards(
        self, kept: np.ndarray, staged: str, name: str, dtype: np.dtype, shape: tuple[int, ...]
    ) -> list[dict[str, Any]]:
        per_shard = max(1, SHARD_BYTES // (self.dtype.itemsize * int(np.prod(self.shape))))
        shards = []
        for number, start in enumerate(range(0, len(kept), per_shard)):
            rows = kept[start : start + per_shard]
            file = self.folder / f"{name}-{number:05d}.npy"
            digest = Rows(self._staging[staged], rows, shape, dtype).save(file)
            shards.append({"file": file.name, "images": len(rows), "sha256": digest})
        return shards

    def _write_units(self, images: Images, settled: Settled) -> None:
        """The unit of every subject, also of those whose images were all dropped: their next ones belong to it."""
        schema = pa.schema([("subject", pa.string()), ("unit", pa.string())])
        with pq.ParquetWriter(self.folder / "units.parquet", schema) as units:
            for start in range(0, len(images.names), BATCH):
                subject = images.names.slice(start, BATCH)
                unit = images.names.take(pa.array(settled.unit[start : start + BATCH]))
                units.write_table(pa.Table.from_arrays([subject, unit], schema=schema))

    def _batches(self, kept: np.ndarray) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        """Records of the images that stay, with their places, some thousand at a time."""
        start = 0
        for batch in table(self._staging["parquet"]).iter_batches(BATCH):
            low, high = np.searchsorted(kept, [start, start + batch.num_rows])
            places = kept[low:high]
            yield places, batch.take(pa.array(places - start))
            start += batch.num_rows

    def _write_tables(self, images: Images, settled: Settled, shards: list[dict[str, Any]]) -> str:
        """Write index, targets and splits; the content digest."""
        ends = np.cumsum([shard["images"] for shard in shards], dtype=np.int64)
        lines = bytearray()
        first = 0
        with (
            pq.ParquetWriter(self.folder / "index.parquet", INDEX) as index,
            pq.ParquetWriter(self.folder / "targets.parquet", TARGETS) as targets,
            pq.ParquetWriter(self.folder / "splits.parquet", SPLIT_TABLE) as splits,
        ):
            for rows, records in self._batches(settled.kept):
                numbered = np.arange(first, first + len(rows))
                first += len(rows)
                shard = np.searchsorted(ends, numbered, "right")
                row = numbered - np.concatenate([[0], ends])[shard]
                unit, split, origin, fold = settled.of(rows, images)
                place = {"image": numbered, "shard": shard, "row": row}
                drawn = {"image": numbered, "unit": unit, "split": split, "origin": origin, "fold": fold}
                index.write_table(_table(INDEX, place, records))
                splits.write_table(_table(SPLIT_TABLE, drawn, records))
                targets.write_table(_targets(numbered, records))
                lines += _digest_lines(records, split)
        digests = np.frombuffer(lines, "S32")
        digests.sort()
        return hashlib.sha256(digests.data).hexdigest()

    def _describe(
        self,
        staged: pq.ParquetFile,
        images: Images,
        settled: Settled,
        shards: list[dict[str, Any]],
        classes: Sequence[str] | None,
        caveats: list[str],
        content_digest: str,
    ) -> dict[str, Any]:
        kept, labels = settled.kept, images.labels
        label, subject = images.label[kept], images.subject[kept]
        unit = settled.unit[subject]
        here = np.bincount(label[label >= 0], minlength=len(labels))
        classes = list(classes or sorted(name for name, n in zip(labels, here, strict=True) if n))
        known = label >= 0
        in_split = _by_split(labels, label[known], settled.split[unit[known]])
        of_unit, of_label = np.divmod(np.unique(unit[known].astype(np.int64) * len(labels) + label[known]), len(labels))
        units_in = _by_split(labels, of_label, settled.split[of_unit])
        nowhere: dict[Split, int] = dict.fromkeys(SPLITS, 0)
        units = {c: units_in.get(c, nowhere) for c in classes}
        return {
            "schema": SCHEMA_VERSION,
            "classes": classes,
            "task": CLASS_TASK,
            "axes": "NCHW",
            "shape": [len(settled.kept), *self.shape],
            "dtype": self.dtype.name,
            "colour": "grey" if self.shape[0] == 1 else "rgb",
            "shards": shards,
            "condition_schema": {"class": {"kind": "categorical", "values": classes}},
            "content_digest": content_digest,
            "fingerprint": {
                "images": len(kept),
                "subjects": len(np.unique(subject)),
                "unlabelled": int((~known).sum()),
                "images_per_class": {c: in_split.get(c, nowhere) for c in classes},
                "units_per_class": units,
                "source_height": _quartiles(numbers(staged, "source_height")[kept]),
                "source_width": _quartiles(numbers(staged, "source_width")[kept]),
                "modalities": _counts(*categories(staged, "modality"), kept),
                "display_sources": _counts(*categories(staged, "display_source"), kept),
            },
            "caveats": caveats + splitting.caveats(units),
        }


def _no_rows() -> dict[str, list[Any]]:
    return {name: [] for name in STAGED.names}


def _table(schema: pa.Schema, given: Mapping[str, Any], records: pa.RecordBatch) -> pa.Table:
    """Columns that are given, and for the others those of the records."""
    columns = [pa.array(given[f.name], f.type) if f.name in given else records.column(f.name) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _targets(images: np.ndarray, records: pa.RecordBatch) -> pa.Table:
    rows: list[tuple[int, str, str | None, str]] = []
    labels, told = (records.column(name).to_pylist() for name in ("label", "targets"))
    for image, label, more in zip(images.tolist(), labels, told, strict=True):
        rows.append((image, CLASS_TASK, label, "missing" if label is None else "known"))
        rows.extend((image, task, value, state) for task, (value, state) in more or ())
    columns = zip(*rows, strict=True) if rows else ((),) * len(TARGETS)
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, TARGETS, strict=True)], schema=TARGETS)


def _digest_lines(records: pa.RecordBatch, splits: Sequence[str]) -> bytes:
    """SHA-256 of what each image is; sorted, these make a digest that is independent of order and sharding."""
    what = (
        *("image_key", "pixel_digest", "subject", "label", "slope", "intercept", "display_low", "display_high"),
        *("inverted", "mask_digest"),
    )
    columns = [[repr(v) for v in records.column(name).to_pylist()] for name in what]
    told = ([(task, *said) for task, said in more or ()] for more in records.column("targets").to_pylist())
    columns += [[repr(sorted(more)) for more in told], list(splits)]
    return b"".join(hashlib.sha256(" ".join(line).encode()).digest() for line in zip(*columns, strict=True))


def _quartiles(values: np.ndarray) -> list[float]:
    return [float(q) for q in np.percentile(values, [0, 25, 50, 75, 100])] if len(values) else []


def _counts(code: np.ndarray, names: Sequence[str], kept: np.ndarray) -> dict[str, int]:
    found = np.bincount(code[kept], minlength=len(names)).tolist()
    return {name: n for name, n in sorted(zip(names, found, strict=True)) if n}


def _by_split(labels: Sequence[str], label: np.ndarray, split: np.ndarray) -> dict[str, dict[Split, int]]:
    """Label -> split -> how often both occur together."""
    counts = np.zeros((len(labels), len(SPLITS)), np.int64)
    np.add.at(counts, (label, split), 1)
    return {name: dict(zip(SPLITS, row, strict=True)) for name, row in zip(labels, counts.tolist(), strict=True)}
