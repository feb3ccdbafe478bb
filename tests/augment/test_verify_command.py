"""`medsyn verify` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from augment.sets_to_verify import copy, ready, typed, whole

from medsyn.workspace import Workspace

__all__ = ["copy", "ready", "typed", "whole"]


def test_typed(whole: Path, ready: Workspace, copy: Path, typed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = typed(whole.name, "-w", ready.path)
    assert code == 0, out
    assert [line[:13].split() for line in out.splitlines()[1:]] == [
        ["✓", name] for name in ("files", "manifest", "images", "generator")
    ]
    (copy / "card.md").unlink()
    (copy / "more").write_text("")
    code, out, errors = typed(copy, "-w", ready.path)
    assert code == 3
    assert [line for line in out.splitlines() if line.startswith("✗")] == [
        "✗  files      1 file is missing: card.md",
        "✗  files      1 file does not belong to the set: more",
    ]
    assert errors.count("Error: ") == 1
    assert "2 findings" in errors
    code, out, errors = typed(copy, "--json", "-w", ready.path)
    assert code == 3
    found = json.loads(out)
    assert not found["ok"]
    assert [finding["first"] for finding in found["findings"]] == [["card.md"], ["more"]]
    assert typed("nothing", "-w", ready.path)[0] == 4
    assert typed(copy, "--share", "2")[0] == 2


def test_where_no_generator_is_it_says_so(
    copy: Path, tmp_path: Path, typed: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = typed(copy, "-w", tmp_path / "nowhere")
    assert code == 0
    assert out.splitlines()[-1].startswith("!  generator  not here, so no image was made again")
