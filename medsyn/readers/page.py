"""The page that a reader opens: cases and nothing of what they are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from markupsafe import Markup

from medsyn.page.environment import environment, style
from medsyn.page.pictures import picture
from medsyn.page.scripts import as_json, policy
from medsyn.readers.study import Study
from medsyn.workspace import atomic_file, disk_errors

PACKAGE = "medsyn.readers"
KEYS = "123456789abcdefghijklmnopqtvwxyz"
"""Of the classes, in their order; R, S and U have a meaning of their own."""


def write(study: Study, pixels: Sequence[np.ndarray], file: Path) -> None:
    """Write the page, for its owner's eyes only.

    Args:
        study: What it is about; of a case, its name alone goes into the page.
        pixels: Of every case in order, uint8 ``[C, H, W]``.
        file: Where to.

    Raises:
        EnvironmentFault: The disk is full or not writable.
    """
    script = resources.files(PACKAGE).joinpath("study.js").read_text(encoding="utf-8")
    text = (
        environment(PACKAGE)
        .get_template("study.html.j2")
        .render(
            s=study,
            style=style(PACKAGE),
            script=Markup(script),  # ours; the policy names its digest
            policy=policy(script),
            data=as_json(
                {
                    "study": study.study,
                    "classes": [{"name": name, "key": key} for name, key in zip(study.classes, KEYS, strict=False)],
                    "cases": [
                        {"case": case.case, "image": picture(image).uri}
                        for case, image in zip(study.cases, pixels, strict=True)
                    ],
                }
            ),
        )
    )
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file, mode=0o600) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
