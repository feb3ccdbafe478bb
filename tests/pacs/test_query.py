"""Queries: which are taken, and which answers fit them."""

from __future__ import annotations

from typing import Any

import pydicom
import pytest
from ingest.conftest import dicom, picture

from medsyn.config import IngestOptions, validate
from medsyn.errors import UsageError
from medsyn.ingest import stage
from medsyn.pacs.query import Query
from medsyn.workspace import DATASET, Workspace


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (["Modallity=CANARY"], "Modallity.*Did you mean Modality"),
        (["PatientID"], "KEYWORD=VALUE"),
        (["PatientID=CANARY", "PatientID=CANARY2"], "each keyword once"),
        (["PatientID="], "PatientID has no value"),
        (["StudyDate=CANARY"], "StudyDate.*YYYYMMDD"),
        (["PixelData=CANARY"], "nothing can be searched by PixelData"),
        (["ReferencedStudySequence=CANARY"], "nothing can be searched by"),
        ({"PatientID": ["CANARY"]}, "KEYWORD=VALUE"),
        ("CANARY", "KEYWORD=VALUE"),
    ],
)
def test_wrong_queries_are_named_but_not_repeated(tmp_path, query, words):
    workspace = Workspace(tmp_path)
    with pytest.raises(UsageError, match=words) as raised:
        options = {"paths": ["https://pacs.invalid/dicom-web"], "query": query}
        stage.run(validate(IngestOptions, options, where="test"), workspace)
    assert "CANARY" not in str(raised.value)
    assert not workspace.all(DATASET)


@pytest.mark.parametrize("given", [{"query": {"Modality": "CR"}}, {"limit": 3}])
def test_a_query_needs_a_service(tmp_path, given):
    dicom(tmp_path / "1.dcm", picture(1))
    with pytest.raises(UsageError, match="no DICOMweb service"):
        stage.run(IngestOptions(paths=[str(tmp_path)], **given), Workspace(tmp_path / "workspace"))


def test_matching_of_values():
    def fits(keyword: str, wanted: str, value: Any) -> bool:
        tag = f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
        levels = ("studies", "series", "instances")
        return all(Query.of({keyword: wanted}).fails(w, {tag: {"Value": [value]}}) is None for w in levels)

    assert fits("StudyTime", "10-11", "113000.25")
    assert not fits("StudyTime", "10-11", "120000")
    assert fits("StudyDate", "-20200101", "20191231")
    assert not fits("StudyDate", "20200102-", "20200101")
    assert fits("PatientName", "doe^*", {"Alphabetic": "Doe^Jane"})
    assert not fits("PatientName", "Doe^Jan", {"Alphabetic": "Doe^Jane"})
    assert fits("SeriesNumber", "3", 3)
    assert not fits("SeriesNumber", "3", 30)
    assert fits("SeriesInstanceUID", "1.2,1.3", "1.3")
    assert not fits("SeriesDescription", "a.c", "abc")
    assert not fits("SeriesDescription", "abc", "")
