"""`medsyn verify` finds what was changed in a set, whoever did it, and says nothing of what was not."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from augment.sets import change_card, seal
from augment.sets_to_verify import accepted, change_manifest, check, copy, plain, ready, sentences, whole
from augment.small import write_generator
from commands import environment
from PIL import Image
from pydicom import dcmread

import medsyn
from medsyn import terminal
from medsyn.augment.verification import Verified
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.images import synthetic_png
from medsyn.progress import Silent
from medsyn.synthetic.reading import read_image
from medsyn.workspace import Workspace

__all__ = ["check", "copy", "plain", "ready", "whole"]


def test_a_set_as_it_was_made(whole: Path, check: Callable[..., Verified]) -> None:
    result = check(whole, share=1)
    assert result.ok, sentences(result)
    assert (result.images, result.marked) == (24, 3 * 24)
    assert result.regenerated is not None
    assert (result.regenerated.images, result.regenerated.identical, result.regenerated.largest) == (24, 24, 0)
    assert result.regenerated.made_on == result.regenerated.here
    assert result.files == sum(p.is_file() for p in whole.rglob("*")) - 2


def test_a_sample_is_drawn_by_its_seed_and_of_ten_images_at_least(
    whole: Path, ready: Workspace, check: Callable[..., Verified], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(
        "medsyn.augment.verification.images.read_image",
        lambda path: (read.append(Path(path).stem), read_image(path))[1],
    )
    drawn = []
    for seed, share in [(0, 0.01), (0, 0.01), (1, 0.01), (0, 0.5)]:
        read.clear()
        assert check(whole, seed=seed, share=share).ok
        drawn.append({name.removesuffix(".nii") for name in read})
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(names) for names in drawn] == [10, 10, 10, 12]


def test_a_set_away_from_its_workspace_is_only_read(copy: Path, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    result = medsyn.verify_synthetic(copy, workspace=tmp_path / "nowhere")
    assert result.ok
    assert result.regenerated is None
    assert result.marked == 3 * 10
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == before
    assert not (tmp_path / "nowhere").exists()


def test_the_generator_beside_a_set_is_found_from_anywhere(whole: Path, tmp_path: Path) -> None:
    result = medsyn.verify_synthetic(whole, workspace=tmp_path / "nowhere")
    assert result.regenerated is not None
    assert result.regenerated.identical == 10


def test_a_changed_pixel(copy: Path, check: Callable[..., Verified]) -> None:
    name = accepted(copy)[0]["png"]
    pixels = read_image(copy / name).copy()
    pixels[0, 0, 0] ^= 1
    (copy / name).write_bytes(synthetic_png(pixels, "medsyn"))
    assert sentences(check(copy))[0] == f"1 file has changed: {name}"
    seal(copy)
    assert sentences(check(copy, share=1)) == [f"1 image is not that of the manifest: {name}"]


@pytest.mark.parametrize("fmt", ["dicom", "nifti", "npz"])
def test_a_changed_pixel_in_every_other_format_though_all_sums_are_written_anew(
    copy: Path, check: Callable[..., Verified], fmt: str
) -> None:
    row = accepted(copy)[5]
    if fmt == "npz":
        with np.load(copy / "images.npz") as arrays:
            parts = dict(arrays)
        parts["train_images"][5, 3, 3] ^= 1
        np.savez_compressed(copy / "images.npz", **parts)
        told = "images.npz row 5"
    elif fmt == "dicom":
        told = row["dicom"]
        image = dcmread(copy / told)
        image.PixelData = bytes([image.PixelData[0] ^ 1]) + image.PixelData[1:]
        image.save_as(copy / told)
    else:
        told = row["nifti"]
        data = bytearray(gzip.decompress((copy / told).read_bytes()))
        data[-1] ^= 1
        (copy / told).write_bytes(gzip.compress(bytes(data), mtime=0))
    seal(copy)
    assert sentences(check(copy, share=1)) == [f"1 image is not that of the manifest: {told}"]


@pytest.mark.parametrize(("levels", "elsewhere"), [(1, True), (2, True), (1, False)])
def test_a_grey_level_may_be_another_platform_two_may_not(
    plain: Path, tmp_path: Path, check: Callable[..., Verified], levels: int, elsewhere: bool
) -> None:
    folder = Path(shutil.copytree(plain, tmp_path / "set"))
    if elsewhere:
        card = json.loads((folder / "card.json").read_text())
        card["made_on"]["torch"] = "2.6.0"
        (folder / "card.json").write_text(json.dumps(card))

    def brighten(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["accepted"])
        pixels = read_image(folder / row["png"]).copy()
        grey = int(pixels[0, 4, 4])
        pixels[0, 4, 4] = grey + levels if grey < 128 else grey - levels
        (folder / row["png"]).write_bytes(synthetic_png(pixels, "medsyn"))
        row["pixel_digest"] = hashlib.sha256(pixels.tobytes()).hexdigest()

    change_manifest(folder, brighten)
    seal(folder)
    result = check(folder, share=1)
    assert result.regenerated is not None
    assert (result.regenerated.identical, result.regenerated.largest) == (11, levels)
    first = accepted(folder)[0]["index"]
    by = ", by more than 1 grey level" if elsewhere else ""
    wrong = f"1 image differs from what the generator makes{by}: {first} (by {levels})"
    assert sentences(result) == ([] if levels == 1 and elsewhere else [wrong])


def test_a_set_of_another_instruction_set(ready: Workspace, tmp_path: Path, check: Callable[..., Verified]) -> None:
    other = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
    command = ["augment", "--n", "60", "--format", "png", "--bits", "16", "--keep-all", "-w", str(ready.path)]
    done = subprocess.run(
        [sys.executable, "-m", "medsyn", *command], env=environment(**other), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = medsyn.verify_synthetic(workspace=ready.path, share=1)
    assert result.ok, sentences(result)
    again = result.regenerated
    assert again is not None
    assert again.images == 60
    assert again.largest <= 1
    assert again.made_on["instructions"] == "DEFAULT"
    if again.here["instructions"] != "DEFAULT":
        with terminal.out.capture() as out:
            terminal.verified(result, as_json=False)
        assert ("made with torch" in out.get()) is (again.identical < 60)
        assert ("bit for bit, the others within 1 grey level" in out.get()) is (again.identical < 60)


def test_labels_that_were_swapped(copy: Path, check: Callable[..., Verified]) -> None:
    swapped = accepted(copy)[:2]
    numbers = [row["index"] for row in swapped]
    assert {row["label"] for row in swapped} == {"no_finding", "pneumonia"}

    def swap(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["index"] in numbers:
                row["label"] = "pneumonia" if row["label"] == "no_finding" else "no_finding"

    change_manifest(copy, swap)
    assert "1 file has changed: manifest.parquet" in sentences(check(copy))
    seal(copy)
    told = sentences(check(copy, share=1))
    of = f"{numbers[0]}, {numbers[1]}"
    assert f"2 candidates have not the label of their number: {of}" in told
    assert "2 images are not those of the manifest: images.npz row 0 (label), images.npz row 1 (label)" in told


def test_an_image_that_was_taken_out_of_the_manifest(copy: Path, check: Callable[..., Verified]) -> None:
    label = accepted(copy)[0]["label"]
    change_manifest(copy, lambda rows: rows.remove(next(row for row in rows if row["accepted"])))
    seal(copy)
    told = sentences(check(copy))
    assert f"manifest.parquet has 11 accepted images of '{label}', card.json counts 12" in told
    assert "manifest.parquet has 23 images, card.json says 24" in told
    assert any("candidates are out of order" in sentence for sentence in told)
    assert "images.npz holds 24 images and 24 labels, not 23" in told


def test_candidates_of_another_seed(copy: Path, check: Callable[..., Verified]) -> None:
    change_manifest(copy, lambda rows: rows[3].update(seed=9))
    seal(copy)
    number = pq.read_table(copy / "manifest.parquet")["index"][3]
    assert sentences(check(copy)) == [f"1 candidate is not of the card's seed and checkpoint: {number}"]


def test_a_card_that_counts_and_draws_otherwise(copy: Path, check: Callable[..., Verified]) -> None:
    change_card(copy, n=25, truncation=0.5)
    told = sentences(check(copy))
    assert told[0] == "manifest.parquet has 24 images, card.json says 25"
    assert told[1].startswith("10 images differ from what the generator makes")
    change_card(copy, n="25")
    with pytest.raises(DataError, match=r"card\.json: 'n'"):
        check(copy)


def test_sums_that_were_changed(copy: Path, check: Callable[..., Verified]) -> None:
    sums = copy / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    gone = lines.pop(2).split("  ")[1].strip()
    sums.write_text("".join([*lines, "no sum\n", f"{'0' * 64}  ../private\n", f"{'0' * 64}  /etc/passwd\n"]))
    told = sentences(check(copy))
    assert told[0] == "SHA256SUMS is not the one that card.json names"
    end = len(lines)
    assert f"3 lines of SHA256SUMS cannot be read: line {end + 1}, line {end + 2}, line {end + 3}" in told
    assert f"1 file does not belong to the set: {gone}" in told
    assert any(sentence.startswith("1 image has no file in the sums") for sentence in told)
    sums.unlink()
    assert "SHA256SUMS is missing: no file can be checked" in sentences(check(copy))


def test_files_that_are_missing_or_do_not_belong(copy: Path, check: Callable[..., Verified]) -> None:
    for row in accepted(copy)[:12]:
        (copy / row["dicom"]).unlink()
    (copy / "images" / "real.png").write_bytes(b"")
    os.symlink("/", copy / "linked")
    result = check(copy)
    told = sentences(result)
    assert told[0].startswith("12 files are missing: dicom/")
    assert told[0].endswith(" and 2 more")
    assert len(result.findings[0].first) == 10
    assert sorted(result.findings[1].first) == ["images/real.png", "linked"]
    assert len(told) == 2


def test_a_name_does_not_steer_the_terminal(copy: Path, check: Callable[..., Verified]) -> None:
    (copy / "a\x1b[2Jb\n").write_bytes(b"")
    assert sentences(check(copy)) == ["1 file does not belong to the set: a?[2Jb?"]


@pytest.mark.parametrize("fmt", ["png", "dicom", "nifti", "sidecar"])
def test_files_that_do_not_say_what_they_are(copy: Path, check: Callable[..., Verified], fmt: str) -> None:
    name = accepted(copy)[0]["nifti" if fmt == "sidecar" else fmt]
    file = copy / name
    if fmt == "png":
        Image.fromarray(read_image(file)[0]).save(file)
    elif fmt == "dicom":
        image = dcmread(file)
        del image.SyntheticData
        image.save_as(file)
    elif fmt == "nifti":
        data = gzip.decompress(file.read_bytes())
        file.write_bytes(gzip.compress(data.replace(b"synthetic", b"authentic", 1), mtime=0))
    else:
        sidecar = file.with_name(file.name.replace(".nii.gz", ".json"))
        sidecar.write_text(sidecar.read_text().replace('"Synthetic": true', '"Synthetic": false'))
    seal(copy)
    assert sentences(check(copy, share=1)) == [f"1 file does not say that it is synthetic: {name}"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("manifest.parquet", "manifest.parquet cannot be read"),
        ("images.npz", "images.npz cannot be read"),
        ("png", "1 file cannot be read: images/"),
    ],
)
def test_files_that_are_damaged(copy: Path, check: Callable[..., Verified], name: str, says: str) -> None:
    file = copy / (accepted(copy)[0]["png"] if name == "png" else name)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    seal(copy)
    told = sentences(check(copy, share=1))
    assert any(sentence.startswith(says) for sentence in told), told
    if name == "manifest.parquet":
        assert told == ["manifest.parquet cannot be read (ArrowInvalid)"]


def test_another_generator(whole: Path, ready: Workspace, check: Callable[..., Verified], tmp_path: Path) -> None:
    elsewhere = Workspace(tmp_path / "elsewhere").create()
    other = write_generator(elsewhere, channels=3)
    result = check(whole, generator=other)
    assert result.regenerated is None
    (told,) = sentences(result)
    assert told.startswith(f"generator {other.name} did not make this set: its weights have digest ")
    with pytest.raises(MissingError, match="no generator 'nobody'"):
        check(whole, generator="nobody")


def test_tampered_weights(whole: Path, ready: Workspace, tmp_path: Path, check: Callable[..., Verified]) -> None:
    own = Path(shutil.copytree(ready.path / "generators" / "xray-001", tmp_path / "xray-001"))
    weights = own / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match="SHA-256"):
        check(whole, generator=own)


def test_no_set(tmp_path: Path, ready: Workspace, copy: Path) -> None:
    with pytest.raises(MissingError, match="no synthetic set 'nothing'"):
        medsyn.verify_synthetic("nothing", workspace=ready.path)
    with pytest.raises(UsageError, match="share"):
        medsyn.verify_synthetic(copy, share=0, workspace=ready.path)
    (copy / "card.json").unlink()
    with pytest.raises(DataError, match=r"card\.json: no such file"):
        medsyn.verify_synthetic(copy, workspace=ready.path)


def test_it_tells_how_far_it_is(whole: Path, check: Callable[..., Verified]) -> None:
    labels = []

    class Listener(Silent):
        def task(self, label: str, total: float) -> Any:
            labels.append((label, total))
            return super().task(label, total)

    result = check(whole, progress=Listener())
    assert labels == [("checking files", result.files), ("making 10 images again", 10)]
