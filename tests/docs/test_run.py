"""The commands and the Python of the pages, run from the top to the bottom of each page, only on less."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import NARROW
from helpers import SMALL, blobs, closed_form_generator, fresh_workspace, make_dataset
from typer.testing import CliRunner

from docs import scans
from docs.pages import ALL, PAGES, ROOT, Block, arguments, blocks, name
from medsyn.augment.stage import run as augment
from medsyn.cli import app
from medsyn.config import AugmentOptions

STUDY = {"README.md": ROOT / "README.md", **{page: PAGES / page for page in ("quickstart.md", "tutorial.md")}}
INGEST = {page: PAGES / page for page in ("how-to/bids.md", "how-to/medmnist.md", "reference/ingest.md")}
MADE = {
    page: PAGES / page
    for page in (
        *("how-to/other-tools.md", "how-to/own-classifier.md", "reference/augment.md", "reference/evaluate.md"),
        *("reference/operations.md", "reference/train-gan.md"),
    )
}
BEFORE = {
    "reference/evaluate.md": "medsyn evaluate && medsyn evaluate --margin 0.02",
    "reference/operations.md": "medsyn train-gan",
}
"""What else a page takes for made."""
SNIPPETS = {"how-to/own-classifier.md", "how-to/training-loop.md", "reference/train-gan.md"}
"""Pages whose Python has tests of its own."""
LESS = {
    'budget="10m"': f'budget="0.5kimg", knobs={SMALL}',
    'labels="labels.csv", modality="xray"': 'labels="labels.csv", modality="xray", size=32',
    "labels: labels.csv, modality: xray": "labels: labels.csv, modality: xray, size: 32",
    '5000, balance="equal"': '12, balance="equal", keep_all=True',
    "seeds=5": "seeds=2, steps=4, batch=8, bootstrap=100, ratios=[0.5], classical='without'",
    "budget: 30m": f"budget: 0.5kimg, knobs: {SMALL}",
    "n: 5000, balance: equal": "n: 12, balance: equal, keep_all: true",
    "seeds: 5, ratios: [0.25, 0.5, 1.0, 2.0]": (
        "seeds: 2, steps: 4, batch: 8, ratios: [0.5], classical: without, bootstrap: 100"
    ),
    "/mnt/share/": "medsyn-workspace/synthetic/",
    "/models/": "medsyn-workspace/generators/",
    "xray-003": "xray-001",
    "normal=15": "normal=10",
}
SMALLER = {
    "ingest": {"--size": "32"},
    "train-gan": {"--budget": "0.5kimg"},
    "augment": {"--n": "12", "--keep-all": None},
    "evaluate": {"--seeds": "2", "--steps": "4", "--batch": "8", "--bootstrap": "100", "--classical": "without"},
}
FEWER = {"--sample-subjects": "30", "--train-subjects": "40", "--generator-budget": "0.2kimg"}
"""Options that are made smaller only where a page has them."""


def less(text: str) -> str:
    for much, little in LESS.items():
        text = text.replace(much, little)
    return text


def smaller(call: list[str]) -> list[str]:
    """A command that does the same on less: hardly trained generators, few images, few steps."""
    command, *rest = [less(word) for word in call]
    for option, value in SMALLER.get(command, {}).items():
        if value is not None and option in rest:
            rest[rest.index(option) + 1] = value
        elif option not in rest:
            rest += [option] if value is None else [option, value]
    if command == "train-gan":
        rest += NARROW
    if command == "evaluate" and "--ratio" not in rest:
        rest += ["--ratio", "0.5"]
    if "--balance" in rest:  # counts that add up to the twelve
        rest[rest.index("--balance") + 1] = re.sub(r"=\d+", "=6", rest[rest.index("--balance") + 1])
    for option, value in FEWER.items():
        if option in rest:
            rest[rest.index(option) + 1] = value
    return [command, *rest]


def run(line: str) -> list[str]:
    """Run what a line of shell calls, in the current folder; the commands."""
    calls = arguments(line)
    for call in calls:
        result = CliRunner().invoke(app, smaller(call))
        assert result.exit_code == 0, f"{line}\n{result.output}"
    return [command for command, *_ in calls]


def follow(page: Path) -> list[str]:
    """Do what a page says, in the current folder; the commands that were run."""
    done = []
    for block in blocks(page, "sh", "python", "yaml"):
        named = re.match(r"# ([\w/]+\.(?:py|yaml))\n", block.text)
        if named and "/" not in named[1]:
            Path(named[1]).write_text(less(block.text))
        elif named or block.not_run:
            continue
        elif block.language == "python":
            exec(less(block.text), {})
        else:
            for line in block.lines:
                done += run(line)
    return done


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coarse_features: None) -> Iterator[Path]:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield tmp_path
    for added in {"mine", "forest", "texture"} - known:
        sys.modules.pop(added, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, coarse_features: None) -> Path:
    """A workspace with a dataset, a generator and a set in every format."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("made"), empty_store)
    images, labels = blobs(90, side=32)
    closed_form_generator(workspace, make_dataset(workspace, images, labels, class_names=("normal", "nodule")))
    augment(AugmentOptions(n=12, keep_all=True, formats=["png", "dicom", "nifti", "npz"], threads=1), workspace)
    return workspace.path


@pytest.mark.system
@pytest.mark.parametrize("page", STUDY)
def test_a_page_from_scans_to_a_verdict(here: Path, page: str) -> None:
    scans.pictures(here / "scans", here / "labels.csv")
    scans.medmnist(here / "pneumoniamnist.npz", classes=2, each=15)
    done = follow(STUDY[page])
    assert done.index("ingest") < done.index("train-gan") < done.index("augment") < done.index("evaluate")
    (report, *_) = sorted((here / "medsyn-workspace" / "evaluations").glob("*/report.html"))
    assert re.search(r"helps|hurts|equivalent|no evidence", report.read_text(encoding="utf-8"), re.IGNORECASE)


@pytest.mark.system
@pytest.mark.parametrize("page", INGEST)
def test_a_page_about_ingest(here: Path, page: str) -> None:
    for write in (scans.bids, scans.volumes, scans.exports, scans.folders, scans.npz):
        write(here)
    assert follow(INGEST[page]).count("ingest") > 2
    assert len(list((here / "medsyn-workspace" / "datasets").iterdir())) > 2


@pytest.mark.system
@pytest.mark.parametrize("page", MADE)
def test_a_page_about_what_was_made(here: Path, made: Path, page: str) -> None:
    shutil.copytree(made, here / "medsyn-workspace")
    scans.elsewhere(here / "elsewhere", classes=("normal", "nodule"))
    run(BEFORE.get(page, ""))
    assert follow(MADE[page])


def shown(page: Path, of: Callable[[Block], bool]) -> list[str]:
    return [block.text for block in blocks(page, "sh", "bash", "python") if not block.not_run and of(block)]


@pytest.mark.parametrize("page", ALL, ids=name)
def test_what_no_test_runs_says_why_not(page: Path) -> None:
    if name(page) not in {**STUDY, **INGEST, **MADE}:
        assert shown(page, lambda b: b.language != "python" and any(map(arguments, b.lines))) == []
        if name(page) not in SNIPPETS:
            assert shown(page, lambda b: b.language == "python") == []


@pytest.mark.parametrize("page", ALL, ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for block in blocks(page, "sh"):
        assert set(re.findall(r"^make (\w+)", block.text, re.MULTILINE)) <= set(targets)
