"""What the filter of the candidates does: the set against one of the same size with nothing filtered out."""

from __future__ import annotations

import html
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluate.selected_sets import every, make_selected, of_another_class, write_generator
from helpers import blobs, closed_form_generator, fresh_workspace, make_dataset, make_synthetic, read_predictions
from sklearn.metrics import roc_auc_score

from medsyn import generator, stages
from medsyn.config import AugmentOptions, EvaluateOptions
from medsyn.evaluate.comparison import unfiltered
from medsyn.evaluate.comparison.training import Engine
from medsyn.evaluate.inputs.resolve import Given, resolve
from medsyn.evaluate.stage import run
from medsyn.progress import SILENT, Silent
from medsyn.synthetic import MANIFEST, SyntheticSet
from medsyn.synthetic.unfiltered import make, swaps
from medsyn.workspace import GENERATOR, read_json, write_json

OPTIONS = EvaluateOptions(
    classifiers=["probe"], primary="probe", classical="without", ratios=[5], seeds=5, screen=2, steps=6, batch=16,
    bootstrap=100, threads=1,
)  # fmt: skip
WRONG = 0.5


@pytest.fixture(scope="module")
def lab(tmp_path_factory, empty_store):
    """A workspace with a hard task, and a generator of which half of the images are of the other class."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("lab"), empty_store)
    images, labels = blobs(300, signal=0.12, seed=5)
    dataset = make_dataset(workspace, images, labels, official=["train"] * 90 + ["val"] * 60 + ["test"] * 150)
    return workspace, dataset, write_generator(workspace, dataset, WRONG)


# ---- which images the unfiltered set has


def manifest(text):
    """One letter a candidate: its class, a capital where it was accepted."""
    accepted = [letter.isupper() for letter in text]
    rows = np.cumsum(accepted) - 1
    return pd.DataFrame(
        {
            "label": [letter.lower() for letter in text],
            "accepted": accepted,
            "row": [float(r) if a else np.nan for r, a in zip(rows, accepted, strict=True)],
        }
    )


@pytest.mark.parametrize(
    ("text", "came", "went"),
    [
        ("ABAB", [], []),
        ("aAAbB", [2, 4], [0, 3]),  # of a: 0 and 1; of b: 3
        ("AAaaA", [4], [2]),  # 3 accepted: the first three, of which one was rejected
        ("aab", [], []),  # nothing accepted
        ("AAab", [], []),  # rejected when the class was complete
    ],
)
def test_rejected_candidates_take_the_places_of_those_that_came_in_for_them(text, came, went):
    found = swaps(manifest(text))
    assert [list(places) for places in found] == [came, went]


def test_the_unfiltered_set_is_the_first_candidates_of_every_class():
    rng = np.random.default_rng(0)
    for _ in range(50):
        letters = rng.choice(list("aAbBcC"), size=40)
        table = manifest("".join(letters))
        came, went = swaps(table)
        kept = np.flatnonzero(table["accepted"])
        made = np.where(np.isin(kept, came), -1, kept)
        made[np.searchsorted(kept, came)] = went
        assert (table["label"].to_numpy()[made] == table["label"].to_numpy()[kept]).all()  # row by row
        for label, mine in table.groupby("label"):
            n = int(mine["accepted"].sum())
            assert set(mine.index[:n]) == set(made[table["label"].to_numpy()[made] == label])


@pytest.mark.parametrize(("bits", "truncation"), [(8, 1.0), (16, 0.7)])
def test_rejected_candidates_are_made_again_to_the_bit(lab, bits, truncation):
    workspace, dataset, path = lab
    made = SyntheticSet.open(make_selected(workspace, dataset, path, 20, every(3), bits=bits, truncation=truncation))
    images = made.images()
    found = make(made, images, workspace, "cpu")
    assert found.changed == 0
    candidates = made.candidates()
    first = {label: set(mine["index"][: int(mine["accepted"].sum())]) for label, mine in candidates.groupby("label")}
    model, white = generator.load(path), 2**bits - 1
    table = candidates.set_index("index")
    placed, rows = found.place(images), made.manifest()
    expected = Counter()
    for label, numbers in first.items():
        index = np.array(sorted(numbers))
        drawn = model.sample(np.full(len(index), model.classes.index(label)), 0, index, truncation)
        expected.update((label, np.rint(image * white).astype(int).tobytes()) for image in drawn)
    assert expected == Counter(
        (label, np.rint(image * white).astype(int).tobytes())
        for label, image in zip(rows["label"], placed, strict=True)
    )
    same = np.setdiff1d(np.arange(len(images)), found.rows)
    np.testing.assert_array_equal(placed[same], images[same])
    assert 5 <= len(found.rows) < 20
    assert not table.loc[sorted(first["pneumonia"]), "accepted"].all()


def test_what_augment_rejected_is_made_again_to_the_bit(workspace):
    closed_form_generator(workspace, make_dataset(workspace, *blobs(300)))
    options = AugmentOptions(n=60, truncation=0.8, threads=1, workers=1)
    made = SyntheticSet.open(stages.run("augment", options, workspace).path)
    found = make(made, made.images(), workspace, "cpu")
    assert len(found.rows) > 5
    assert found.changed == 0


# ---- what comes of it


@pytest.fixture(scope="module")
def helped(lab):
    """A filter that rejects the images of the other class."""
    workspace, dataset, path = lab
    made = make_selected(workspace, dataset, path, 150, of_another_class(path, WRONG))
    read, looks = [], []

    class Listening(Silent):
        def say(self, text):
            if text.startswith("Selection: training"):
                looks.append(((workspace.path / "looks.jsonl").exists(), len(read)))

    with pytest.MonkeyPatch.context() as patch:
        original = Engine.test
        patch.setattr(Engine, "test", lambda self, job: read.append(job) or original(self, job))
        result = run(OPTIONS.model_copy(update={"synthetic": made.name}), workspace, Listening())
    return result, made, read, looks


def test_a_filter_of_wrong_labels_helps(helped):
    result, made, _, _ = helped
    found = result.report.selection
    assert found.tested
    assert found.decision == "helps"
    assert found.effect.low > 0.02
    assert found.effect.value == pytest.approx(found.filtered.value - found.unfiltered.value)
    assert found.effect.per_seed == pytest.approx(np.subtract(found.filtered.per_seed, found.unfiltered.per_seed))
    table = SyntheticSet.open(made).candidates()
    for name in result.report.dataset.classes:
        mine = table[table["label"] == name]
        assert found.judged[name] == len(mine)
        assert found.accepted[name] == 150
        assert found.rejected[name] == {"label": len(mine) - 150}
    assert found.replaced == len(swaps(table)[0]) > 100
    assert f"Selection replaced {found.replaced} of 300 images" in found.sentence
    assert "it helps the classifier" in found.sentence
    assert found.notes == []


def test_a_filter_of_right_labels_hurts(lab):
    workspace, dataset, path = lab
    right = of_another_class(path, WRONG)

    def turned(*given):
        return ["label" if reason is None else None for reason in right(*given)]

    made = make_selected(workspace, dataset, path, 150, turned)
    report = run(OPTIONS.model_copy(update={"synthetic": made.name}), workspace).report
    assert report.selection.decision == "hurts"
    assert report.selection.effect.high < 0
    assert "it hurts the classifier" in report.selection.sentence


def test_the_numbers_follow_from_the_predictions_and_only_the_chosen_arm_is_trained_again(helped):
    result, _, _, _ = helped
    report, table = result.report, read_predictions(result.path)
    mine = table[table.setting == "all data, unfiltered"]
    assert set(mine.arm) == {report.verdict.arm}
    assert set(mine.repeat) == set(range(5))
    rows = mine[mine.split == "test"]
    per_seed = [roc_auc_score(g.label == "pneumonia", g.probability_pneumonia) for _, g in rows.groupby("repeat")]
    assert report.selection.unfiltered.per_seed == pytest.approx(per_seed)
    chosen = next(a for a in report.arms if a.name == report.verdict.arm)
    assert report.selection.filtered == chosen.test["auroc"]
    assert {a.setting for a in report.arms} == {c.setting for c in report.contrasts} == {"all data"}


def test_it_is_trained_before_test_is_opened_and_opened_after_the_choice(helped):
    _, _, read, looks = helped
    assert looks == [(False, 0)]
    assert {job.setting for job in read} == {"all data", "all data, unfiltered"}


def test_both_stand_in_the_report(helped):
    result, _, _, _ = helped
    report = result.report
    page, markdown = (html.unescape((result.path / f"report.{kind}").read_text()) for kind in ("html", "md"))
    assert report.selection.sentence in page
    assert report.selection.sentence in markdown
    rows = {row.kind: row for row in report.fidelity.rows if row.scope == "all"}
    ours, theirs = rows["synthetic"], rows["unfiltered"]
    assert ours.n == theirs.n
    assert ours.kid != theirs.kid
    section = page.split('<section id="selection"')[1].split("</section>")[0]
    for value in (ours.coverage, theirs.coverage, ours.recall, theirs.recall):
        assert f"{value:.3f}" in section


def test_all_else_stays_as_it_is_to_the_bit(helped, lab):
    result, made, _, _ = helped
    workspace, _, path = lab
    aside = workspace.path / "aside"
    # Whom it learnt from is known without the generator, as `augment` leaves it.
    digest = read_json(path / GENERATOR.main_file)["digest"]
    record = workspace.private / f"subjects-{digest[:16]}.parquet"
    shutil.copy(path / "subjects.parquet", record)
    path.rename(aside)
    try:
        without = run(OPTIONS.model_copy(update={"synthetic": made.name}), workspace)
    finally:
        aside.rename(path)
        record.unlink()
    sentence = "the rejected candidates cannot be made again, because the generator is not in this workspace"
    assert without.report.selection.sentence == f"Selection was not compared: {sentence}."
    assert without.report.selection.rejected == result.report.selection.rejected
    varies = {"seconds", "timings", "created", "looks_at_test", "verdict", "selection", "fidelity"}
    assert without.report.model_dump(exclude=varies) == result.report.model_dump(exclude=varies)
    same = without.report.verdict.model_dump(exclude={"warnings"})
    assert same == result.report.verdict.model_dump(exclude={"warnings"})
    assert without.report.fidelity.sentence == result.report.fidelity.sentence
    assert without.report.fidelity.rows == [r for r in result.report.fidelity.rows if r.kind != "unfiltered"]
    table = read_predictions(result.path)
    pd.testing.assert_frame_equal(
        read_predictions(without.path), table[table.setting == "all data"].reset_index(drop=True)
    )


def test_a_second_evaluation_finds_the_same_also_without_what_is_remembered(helped, lab):
    result, made, _, _ = helped
    workspace = lab[0]
    shutil.rmtree(workspace.path / "cache")
    again = run(OPTIONS.model_copy(update={"synthetic": made.name}), workspace).report
    assert again.selection == result.report.selection
    assert again.fidelity.rows == result.report.fidelity.rows


def test_a_quick_run_decides_nothing(helped, lab):
    quick = {"synthetic": helped[1].name, "quick": True, "seeds": 2}
    found = run(OPTIONS.model_copy(update=quick), lab[0]).report.selection
    assert found.tested
    assert found.effect.low > 0
    assert found.decision == "no evidence"
    assert "too little here to tell" in found.sentence


@pytest.fixture(scope="module")
def copied(tmp_path_factory, empty_store):
    """A filter of copies, on another machine than the one where the candidates were judged; and how many there are."""
    workspace = fresh_workspace(tmp_path_factory.mktemp("copied"), empty_store)
    images, labels = blobs(120)
    path = write_generator(workspace, make_dataset(workspace, images, labels))
    model = generator.load(path)
    numbers = np.arange(0, 60, 6)
    images[numbers] = model.sample(labels[numbers], 0, numbers)
    # Images of the generator stand among those that it is said to have learnt from: it copies them.
    official = ["train"] * 60 + ["val", "val", "test", "test"] * 15
    dataset = make_dataset(workspace, images, labels, official=official, prefix="other")
    trained = set(dataset.table.loc[dataset.rows("train"), "image_key"])
    copies = {int(k) for k in numbers if f"otherimage{k}" in trained}

    def rule(index, labels, images):
        return ["copy" if k in copies else None for k in index.tolist()]

    made = make_selected(workspace, dataset, path, 40, rule)
    with_other_bits(made, 4)
    return run(OPTIONS.model_copy(update={"synthetic": made.name}), workspace), len(copies)


def with_other_bits(made, n):
    """Change what the manifest says of the pixels of some rejected candidates."""
    table = pq.read_table(made / "manifest.parquet").to_pylist()
    for row in [row for row in table if not row["accepted"]][:n]:
        row["pixel_digest"] = "0" * 64
    pq.write_table(pa.Table.from_pylist(table, schema=MANIFEST), made / "manifest.parquet")


def test_copies_that_were_filtered_out_are_counted(copied):
    report, n = copied[0].report, copied[1]
    assert report.copying.copies == report.selection.filtered_copies == 0
    assert report.selection.unfiltered_copies == n > 5
    assert f"0 of the images all but equal a training image with it, {n} without." in report.selection.sentence


def test_other_bits_are_told_and_stop_nothing(copied):
    result, n = copied
    (note,) = result.report.selection.notes
    assert note.startswith(f"4 of the {n} rejected images have other bits here")
    assert "are 0 of 255 grey levels away" in note
    assert note in html.unescape(result.html.read_text())


# ---- why there may be nothing to compare


def refused(workspace, made, **changes):
    """Why a set is not compared; its card is changed first."""
    write_json(made / "card.json", read_json(made / "card.json") | changes)
    inputs = resolve(OPTIONS.model_copy(update={"synthetic": made.name}), workspace, SILENT)
    return unfiltered.rejected(inputs.given, workspace, "cpu", SILENT)


def test_sets_without_anything_to_compare(lab):
    workspace, dataset, path = lab
    plain = make_synthetic(workspace, dataset, *blobs(40, seed=1), generator=path)
    assert refused(workspace, plain) == "no candidate was rejected"
    made = make_selected(workspace, dataset, path, 20, every(3))
    assert refused(workspace, made, selection={"kept_all": True}) == "the set was made to keep every candidate"
    table = pq.read_table(made / "manifest.parquet").to_pylist()
    late = [row for row in table if row["accepted"]] + [row for row in table if not row["accepted"]]
    pq.write_table(pa.Table.from_pylist(late, schema=MANIFEST), made / "manifest.parquet")
    assert (
        refused(workspace, made, selection={"kept_all": False})
        == "no candidate was rejected before its class was complete"
    )
    foreign = Given("theirs", {}, resolve(OPTIONS, workspace, SILENT).given.images, foreign=True)
    assert unfiltered.rejected(foreign, workspace, "cpu", SILENT).startswith("the set was made by another tool")
    assert unfiltered.train(None, workspace, None, None, None).startswith("generators are trained in this evaluation")


def test_a_generator_that_cannot_be_used(workspace):
    dataset = make_dataset(workspace, *blobs(120))
    path = write_generator(workspace, dataset)
    made = make_selected(workspace, dataset, path, 20, every(3))
    assert len(refused(workspace, made).rows) > 5
    # With another truncation it makes other images than those that were judged.
    assert refused(workspace, made, truncation=0.5) == (
        "the rejected candidates cannot be made again, because the generator makes other images here than those that "
        "were judged"
    )
    weights = path / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert "is not the file that was committed" in refused(workspace, made, truncation=1.0)
