"""Fixtures of the toy, for the tests of training and of checkpoints."""

import pytest

from gan.toy import toy, trained  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def _quick_features(coarse_features: None) -> None:
    """Coarse features: none of these tests is about how well they tell."""
