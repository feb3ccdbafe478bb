"""Ingesting from a real PACS, on a good day and on bad ones."""

from __future__ import annotations

import hashlib
import os
import signal
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd
import pydicom
import pytest
from commands import medsyn, start
from helpers import fresh_workspace
from ingest.conftest import dicom, picture, table
from ingest.test_privacy import Canaries, decoded, film
from orthanc import PASSWORD, Proxy, Request
from pydicom.uid import BasicTextSRStorage, MRImageStorage, generate_uid

from medsyn.config import IngestOptions, validate
from medsyn.errors import DataError, EnvironmentFault, UsageError
from medsyn.ingest import stage
from medsyn.pacs import client, fetching
from medsyn.progress import Silent
from medsyn.workspace import DATASET, Workspace, read_json

pytestmark = pytest.mark.system


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def films(folder: Path, n: int = 16, first: int = 0, **elements: Any) -> list[Path]:
    """Films of a study each, two a waits, with the class in a header element."""
    made = []
    for i in range(first, first + n):
        given = {"BodyPartExamined": ("CHEST", "HAND")[i // 2 % 2], "StudyDate": f"20200{1 + i % 9}01", **elements}
        made.append(dicom(folder / f"{i}.dcm", picture(i, 32), patient=f"P{i // 2}", **given))
    return made


def options(url: str, **more: Any) -> IngestOptions:
    given = {"paths": [url], "label_from": "tag:BodyPartExamined", "size": 32, "workers": 1, **more}
    return validate(IngestOptions, given, where="test")


def digest(path: Path) -> str:
    return str(read_json(path / DATASET.main_file)["content_digest"])


def staged(workspace: Workspace) -> list[Path]:
    return [p for p in (workspace.private / "pacs").rglob("*") if p.is_file() and p.suffix != ".lock"]


def fetched(proxy: Proxy) -> list[str]:
    """UIDs of the instances that were asked for."""
    return [r.path.rpartition("/")[2] for r in proxy.asked("GET", "/instances/")]


@pytest.fixture
def second(tmp_path: Path, workspace: Workspace, empty_store: Path) -> Workspace:
    """Another workspace with the same project key."""
    made = fresh_workspace(tmp_path / "second", empty_store)
    assert made.project_key() == workspace.project_key()
    return made


def test_the_dataset_is_that_of_the_same_files_on_a_disk(tmp_path, workspace, second, orthanc, allowed):
    files = films(tmp_path / "disk")
    report = dicom(tmp_path / "disk" / "report.dcm", picture(99), SOPClassUID=BasicTextSRStorage, Modality="SR")
    orthanc.put(*files, report)
    given = ("--label-from", "tag:BodyPartExamined", "--modality", "xray", "--size", 32)
    done = medsyn("ingest", orthanc.url, *given, cwd=tmp_path, MEDSYN_WORKSPACE=str(workspace.path), **allowed)
    assert done.returncode == 0, done.stderr
    assert "17 instances, 16 images, 16 of them new" in done.stderr
    assert "not_an_image_class 1" in done.stdout
    from_disk = stage.run(options(str(tmp_path / "disk"), modality="xray"), second)
    assert digest(workspace.latest(DATASET)) == digest(from_disk.path)
    ledgers = [pd.read_csv(p / "ledger.csv") for p in (workspace.latest(DATASET), from_disk.path)]
    columns = ["outcome", "reason", "images"]
    one, other = (ledger[columns].value_counts(dropna=False).to_dict() for ledger in ledgers)
    assert one == other
    images = ledgers[0][ledgers[0]["outcome"] == "ingested"]
    assert set(images["source_digest"]) == set(ledgers[1]["source_digest"].dropna())  # byte for byte
    assert not staged(workspace)
    assert not list(workspace.path.glob(".partial-*"))


@pytest.mark.real
def test_files_of_scanners_arrive_as_they_are(tmp_path, real_data, workspace, second, orthanc, allowed):
    manifest = pd.read_csv(real_data / "dicom" / "manifest.csv")
    for file in manifest.drop_duplicates(["transfer_syntax", "photometric", "modality"])["file"]:
        with suppress(AssertionError):  # Orthanc refuses what names neither patient nor study
            orthanc.put(real_data / "dicom" / file)
    for content in orthanc.files().values():
        header = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content), stop_before_pixels=True, force=True)
        # In the order in which fetched files are read: of copies, the first is kept.
        file = tmp_path / "disk" / header.StudyInstanceUID / header.SeriesInstanceUID / f"{header.SOPInstanceUID}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert orthanc.count() > 30
    given = {"label_from": None, "modality": "ct", "max_failures": 1}
    there = stage.run(options(orthanc.url, **given), workspace)
    here = stage.run(options(str(tmp_path / "disk"), **given), second)
    assert (there.images, there.outcomes, there.reasons) == (here.images, here.outcomes, here.reasons)
    assert digest(there.path) == digest(here.path)


