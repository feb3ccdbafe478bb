"""The key of a study: which case is what. It stays in the workspace's private folder, away from the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from medsyn.errors import DataError, MissingError
from medsyn.readers.cases import Truth, secret
from medsyn.workspace import Workspace, atomic_file, disk_errors, private_folder, read_json

FOLDER, FILE, PAGE = "reader-studies", "key.json", "read.html"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Case(_Table):
    """One case: what the page calls it, and what it is."""

    case: str
    truth: Truth
    label: str
    image: int  # number in the dataset, or row of the synthetic set


class Source(_Table):
    """What cases came from."""

    name: str
    digest: str


class Study(_Table):
    """A study as ``key.json`` holds it; ``study`` is a keyed hash of all the rest."""

    study: str
    dataset: Source
    synthetic: Source
    modality: str
    image_shape: list[int]  # C, H, W
    simulated: bool  # the built-in sample: no image shows a person
    classes: list[str]
    splits: dict[str, int]  # split -> real cases from it
    n: int
    seed: int
    cases: list[Case]  # in the order of the page
    schema_version: Literal[1] = 1

    @classmethod
    def of(cls, key: bytes, **content: object) -> Study:
        """Number a study by its content, with the project key."""
        made = cls.model_validate({"study": "", **content})
        return made.model_copy(update={"study": made.number(key)})

    def number(self, key: bytes) -> str:
        """What the content of this study is called in a workspace with this project key."""
        content = self.model_dump(mode="json", exclude={"study"})
        return secret(key, "study", json.dumps(content, sort_keys=True))[:16]


def folder_of(workspace: Workspace, study: str) -> Path:
    return workspace.private / FOLDER / study


def save(study: Study, workspace: Workspace) -> Path:
    """Write the key, for the user's eyes only; returns the study's folder."""
    folder = folder_of(workspace, study.study)
    with disk_errors(folder):
        private_folder(folder)
        with atomic_file(folder / FILE, mode=0o600) as partial:
            partial.write_text(study.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder


def load(workspace: Workspace, study: str, asked_by: Path) -> Study:
    """The key of a study.

    Args:
        workspace: Where it was made.
        study: Its number.
        asked_by: The file of answers that names it.

    Raises:
        MissingError: It is not of this workspace.
        DataError: The key was changed since.
    """
    file = folder_of(workspace, study) / FILE
    if not file.is_file():
        raise MissingError(
            f"answers study {study}, which was not made in workspace {workspace.path}",
            where=asked_by,
            mend="Name the workspace that wrote the page: --workspace.",
        )
    try:
        found = Study.model_validate(read_json(file))
    except ValidationError:
        found = None
    if found is None or found.study != study or found.number(workspace.project_key()) != study:
        raise DataError(
            "is not the key that was written with the page",
            where=file,
            mend="Put back the original file (and private/project.key), or make a new study.",
        )
    return found
