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
        f"| `{stage}` | {_long(costs['seconds']['far'])} | {_at(costs['seconds'])} | {_gib(costs['peak_mib']['far'])} | {_at(costs['peak_mib'])} | {_tb(costs['disk_mb']['far'])} | {_at(costs['disk_mb'])} |"
        for stage, costs in found["far"]["stages"].items()
    )
    return f"""## What it costs as data grows

Tiny images ({found["side"]} × {found["side"]} pixels, from one npz), each of a patient of its own; each stage is the command in a process of
its own, on {found["machine"]}. A training's budget and an evaluation's steps are the same at every size: what grows is
what they read. Memory is that of the largest process.

| stage | images | seconds | ms an image | peak, MiB | disk, MB |
|---|---|---|---|---|---|
{rows}

Not measured but extrapolated, to {found["far"]["n"]:,} images on this machine: a fixed cost and one an image, fitted to the sizes
above with a relative error of {_error(found):.0%} at most; to the time of `augment` and `evaluate` comes that of every pair of a synthetic and
a training image, from the search for copies above. "At" is the number of images where a
week, 24 GiB of one process or a terabyte would be reached.

| stage | time | a week at | peak memory | 24 GiB at | disk | 1 TB at |
|---|---|---|---|---|---|---|
{far}

{_first(found["far"])}

`{found["command"]}`
"""


def copy_search(found: dict[str, Any]) -> str:
    """What the shortlist spares."""
    rows = "\n".join(
        f"| {row['references']:,} | {row['whole_ms']:.1f} | {row['shortlist_ms']:.1f} | {row['ratio']:.1f} | {row['same_nearest']:.1%} |"
        for row in found["measured"]
    )
    return f"""## The search for copies among many training images

Every candidate is compared with every training image. Among {found["used_from"]:,} training images and more, a bound in few principal
components leaves most of the products out; what it finds is the same. {found["queries"]} queries of {found["side"]} × {found["side"]} pixels, {found["machine"]}.

| training images | all products, ms a query | with the shortlist | ratio | same nearest image |
|---|---|---|---|---|
{rows}

`{found["command"]}`
"""


RELIEF = {
    ("ingest", "seconds"): "`--cluster` shares the reading, and parts can be ingested as datasets of their own.",
    (
        "ingest",
        "peak_mib",
    ): "what grows in one process is the table of images: ingest in parts, each a dataset of its own.",
    ("ingest", "disk_mb"): "a smaller `--size`; the images are kept uncompressed, as they are mapped.",
    (
        "train-gan",
        "seconds",
    ): "what grows is the fit of the first stage to the images; a generator does not need them all.",
    (
        "train-gan",
        "peak_mib",
    ): "pixels are read from the disk as they are needed, the tables are not: train on a dataset of fewer images.",
    ("train-gan", "disk_mb"): "nothing: checkpoints are as large as their networks.",
    (
        "augment",
        "seconds",
    ): "every candidate is compared with every training image, and here as many are made as there are. `--cluster` shares it; sets far smaller than their dataset cost far less.",
    ("augment", "peak_mib"): "several sets of other `--seed`s are as good as a large one.",
    ("augment", "disk_mb"): "several sets of other `--seed`s, each deleted when it has been used (`medsyn gc`).",
    (
        "evaluate",
        "seconds",
    ): "every synthetic image is compared with every training image. `--train-subjects` and `--fraction` judge on fewer subjects; a test split of some thousand subjects decides as well.",
    (
        "evaluate",
        "peak_mib",
    ): "features and pixels of both sets lie in memory: `--train-subjects` and `--fraction` judge on fewer subjects, with a smaller set.",
    ("evaluate", "disk_mb"): "what grows are cached features: `medsyn gc` removes them.",
}
"""What to do where a stage no longer fits."""


def _first(far: dict[str, Any]) -> str:
    """Where it breaks first, and what then."""
    reached = sorted(
        (costs[cost]["reached_at"], stage, cost)
        for stage, costs in far["stages"].items()
        for cost in costs
        if costs[cost]["reached_at"]
    )
    what = {"seconds": "the time", "peak_mib": "the memory", "disk_mb": "the disk"}
    lines = [
        f"{number}. {what[cost]} of `{stage}`, at about {n:,.0f} images: {RELIEF[stage, cost]}"
        for number, (n, stage, cost) in enumerate([r for r in reached if r[0] < far["n"]], 1)
    ]
    return "Where it breaks first, and what then:\n\n" + "\n".join(lines)


def _error(found: dict[str, Any]) -> float:
    return max(fit["relative_error"] for costs in found["far"]["stages"].values() for fit in costs.values())


def _at(fit: dict[str, Any]) -> str:
    return "–" if fit["reached_at"] is None else f"{fit['reached_at']:,.0f}"


def _gib(mib: float) -> str:
    return f"{mib / 1024:,.0f} GiB" if mib < 2**30 else f"{mib / 2**30:,.0f} PiB"


def _tb(mb: float) -> str:
    return f"{mb / 1e3:,.0f} GB" if mb < 1e6 else f"{mb / 1e6:,.1f} TB"


def _stages(found: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["stage"] for row in found["measured"]))


def _long(seconds: float) -> str:
    for unit, length in (("years", 365.25 * 86400), ("days", 86400)):
        if seconds > 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds / 3600:,.1f} h"
