"""Real archives through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import medsyn

pytestmark = [pytest.mark.real, pytest.mark.system]


@pytest.mark.parametrize("folder", ["dicom", "nifti"])
def test_ingest_of_a_real_archive_ends_well(real_data: Path, tmp_path: Path, folder: str) -> None:
    done = medsyn(
        "ingest", real_data / folder, "--modality", "mri", "--size", 32, "--subject-from", "file", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (made,) = (tmp_path / "medsyn-workspace" / "datasets").glob("mri-*")
    assert (made / "dataset.json").is_file()
