"""Whole runs as YAML: a list of stages with their options."""

from __future__ import annotations

from pathlib import Path

from medsyn.config.checked import Strict, read_yaml, validate
from medsyn.config.options import STAGES
from medsyn.config.presets import shipped
from medsyn.errors import UsageError


def load_pipeline(path: str | Path) -> list[tuple[str, Strict]]:
    """Read a pipeline: stage names with validated options, in order.

    A bare name (``demo``) or ``pipelines/demo.yaml`` that is not there means the shipped one.

    Raises:
        UsageError: No such file, unknown stage, unknown or wrong option.
    """
    file = Path(path)
    if not file.is_file() and str(file.parent) in (".", "pipelines"):
        file = shipped("pipelines") / f"{file.name.removesuffix('.yaml')}.yaml"
    if not file.is_file():
        names = ", ".join(sorted(p.stem for p in shipped("pipelines").glob("*.yaml")))
        raise UsageError("no such pipeline", where=path, mend=f"Shipped ones: {names}.")
    content = read_yaml(file)
    unknown = set(content) - {"name", "stages"}
    if unknown or not isinstance(content.get("stages"), list):
        wrong = f"unknown key '{sorted(unknown)[0]}'" if unknown else "key 'stages' must be a list"
        raise UsageError(wrong, where=file, mend="A pipeline has 'name' and a list 'stages'.")
    stages = []
    for number, item in enumerate(content["stages"], 1):
        where = f"{file}, stage {number}"
        if not isinstance(item, dict) or len(item) != 1:
            raise UsageError("must be one stage name with its options", where=where, mend="Write '- ingest: {...}'.")
        ((name, options),) = item.items()
        if name not in STAGES:
            raise UsageError(f"unknown stage '{name}'", where=where, mend=f"Use one of {', '.join(STAGES)}.")
        stages.append((name, validate(STAGES[name], options or {}, where=f"{where} ({name})")))
    return stages
