from __future__ import annotations

import numpy as np
import pytest

from medsyn.evaluate import arms, comparison, verdict
from medsyn.evaluate.inputs import Images
from medsyn.evaluate.results import Estimate


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [(0.001, 0.1, "helps"), (-0.1, -0.001, "hurts"), (-0.01, 0.02, "no evidence"), (0.0, 0.1, "no evidence")],
)
def test_rule(low, high, decision):
    assert verdict.decide(Estimate(value=(low + high) / 2, low=low, high=high)) == decision


@pytest.mark.parametrize(("value", "text"), [(0.0131, "+0.013"), (-0.009, "−0.009"), (-0.0001, "0.000"), (0, "0.000")])
def test_signed(value, text):
    assert verdict.signed(value) == text


def scored(separations, val_n=80, test_n=400, seeds=3, subjects=None):
    """Arms whose val and test separations are given: plan -> (val, test); ``subjects`` share the images evenly."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, n in (("val", val_n), ("test", test_n)):
        splits[split] = Images(
            np.empty((n, 0)), np.arange(n) % 2, (np.arange(n) % (subjects or n)).astype(str), np.arange(n)
        )
    noise = {s: rng.normal(size=len(i)) for s, i in splits.items()}
    outcomes = []
    for plan, pair in separations.items():
        p = {}
        for (split, images), separation in zip(splits.items(), pair, strict=True):
            logit = separation * (images.labels - 0.5) + noise[split] + rng.normal(0, 0.05, (seeds, len(images)))
            positive = 1 / (1 + np.exp(-logit))
            p[split] = np.stack([1 - positive, positive], 2)
        outcomes.append(comparison.Outcome(plan, "cnn", {}, p))
    return comparison.score_all(outcomes, splits["val"], splits["test"], 200, 0)


def plans():
    real, classical, oversampled, half, one, alone = arms.plans([0.5, 1.0])
    return {"real": real, "classical": classical, "over": oversampled, "half": half, "one": one, "alone": alone}


def test_the_choice_is_made_on_val_not_on_test():
    p = plans()
    # On test the ratio 1 would win and the plain control would be the easiest to beat; val says otherwise.
    table = {p["real"]: (0.5, 0.2), p["classical"]: (1.5, 1.5), p["half"]: (2.0, 1.5), p["one"]: (1.0, 4.0)}
    result = verdict.verdict(scored(table), "cnn", "xray", ["something else"])
    assert (result.arm, result.control) == (p["half"].name, p["classical"].name)
    assert result.decision == "no evidence"
    assert result.sentence.startswith("No evidence that the synthetic films help: AUROC 0.")
    assert result.warnings[0] == "something else"
    assert "Only 3 repeats" in result.warnings[1]


@pytest.mark.parametrize(("test", "decision", "words"), [(3.0, "helps", "help:"), (0.2, "hurts", "hurt:")])
def test_clear_effects(test, decision, words):
    p = plans()
    result = verdict.verdict(scored({p["classical"]: (1.5, 1.5), p["one"]: (2.0, test)}), "cnn", "mri", [])
    assert result.decision == decision
    assert result.sentence.startswith(f"The synthetic slices {words}")
    assert result.effect.low <= result.effect.value <= result.effect.high


def test_too_few_subjects_decide_nothing():
    p = plans()
    table = {p["classical"]: (1.5, 1.5), p["one"]: (2.0, 6.0)}
    result = verdict.verdict(scored(table, subjects=8), "cnn", "mri", [])
    assert verdict.decide(result.effect) == "helps"
    assert result.decision == "no evidence"
    few = "Too few subjects to decide: the smallest class has 4 in val and 4 in test"
    assert few in result.sentence
    assert any(w.startswith(few) for w in result.warnings)
    enough = verdict.verdict(scored(table, subjects=10), "cnn", "mri", [])
    assert enough.decision == "helps"
    assert "this one trained generator" in enough.rule


def test_a_gain_that_is_only_the_threshold_is_named():
    p = plans()
    both = scored({p["classical"]: (2.0, 2.0), p["one"]: (2.01, 2.0)})
    images = Images(np.empty((400, 0)), np.arange(400) % 2, np.arange(400).astype(str), np.arange(400))
    control = both[0].outcome
    # The control ranks as well but its probabilities are pushed below 0.5.
    biased = {s: np.stack([1 - q[..., 1] * 0.45, q[..., 1] * 0.45], 2) for s, q in control.probabilities.items()}
    val = Images(np.empty((80, 0)), np.arange(80) % 2, np.arange(80).astype(str), np.arange(80))
    outcome = comparison.Outcome(control.plan, "cnn", {}, biased)
    again = comparison.score_all([outcome, both[1].outcome], val, images, 200, 0)
    result = verdict.verdict(again, "cnn", "xray", [])
    assert result.decision == "no evidence"
    assert any("moved threshold" in w for w in result.warnings)
