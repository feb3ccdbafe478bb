"""Generators in MLflow's model registry: which versions there are, and which one is the champion."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn import tracking
from medsyn.errors import EnvironmentFault, MedsynError
from medsyn.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: Of the model, ``medsyn-xray``.
        number: Of the version.
        champion: Whether the alias points here.
        tags: Without their prefix ``medsyn.``: generator, digest, dataset, kid, coverage, ...
        created: Seconds since 1970.
    """

    name: str
    number: int
    champion: bool
    tags: dict[str, str]
    created: float

    @property
    def title(self) -> str:
        return f"{self.name}/{self.number}"


def versions(workspace: Workspace) -> list[Version] | None:
    """All versions of medsyn's models in the store, the newest first; None where there is no registry to ask."""
    if _is_absent(workspace):
        return None
    try:
        client = tracking.client(workspace)
        champions = {m.name: str(m.aliases.get(tracking.CHAMPION)) for m in _pages(client.search_registered_models)}
        # What a search finds may come without its aliases.
        for name in champions:
            champions[name] = str(client.get_registered_model(name).aliases.get(tracking.CHAMPION))
        found = [
            Version(
                name=v.name,
                number=int(v.version),
                champion=champions.get(v.name) == str(v.version),
                tags={key.removeprefix("medsyn."): value for key, value in v.tags.items()},
                created=v.creation_timestamp / 1000,
            )
            for v in _pages(client.search_model_versions)
        ]
    except Exception as error:
        # Its text may quote the address with its password.
        log.warning("MLflow's registry does not answer (%s)", type(error).__name__)
        return None
    return sorted(found, key=lambda version: (version.created, version.number), reverse=True)


def make_champion(workspace: Workspace, version: Version) -> None:
    """Let the alias point to this version.

    Raises:
        EnvironmentFault: The store refuses, or does not answer.
    """
    try:
        tracking.client(workspace).set_registered_model_alias(version.name, tracking.CHAMPION, str(version.number))
    except Exception as error:
        raise refused(workspace, type(error).__name__) from error


def refused(workspace: Workspace, why: str) -> MedsynError:
    """That the registry did not do what it was asked for."""
    return EnvironmentFault(
        f"MLflow's registry does not answer, or refuses ({why})",
        where=tracking.shown_uri(workspace),
        mend="Check MLFLOW_TRACKING_URI, and the right to write there.",
    )


def _is_absent(workspace: Workspace) -> bool:
    """Whether the store is a database that nobody has made yet: asking it would make it."""
    uri = tracking.uri(workspace)
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file()


def _pages(search: Any) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = search(filter_string=f"name LIKE '{tracking.MODELS}%'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found
