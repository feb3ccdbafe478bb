"""What the tests of evaluations share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_features(request: pytest.FixtureRequest) -> None:
    """Coarse features, but where images are told apart by them."""
    if not request.node.name.endswith(("test_real.py", "test_selection.py")):
        request.getfixturevalue("coarse_features")
