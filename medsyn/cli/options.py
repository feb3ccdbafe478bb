"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        envvar="MEDSYN_WORKSPACE",
        help="Folder for everything medsyn makes; default: medsyn-workspace.",
    ),
]
ModalityOption = Annotated[
    str | None, typer.Option(help="xray, mri, ct, ultrasound, mammography, angiography or nuclear.")
]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; default: auto.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of everything random; default: 0.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads of torch; default: the cores.")]
ClusterOption = Annotated[
    str | None, typer.Option(help="Dask scheduler whose workers do the work: tcp://scheduler:8786.")
]