def test_a_query_is_searched_for_where_it_belongs(tmp_path, orthanc, allowed):
    orthanc.put(*films(tmp_path / "disk", 8), *films(tmp_path / "mr", 4, 20, Modality="MR", SOPClassUID=MRImageStorage))

    def found(**query: str) -> int:
        return len(fetching.search(orthanc.url, query))

    assert found() == 12
    assert found(Modality="CR") == 8
    assert found(Modality="CR", BodyPartExamined="CHEST") == 4
    assert found(StudyDate="20200201-20200501") == 7
    assert found(StudyDate="20200801-") == 1
    assert found(PatientID="P0") == 2
    assert found(PatientID="P1*") == 6
    assert found(PatientID="p?") == 8
    assert found(SOPClassUID=MRImageStorage) == 4
    assert found(Modality="CT") == 0
    assert found(StudyDate="20200101", Modality="MR") == 0
    # UIDs of some anonymisers, which are none by the standard.
    uids = dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), "05fa52f0e599f17b" * 4)
    orthanc.put(dicom(tmp_path / "odd.dcm", picture(3), patient="odd", **uids))
    (odd,) = fetching.search(orthanc.url, {"PatientID": "odd"})
    assert fetching.fetch(orthanc.url, [odd], tmp_path / "fetched", 2**20) == {}
    assert (tmp_path / "fetched" / odd.name).read_bytes() == (tmp_path / "odd.dcm").read_bytes()


def test_all_pages_are_asked_for(tmp_path, orthanc, proxy, allowed, monkeypatch):
    study = generate_uid()
    series = [generate_uid() for _ in range(3)]
    files = [
        dicom(tmp_path / f"{i}.dcm", picture(1, 16), StudyInstanceUID=study, SeriesInstanceUID=series[i % 3])
        for i in range(11)
    ]
    orthanc.put(*files, *films(tmp_path / "others", 5))
    monkeypatch.setattr(client, "PAGE", 2)
    assert len(fetching.search(proxy.url, {})) == 16
    assert len(fetching.search(proxy.url, {}, limit=7)) == 7
    assert len(fetching.search(proxy.url, {"StudyInstanceUID": study})) == 11

    def knows_no_offset(request: Request) -> None:
        request.path = request.path.replace("offset=", "ignored=")

    monkeypatch.setattr(client, "PAGE", 100)
    proxy.rule = knows_no_offset
    assert len(fetching.search(proxy.url, {})) == 16


def test_a_server_that_ignores_what_is_searched_for(tmp_path, workspace, orthanc, proxy, allowed):
    orthanc.put(*films(tmp_path / "disk"))

    def ignores(request: Request) -> None:
        head, mark, query = request.path.partition("?")
        kept = [part for part in query.split("&") if not part.startswith("StudyDate=")]
        request.path = head + mark + "&".join(kept)

    proxy.rule = ignores
    listener = Listener()
    assert len(fetching.search(proxy.url, {"StudyDate": "20200301"}, progress=listener)) == 2
    assert "14 answers" in listener.said[-1]
    assert "StudyDate" in listener.said[-1]
    assert "20200301" not in "".join(listener.said)


def test_wrong_answers_of_a_server(tmp_path, orthanc, proxy, allowed):
    orthanc.put(*films(tmp_path / "disk", 2))
    listener = Listener()
    uid = pydicom.dcmread(tmp_path / "disk" / "0.dcm").SOPInstanceUID
    proxy.rule = lambda r: setattr(r, "edit", lambda c: c.replace(uid.encode(), b"../../../etc/passwd"))
    assert len(fetching.search(proxy.url, {}, progress=listener)) == 1
    assert "have a UID that is none" in listener.said[-1]
    proxy.rule = lambda r: setattr(r, "answer", (200, {"Content-Type": "text/html"}, b"<html>log in</html>"))
    with pytest.raises(UsageError, match="root of a DICOMweb service"):
        fetching.search(proxy.url, {"PatientID": "CANARY"})
    proxy.rule = lambda r: setattr(r, "answer", (400, {}, b""))
    with pytest.raises(DataError, match="refuses the search") as raised:
        fetching.search(proxy.url, {"PatientID": "CANARY"})
    assert "CANARY" not in str(raised.value)


