"""Sending synthetic sets to a real PACS, on a good day and on bad ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
from threading import Event

import numpy as np
import pydicom
import pytest
from commands import medsyn, start
from helpers import blobs, closed_form_generator, fresh_workspace, make_dataset
from orthanc import Request
from pacs_sets import files_of, made_by_augment, make_set, sent_uids, small_batches, workspace

from medsyn import api, stages
from medsyn.config import AugmentOptions
from medsyn.errors import DataError, EnvironmentFault, UsageError
from medsyn.pacs import client, sending
from medsyn.workspace import SYNTHETIC

__all__ = ["small_batches", "workspace"]


pytestmark = pytest.mark.system


def test_what_the_server_has_is_what_was_sent(workspace, orthanc, allowed):
    path = made_by_augment(workspace)
    done = medsyn("send", "--to", orthanc.url + "/", "--workspace", workspace.path, cwd=workspace.path, **allowed)
    assert done.returncode == 0, done.stderr
    assert "12 instances of xray-001 sent" in done.stdout
    assert "finds all 12" in done.stdout
    stored, mine = orthanc.files(), files_of(path)
    assert stored == mine
    for uid, content in stored.items():
        there, here = (pydicom.dcmread(pydicom.filebase.DicomBytesIO(c)) for c in (content, mine[uid]))
        assert there == here
        assert there.PixelData == here.PixelData
        assert np.array_equal(there.pixel_array, here.pixel_array)
    again = api.send("xray", to=orthanc.url, workspace=workspace.path)
    assert (again.instances, again.sent) == (12, 0)
    typed = medsyn("send", "--to", orthanc.url, "--json", "--workspace", workspace.path, cwd=workspace.path, **allowed)
    told = json.loads(typed.stdout)
    assert (told["command"], told["instances"], told["sent"]) == ("send", 12, 0)
    assert orthanc.count() == 12
    assert files_of(path) == mine  # the set itself is as it was
    assert {p.name for p in path.iterdir()} == {"dicom", "card.json"}


def test_a_server_that_is_busy_or_loses_answers(workspace, orthanc, proxy, allowed, waits, small_batches):
    path = make_set(workspace)

    def rule(request: Request) -> None:
        if request.method == "POST" and request.number in (1, 2):
            request.answer = (429, {"Retry-After": "7"}, b"") if request.number == 1 else (503, {}, b"")
        if request.method == "POST" and request.number in (4, 5):
            request.drop = True  # it is stored, but nobody hears of it

    proxy.rule = rule
    result = sending.send(path, proxy.url)
    assert result.sent == 12
    assert orthanc.files() == files_of(path)
    assert waits[0] == 7.0
    assert [limit / 2 <= wait <= limit for wait, limit in zip(waits[1:], (2.0, 1.0, 2.0), strict=True)] == [True] * 3
    proxy.rule = lambda request: setattr(request, "answer", (429, {"Retry-After": "90000"}, b""))
    with pytest.raises(EnvironmentFault, match="1500 minutes"):
        sending.send(path, proxy.url)


def test_a_server_that_refuses_what_it_has(workspace, orthanc, proxy, allowed, waits, small_batches):
    """As Azure's and Google's do: after a lost answer, a whole batch is refused."""
    path = make_set(workspace)
    conflict = {"00081198": {"vr": "SQ", "Value": []}}

    def rule(request: Request) -> None:
        if request.method == "POST" and request.number == 2:
            request.drop = True
        if request.method == "POST" and request.number == 3:
            uids = sent_uids(proxy)[-5:]
            code = {"00081197": {"vr": "US", "Value": [45070]}}
            items = [{"00081155": {"vr": "UI", "Value": [uid]}, **code} for uid in uids]
            conflict["00081198"]["Value"] = items
            request.answer = (409, {"Content-Type": "application/dicom+json"}, json.dumps(conflict).encode())

    proxy.rule = rule
    assert sending.send(path, proxy.url).sent == 12
    assert orthanc.count() == 12
    assert len(conflict["00081198"]["Value"]) == 5


def test_the_server_is_killed_and_comes_back_within_one_command(workspace, orthanc, proxy, allowed):
    path = make_set(workspace, 230)

    def rule(request: Request) -> None:
        if request.method == "POST" and request.number == 2:
            orthanc.kill()
            orthanc.start()
            request.drop = True

    proxy.rule = rule
    done = medsyn("send", "--to", proxy.url, "--workspace", workspace.path, cwd=workspace.path, **allowed)
    assert done.returncode == 0, done.stderr
    assert "trying again" in done.stderr
    assert orthanc.files() == files_of(path)
    assert len(proxy.asked("POST")) == 4  # of 100, 100 twice, 30


def test_the_server_is_killed_and_the_command_run_again(workspace, orthanc, proxy, allowed, waits, small_batches):
    path = make_set(workspace, 23)

    def rule(request: Request) -> None:
        if request.method == "POST" and request.number == 3:
            orthanc.kill()

    proxy.rule = rule
    with pytest.raises(EnvironmentFault, match="run the command again"):
        sending.send(path, proxy.url)
    assert len(waits) == len(client.WAITS)
    first = sent_uids(proxy)[:10]
    (journal,) = (workspace.private / "sent").iterdir()
    assert journal.name.startswith("xray-001-")
    with open(journal, "a") as file:
        file.write('{"uid": "1.2')  # as a process killed while it writes leaves it
    orthanc.start()
    proxy.requests.clear()
    proxy.rule = lambda request: None
    result = sending.send(path, proxy.url)
    assert (result.instances, result.sent) == (23, 13)
    assert sorted([*first, *sent_uids(proxy)]) == sorted(files_of(path))  # nothing twice, nothing missing
    assert orthanc.count() == 23


def test_medsyn_is_killed_and_run_again(workspace, orthanc, proxy, allowed, monkeypatch):
    path = make_set(workspace, 230)
    reached = Event()

    def rule(request: Request) -> None:
        if request.method == "POST" and request.number == 2:
            reached.set()
            Event().wait(60)

    proxy.rule = rule
    process = start("send", "--to", proxy.url, "--workspace", workspace.path, cwd=workspace.path, **allowed)
    assert reached.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert orthanc.count() == 100
    proxy.rule = lambda request: None
    proxy.requests.clear()
    done = medsyn("send", "--to", proxy.url, "--workspace", workspace.path, cwd=workspace.path, **allowed)
    assert done.returncode == 0, done.stderr
    assert "130 instances of xray-001 sent" in done.stdout
    assert len(set(sent_uids(proxy))) == len(sent_uids(proxy)) == 130
    assert orthanc.files() == files_of(path)


def test_a_server_that_forgets(workspace, orthanc, allowed, waits):
    path = make_set(workspace)
    assert sending.send(path, orthanc.url).sent == 12
    lost = sorted(files_of(path))[:3]
    for uid in lost:
        orthanc.delete(uid)
    assert sending.send(path, orthanc.url).sent == 3
    assert orthanc.files() == files_of(path)


def test_a_set_that_lies_in_no_workspace(workspace, orthanc, proxy, allowed, tmp_path):
    path = tmp_path / "elsewhere"
    shutil.copytree(make_set(workspace), path)
    assert sending.send(path, proxy.url).sent == 12
    proxy.requests.clear()
    assert sending.send(path, proxy.url).sent == 0
    assert not proxy.asked("POST")
    # A server that does not search across studies is asked for each of them, at the end.
    proxy.rule = lambda r: setattr(r, "answer", (404, {}, b"")) if "/dicom-web/instances" in r.path else None
    assert sending.send(path, proxy.url).instances == 12
    assert orthanc.count() == 12


def test_an_instance_that_the_server_refuses_is_named(workspace, orthanc, proxy, allowed, small_batches):
    path = make_set(workspace)
    bad = sorted((path / "dicom").rglob("*.dcm"))[3]
    header = pydicom.dcmread(bad)
    del header.SeriesInstanceUID
    header.save_as(bad)
    with pytest.raises(DataError, match="All others were taken") as raised:
        sending.send(path, proxy.url)
    assert raised.value.where == str(bad)
    assert raised.value.what.startswith(f"{proxy.url} refuses this instance")
    assert orthanc.count() == 11
    assert proxy.asked("POST")
    # A server that takes nothing at all is not asked for all.
    proxy.requests.clear()
    proxy.rule = lambda r: setattr(r, "answer", (400, {}, b"<html>")) if r.method == "POST" else None
    with pytest.raises(DataError, match=r"HTTP status 400.*None was taken"):
        sending.send(make_set(workspace, 40), proxy.url)
    assert len(proxy.asked("POST")) < 20


def test_requests_that_are_too_large_are_made_smaller(workspace, orthanc, proxy, allowed, small_batches):
    path = make_set(workspace, 20)
    size = max(len(content) for content in files_of(path).values())

    def rule(request: Request) -> None:
        if len(request.body) > 3 * size:
            request.answer = (413, {}, b"")

    proxy.rule = rule
    assert sending.send(path, proxy.url).sent == 20
    assert orthanc.files() == files_of(path)
    assert sum(len(request.body) > 3 * size for request in proxy.asked("POST")) <= 2  # it is learnt


def test_changes_that_the_server_makes_are_told(workspace, orthanc, proxy, allowed):
    path = make_set(workspace, 4)

    def coerced(content: bytes) -> bytes:
        answer = json.loads(content)
        answer["00081199"]["Value"][0]["00081196"] = {"vr": "US", "Value": [0xB000]}
        return json.dumps(answer).encode()

    proxy.rule = lambda r: setattr(r, "edit", coerced) if r.method == "POST" else None
    assert sending.send(path, proxy.url).warnings == {"B000: elements were changed": 1}


def test_only_synthetic_images_are_sent(workspace, orthanc, proxy, allowed):
    path = make_set(workspace)
    real = sorted((path / "dicom").rglob("*.dcm"))[-1]
    header = pydicom.dcmread(real)
    del header.SyntheticData
    header.save_as(real)
    with pytest.raises(DataError, match=r"not marked as synthetic.*nothing was sent") as raised:
        sending.send(path, proxy.url)
    assert raised.value.where == str(real)
    assert not proxy.requests
    assert orthanc.count() == 0


def test_a_redirection_is_not_followed(workspace, orthanc, proxy, allowed):
    path = make_set(workspace, 2)
    elsewhere = {"Location": "https://user:CANARY@elsewhere/dicom-web/studies?token=CANARY"}
    proxy.rule = lambda r: setattr(r, "answer", (301, elsewhere, b""))
    with pytest.raises(UsageError, match="https://elsewhere/dicom-web/studies") as raised:
        sending.send(path, proxy.url)
    assert "CANARY" not in str(raised.value)
    assert len(proxy.requests) == 1


def test_a_server_that_is_not_there(workspace, allowed, waits):
    path = make_set(workspace, 2)
    with pytest.raises(EnvironmentFault, match="refuses the connection, 3 times"):
        sending.send(path, "http://127.0.0.1:9/dicom-web")
    with pytest.raises(EnvironmentFault, match="a name that no address belongs to"):
        sending.send(path, "http://pacs.invalid/dicom-web")


def test_augment_sends_what_it_makes(tmp_path, empty_store, orthanc, proxy, allowed, waits):
    workspace = fresh_workspace(tmp_path, empty_store)
    closed_form_generator(workspace, make_dataset(workspace, *blobs(80, side=16)))
    wrong = AugmentOptions(n=6, to=f"{orthanc.url}/nowhere", keep_all=True)
    with pytest.raises(UsageError, match="nowhere"):
        stages.run("augment", wrong, workspace)
    assert not workspace.all(SYNTHETIC)  # told before anything is made

    def rule(request: Request) -> None:
        if request.method == "POST":
            orthanc.kill()

    proxy.rule = rule
    options = AugmentOptions(n=6, to=proxy.url, keep_all=True, formats=["png"])
    assert options.formats == ["png", "dicom"]
    with pytest.raises(EnvironmentFault, match="kept as xray-001: 'medsyn send xray-001 --to http"):
        stages.run("augment", options, workspace)
    orthanc.start()
    proxy.rule = lambda request: None
    done = medsyn("send", "xray-001", "--to", proxy.url, "--workspace", workspace.path, cwd=tmp_path, **allowed)
    assert done.returncode == 0, done.stderr
    result = stages.run("augment", AugmentOptions(n=4, seed=1, to=proxy.url, keep_all=True), workspace)
    assert (result.sent.instances, result.sent.sent) == (4, 4)
    assert orthanc.files() == {**files_of(workspace.all(SYNTHETIC)[0]), **files_of(result.path)}
