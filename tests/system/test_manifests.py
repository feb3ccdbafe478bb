"""The Kubernetes manifests of the docs: what they run are commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from medsyn.cli import app

PAGES = Path(__file__).parent.parent.parent / "docs" / "pages" / "how-to"


@pytest.mark.parametrize("page", ["cluster.md", "several-gpus.md"])
def test_manifests_of_the_docs(page: str) -> None:
    (manifest,) = re.findall(r"```yaml\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
    *_, job = yaml.safe_load_all(manifest)
    pod = job["spec"]["job" if page == "cluster.md" else "template"]["spec"]
    (container,) = pod["containers"]
    command = (container.get("args") or container["command"])[:]
    stage, *given = command[command.index("medsyn") + 1 :]
    known = {option for parameter in get_command(app).commands[stage].params for option in parameter.opts}  # type: ignore[attr-defined]
    assert {word.partition("=")[0] for word in given if word.startswith("--")} <= known
    assert {m["name"] for m in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
