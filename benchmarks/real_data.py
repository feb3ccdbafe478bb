"""Where the real scans are that benchmarks read; CONTRIBUTING.md says what lies there."""

from __future__ import annotations

import os
from pathlib import Path

REAL_DATA = Path(os.environ.get("MEDSYN_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "datasets")
"""A folder that MEDSYN_TEST_DATA names, else one beside the checkout."""
