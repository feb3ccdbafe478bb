"""The section of docs/pages/benchmarks.md about the training step, for page.py."""

from __future__ import annotations

from typing import Any


def section(found: dict[str, Any]) -> str:
    ours = found["arms"][0]["images_per_second"]
    arms = "\n".join(
        f"| {a['name']} | {a['images_per_second']:.0f} | {a['slowest']:.0f} to {a['fastest']:.0f} | "
        f"{ours / a['images_per_second']:.2f} |"
        for a in found["arms"]
    )
    sizes = "\n".join(
        f"| {s['images']:,} | {'memory' if s['in_memory'] else 'disk'} | {s['seconds_per_kimg']:.2f} | "
        f"{s['peak_mib']:,.0f} | {s['seconds_until_the_first_step']:.0f} |"
        for s in found["sizes"]
    )
    native = "does" if found["bfloat16_native"] else "does not"
    return f"""## The training step

Networks of `{found["recipe"]}` at {found["side"]} px, batches of {found["batch"]}; median of {found["turns"]} turns of
{found["steps"]} steps, {found["machine"]}. In float32, but where a row says otherwise: this processor {native} compute
in bfloat16 by itself. Weights lie in channels_last but where a row says otherwise, and in the two loops that are not
ours. "Plain PyTorch" is the same objective with its penalty in every step and, as in medsyn, one sample for both turns;
MONAI's GanTrainer has no penalty, no averaged weights and no condition, so that it does less for an image.

| loop | images/s | slowest to fastest turn | medsyn is faster by |
|---|---|---|---|
{arms}

Does the number of training images matter? The same thousand images under other numbers; memory is the peak of the whole
process, with the first stage (without a flow), a look at tune and the tables of the dataset.

| training images | read from | seconds a kimg | peak memory, MiB | seconds until the first step |
|---|---|---|---|---|
{sizes}

`{found["command"]}`
"""
