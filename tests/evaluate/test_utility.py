"""Arms are chosen on val; test is opened for the chosen ones alone; nothing is trained twice."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs, make_dataset, make_synthetic

from medsyn import compute
from medsyn.cache import Cache
from medsyn.config import EvaluateOptions
from medsyn.evaluate.comparison import cells, tables, utility, worth
from medsyn.evaluate.comparison.bank import Bank
from medsyn.evaluate.comparison.places import Places
from medsyn.evaluate.comparison.regenerate import Regenerator
from medsyn.evaluate.comparison.training import SEALED, Engine
from medsyn.evaluate.inputs.resolve import resolve
from medsyn.metrics.features import extractor
from medsyn.progress import SILENT


@pytest.fixture
def bench(workspace, tmp_path):
    dataset = make_dataset(workspace, *blobs(120))
    make_synthetic(workspace, dataset, *blobs(90, seed=1))

    def make(**changes):
        base = {"steps": 3, "batch": 8, "bootstrap": 100, "ratios": [0.5], "threads": 1, "seeds": 3, "screen": 1}
        options = EvaluateOptions(**{**base, **changes})
        inputs = resolve(options, workspace, SILENT)
        settings = cells.settings(inputs.table, inputs.classes, options)
        cache, folder = Cache(workspace), tmp_path / "arrays"
        folder.mkdir(exist_ok=True)
        device = compute.device("cpu", options.threads)
        bank = Bank(extractor("imagenet", device), cache)
        places = Places(inputs, settings, Regenerator(inputs.dataset, options, folder, cache), lambda text: None)
        engine = Engine(options, inputs.preset, places, None, bank, cache, device, folder)
        found = utility.Utility(options, engine, inputs.classes, SILENT)
        for classifier in options.classifiers:
            found.choose(settings[0], classifier)
        return found

    return make


def test_only_chosen_arms_are_opened_and_repeated(bench, monkeypatch):
    read = []
    of = Cache.get
    monkeypatch.setattr(Cache, "get", lambda self, kind, key: (read.append((kind, key)), of(self, kind, key))[1])
    found = bench()
    (group,) = found.groups
    assert not [1 for kind, _ in read if kind == SEALED]  # chosen without a look
    assert len(group.opened) == 2
    assert {p.kind for p in group.opened} == {"control", "synthetic"}
    rows = [tables.arm(found, group, plan) for plan in group.plans]
    sealed = {key for kind, key in read if kind == SEALED}
    assert sealed == {found.engine.key(j) for p in group.opened for j in group.jobs(p, range(3))}
    for plan, row in zip(group.plans, rows, strict=True):
        assert (row.test is not None) == row.chosen == (plan in group.opened)
        assert len(row.val.per_seed) == 1
        if row.test is not None:
            assert len(row.test["auroc"].per_seed) == 3
    # One training an arm, two more of each chosen one; the duplicated control is an arm too.
    assert found.engine.trained == len(group.plans) + 2 * 2
    best = max((r for r in rows if r.kind == "control"), key=lambda r: r.val.value)
    assert best.val.value == next(r for r in rows if r.chosen and r.kind == "control").val.value


def test_all_arms_can_be_opened(bench):
    found = bench(test_arms="all", seeds=2)
    (group,) = found.groups
    assert group.opened == group.plans
    assert all(tables.arm(found, group, plan).test for plan in group.plans)
    table = tables.predictions(found)
    assert set(table["split"]) == {"val", "test"}
    assert table.groupby("arm")["seed"].nunique().eq(2).all()


def test_one_more_ratio_costs_that_ratio_alone(bench):
    first = bench(classical="with")
    again = bench(classical="with")
    assert again.engine.trained == 0
    more = bench(classical="with", ratios=[0.5, 0.7])
    new = {p.name for p in more.groups[0].plans} - {p.name for p in first.groups[0].plans}
    assert "real + synthetic x0.7 + classical" in new
    # Where the new ratio was chosen, its repeats and its duplicated control come on top.
    assert more.engine.trained <= 1 + 2 + 1 + 2
    job = first.groups[0].jobs(first.groups[0].control, [2])[0]
    assert np.array_equal(first.engine.test(job)["test"], again.engine.test(job)["test"])


@pytest.mark.parametrize("changes", [{"steps": 4}, {"batch": 9}, {"seed": 1}])
def test_what_changes_the_training_is_trained_again(bench, changes):
    first, second = bench(), bench(**changes)
    assert second.engine.trained >= len(first.groups[0].plans)


def test_processes_and_one_process_agree(bench, workspace):
    import shutil

    alone = bench(seeds=2, ratios=[0.5], classical="with")
    shutil.rmtree(workspace.path / "cache")
    several = bench(seeds=2, ratios=[0.5], classical="with", threads=2)
    assert several.engine.trained > 0
    job = alone.groups[0].jobs(alone.groups[0].plans[0], [0])[0]
    assert np.array_equal(alone.engine.val(job), several.engine.val(job))


def test_probe_does_not_train_on_val_or_test(bench):
    found = bench(classifiers=["probe"], seeds=2)
    (group,) = found.groups
    arm = tables.arm(found, group, group.control)
    assert sum(arm.training_images.values()) == len(found.engine.cells(("all data", 0, 0)).real)


@pytest.mark.parametrize(
    ("reached", "patients", "words"),
    [
        (0.85, 50, "worth about 50 more"),
        (0.80, 0, "worth no additional patient"),
        (0.95, None, "worth more than 200 more patients"),
    ],
)
def test_worth_is_read_off_the_scale(reached, patients, words):
    found = worth.read_off([0, 100, 200], [0.8, 0.9, 0.92], reached)
    assert found.patients == (None if patients is None else pytest.approx(patients))
    assert words in found.sentence


def test_worth_without_a_rising_scale():
    assert "No gain from more real patients was seen" in worth.read_off([0, 50], [0.8, 0.8], 0.9).sentence
