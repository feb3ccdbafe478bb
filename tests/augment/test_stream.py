"""The stream gives the images of a set, without end, each worker its own."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch
from helpers import blobs, closed_form_generator, fresh_workspace, make_dataset
from torch.utils.data import DataLoader

import medsyn
from medsyn.augment.stage import run
from medsyn.config import AugmentOptions
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.workspace import GENERATOR, Workspace

SIDE, BATCH = 16, 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    """A workspace with a class Gaussian of a small dataset of unequal classes, and one that makes
    black and white only."""
    made = fresh_workspace(tmp_path_factory.mktemp("stream"), empty_store)
    (made.private / "project.key").write_text("5" * 64)  # the same splits every time
    images, labels = blobs(160, side=SIDE)
    kept = (labels == 0) | (torch.arange(160).numpy() % 3 == 0)
    dataset = make_dataset(made, images[kept], labels[kept])
    closed_form_generator(made, dataset, batch=BATCH)
    closed_form_generator(made, dataset, batch=BATCH, contrast=1e4, name="glaring")
    return made


def stream(place: Workspace, *args, **options) -> medsyn.SyntheticStream:
    return medsyn.SyntheticStream("xray-001", *args, workspace=place.path, **options)


def indices(source, n: int) -> list[int]:
    return [made["index"] for made in islice(iter(source), n)]


def test_the_images_are_those_of_the_set_that_the_same_options_make(place):
    written = run(AugmentOptions(n=60, generator="xray-001", seed=3, formats=["npz"], threads=1), place)
    made = medsyn.load_synthetic(written.path)
    judged = sum(made.card["judged"].values())
    near = made.card["rejected"].get("near_duplicate", 0)
    assert judged - len(made) - near > 0, "nothing was rejected: the test would show nothing"
    source = stream(place, seed=3)
    streamed = list(islice(source, 60))
    own = {found["index"]: found for found in streamed}
    for name in made.classes:
        # Near-duplicates are all that a stream does not leave out.
        of_set = [found["index"] for found in made if found["class"] == name]
        of_stream = [found["index"] for found in streamed if found["class"] == name]
        shared = min(max(of_set), max(of_stream))
        assert {k for k in of_set if k <= shared} <= {k for k in of_stream if k <= shared}
        assert len({k for k in of_stream if k <= shared} - set(of_set)) <= near
    common = [found for found in made if found["index"] in own]
    assert len(common) > 20
    for found in common:
        other = own[found["index"]]
        assert torch.equal(found.pop("image"), other["image"])
        assert found == {key: value for key, value in other.items() if key != "image"}


def test_what_comes(place):
    source = stream(place, select=False)
    first = next(iter(source))
    assert first["image"].shape == source.image_shape == (1, SIDE, SIDE)
    assert first["image"].dtype == torch.float32
    assert 0 <= first["image"].min() < first["image"].max() <= 1
    assert source.classes[first["label"]] == first["class"]
    assert first["index"] % 2 == first["label"]
    assert first["synthetic"] is True
    with pytest.raises(TypeError):
        len(source)


@pytest.mark.parametrize(
    ("balance", "pneumonia"), [("equal", 0.5), ("match", 0.25), ({"pneumonia": 9, "no_finding": 1}, 0.9)]
)
def test_classes_come_evenly_in_the_balance_asked_for(place, balance, pneumonia):
    source = stream(place, balance, select=False)
    assert source.shares["pneumonia"] == pytest.approx(pneumonia, abs=0.06)
    classes = [made["class"] for made in islice(source, 200)]
    for start in range(0, 200, 40):  # not one batch of a class after another
        assert abs(classes[start : start + 40].count("pneumonia") - 40 * source.shares["pneumonia"]) <= 2


def test_a_class_that_is_not_named_never_comes(place):
    source = stream(place, {"pneumonia": 1}, select=False)
    assert {made["class"] for made in islice(source, 30)} == {"pneumonia"}


def test_beginning_again_gives_the_same(place):
    source = stream(place, select=False)
    first = indices(source, 20)
    assert indices(source, 20) == indices(stream(place, select=False), 20) == first
    images = [torch.stack([made["image"] for made in islice(stream(place, seed=s, select=False), 20)]) for s in (0, 1)]
    assert not any(torch.equal(*pair) for pair in zip(*images, strict=True))


def test_truncation_makes_images_alike(place):
    spread = [
        torch.stack([made["image"] for made in islice(stream(place, select=False, truncation=psi), 40)]).std(0).mean()
        for psi in (1.0, 0.5)
    ]
    assert spread[1] < 0.7 * spread[0]


def test_no_worker_makes_what_another_makes(place):
    one = {made["index"]: made["image"] for made in islice(stream(place, select=False), 200)}
    loader = DataLoader(stream(place, select=False), batch_size=10, num_workers=2)
    batches = list(islice(loader, 10))
    found = torch.cat([batch["index"] for batch in batches]).tolist()
    assert len(set(found)) == 100
    assert Counter(torch.cat([batch["label"] for batch in batches]).tolist()) == {0: 50, 1: 50}
    for k, image in zip(found, torch.cat([batch["image"] for batch in batches]), strict=True):
        assert torch.equal(image, one[k])
    assert torch.cat([batch["index"] for batch in islice(loader, 10)]).tolist() == found


RANK = """
import json, pickle, sys
from itertools import islice
import torch.distributed as dist
from torch.utils.data import DataLoader
import medsyn

