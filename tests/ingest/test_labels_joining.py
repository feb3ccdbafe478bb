"""Which row of a table belongs to which file: by name, or by what the headers hold, keyed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medsyn.errors import DataError
from medsyn.ingest.labels.table import LabelTable
from medsyn.ingest.scan import Input
from medsyn.ingest.source import Probe

from .conftest import dicom, picture, png, table
from .looking import KEY, join, look

COLUMN = {
    "sop": "SOPInstanceUID",
    "series": "SeriesInstanceUID",
    "study": "StudyInstanceUID",
    "accession": "AccessionNumber",
    "patient": "PatientID",
}


def archive(folder: Path, patients: Sequence[str] = ("00017", "00423"), **elements: Any) -> list[dict[str, str]]:
    """Two studies a patient, two series a study, two instances a series: what their headers hold, by file."""
    held = []
    for p, patient in enumerate(patients):
        for i in range(8):
            study, series = f"1.2.{p}.{i // 4}", f"1.2.{p}.{i // 4}.{i // 2}"
            header = {
                "SOPInstanceUID": f"{series}.{i}",
                "SeriesInstanceUID": series,
                "StudyInstanceUID": study,
                "AccessionNumber": f"A{p}{i // 4}",
            }
            dicom(folder / f"{p}" / f"IM{i}", picture(8 * p + i, 32), patient=patient, **header, **elements)
            held.append({"file": f"{p}/IM{i}", "PatientID": patient, **header})
    return held


@pytest.mark.parametrize("kind", COLUMN)
@pytest.mark.parametrize("renamed", ["own", "usual", "unusual"])
def test_a_row_speaks_for_all_images_of_what_it_names(tmp_path: Path, kind: str, renamed: str) -> None:
    held = archive(tmp_path / "scans")
    names = {"own": COLUMN[kind], "usual": COLUMN[kind].lower(), "unusual": "Which one?"}
    different = list(dict.fromkeys(h[COLUMN[kind]] for h in held))
    rows = [{"nr": i, names[renamed]: name, "label": f"c{i}"} for i, name in enumerate(different)]
    got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert got == {h["file"]: (f"c{different.index(h[COLUMN[kind]])}", "known") for h in held}
    assert joined.unmatched == 0
    told = f"labels: rows belong to files by {COLUMN[kind]} in column '{names[renamed]}' (16 files)"
    assert told in joined.told


def test_the_headers_names_come_keyed_and_placeholders_not_at_all(tmp_path: Path) -> None:
    dicom(tmp_path / "a", picture(0, 32), patient="Anonymous", AccessionNumber=" A1 ")
    _, (found,) = look([tmp_path])
    assert set(found.names) == {"sop", "series", "study", "accession"}
    assert all(len(value) == 32 and int(value, 16) >= 0 for value in found.names.values())


def test_the_finest_identifier_counts(tmp_path: Path) -> None:
    held = archive(tmp_path / "scans")
    rows = [{**h, "label": f"c{i}"} for i, h in enumerate(held)]
    for but in ([], ["file"], ["file", "SOPInstanceUID"]):
        labels = table(tmp_path / "l.csv", [{k: v for k, v in row.items() if k not in but} for row in rows])
        if len(but) < 2:
            got, _ = join(tmp_path / "scans", labels=str(labels))
            assert got == {row["file"]: (row["label"], "known") for row in rows}
        else:
            with pytest.raises(DataError, match=r"rows with different values in 'label' name one case, 8 times: '1\.2"):
                join(tmp_path / "scans", labels=str(labels))


def test_a_coarser_column_that_fits_more_is_told(tmp_path: Path) -> None:
    held = archive(tmp_path / "scans")
    rows = [{"SOPInstanceUID": h["SOPInstanceUID"], "PatientID": h["PatientID"], "label": "a"} for h in held[:3]]
    got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert set(got) == {h["file"] for h in held[:3]}
    assert any("column 'PatientID' (PatientID) would fit 8 files" in line for line in joined.told)
    got, _ = join(tmp_path / "scans", labels=str(tmp_path / "l.csv"), file_column="PatientID")
    assert set(got) == {h["file"] for h in held[:8]}


def test_columns_that_disagree_are_refused_until_one_is_named(tmp_path: Path) -> None:
    held = archive(tmp_path / "scans")
    rows = [{"SOPInstanceUID": h["SOPInstanceUID"], "PatientID": h["PatientID"], "label": "a"} for h in held]
    for row in rows[:5]:
        row["PatientID"] = "00423"
    labels = str(table(tmp_path / "l.csv", rows))
    with pytest.raises(DataError) as caught:
        join(tmp_path / "scans", labels=labels)
    line = str(caught.value)
    assert (
        "columns 'SOPInstanceUID' (SOPInstanceUID) and 'PatientID' (PatientID) name different rows for 5 files" in line
    )
    assert line.count("is of '00423' there, of '00017' here") == 3
    assert "--file-column" in line
    assert len(join(tmp_path / "scans", labels=labels, file_column="SOPInstanceUID")[0]) == 16


def test_a_patient_column_of_another_numbering_does_no_harm(tmp_path: Path) -> None:
    held = archive(tmp_path / "scans")
    rows = [{"file": h["file"], "PatientID": f"study-{h['PatientID']}", "label": "a"} for h in held]
    got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert len(got) == 16
    assert len({row.subject for row in joined.rows.values()}) == 2


def test_empty_cells_contradict_nothing(tmp_path: Path) -> None:
    archive(tmp_path / "scans")
    rows = [
        {"PatientID": "00017", "label": "a", "age": "41"},
        {"PatientID": "00017", "label": "", "age": "57"},
        {"PatientID": "00423", "label": "n/a", "age": "58"},
    ]
    got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert set(got.values()) == {("a", "known"), (None, "missing")}
    # Of two ages neither is taken, and the header's own patient needs no second name.
    assert {(row.label, row.covariates.age_band) for row in joined.rows.values()} == {("a", None), (None, "50-59")}
    assert {row.subject for row in joined.rows.values()} == {None}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["17", "423"], "read with zeros in front, 5 digits fits 16 files"),
        (["17.0", "423.0"], "read with zeros in front, 5 digits fits 16 files"),
        (["  00017", "00423  "], None),
        (["00017", "423"], "read with zeros in front, 5 digits fits 8 more files"),
        (["00017.0", "00423.00"], "read without '.0' fits 16 files"),
    ],
)
def test_what_spreadsheets_do_to_numbers_is_undone_and_told(
    tmp_path: Path, written: list[str], told: str | None
) -> None:
    archive(tmp_path / "scans")
    rows = [{"PatientID": name, "label": label} for name, label in zip(written, "ab", strict=True)]
    got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert {file: label for file, (label, _) in got.items()} == {
        f"{p}/IM{i}": label for p, label in enumerate("ab") for i in range(8)
    }
    assert [line for line in joined.told if " read " in line] == (
        [f"labels: column 'PatientID' {told}"] if told else []
    )


def test_other_changes_of_identifiers(tmp_path: Path) -> None:
    archive(tmp_path / "scans", ("AB1", "17"))
    for written, how in ((("ab1",), "in capitals"), (("0017",), "without zeros in front")):
        rows = [{"PatientID": name, "label": "a"} for name in written]
        got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
        assert len(got) == 8
        assert any(how in line for line in joined.told)


def test_several_changes_that_fit_are_refused(tmp_path: Path) -> None:
    archive(tmp_path / "scans", ("017", "00423"))
    rows = [{"PatientID": "17", "label": "a"}, {"PatientID": "423", "label": "b"}]
    with pytest.raises(DataError, match=r"3 digits: 8 files; with zeros in front, 5 digits: 8 files") as caught:
        join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert "Write the identifiers as text" in str(caught.value)


def test_zeros_of_file_names(tmp_path: Path) -> None:
    rows = []
    for i in range(1, 13):
        png(tmp_path / "scans" / f"{i:04}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"id": i, "label": "ab"[i % 2]})
    got, joined = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert got == {f"{i:04}.png": ("ab"[i % 2], "known") for i in range(1, 13)}
    assert "labels: column 'id' read with zeros in front, 4 digits fits 12 files" in joined.told


def test_a_running_number_beside_the_names_is_no_name(tmp_path: Path) -> None:
    """Row numbers equal the stems of other files: the usual name of a column decides."""
    rows = []
    for i in range(12):
        png(tmp_path / "scans" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"id": 11 - i, "patient_id": 11 - i, "file": f"{i}.png", "label": "ab"[i % 2]})
    got, _ = join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))
    assert got == {f"{i}.png": ("ab"[i % 2], "known") for i in range(12)}


def test_two_unusual_columns_that_fit_must_agree(tmp_path: Path) -> None:
    rows = []
    for i in range(6):
        png(tmp_path / "scans" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"left": f"{i}.png", "right": f"{i // 2 * 2}.png" if i < 4 else f"{9 - i}.png", "label": "a"})
    rows[1]["right"], rows[3]["right"] = "1.png", "2.png"
    rows[2]["right"] = "3.png"
    with pytest.raises(
        DataError, match=r"columns 'left' \(file names\) and 'right' \(file names\) name different rows"
    ):
        join(tmp_path / "scans", labels=str(table(tmp_path / "l.csv", rows)))


def test_a_name_that_fits_several_files_is_refused_and_files_are_named_only_if_asked(tmp_path: Path) -> None:
    for folder in ("secret1", "secret2"):
        for i in range(5):
            png(tmp_path / "scans" / folder / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
    labels = str(table(tmp_path / "l.csv", [{"file": f"{i}.png", "label": "a"} for i in range(5)]))
    with pytest.raises(DataError, match=r"5 names fit more than one file: '0.png', '1.png', '2.png'\.") as caught:
        join(tmp_path / "scans", labels=labels)
    assert "secret" not in str(caught.value)
    with pytest.raises(DataError, match=r"\(secret1/0.png, secret2/0.png\)"):
        join(tmp_path / "scans", labels=labels, show_paths=True)


def test_no_row_fits_names_the_tables_values_alone(tmp_path: Path) -> None:
    archive(tmp_path / "secret", ("SECRET1", "SECRET2"))
    labels = str(table(tmp_path / "l.csv", [{"PatientID": f"X{i}", "label": "a"} for i in range(5)]))
    with pytest.raises(DataError, match="column 'PatientID' says 'X0', 'X1', 'X2'") as caught:
        join(tmp_path / "secret", labels=labels)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(DataError, match="no column 'x'"):
        join(tmp_path / "secret", labels=labels, file_column="x")
    with pytest.raises(DataError, match="columns looked at: 'label'"):
        join(tmp_path / "secret", labels=labels, file_column="label")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ";"])
def test_kinds_of_tables(tmp_path: Path, suffix: str) -> None:
    archive(tmp_path / "scans", ("17", "423"))
    frame = pd.DataFrame({" PatientID ": [17, 423, None], "label": ["a, b", "c", "d"]})
    path = tmp_path / f"l{suffix.replace(';', '.csv')}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep={".csv": ",", ".tsv": "\t", ";": ";"}[suffix])
    got, _ = join(tmp_path / "scans", labels=str(path))
    assert {label for label, _ in got.values()} == {"a, b", "c"}
    assert len(got) == 16


def test_a_table_of_many_rows_is_joined_in_little_time_and_memory(tmp_path: Path) -> None:
    """Most tables name far more than is there; indices must not grow with what does not fit."""
    n = 200_000
    names = [f"part{i % 7}/im{i}.png" for i in range(n)]
    frame = pd.DataFrame({"file": names, "label": np.where(np.arange(n) % 3, "a", "b")})
    frame.to_csv(tmp_path / "l.csv", index=False)
    made = LabelTable.open(tmp_path / "l.csv", ["label"])
    inputs = [Input(i + 1, f"/data/{name}", "/data", name) for i, name in enumerate(names)]
    probes = [Probe(i.number, i.path, kind="raster") for i in inputs]
    joined = made.join(inputs, probes, set(range(1, n + 1)), KEY)
    assert len(joined.rows) == n
    assert joined.unmatched == 0
    assert [joined.rows[i].label for i in (1, 2, 3, 4)] == ["b", "a", "a", "b"]
    assert len({id(row.targets) for row in joined.rows.values()}) == 1


def test_members_of_archives_are_named_by_their_own_path(tmp_path: Path) -> None:
    inputs = [
        Input(1, "/d/a.zip", "/d", "a.zip/x/1.png", member="x/1.png"),
        Input(2, "/d/a.zip", "/d", "a.zip/y/1.png", member="y/1.png"),
    ]
    probes = [Probe(i.number, i.path, i.member, kind="raster") for i in inputs]
    for form in ("x/1.png", "a.zip/x/1.png", "x/1"):
        made = LabelTable.open(table(tmp_path / "l.csv", [{"file": form, "label": "a"}]), ["label"])
        assert set(made.join(inputs, probes, {1, 2}, KEY).rows) == {1}


def test_a_file_that_is_not_read_still_has_its_row(tmp_path: Path) -> None:
    png(tmp_path / "scans" / "1.png", picture(0, 32, 8).astype(np.uint8))
    (tmp_path / "scans" / "2.png").write_text("no picture")
    labels = table(tmp_path / "l.csv", [{"file": f"{i}.png", "label": "a"} for i in (1, 2, 3)])
    got, joined = join(tmp_path / "scans", labels=str(labels))
    assert set(got) == {"1.png"}
    assert joined.unmatched == 1


@pytest.mark.parametrize(
    ("formats", "unmatched"), [(("png", "dicom"), 1), (("PNG", "NIfTI"), 1), (("png", "png"), 3), (("png", "AP"), 3)]
)
def test_rows_of_formats_that_no_file_has_are_not_missed(
    tmp_path: Path, formats: tuple[str, str], unmatched: int
) -> None:
    """As in a synthetic set, whose table lists each case in every format; other words say nothing of files."""
    rows = []
    for i in range(3):
        rows.append({"file": f"png/{i}.png", "label": "ab"[i % 2], "format": formats[0]})
        rows.append({"file": f"other/{i}.x", "label": "ab"[i % 2], "format": formats[1]})
    for i in range(2):
        png(tmp_path / "png" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
    _, joined = join(tmp_path / "png", labels=str(table(tmp_path / "labels.csv", rows[:-1])))
    assert joined.unmatched == unmatched