def test_what_is_cut_off_is_fetched_again(tmp_path, workspace, orthanc, proxy, allowed, waits):
    files = films(tmp_path / "disk")
    orthanc.put(*files)
    uids = [str(pydicom.dcmread(f).SOPInstanceUID) for f in files]

    def rule(request: Request) -> None:
        tries = sum(r.path == request.path for r in proxy.requests)
        if request.path.endswith(uids[3]) and tries == 1:
            request.cut = 900
        if request.path.endswith(uids[4]) and tries == 1:
            request.edit = lambda content: content[:900]  # and the length says that this is all
        if request.path.endswith(uids[5]):
            request.answer = (404 if tries == 1 else 500, {}, b"")

    proxy.rule = rule
    result = stage.run(options(proxy.url, max_failures=0.1), workspace)
    assert result.outcomes["ingested"] == 15
    assert result.reasons == {"not_fetched": 1}
    assert len(waits) == 2
    assert [fetched(proxy).count(uids[i]) for i in (3, 4, 5)] == [2, 2, 1]
    # A failure is tried anew.
    proxy.rule = lambda request: None
    proxy.requests.clear()
    assert stage.run(options(proxy.url), workspace).outcomes["ingested"] == 16
    assert fetched(proxy) == [uids[5]]


def test_the_server_is_killed_and_the_command_run_again(tmp_path, workspace, second, orthanc, proxy, allowed, waits):
    orthanc.put(*films(tmp_path / "disk"))
    listener = Listener()

    def rule(request: Request) -> None:
        if "/instances/" in request.path and len(fetched(proxy)) == 9:
            orthanc.kill()

    proxy.rule = rule
    with pytest.raises(EnvironmentFault, match="run the command again"):
        stage.run(options(proxy.url), workspace, listener)
    assert len(waits) == len(client.WAITS)
    assert "8 originals fetched from" in listener.said[-1]
    assert len(staged(workspace)) == 8
    assert all(p.stat().st_mode & 0o077 == 0 for p in (workspace.private / "pacs").rglob("*") if p.suffix != ".lock")
    assert not workspace.all(DATASET)
    first = fetched(proxy)[:8]
    half = staged(workspace)[0].with_name(".1.2.dcm.0123abcd")  # as a process killed while it writes leaves it
    half.write_bytes(b"x")
    orthanc.start()
    proxy.rule = lambda request: None
    proxy.requests.clear()
    result = stage.run(options(proxy.url), workspace, listener)
    assert result.images == 16
    assert result.files == 16
    assert len({*first, *fetched(proxy)}) == len([*first, *fetched(proxy)]) == 16
    assert not staged(workspace)
    assert digest(result.path) == digest(stage.run(options(str(tmp_path / "disk")), second).path)


def test_the_server_comes_back_within_one_command(tmp_path, workspace, orthanc, proxy, allowed):
    orthanc.put(*films(tmp_path / "disk"))

    def rule(request: Request) -> None:
        if "/instances/" in request.path and len(fetched(proxy)) == 9:
            orthanc.kill()
            orthanc.start()
            request.drop = True

    proxy.rule = rule
    listener = Listener()
    assert stage.run(options(proxy.url), workspace, listener).images == 16
    assert any("trying again" in line for line in listener.said)


