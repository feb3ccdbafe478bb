"""Grey values of real files against highdicom and, where it is installed, DCMTK: benchmarks/dicom_agreement.py."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.real
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "dicom_agreement.py"


@pytest.fixture
def script() -> Iterator[ModuleType]:
    pytest.importorskip("highdicom", reason="needs highdicom")
    spec = importlib.util.spec_from_file_location("dicom_agreement", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    path = list(sys.path)
    sys.path.append(str(SCRIPT.parent))  # as where it is run as a script
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path
    del sys.modules[spec.name]


def test_independent_routes_show_the_same_images(script: ModuleType, real_data: Path) -> None:
    rows = script.agreement(real_data / "dicom")
    routes = ["highdicom"] + ["dcmtk"] * (shutil.which("dcmj2pnm") is not None)
    least = {"highdicom": 205, "dcmtk": 185}
    for route in routes:
        values = {row.file: getattr(row, route) for row in rows if row.medsyn == "read"}
        assert sum(isinstance(v, float) for v in values.values()) >= least[route]
        apart = {name: v for name, v in values.items() if isinstance(v, float) and v > script.LIMIT}
        assert not apart.keys() - script.EXPLAINED.keys(), apart
        assert not [v for v in values.values() if isinstance(v, str) and not v.startswith("not read")]
    failed = {row.file: row.medsyn for row in rows if row.medsyn.startswith("failed")}
    assert failed.keys() == {"pydicom/MR_truncated.dcm", "pydicom/meta_missing_tsyntax.dcm"}
    assert len({row.syntax for row in rows if row.medsyn == "read"}) == 13
