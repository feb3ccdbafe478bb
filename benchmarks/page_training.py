"""Sections of docs/pages/benchmarks.md about trainings, for page.py."""

from __future__ import annotations

from typing import Any


def health(found: dict[str, Any]) -> str:
    def others(named: dict[str, int]) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in named.items()) or "–"

    faults = "\n".join(
        f"| {r['fault']} | {r['recipe']} | {r['expected'].replace('_', ' ')} | {r['hits']} of {r['of']} | "
        f"{others(r['named_otherwise'])} |"
        for r in found["faults"]
    )
    honest = "\n".join(
        f"| {r['data']} | {r['recipe']} | {sum(r['alarms'].values())} of {r['of']} | {others(r['alarms'])} |"
        for r in found["honest"]
    )
    return f"""## Trainings that go wrong

Whole trainings with a fault put in on purpose, on a toy of 16 px whose modes are known; other images and another seed
every time. Counted is the first problem that is named.

| fault | recipe | is | named so | named otherwise |
|---|---|---|---|---|
{faults}

Honest trainings of {found["honest_images"]:,} images shown, on the toy and on {found["films"]} films of PneumoniaMNIST:

| images | recipe | false alarms | which |
|---|---|---|---|
{honest}

`{found["command"]}`
"""
