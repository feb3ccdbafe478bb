"""SHA256SUMS: as `sha256sum` reads it, and never out of its folder."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from medsyn.sums import SUMS, read_sums, sha256, write_sums


def test_sha256sum_reads_what_is_written(tmp_path: Path) -> None:
    names = ["a.png", "two words.txt", "images/ü.png"]
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / name).write_text(name)
    lines = [(name, sha256(tmp_path / name)) for name in names]
    assert lines[0][1] == hashlib.sha256(b"a.png").hexdigest()
    assert write_sums(lines, tmp_path / SUMS) == sha256(tmp_path / SUMS)
    assert list(read_sums(tmp_path / SUMS)) == lines
    assert subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / names[1]).write_text("changed")
    assert subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.parametrize("line", ["", "no sum", f"{'0' * 63}  a", f"{'0' * 64}  ../a", f"{'0' * 64}  /etc/passwd"])
def test_a_line_that_is_none_or_leads_elsewhere_names_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / SUMS).write_text(f"{line}\n{'1' * 64}  b\n")
    assert list(read_sums(tmp_path / SUMS)) == [("", ""), ("b", "1" * 64)]
