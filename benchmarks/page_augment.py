"""Sections of docs/pages/benchmarks.md about `medsyn augment`, for page.py."""

# ruff: noqa: E501 - the lines of the page are what they are
from __future__ import annotations

from typing import Any


def selection(found: dict[str, Any]) -> str:
    names = list(found["sets"])
    strengths = list(found["sets"][names[0]]["caught"])
    rows = "\n".join(
        f"| {strength} | " + " | ".join(_shares(found["sets"][name], strength) for name in names) + " |"
        for strength in strengths
    )
    rules = list(found["sets"][names[0]]["lost"])
    lost = "\n".join(
        f"| {rule} | " + " | ".join(_percent(found["sets"][name]["lost"][rule]) for name in names) + " |"
        for rule in rules
    )
    counts = "; ".join(
        f"{name}: {one['training_images']:.0f} training images, {one['tune_images']:.0f} of tune, "
        f"{one['honest_images']:.0f} honest"
        for name, one in found["sets"].items()
    )
    curves = found["labels"]
    at = list(curves["generated films"]["caught_at"])
    labels = "\n".join(
        f"| {name} | {one['images']:,} | "
        + " | ".join(f"{one['caught_at'][lost]:.2f}" for lost in at)
        + f" | {one['at_the_default']['caught']:.2f} at {one['at_the_default']['lost']:.3f} |"
        for name, one in curves.items()
        if isinstance(one, dict)
    )
    head = " | ".join(names)
    return f"""## The selection

What `medsyn augment` leaves out. {found["draws"]} draws of the subjects of each set (PneumoniaMNIST: of its tune and of the copies); {counts}.
The machine had other work to do in part of it; no time is told. Copies: {found["copied"]} training images of each draw, disguised and at 8 bits;
share that `copy` or `copy_features` catches, in brackets `copy` alone, by aligned pixels.

| copies | {head} |
|---|{"---|" * len(names)}
{rows}

Share of honest images, of val and test, that is lost. mri names no patients, each slice counts as one: half of the held-out slices
show a head that is in training, too, many as a changed copy of the same slice, and these are what its `copy` finds.

| honest images lost to | {head} |
|---|{"---|" * len(names)}
{lost}

Labels flipped in a tenth of the films of PneumoniaMNIST: share of the flipped that is caught where this share of the right ones is
lost, and at the default limit. Real films of val and test have known labels; generated ones ({curves["budget"]} of training) have those asked for,
some of which are wrong to begin with.

| films | number | {" | ".join(f"{float(lost):.0%}" for lost in at)} | at the default |
|---|---|{"---|" * (len(at) + 1)}
{labels}

`{found["command"]}`
"""


def filter_null(found: dict[str, Any]) -> str:
    def row(used: str, one: dict[str, Any]) -> str:
        told, false = one["decisions"], one["false"]
        counts = " | ".join(str(told.get(d, 0)) for d in ("helps", "hurts", "equivalent", "no evidence"))
        interval = f"{_percent(false['low'])} to {_percent(false['high'])}"
        return f"| {_percent(float(used))} | {counts} | {_percent(false['share'])} ({interval}) |"

    rows, images = "\n".join(row(*item) for item in found["used"].items()), found["images"]
    return f"""### A filter that rejects at random

What [`evaluate` says of the filter](reference/evaluate.md#what-the-filter-does) where it has no effect on average: {images["rejected"]} of
{images["synthetic"]} images are replaced by chance, {found["runs"]} runs on PneumoniaMNIST with `probe` ({images["train"]} films in training,
{images["test"]} in test). The interval allows for 5 % helps or hurts; it does not cover which candidates a set happens to have.

| part of the set that the arm uses | helps | hurts | equivalent | no evidence | helps or hurts |
|---|---|---|---|---|---|
{rows}

`{found["command"]}`
"""


def _shares(one: dict[str, Any], strength: str) -> str:
    return f"{one['caught'][strength]:.3f} ({one['caught_by_pixels'][strength]:.3f})"


def augment(found: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {case['case']} | {case['workers']} | {case['seconds']:.0f} s | {case['per_second']:.0f} | "
        f"{case['share_of_floor']:.2f} | {case['times_faster_than_ddim']:.0f} × | {case['bytes_an_image']:,.0f} |"
        for case in found["cases"]
    )
    network = {"none": "the closed form, which a short training had kept"}.get(found["network"], "a network")
    return f"""## The speed of generating

{found["n"]:,} films of 32 px in equal classes, from {network}; whole commands, their start
({found["seconds_to_start"]:.0f} s) and the tables at the end included. Bare sampling, the floor: {found["bare_sampling_per_second"]:.0f} images a second and worker,
{found["times_faster_bare"]:.0f} times MONAI's DDPM with 50 steps of DDIM ({found["ddim_50_per_second"]:.2f} a second). The first set of a dataset calibrates the
selection once: {found["seconds_of_calibration"]:.0f} s. {found["machine"]}.

| | workers | time | images a second | share of the floor | against DDIM | bytes an image |
|---|---|---|---|---|---|---|
{rows}

`{found["command"]}`
"""


def platforms(found: dict[str, Any]) -> str:
    cases: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in found["rows"]:
        cases.setdefault((f"{row['recipe']} ({row['network']}), {row['side']} px", row["platform"]), {})[
            row["bits"]
        ] = row
    rows = "\n".join(
        f"| {recipe} | {name} | "
        + " | ".join(f"{one[bits]['identical']} of {found['n']} | {one[bits]['largest']}" for bits in (8, 16))
        + " |"
        for (recipe, name), one in cases.items()
    )
    return f"""## The same images on other instruction sets

`medsyn augment` in processes that leave out newer instructions, `medsyn verify --share 1` here ({found["machine"]}): images that are the
same bit for bit, and the largest difference of the others in grey levels of that depth. No other processor, and no GPU, was at hand.
`none`: of that training the closed form was kept, no network.

| generator (network) | made with | 8 bit: the same | largest | 16 bit: the same | largest |
|---|---|---|---|---|---|
{rows}

`{found["command"]}`
"""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def selection_worth(found: dict[str, Any]) -> str:
    fidelity = "\n".join(
        f"| {name} | {row['kid']:.3f} | {row['coverage']:.2f} | {row['recall']:.2f} |"
        for name, row in found["fidelity"].items()
    )
    return f"""## Does the selection earn its keep?

PneumoniaMNIST, official split, {found["n"]:,} films in equal classes of a generator trained for {found["budget"]}, five seeds.

{found["selection"]["sentence"]}

| against held-out films | KID | coverage | recall |
|---|---|---|---|
{fidelity}

The verdict itself: {found["verdict"]}

`{found["command"]}`
"""
