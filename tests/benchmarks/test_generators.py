"""The benchmark of generators on a toy; in full it runs as ``python benchmarks/generators.py``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import blobs
from PIL import Image

# The processes that arms run in import the scripts by name; last, because scripts are called as folders of tests are.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import generators
import generators_networks
from generators_arms import ARMS, Job
from generators_measures import bars
from generators_page import section
from generators_sets import SETS, Scans, Spec, split

SIDE, CLASSES = 16, ("lower", "upper")


def toy(folder: Path, side: int) -> Scans:
    """Smooth random fields, brighter in the lower or in the upper half; two pictures a subject."""
    images, _ = blobs(160, side=side, signal=0)
    labels = np.arange(160) // 2 % 2
    images[labels == 0, :, side // 2 :] += 0.3
    images[labels == 1, :, : side // 2] += 0.3
    return Scans(images.clip(0, 1), labels, (np.arange(160) // 2).astype(str))


TOY = Spec("Toy", toy, CLASSES, "mri", SIDE, 0.25, "1kimg", "nobody")


def test_no_subject_is_on_both_sides_and_a_seed_draws_the_same() -> None:
    scans = toy(Path(), SIDE)
    drawn = split(TOY, scans, seed=1)
    assert not set(drawn.pool.units) & set(drawn.held_out.units)
    assert len(drawn.held_out.labels) == 40
    assert len(drawn.pool.labels) == len(drawn.train.labels) == 120
    few = split(TOY, scans, seed=1, train=30)
    assert len(few.train.labels) == 30
    assert set(few.train.units) < set(few.pool.units)
    assert np.array_equal(few.held_out.images, drawn.held_out.images)
    assert not np.array_equal(split(TOY, scans, seed=2).held_out.units, drawn.held_out.units)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_gives_images_class_by_class(arm: str, tmp_path: Path) -> None:
    if arm == "ddpm":
        pytest.importorskip("einops", reason="MONAI's diffusion network needs einops")
    train = toy(Path(), SIDE)
    made = ARMS[arm](Job(train, CLASSES, "mri", [9, 7], 0, "0.2kimg", 1, tmp_path))
    assert made.images.shape == (16, 1, SIDE, SIDE)
    assert made.images.dtype == np.float32
    assert 0 <= made.images.min() < made.images.max() <= 1
    if arm in ("copy", "smote", "gaussian", "mixture", "latent-r3gan"):
        halves = made.images[:, 0].reshape(16, 2, -1).mean(2)
        assert (halves[:9, 1] > halves[:9, 0]).mean() > 0.8
        assert (halves[9:, 1] < halves[9:, 0]).mean() > 0.8
    else:
        assert made.notes["kimg"] >= 0.2 or made.notes["health"]
        assert made.parameters > 10_000


@pytest.mark.parametrize("train", [generators_networks.ddpm, generators_networks.dcgan])
def test_others_compute_in_bfloat16_where_it_is_native(
    train: Callable[..., generators_networks.Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    if train is generators_networks.ddpm:
        pytest.importorskip("einops", reason="MONAI's diffusion network needs einops")
    scans = toy(Path(), SIDE)
    made = []
    for native in (False, True):
        monkeypatch.setattr(generators_networks, "bfloat16_is_native", lambda device, native=native: native)
        made.append(train(torch.from_numpy(scans.images), torch.from_numpy(scans.labels), "0.064kimg", 0))
    whole, half = ([p.detach() for p in one.network.parameters()] for one in made)
    assert all(p.dtype == torch.float32 for p in half)
    assert not all(torch.equal(p, q) for p, q in zip(whole, half, strict=True))
    images = made[1].sample(torch.tensor([0, 1]), 0)
    assert images.dtype == torch.float32
    assert torch.isfinite(images).all()


def test_a_run_measures_keeps_merges_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETS, "toy", TOY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    keep, out = tmp_path / "keep", tmp_path / "generators.json"
    given = ["--sets", "toy", "--seeds", "0", "--threads", "1", "--keep", str(keep), "--out", str(out)]
    given += ["--figures", str(tmp_path), "--data", str(tmp_path), "--arms"]
    generators.main([*given, "copy", "plain-dcgan"])
    (cell,) = keep.glob("*/seed0/plain-dcgan/cell.json")
    written = cell.stat().st_mtime_ns
    generators.main([*given, "plain-dcgan", "gaussian"])
    assert cell.stat().st_mtime_ns == written

    found = json.loads(out.read_text())
    (entry,) = found["sets"].values()
    assert set(entry["arms"]) == {"copy", "plain-dcgan", "gaussian"}
    assert entry["floor"]["0"]["learnt"].keys() == set(CLASSES)
    copied, trained = (entry["arms"][arm]["0"] for arm in ("copy", "plain-dcgan"))
    assert copied["copying"]["found"]
    assert copied["copying"]["copies"] > 0.9 * copied["scopes"]["all"]["n"]
    assert not trained["copying"]["copies"]
    assert copied["scopes"]["all"]["coverage"] > trained["scopes"]["all"]["coverage"]
    assert trained["peak_mib"] > 100
    (beside,) = keep.glob("*/seed0/real_and_generated.png")
    with Image.open(tmp_path / entry["figure"]) as public, Image.open(beside) as complete:
        assert complete.width - public.width == 2 * (3 * 64 + 8)  # real and copied scans: three of 64 px side by side
    page = section(found)
    assert page.count("| all |") == page.count("| upper |") == 4
    assert "not measured" in page  # the recipe that bars are for was not run


def test_bars_are_met_missed_or_not_measured() -> None:
    def cells(**values: float) -> dict[str, object]:
        scopes = {"all": values, "a": {"agreement": 0.8}}
        return {"0": {"scopes": scopes, "copying": {"found": False}}}

    entry = {"set": "pneumoniamnist", "train": None, "classes": ["a"]}
    entry["floor"] = cells(kid=0, fid=75, coverage=0.98, recall=0.85)
    entry["arms"] = {
        "latent-r3gan": cells(kid=0.2, fid=140, coverage=0.83, recall=0.5),
        "gaussian": cells(kid=0.4, fid=200, coverage=0.6, recall=0.3),
    }
    met = {bar.text.split(" ")[0]: bar.met for bar in bars(entry, "latent-r3gan")}
    assert met == {"KID": True, "FID": False, "coverage": True, "recall": False, "seeds": True, "classifier": True}
    told = {bar.text: bar.met for bar in bars(entry | {"set": "mri"}, "latent-r3gan")}
    assert told["KID below that of gaussian"] is True
    assert told["coverage above that of ddpm"] is None
    assert all(bar.met is None for bar in bars(entry, "r3gan"))
