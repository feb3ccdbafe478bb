"""Generators of a workspace and of MLflow's registry: list them, choose the champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn import tracking
from medsyn.errors import MissingError
from medsyn.operations import versions as registry
from medsyn.operations.items import when
from medsyn.operations.versions import Version
from medsyn.progress import SILENT, Progress
from medsyn.workspace import GENERATOR, Workspace, read_json


@dataclass(frozen=True)
class Model:
    """One generator.

    Attributes:
        generator: Name of its folder.
        path: The folder; None where only the registry has it.
        modality: Preset name.
        dataset: Name of the dataset it learnt from.
        recipe: How it was trained.
        kid, coverage: On tune, where that was large enough; lower and higher is better.
        created: ISO 8601, UTC.
        digest: SHA-256 of its weights.
        version: In the registry, ``medsyn-xray/3``; None where it is not there.
        champion: Whether ``models:/<name>@champion`` is this one.
    """

    generator: str
    path: Path | None
    modality: str
    dataset: str | None
    recipe: str | None
    kid: float | None
    coverage: float | None
    created: str
    digest: str
    version: str | None = None
    champion: bool = False


@dataclass(frozen=True)
class Listed:
    """Generators, the newest first.

    Attributes:
        models: Those that are here, then those that only the registry has.
        registry: Address of the store, without credentials; None where it was not there or did not answer.
    """

    models: list[Model]
    registry: str | None


@dataclass(frozen=True)
class Promoted:
    """A new champion.

    Attributes:
        generator: Its name.
        version: In the registry.
        uri: By which it is served.
        before: The version that was champion until now; None where none was, or it was this one.
        registered: Whether it was not in the registry before.
    """

    generator: str
    version: str
    uri: str
    before: str | None
    registered: bool


def models(workspace: Workspace, modality: str | None = None) -> Listed:
    """All generators of the workspace and of the registry, of one modality or of all."""
    found = registry.versions(workspace)
    newest: dict[str, Version] = {}
    for version in found or ():
        known = newest.get(version.tags.get("digest", ""))
        # Of several versions with the same weights, the champion counts, else the newest.
        if known is None or version.champion:
            newest[version.tags.get("digest", "")] = version
    here = [_here(path, newest) for path in reversed(workspace.all(GENERATOR))]
    digests = {model.digest for model in here}
    elsewhere = [_elsewhere(v) for digest, v in newest.items() if digest not in digests]
    wanted = [model for model in [*here, *elsewhere] if modality in (None, model.modality)]
    return Listed(wanted, None if found is None else tracking.shown_uri(workspace))


def promote(workspace: Workspace, name: str, progress: Progress = SILENT) -> Promoted:
    """Make a generator the champion of its modality; one that is not in the registry yet is registered first.

    Args:
        workspace: Where it lies.
        name: Of its folder, or a version of the registry as ``medsyn-xray/3``.
        progress: Listener.

    Raises:
        MissingError: No such generator.
        EnvironmentFault: The registry does not answer, or refuses.
    """
    found = registry.versions(workspace)
    version = next((v for v in found or () if v.title == name), None)
    registered = False
    if version is None:
        path = _found(workspace, name, found or [])
        config = read_json(path / GENERATOR.main_file)
        model = f"{tracking.MODELS}{config.get('modality')}"
        same = [v for v in found or () if v.name == model and v.tags.get("digest") == config.get("digest")]
        version, registered = (same[0], False) if same else (_register(workspace, path, config, progress), True)
    before = next((v.title for v in found or () if v.name == version.name and v.champion), None)
    registry.make_champion(workspace, version)
    uri = f"models:/{version.name}@{tracking.CHAMPION}"
    generator = version.tags.get("generator", name)
    return Promoted(generator, version.title, uri, before if before != version.title else None, registered)


def _found(workspace: Workspace, name: str, known: list[Version]) -> Path:
    try:
        return workspace.find(GENERATOR, name)
    except MissingError as error:
        versions = ", ".join(v.title for v in known) or "none"
        mend = f"{error.mend} Versions in the registry: {versions}."
        raise MissingError(error.what, where=error.where, mend=mend) from None


def _register(workspace: Workspace, path: Path, config: dict[str, Any], progress: Progress) -> Version:
    """For generators that were trained without tracking, or by another store."""
    from medsyn.gan import registration

    progress.say(f"{path.name} is not in the registry yet: registering it")
    tags = {"medsyn.parent_run": config.get("mlflow_run"), "medsyn.generator": path.name}
    with tracking.start(workspace, "models promote", str(config.get("modality")), tags) as run:
        made = registration.register(run, path, config)
    found = registry.versions(workspace) or []
    version = next((v for v in found if made is not None and (v.name, v.number) == (made.name, made.version)), None)
    if version is None:
        raise registry.refused(workspace, "the generator could not be registered")
    return version


def _here(path: Path, versions: dict[str, Version]) -> Model:
    config = read_json(path / GENERATOR.main_file)
    monitor, version = config.get("monitor") or {}, versions.get(str(config.get("digest")))
    return Model(
        generator=path.name,
        path=path,
        modality=str(config.get("modality")),
        dataset=(config.get("dataset") or {}).get("name"),
        recipe=config.get("recipe"),
        kid=monitor.get("kid"),
        coverage=monitor.get("coverage"),
        created=str(config.get("created") or when((path / GENERATOR.main_file).stat().st_mtime)),
        digest=str(config.get("digest")),
        version=version.title if version else None,
        champion=version is not None and version.champion,
    )


def _elsewhere(version: Version) -> Model:
    tags = version.tags
    return Model(
        generator=tags.get("generator", "?"),
        path=None,
        modality=tags.get("modality", version.name.removeprefix(tracking.MODELS)),
        dataset=tags.get("dataset"),
        recipe=tags.get("recipe"),
        kid=_number(tags.get("kid")),
        coverage=_number(tags.get("coverage")),
        created=when(version.created),
        digest=tags.get("digest", ""),
        version=version.title,
        champion=version.champion,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