rank, workspace, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
source = medsyn.SyntheticStream("xray-001", workspace=workspace, select=False)  # before there are ranks
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
loader = DataLoader(source, batch_size=10, num_workers=2)
told = {"forked": [k for batch in islice(loader, 4) for k in batch["index"].tolist()]}
sent = pickle.dumps(source)  # as to a worker that starts afresh, which has not heard of the process group
dist.destroy_process_group()
told["sent"] = [made["index"] for made in islice(pickle.loads(sent), 40)]
print(json.dumps(told))
"""


@pytest.mark.system
def test_no_rank_makes_what_another_makes(place, tmp_path):
    (tmp_path / "rank.py").write_text(RANK)
    command = [sys.executable, tmp_path / "rank.py"]
    ranks = [
        subprocess.Popen([*command, str(r), place.path, tmp_path / "store"], stdout=subprocess.PIPE, text=True)
        for r in range(2)
    ]
    try:
        told = [json.loads(rank.communicate(timeout=300)[0]) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for way in ("forked", "sent"):
        assert len({*told[0][way]}) == len({*told[1][way]}) == 40
        assert not {*told[0][way]} & {*told[1][way]}


def test_ranks_of_torchrun_that_have_no_process_group_yet(place, monkeypatch):
    apart = []
    for rank in range(2):
        for name, value in {"MASTER_ADDR": "localhost", "RANK": rank, "WORLD_SIZE": 2}.items():
            monkeypatch.setenv(name, str(value))
        apart.append(indices(stream(place, select=False), 40))
    assert not {*apart[0]} & {*apart[1]}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_class_that_is_always_rejected_is_an_error_and_no_endless_search(place, workers):
    source = medsyn.SyntheticStream("glaring", max_tries=3, workspace=place.path)
    told = (
        rf"only 0 of {BATCH} images of class '\w+' in {3 * BATCH} tries \({3 * BATCH} saturated\)\. The generator has"
    )
    with pytest.raises(DataError, match=told):
        next(iter(DataLoader(source, batch_size=4, num_workers=workers)))
    assert len(indices(medsyn.SyntheticStream("glaring", select=False, workspace=place.path), 20)) == 20


def test_without_the_dataset_a_warning_and_technical_rules(place, tmp_path):
    elsewhere = Workspace(tmp_path / "elsewhere")
    folder = tmp_path / "handed on"
    shutil.copytree(place.find(GENERATOR, "xray-001"), folder)
    with pytest.warns(UserWarning, match="not in this workspace") as told:
        source = medsyn.SyntheticStream(folder, workspace=elsewhere.path)
    assert len(told) == 1
    assert told[0].filename == __file__
    kept, every = set(indices(source, 60)), set(indices(stream(place, select=False), 60))
    assert kept == every  # a class Gaussian has no technical fault
    assert not elsewhere.path.exists()
    shutil.rmtree(folder)
    shutil.copytree(place.find(GENERATOR, "glaring"), folder)
    with pytest.warns(UserWarning, match="technical"), pytest.raises(DataError, match="saturated"):
        next(iter(medsyn.SyntheticStream(folder, workspace=elsewhere.path)))


def test_the_threads_of_the_training_stay_as_they_were(place):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        source = iter(stream(place, select=False))
        assert torch.get_num_threads() == 3
        next(source)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_memory_does_not_grow(place):
    source = iter(stream(place, select=False))
    held = []
    tracemalloc.start()
    try:
        for n in (200, 1500):
            for _ in islice(source, n):
                pass
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 100_000  # 1,500 images are 384,000 bytes


def test_a_transform_makes_what_comes(place):
    source = stream(place, select=False, transform=lambda made: (1 - made["image"], made["label"]))
    plain = next(iter(stream(place, select=False)))
    image, label = next(iter(source))
    assert torch.equal(image, 1 - plain["image"])
    assert label == plain["label"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": {"cat": 1}}, r"no class 'cat'. There are: no_finding, pneumonia"),
        ({"balance": "minority"}, r'balance: say "equal", "match".*given: .minority'),
        ({"balance": {"pneumonia": -1, "no_finding": 2}}, "none below 0"),
        ({"balance": {}}, "a weight for each class"),
        ({"seed": -1}, "seed: .*greater than or equal to 0"),
        ({"truncation": 0}, "truncation: .*greater than 0"),
        ({"device": "tpu"}, "device: say auto, cpu"),
    ],
)
def test_wrong_arguments_in_one_line(place, options, message):
    with pytest.raises(UsageError, match=message):
        stream(place, **options)


def test_no_such_generator(place, tmp_path):
    with pytest.raises(MissingError, match=r"no generator 'mri-007'.*xray-001"):
        medsyn.SyntheticStream("mri-007", workspace=place.path)
    with pytest.raises(MissingError, match="train-gan"):
        medsyn.SyntheticStream(workspace=tmp_path / "empty")
