"""The Python functions show what they take."""

from __future__ import annotations

import inspect
import pydoc

import pytest

import medsyn
from medsyn.config import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_signature_and_docstring_name_every_option(stage: str) -> None:
    function = getattr(medsyn, stage.replace("-", "_"))
    parameters = inspect.signature(function).parameters
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert {*STAGES[stage].model_fields} <= {*parameters}
    text = inspect.getdoc(function)
    assert text is not None
    assert all(f"    {name}: " in text or f"``{name}``" in text for name in STAGES[stage].model_fields)


def test_help_of_ingest_is_that_of_the_function() -> None:
    text = pydoc.plain(pydoc.render_doc(medsyn.ingest))
    assert "medsyn.ingest - Turn scans into a labelled dataset" in text
    labels = "    labels: CSV or Parquet: a row for each file, series, study or patient."
    assert text.index(labels) < text.index("PACKAGE CONTENTS")
    assert "label_columns: list[str] = ['label']" in text
    assert "**options" not in text
    assert "Validator" not in text
