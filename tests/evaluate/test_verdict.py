from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from medsyn.evaluate import statistics, verdict
from medsyn.evaluate.measures import scoring
from medsyn.evaluate.measures.decisions import choose_offsets, decide
from medsyn.evaluate.results import MEASURES, Estimate

SEEDS = 5


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.001, 0.1, "helps"),
        (0.001, 0.005, "helps"),
        (-0.1, -0.001, "hurts"),
        (-0.005, 0.009, "equivalent"),
        (-0.005, 0.011, "no evidence"),
        (-0.011, 0.005, "no evidence"),
        (0.0, 0.1, "no evidence"),
        (None, None, "no evidence"),
    ],
)
def test_rule(low, high, decision):
    assert verdict.decide(Estimate(value=0.003, low=low, high=high), 0.01) == decision


def test_an_error_that_falls_helps():
    effect = Estimate(value=-0.05, low=-0.08, high=-0.02)
    assert verdict.decide(verdict.oriented(effect, "brier"), 0.01) == "helps"
    assert verdict.decide(verdict.oriented(effect, "auroc"), 0.01) == "hurts"


class Bench:
    """Arms on shared images, whose separations on val and test are given."""

    def __init__(self, n=400, subjects=None, classes=2, seeds=SEEDS, noise=0.05):
        self.rng = np.random.default_rng(0)
        self.labels, self.classes, self.seeds, self.noise = np.arange(n) % classes, classes, seeds, noise
        self.units = np.arange(n) % (subjects or n)
        self.weights = statistics.bootstrap_weights(self.units, self.labels, 200, 0)
        self.shared = self.rng.normal(size=(n, classes))

    def probabilities(self, separation):
        shape = (self.seeds, len(self.labels), self.classes)
        logit = separation * np.eye(self.classes)[self.labels] + self.shared + self.rng.normal(0, self.noise, shape)
        e = np.exp(logit)
        return e / e.sum(2, keepdims=True)

    def arm(self, name, kind, val, test, val_units=200, bias=0.0):
        p = self.probabilities(test)
        ranked = p.copy()
        if bias:  # the same ranking, probabilities of class 1 pushed down
            p = np.stack([1 - p[..., 1] * (1 - bias), p[..., 1] * (1 - bias)], 2)
        tuned = [decide(q, choose_offsets(q, self.labels)) for q in ranked]
        made = [scoring.score(p, d, self.labels, self.units, self.weights) for d in (np.stack(tuned), p.argmax(2))]
        return verdict.Judged(
            setting="all data",
            classifier="cnn",
            name=name,
            kind=kind,
            ratio=None,
            val_auroc=np.full(self.seeds, val),
            val_units=val_units,
            test=made[0],
            at_half=made[1],
            mean_probabilities=p.mean(0),
            labels=self.labels,
            units=self.units,
        )

    def judge(self, control, synthetic, **options):
        pair = self.arm("real + classical", "control", 0.9, control), self.arm("x1", "synthetic", 0.9, synthetic)
        return verdict.verdict(*pair, **{"modality": "xray", "margin": 0.01, "estimand": "Everything.", **options})


def test_the_choice_is_made_on_val_and_of_equals_the_first():
    b = Bench(n=40)
    table = [
        ("real", "control", 0.8),
        ("classical", "control", 0.9),
        ("over", "control", 0.9),
        ("x1", "synthetic", 0.7),
    ]
    judged = [b.arm(name, kind, val, 1.0) for name, kind, val in table]
    assert verdict.choose(judged, "control").name == "classical"
    assert verdict.choose(judged, "synthetic").name == "x1"


@pytest.mark.parametrize(("test", "decision", "words"), [(3.0, "helps", "help:"), (0.2, "hurts", "hurt:")])
def test_clear_effects(test, decision, words):
    result = Bench().judge(1.5, test, modality="mri", warnings=["something else"])
    assert result.decision == decision
    assert result.sentence.startswith(f"The synthetic slices {words} AUROC 0.")
    assert result.effect.low <= result.effect.value <= result.effect.high
    assert (result.warnings[0], result.quick, result.estimand) == ("something else", False, "Everything.")
    assert result.delong.agrees
    assert result.delong.difference == pytest.approx(result.effect.value, abs=0.01)


def test_a_gain_inside_the_margin_is_called_small():
    result = Bench(n=4000).judge(1.5, 1.53, margin=0.05)
    assert result.decision == "helps"
    assert result.sentence.endswith("The gain is surely smaller than 0.05, which counts as none.")


def test_equivalent():
    result = Bench(n=2000, noise=0.3).judge(1.5, 1.5, margin=0.05)
    assert result.decision == "equivalent"
    assert result.sentence.startswith("The synthetic films make no difference that counts: AUROC")
    assert result.sentence.endswith("Any difference is smaller than 0.05.")


def test_no_evidence_says_what_could_be_found_and_what_it_takes():
    result = Bench(n=100, noise=0.8).judge(1.5, 1.5, margin=0.01)
    assert result.decision == "no evidence"
    assert result.detectable == pytest.approx(statistics.detectable(result.effect))
    assert result.needed_subjects > 100
    assert f"finds a true difference of {result.detectable:.3f}" in result.sentence
    assert f"about {result.needed_subjects:,} test subjects like these would be needed, not 100" in result.sentence


