from __future__ import annotations

import numpy as np
import pytest

from medsyn.metrics.diversity import effective_diversity, vendi


def test_vendi_counts_distinct_vectors():
    far = np.eye(8) * 100
    assert vendi(far, 1.0) == pytest.approx(8)
    assert vendi(np.repeat(far[:3], 5, 0), 1.0) == pytest.approx(3)
    assert vendi(np.ones((9, 4)), 1.0) == pytest.approx(1)


def test_diversity_falls_with_the_share_of_modes_kept():
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 120, 10))
    ratios = [effective_diversity(real, other[np.arange(120) % kept]) for kept in (120, 60, 12, 1)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx(1, abs=0.2)
    assert ratios[-1] < 0.05


def test_sets_of_different_size_are_refused():
    with pytest.raises(ValueError, match="one size"):
        effective_diversity(np.zeros((4, 2)), np.zeros((5, 2)))
