"""Second step: what is left out, and what labels, segmentations and patients belong to the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from medsyn.ingest.journal.run import CHOSEN, Run
from medsyn.ingest.labels import LabelRow
from medsyn.ingest.source import Refused
from medsyn.ingest.subjects import Claim


class Choosing(Run):
    """Enters what this run makes of its files; the next run may make something else of them."""

    def refuse(self, refused: Mapping[int, Refused]) -> None:
        """Leave files of this run out, for a reason that may not hold in the next one."""
        with self._transaction():
            for number, why in refused.items():
                self._tell(CHOSEN, number, why, self.run)

    def settle_series(self, places: Mapping[int, tuple[int, int]]) -> None:
        """Give slices the volume of their series that they belong to, and their place in it."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE decided SET part = ?, slice_index = ? WHERE run = {self.run} AND number = ?",
                [(*place, number) for number, place in places.items()],
            )

    def settle_masks(self, masks: Mapping[int, int]) -> None:
        """Give images the number of their segmentation."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE decided SET mask = ? WHERE run = {self.run} AND number = ?", [(m, n) for n, m in masks.items()]
            )

    def label(self, rows: Mapping[int, LabelRow]) -> None:
        """Give files what the labels say of them."""
        self._say("row", rows)

    def claim(self, claims: Mapping[int, Claim]) -> None:
        """Give files the patients that somebody else than their header names."""
        self._say("claim", claims)

    def _say(self, column: str, said: Mapping[int, LabelRow] | Mapping[int, Claim]) -> None:
        with self._transaction():
            self._db.executemany(
                f"UPDATE decided SET {column} = ? WHERE run = {self.run} AND number = ?",
                ((json.dumps(asdict(what)), number) for number, what in said.items()),
            )

    def keep_labels(self) -> set[int]:
        """Files that nothing names in this run keep what an earlier one of this name said of them; which these are."""
        if not self.adding:
            return set()
        query = (
            "UPDATE decided SET (row, claim) = (SELECT row, claim FROM decided b "
            f"WHERE b.run = {self._base} AND b.number = decided.number) WHERE run = {self.run} AND row IS NULL "
            "AND number IN (SELECT number FROM readable) "
            f"AND number IN (SELECT number FROM decided WHERE run = {self._base} AND row IS NOT NULL) RETURNING number"
        )
        with self._transaction():
            return {number for (number,) in self._rows(query)}

    def extended_series(self) -> int:
        """Series of which some files are carried and others are new: their slices are not settled together."""
        query = (
            "SELECT count(*) FROM (SELECT series FROM here WHERE series IS NOT NULL AND wanted GROUP BY series "
            "HAVING min(carried) < max(carried))"
        )
        return int(self._db.execute(query).fetchone()[0])
