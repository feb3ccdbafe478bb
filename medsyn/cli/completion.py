"""What a shell offers for names: results that are in the workspace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import typer

from medsyn.workspace import KINDS, Kind, Workspace


def of_kind(kind: Kind) -> Callable[[typer.Context, str], list[str]]:
    """Names of the results of one kind, the newest first."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return [path.name for path in _all(ctx, kind) if path.name.startswith(incomplete)]

    return complete


def results(ctx: typer.Context, incomplete: str) -> list[str]:
    """Results of all kinds as ``synthetic/xray-003``."""
    names = [f"{kind.folder}/{path.name}" for kind in KINDS for path in _all(ctx, kind)]
    return [name for name in names if name.startswith(incomplete)]


def _all(ctx: typer.Context, kind: Kind) -> list[Path]:
    # Whatever is wrong with the workspace, the command itself will tell.
    with suppress(Exception):
        return Workspace(ctx.params.get("workspace")).all(kind)[::-1]
    return []
