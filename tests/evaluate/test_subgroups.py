from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from medsyn.evaluate.comparison import subgroups


def arms(n=240, seeds=5):
    rng = np.random.default_rng(0)
    labels, units = np.arange(n) % 2, np.arange(n) // 4 * 2 + np.arange(n) % 2
    view = np.where(np.arange(n) < n // 2, "AP", "PA").astype(object)
    found = []
    for in_ap in (1.0, 3.0):  # the synthetic arm serves AP better
        shift = np.where(view == "AP", in_ap, 1.0) * labels
        p = 1 / (1 + np.exp(-(shift + rng.normal(size=(seeds, n)))))
        found.append(np.stack([1 - p, p], 2))
    return *found, labels, units, view


def test_subgroups_and_their_gap():
    control, synthetic, labels, units, view = arms()
    parts, gaps = subgroups.compare(control, synthetic, labels, units, {"view": view}, 100, 0)
    assert [(p.covariate, p.value, p.images, p.subjects) for p in parts] == [
        ("view", "AP", 120, 60),
        ("view", "PA", 120, 60),
    ]
    here = view == "AP"
    areas = [metrics.roc_auc_score(labels[here], p[here, 1]) for p in synthetic]
    assert parts[0].synthetic.per_seed == pytest.approx(areas)
    assert parts[0].effect.value == pytest.approx(parts[0].synthetic.value - parts[0].control.value)
    assert parts[0].effect.low > 0
    values = [p.synthetic.value for p in parts]
    assert gaps[0].synthetic == pytest.approx(max(values) - min(values))
    assert gaps[0].control == pytest.approx(abs(parts[0].control.value - parts[1].control.value))


def test_too_few_subjects_of_a_class_have_no_auroc():
    control, synthetic, labels, units, view = arms()
    view[:] = "PA"
    view[(units < 8)] = "AP"  # 4 subjects of each class, more images
    view[-40:] = None
    parts, gaps = subgroups.compare(control, synthetic, labels, units, {"view": view}, 100, 0)
    assert [(p.value, p.subjects, p.effect is None, p.control is None) for p in parts] == [
        ("AP", 8, True, True),
        ("PA", len(np.unique(units[view == "PA"])), False, False),
    ]
    assert sum(p.images for p in parts) == 200
    assert gaps == []


def test_covariates_with_one_value_or_none_say_nothing():
    control, synthetic, labels, units, _ = arms(40)
    same = {"sex": np.full(40, "F", object), "vendor": np.full(40, None, object)}
    assert subgroups.compare(control, synthetic, labels, units, same, 100, 0) == ([], [])


def test_folds_are_ranked_apart():
    control, synthetic, labels, units, view = arms()
    folds = units % 3
    scaled = [np.stack([1 - p[..., 1] * 0.1**folds, p[..., 1] * 0.1**folds], 2) for p in (control, synthetic)]
    plain, _ = subgroups.compare(control, synthetic, labels, units, {"view": view}, 100, 0, groups=folds)
    moved, _ = subgroups.compare(*scaled, labels, units, {"view": view}, 100, 0, groups=folds)
    assert moved[0].effect.value == pytest.approx(plain[0].effect.value)
