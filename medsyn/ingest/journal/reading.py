"""Third step: what is read, and what it held."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

import numpy as np

from medsyn.data.thumbnail import SIDE
from medsyn.errors import DataError
from medsyn.ingest.block import unpack
from medsyn.ingest.journal.rows import Stored, digest, label_row, probe_of
from medsyn.ingest.journal.run import READ, READERS, Run
from medsyn.ingest.reading import FileResult, Group
from medsyn.ingest.source import Probe, Recipe
from medsyn.ingest.subjects import Claim


class Reading(Run):
    """Says what has to be read, keeps images and outcomes, and gives them back."""

    def choose(self, recipe: Recipe, label_map: Mapping[str, str]) -> int:
        """Everything of this run that nothing refuses will be read.

        Args:
            recipe: How.
            label_map: Other names for the labels that files bring along.

        Returns:
            How many files.

        Raises:
            DataError: The dataset that is added to was read by other settings.
        """
        key = digest(recipe.key)
        pixels = {k: v for k, v in asdict(recipe).items() if k not in ("key", "mask_label", "target", "max_pixels")}
        self._recipe = digest(READERS, key, pixels)
        self._said = {"npz": recipe.target or "", "nifti": recipe.mask_label or "", "raster": recipe.mask_label or ""}
        self._shape, self._dtype = recipe.shape, np.dtype(recipe.dtype)
        (carried,) = self._db.execute("SELECT count(*) FROM here WHERE carried AND wanted").fetchone()
        was = self._db.execute("SELECT recipe FROM runs WHERE run = ?", (self._base,)).fetchone()
        if carried and was is not None and was[0] != self._recipe:
            raise DataError(
                f"'{self.name}' holds {carried} files that were read with other settings (size, window, slices, "
                "colour, preset, or another project key)",
                where="--name",
                mend="Say the same settings, name those files again, too, or use another --name.",
            )
        with self._transaction():
            self._db.execute("UPDATE runs SET recipe = ? WHERE run = ?", (self._recipe, self.run))
            return self._db.execute(
                f"UPDATE decided SET wanted = 1, label_map = ? WHERE run = {self.run} "
                "AND number IN (SELECT number FROM readable)",
                (json.dumps(dict(label_map)),),
            ).rowcount

    def groups(self, by_series: bool) -> Iterator[Group]:
        """Wanted files that have not been read yet, a series (``by_series``) in one piece."""
        first = (
            "CASE WHEN kind = 'dicom' AND series IS NOT NULL THEN "
            "(SELECT min(number) FROM inputs s WHERE s.series = here.series) ELSE number END"
            if by_series
            else "number"
        )
        query = (
            f"SELECT {first} AS first, kind, number, path, member, probe, part, slice_index, size, mtime_ns, mask, "
            "read_as FROM here WHERE NOT carried AND wanted ORDER BY first, part, slice_index, number"
        )
        for _, members in groupby(self._rows(query), key=lambda row: row[0]):
            files, read_as, parts = [], set(), [self._recipe]
            for _, kind, number, path, member, probe, part, slice_index, size, mtime, mask, was in members:
                found = probe_of(number, path, member, probe, part, slice_index)
                if mask is not None:
                    found.mask, stamp = self._mask(mask)
                    parts.append(stamp)
                parts.append(f"{number} {size} {mtime} {part} {slice_index} {self._said.get(kind)}")
                read_as.add(was)
                files.append(found)
            read_now = digest(*parts)
            if read_as != {read_now}:
                yield Group(files, read_now)

    def read(self, results: Sequence[FileResult]) -> None:
        """Keep the images and outcomes of some files."""
        with self._transaction():
            self._forget("blocks", [r.number for r in results])
            self._forget("outcomes", [r.number for r in results], f"stage = {READ}")
            self._db.executemany(
                "UPDATE inputs SET read_as = ?, source_digest = ?, subject_from = ?, warnings = ? WHERE number = ?",
                [
                    (
                        *(r.read_as, r.facts and r.facts.digest, r.facts and r.facts.subject_from),
                        *(json.dumps(list(r.facts.warnings) if r.facts else []), r.number),
                    )
                    for r in results
                ],
            )
            self._db.executemany(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, 0)",
                ((r.number, READ, *row) for r in results for row in r.rows),
            )
            self._db.executemany(
                "INSERT INTO blocks (number, images, columns, pixels, masks, thumbnails) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (r.number, block.images, block.columns, block.pixels, block.masks, block.thumbnails)
                    for r in results
                    for block in r.blocks
                ),
            )

    def stored(self) -> Iterator[Stored]:
        """All images of the dataset, by number and frame."""
        query = (
            "SELECT id, images, columns, pixels, masks, thumbnails, kind, subject_from, warnings, row, claim, "
            "label_map FROM blocks JOIN here USING (number) WHERE wanted ORDER BY blocks.number, id"
        )
        in_datasets = "SELECT dataset, image FROM kept WHERE block = ? ORDER BY place"
        side = self._shape[1:]
        for row in self._db.execute(query):  # one by one: a row may be large
            ident, n, columns, pixels, masks, thumbnails, kind, subject_from, warnings, *said = row
            label, claim, label_map = said
            yield Stored(
                ident,
                unpack(columns, n),
                None if pixels is None else np.frombuffer(pixels, self._dtype).reshape(n, *self._shape),
                None if masks is None else np.frombuffer(masks, np.uint8).reshape(n, *side),
                np.frombuffer(thumbnails, np.uint8).reshape(n, SIDE, SIDE),
                [] if pixels else list(self._rows(in_datasets, (ident,))),
                kind,
                subject_from,
                json.loads(warnings),
                label_row(label) if label else None,
                Claim(**json.loads(claim)) if claim else None,
                json.loads(label_map) if label_map else {},
            )

    def _mask(self, number: int) -> tuple[Probe, str]:
        path, member, probe, size, mtime = self._db.execute(
            "SELECT path, member, probe, size, mtime_ns FROM inputs WHERE number = ?", (number,)
        ).fetchone()
        return probe_of(number, path, member, probe, None, None), f"mask {size} {mtime}"
