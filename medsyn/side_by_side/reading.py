"""From the folder of an evaluation to its column."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from medsyn.errors import DataError
from medsyn.evaluate.report import charts, tables
from medsyn.evaluate.results import SCHEMA_VERSION, Estimate, Report
from medsyn.readers.report import FACTS, share_as_estimate
from medsyn.readers.results import Readers
from medsyn.side_by_side.results import Closeness, Column, Copies, Filtered, Origin, Read
from medsyn.workspace import EVALUATION, read_json


@dataclass(frozen=True)
class Evaluation:
    """An evaluation as it was read."""

    report: Report
    column: Column


def read(folder: Path, name: str) -> Evaluation:
    """Read an evaluation.

    Args:
        folder: Of it.
        name: What it is called in the comparison.

    Raises:
        DataError: Damaged, or written by another medsyn.
    """
    file = folder / EVALUATION.main_file
    content = read_json(file)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"has schema {content.get('schema_version')!r}, this medsyn reads {SCHEMA_VERSION}",
            where=file,
            mend="Evaluate again.",
        )
    try:
        report = Report.model_validate(content)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DataError(f"is no report: {place}: {error.errors()[0]['msg']}", where=file) from None
    return Evaluation(report, _column(report, folder, name))


def _column(r: Report, folder: Path, name: str) -> Column:
    v, pair = r.verdict, charts.chosen_pair(r)
    values: list[Estimate | None] = [(arm.test or {}).get(v.measure) for arm in pair] if pair else [None, None]
    numbers = _tested(folder, v.setting)
    return Column(
        name=name,
        created=r.created,
        decision=v.decision,
        quick=v.quick,
        sentence=v.sentence,
        measure=v.measure,
        margin=v.margin,
        setting=v.setting,
        classifier=v.classifier,
        control=v.control,
        arm=v.arm,
        control_value=values[0],
        arm_value=values[1],
        effect=v.effect,
        detectable=v.detectable,
        fidelity=_closeness(r),
        copies=Copies(
            tested=r.copying.tested,
            found=r.copying.found,
            copies=r.copying.copies,
            examined=r.copying.examined,
            share=r.copying.share,
        ),
        checks={check.name: check.state for check in tables.checks(r)},
        selection=Filtered(
            tested=r.selection.tested,
            replaced=r.selection.replaced,
            effect=r.selection.effect,
            decision=r.selection.decision,
        ),
        readers=_readers(folder / FACTS),
        looks_at_test=len(r.looks_at_test),
        origin=Origin(
            dataset=r.dataset.name,
            dataset_digest=r.dataset.digest,
            test_images=None if numbers is None else len(numbers),
            test_digest=None if numbers is None else hashlib.sha256(numbers.tobytes()).hexdigest(),
            synthetic=r.synthetic.name,
            synthetic_images=r.synthetic.n,
            generator=r.synthetic.generator,
            checkpoint_digest=r.synthetic.checkpoint_digest,
        ),
    )


def _tested(folder: Path, setting: str) -> np.ndarray | None:
    """Numbers of the real images that the verdict was tested on, ascending int64; None where nobody knows."""
    file = folder / "predictions.parquet"
    try:
        table = pq.read_table(file, columns=["image"], filters=[("split", "==", "test"), ("setting", "==", setting)])
    except (OSError, pa.ArrowException):
        return None
    return np.unique(table["image"].to_numpy().astype(np.int64)) if len(table) else None


def _closeness(r: Report) -> Closeness | None:
    rows = {row.kind: row for row in r.fidelity.rows if row.scope == "all" and row.kind in ("synthetic", "floor")}
    if "synthetic" not in rows:
        return None
    row, floor = rows["synthetic"], rows.get("floor")
    return Closeness(
        n=row.n,
        kid=row.kid,
        coverage=row.coverage,
        recall=row.recall,
        floor_kid=floor.kid.value if floor else None,
        floor_coverage=floor.coverage if floor else None,
    )


def _readers(file: Path) -> Read | None:
    if not file.is_file():
        return None
    try:
        found = Readers.model_validate(read_json(file))
    except ValidationError:
        raise DataError("are no results of readers", where=file, mend="Score the study again.") from None
    first = found.readers[0]
    told = found.together.told if found.together else share_as_estimate(first.told)
    return Read(
        readers=len(found.readers),
        told=told,
        decision=(found.together or first).decision,
        sentence=found.sentence,
    )