def test_where_trainings_differ_too_much_more_seeds_are_asked_for():
    b = Bench(n=2000)
    pair = [b.arm("real", "control", 0.9, 1.5), b.arm("x1", "synthetic", 0.9, 1.5)]
    luck = np.array([0.08, -0.07, 0.01, 0.06, -0.08])
    wild = scoring.Scores(
        {
            "auroc": pair[1].test.per_seed["auroc"] + luck,
            "balanced_accuracy": pair[1].test.per_seed["balanced_accuracy"],
        },
        {"auroc": pair[1].test.per_draw["auroc"] + luck[:, None], "balanced_accuracy": np.zeros((5, 200))},
        pair[1].test.units,
    )
    result = verdict.verdict(
        pair[0], dataclasses.replace(pair[1], test=wild), modality="xray", margin=0.03, estimand="E"
    )
    assert (result.decision, result.needed_subjects) == ("no evidence", None)
    assert "no number of test subjects would do" in result.sentence
    seeds = int(result.sentence.split("about ")[1].split(" seeds")[0])
    assert 5 < seeds < 200


def test_too_few_subjects_decide_nothing():
    b = Bench(subjects=8)
    pair = b.arm("real", "control", 0.9, 1.5, val_units=4), b.arm("x1", "synthetic", 0.9, 6.0, val_units=4)
    result = verdict.verdict(*pair, modality="mri", margin=0.01, estimand="E")
    assert verdict.decide(result.effect, 0.01) == "helps"
    assert result.decision == "no evidence"
    few = "Too few subjects to decide: the smallest class has 4 in test"
    assert few in result.sentence
    assert any(w.startswith(few) for w in result.warnings)
    assert any("where the smallest class has 4 subjects: largely by chance" in w for w in result.warnings)
    assert Bench(subjects=10).judge(1.5, 6.0).decision == "helps"


@pytest.mark.parametrize(("seeds", "quick"), [(2, True), (3, False)])
def test_a_quick_run_decides_nothing(seeds, quick):
    result = Bench(seeds=seeds).judge(1.5, 6.0, quick=quick)
    assert (result.decision, result.quick) == ("no evidence", True)
    assert f"Only {seeds} repeats of the training: a quick run decides nothing" in result.sentence


def test_lower_is_better_for_errors():
    result = Bench().judge(1.0, 3.0, measure="brier")
    assert result.decision == "helps"
    assert result.effect.high < 0
    assert "Brier score" in result.sentence
    assert "lower is better" in result.rule
    assert "wholly below 0: helps" in result.rule
    assert result.delong is None


def test_three_classes_have_no_delong():
    result = Bench(n=300, classes=3).judge(1.0, 3.0)
    assert result.decision == "helps"
    assert result.delong is None


def test_a_delong_that_disagrees_is_a_warning():
    b = Bench(n=2000)
    pair = [b.arm("real", "control", 0.9, 1.5), b.arm("x1", "synthetic", 0.9, 1.6)]
    luck = np.array([0.2, -0.2, 0.1, 0.15, -0.2])  # of trainings, which DeLong's test does not see
    test = pair[1].test
    wild = dataclasses.replace(
        test,
        per_seed={**test.per_seed, "auroc": test.per_seed["auroc"] + luck},
        per_draw={**test.per_draw, "auroc": test.per_draw["auroc"] + luck[:, None]},
    )
    result = verdict.verdict(
        pair[0], dataclasses.replace(pair[1], test=wild), modality="xray", margin=0.01, estimand="E"
    )
    assert result.decision == "no evidence"
    assert not result.delong.agrees
    assert any(
        w.startswith("DeLong's test finds a difference where the interval above does not") for w in result.warnings
    )


def test_a_gain_that_is_only_the_threshold_is_named():
    b = Bench()
    pair = b.arm("real", "control", 0.9, 2.0, bias=0.55), b.arm("x1", "synthetic", 0.9, 2.0)
    result = verdict.verdict(*pair, modality="xray", margin=0.01, estimand="E")
    assert any("moved threshold" in w for w in result.warnings)
    assert not any("moved threshold" in w for w in b.judge(2.0, 2.0).warnings)


def test_contrasts_are_against_the_chosen_control_the_primary_first():
    b = Bench(n=100, noise=0.5)
    table = [
        ("real", "control", 0.8),
        ("classical", "control", 0.9),
        ("x0.5", "synthetic", 0.85),
        ("x1", "synthetic", 0.9),
    ]
    judged = [b.arm(name, kind, val, 1.5) for name, kind, val in table]
    judged += [dataclasses.replace(j, classifier="probe") for j in judged]
    unopened = dataclasses.replace(judged[2], name="x2", val_auroc=np.zeros(SEEDS), test=None, at_half=None)
    found = verdict.contrasts([*judged, unopened], "all data", "cnn")
    assert len(found) == 2 * 2 * len(MEASURES)
    assert [c.primary for c in found] == [True] + [False] * (len(found) - 1)
    first = found[0]
    assert (first.arm, first.control, first.measure, first.classifier) == ("x1", "classical", "auroc", "cnn")
    assert first.p_holm is None
    assert first.effect == judged[3].test.minus(judged[1].test, "auroc")
    assert {c.control for c in found} == {"classical"}
    assert [c.p_holm for c in found[1:]] == pytest.approx(statistics.holm([c.effect.p_value for c in found[1:]]))
    other = verdict.contrasts(judged, "all data", "probe", "brier")[0]
    assert (other.classifier, other.measure, other.primary) == ("probe", "brier", True)


def test_an_arm_that_was_never_opened_has_no_verdict():
    b = Bench(n=40)
    pair = [b.arm("real", "control", 0.9, 1.5), b.arm("x1", "synthetic", 0.9, 1.5)]
    pair[1] = dataclasses.replace(pair[1], test=None)
    with pytest.raises(ValueError, match="never opened"):
        verdict.verdict(*pair, modality="xray", margin=0.01, estimand="E")
