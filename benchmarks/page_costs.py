"""The section of the benchmark page about costs as data grows."""

# ruff: noqa: E501 - the lines of the page are what they are
from __future__ import annotations

from typing import Any


def section(found: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| `{row['stage']}` | {row['n']:,} | {row['seconds']:,.1f} | {1e3 * row['seconds'] / row['n']:.2f} | {row['peak_mib']:,} | {row['disk_mb']:,.1f} |"
        for row in sorted(found["measured"], key=lambda row: (_stages(found).index(row["stage"]), row["n"]))
    )
    far = "\n".join(
        f"| `{stage}` | {_long(costs['seconds'])} | {costs['peak_mib'] / 1024:,.0f} GiB | {costs['disk_mb'] / 1e3:,.0f} GB |"
        for stage, costs in found["far"]["stages"].items()
    )
    return f"""## What it costs as data grows

Tiny images ({found["side"]} × {found["side"]} pixels, from one npz), each of a patient of its own; each stage is the command in a process of
its own, on {found["machine"]}. A training's budget and an evaluation's steps are the same at every size: what grows is
what they read. Memory is that of the largest process.

| stage | images | seconds | ms an image | peak, MiB | disk, MB |
|---|---|---|---|---|---|
{rows}

Not measured but extrapolated, to {found["far"]["n"]:,} images on this machine: a fixed cost and one an image, from the two largest sizes above.

| stage | time | peak memory | disk |
|---|---|---|---|
{far}

{_first(found["far"])}

`{found["command"]}`
"""


RELIEF = {
    "ingest": "`--cluster` shares the reading; what grows in one process is the table of images, so ingest in parts, each a dataset of its own.",
    "train-gan": "pixels are read from disk as they are needed; the tables are not, so train on a dataset of fewer images: a generator does not need them all.",
    "augment": "`--cluster` shares the work; several sets of other `--seed`s are as good as a large one.",
    "evaluate": "`--train-subjects` and `--fraction` judge on fewer subjects, and a test split of some thousand subjects decides as well.",
}
"""What to do where a stage no longer fits."""


def _first(far: dict[str, Any]) -> str:
    """Where it breaks first, and what then."""
    stages = far["stages"]
    largest, slowest = (max(stages, key=lambda stage: stages[stage][key]) for key in ("peak_mib", "seconds"))
    return (
        f"Where it breaks first: the memory of `{largest}` ({stages[largest]['peak_mib'] / 1024:,.0f} GiB in one process). Then: {RELIEF[largest]} "
        + (
            f"It also takes longest ({_long(stages[slowest]['seconds'])})."
            if slowest == largest
            else f"The longest is `{slowest}` ({_long(stages[slowest]['seconds'])}): {RELIEF[slowest]}"
        )
    )


def _stages(found: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["stage"] for row in found["measured"]))


def _long(seconds: float) -> str:
    return f"{seconds / 86400:,.1f} days" if seconds > 86400 else f"{seconds / 3600:,.1f} h"
