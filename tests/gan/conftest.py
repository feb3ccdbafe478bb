"""Fixtures of the toy, for the tests of training and of checkpoints."""

import pytest

from gan.toy import toy, trained  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def _quick_features(request: pytest.FixtureRequest) -> None:
    """Coarse features, but where other processes compute them, too: none of these tests is about how well they tell."""
    if not request.node.name.endswith("test_distributed.py"):
        request.getfixturevalue("coarse_features")