def test_medsyn_is_killed_and_run_again(tmp_path, workspace, orthanc, proxy, allowed):
    files = films(tmp_path / "disk")
    orthanc.put(*files)
    reached = Event()

    def rule(request: Request) -> None:
        if "/instances/" in request.path and len(fetched(proxy)) == 9:
            reached.set()
            Event().wait(60)

    proxy.rule = rule
    given = ("--label-from", "tag:BodyPartExamined", "--size", 32, "--workspace", workspace.path)
    process = start("ingest", proxy.url, *given, cwd=tmp_path, **allowed)
    assert reached.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    first = fetched(proxy)[:8]
    proxy.rule = lambda request: None
    proxy.requests.clear()
    done = medsyn("ingest", proxy.url, *given, cwd=tmp_path, **allowed)
    assert done.returncode == 0, done.stderr
    assert len({*first, *fetched(proxy)}) == len([*first, *fetched(proxy)]) == 16
    ledger = pd.read_csv(workspace.latest(DATASET) / "ledger.csv")
    assert set(ledger["source_digest"]) == {hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    assert not staged(workspace)


@pytest.mark.parametrize("name", [None, "study"])
def test_a_second_ingest_fetches_what_is_new(tmp_path, workspace, orthanc, proxy, allowed, name):
    orthanc.put(*films(tmp_path / "disk"))

    def ingest(every: int, **more: Any) -> stage.IngestResult:
        """With a class for every so many patients."""
        proxy.requests.clear()
        rows = [{"patient_id": f"P{i}", "label": "ab"[i // every % 2]} for i in range(10)]
        labels = str(table(tmp_path / "labels.csv", rows))
        return stage.run(options(proxy.url, name=name, label_from=None, labels=labels, **more), workspace)

    assert ingest(1).images == 16
    new = films(tmp_path / "new", 4, 16)
    orthanc.put(*new)
    orthanc.delete(pydicom.dcmread(tmp_path / "disk" / "3.dcm").SOPInstanceUID)
    images = 20 if name else 19  # without a name: just what the server has now
    assert ingest(1).images == images
    assert sorted(fetched(proxy)) == sorted(str(pydicom.dcmread(f).SOPInstanceUID) for f in new)
    # Nothing new, but other labels: no instance is fetched.
    relabelled = ingest(5)
    assert relabelled.images == images
    assert sum(relabelled.images_per_class["a"].values()) == 9
    assert not fetched(proxy)
    if name is None:  # other pixels of the same files: these are fetched again
        assert ingest(1, size=16).images == images
        assert len(fetched(proxy)) == images
    assert not staged(workspace)


def test_a_series_that_grows_is_read_as_a_whole(tmp_path, workspace, second, orthanc, proxy, allowed):
    files = []
    for patient_number in range(4):
        uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
        for z in range(3):
            place = {"ImagePositionPatient": [0, 0, 5 * z], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
            kind = {"Modality": "MR", "SOPClassUID": MRImageStorage, "PixelSpacing": [1, 1]}
            label = {"BodyPartExamined": ("KNEE", "HIP")[patient_number % 2]}
            file = tmp_path / "disk" / f"{patient_number}-{z}.dcm"
            pixels = picture(10 * patient_number + z, 32)
            files.append(dicom(file, pixels, patient=f"P{patient_number}", **uids, **place, **kind, **label))
    orthanc.put(*files[:-1])
    assert stage.run(options(proxy.url), workspace).images == 11
    proxy.requests.clear()
    orthanc.put(files[-1])
    grown = stage.run(options(proxy.url), workspace)
    assert len(fetched(proxy)) == 3
    assert grown.images == 12
    assert digest(grown.path) == digest(stage.run(options(str(tmp_path / "disk")), second).path)


def test_nothing_fits(workspace, orthanc, allowed):
    with pytest.raises(DataError, match="nothing there fits the query"):
        stage.run(options(orthanc.url, query=["Modality=CT"]), workspace)
    assert not (workspace.private / "pacs").exists() or not staged(workspace)


def test_files_and_a_service_together(tmp_path, workspace, orthanc, allowed):
    files = films(tmp_path / "disk")
    orthanc.put(*films(tmp_path / "far", 6, 16))
    result = stage.run(options(orthanc.url, paths=[str(tmp_path / "disk"), orthanc.url], limit=4), workspace)
    assert result.files == len(files) + 4


def test_nothing_of_a_patient_comes_out(tmp_path, workspace, orthanc, allowed, caplog):
    caplog.set_level("DEBUG")
    canaries = Canaries()
    for i in range(8):
        film(tmp_path / "disk" / f"{i}.dcm", i, canaries)
    files = sorted((tmp_path / "disk").iterdir())
    headers = [pydicom.dcmread(f) for f in files]
    orthanc.put(*files)
    rows = [{"file": h.SOPInstanceUID, "label": "ab"[i % 2]} for i, h in enumerate(headers)]
    labels = table(tmp_path / "labels.csv", rows)
    given = ("--labels", labels, "--size", 32, "--workspace", workspace.path, "--query", "PatientID=CANARY*")
    done = medsyn("ingest", orthanc.url, *given, cwd=tmp_path, **allowed)
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    fetching.search(orthanc.url, {"PatientID": "CANARY*"})
    text = decoded(workspace)
    assert "medsyn.log" in text
    assert "queried_by" in text
    everything = (text + output + caplog.text).upper()
    secret = ["CANARY", PASSWORD.upper(), *(str(h.SOPInstanceUID) for h in headers)]
    secret += [str(h.StudyInstanceUID) for h in headers]
    assert [s for s in secret if s in everything] == []
    for file in workspace.private.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()
