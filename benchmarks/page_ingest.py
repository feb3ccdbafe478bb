"""Sections of docs/pages/benchmarks.md about `medsyn ingest`, and about files that others send, for page.py."""

# ruff: noqa: E501 - the lines of the page are what they are
from __future__ import annotations

from typing import Any


def near_duplicates(found: dict[str, Any]) -> str:
    sets = found["sets"]
    table = "\n".join(
        f"| {change} | "
        + " | ".join(
            f"{100 * one['hits']:.0f} % ({100 * one['usual_recipe']:.0f} %)" if one else "–"
            for one in (sets[name]["copies"].get(change) for name in sets)
        )
        + " |"
        for change in sets["xray"]["copies"]
    )
    real = "\n".join(
        f"- {name}: {one['images']} images, demand {one['threshold']:.3f}: {one['pairs']} pairs of different subjects, "
        f"{one['exact_pairs']} of them identical"
        + (
            f"; {one['truth']['known_groups_whole']} of {one['truth']['known_groups']} known groups whole, largest unit "
            f"{one['truth']['largest_unit']} images"
            if one["truth"]
            else f"; strangers expected among a million such images: {one['strangers']['expected_false_pairs']['1000000']:.0f} pairs"
        )
        for name, one in sets.items()
    )
    growth = "\n".join(
        f"| {row['images']:,} | {row['fingerprint_seconds']:.1f} s | {row['pairs_seconds']:.1f} s | "
        f"{row.get('pairs_seconds_over_tenth', float('nan')):.1f} | {row['hits']} of {row['copies']} | {row['other_pairs']} |"
        for row in found["growth"]
    )
    return f"""## Near-duplicates across subjects

Copies that were found among the images of a set ({found["copies_per_change"]} copies a change), and in brackets what a
64-bit DCT hash within 6 bits and a 32 × 32 correlation above 0.985 would find.

| change | {" | ".join(sets)} |
|---|{"---|" * len(sets)}
{table}

{real}

Time against the number of images (films bent and blended, 1 % noisy copies; ratio: against a tenth of the images):

| images | fingerprints | pairs | ratio | copies found | other pairs |
|---|---|---|---|---|---|
{growth.replace("nan", "–")}

`{found["command"]}`, seed {found["seed"]}, {found["machine"]}.
"""


def ingest(found: dict[str, Any]) -> str:
    kinds = {"cr": "1024 x 1024 CR, uncompressed", "ct": "512 x 512 CT, JPEG 2000", "nifti": "96 x 96 x 48 NIfTI, gzip"}
    rows = "\n".join(
        f"| {kinds[kind]} ({one['files']:,}) | {reader} | {rate:,.1f} | {one['of_floor'][reader]:.2f} | "
        f"{one['of_monai'][reader]:.2f} |"
        for kind, one in found["speed"].items()
        for reader, rate in one["per_second"].items()
    )
    scaling = ", ".join(f"{kind} {one['two_workers_of_one']:.2f}" for kind, one in found["speed"].items())
    memory = "\n".join(
        f"| {row['files']:,} | {row['peak_rss_mib']} | {row['seconds']:.0f} |" for row in found["memory"]
    )
    return f"""## Ingest

Files a second, everything to 64 x 64; `floor` is a bare loop of pydicom (nibabel) and Pillow that checks, hashes, scales and writes
nothing; `of floor` and `of MONAI` are ratios within this run, more is faster. dcm2niix writes volumes and resizes nothing.
Of medsyn, `1 worker` is one process that reads beside the command's own, which keeps journal and dataset. A volume costs as much
as its slices: each is an image with a row in every table.

| scans | reader | files/s | of floor | of MONAI |
|---|---|---|---|---|
{rows}

Two workers against one: {scaling}.

Peak memory of the parent process, small films without labels, two workers:

| files | MiB | seconds |
|---|---|---|
{memory}

`{found["command"]}`, seed {found["seed"]}, {found["machine"]}.
"""


def dicom_agreement(found: dict[str, Any]) -> str:
    syntaxes = "\n".join(
        f"| {name} | {one['files']} | {one['medsyn']} | {one['highdicom_agrees']} of {one['highdicom_reads']} | "
        f"{one['dcmtk_agrees']} of {one['dcmtk_reads']} |"
        for name, one in found["transfer_syntaxes"].items()
    )
    others = "\n".join(
        f"- {file} ({route}, {255 * one['largest_difference']:.1f} of 255): {one['why']}"
        for route in ("highdicom", "dcmtk")
        for file, one in found[route]["others"].items()
    )
    left_out = ", ".join(f"{reason} ({n})" for reason, n in found["left_out"].items())
    return f"""## DICOM against two other implementations

Every file of a folder as it is shown, at full resolution, by medsyn, highdicom and DCMTK. Of {found["files"]} files medsyn reads
{found["read"]}; left out: {left_out}. highdicom agrees within 1 of 255 on {found["highdicom"]["within_1_of_255"]} of
{found["highdicom"]["files_that_both_read"]} files that both read, DCMTK on {found["dcmtk"]["within_1_of_255"]} of
{found["dcmtk"]["files_that_both_read"]}.

| transfer syntax | files | medsyn reads | highdicom agrees | DCMTK agrees |
|---|---|---|---|---|
{syntaxes}

Where they differ:

{others}

`python benchmarks/dicom_agreement.py`
"""


def fuzz(found: dict[str, Any]) -> str:
    return f"""## Spoilt files

Sound files, spoilt blindly and in the fields that say how large things are, one after the other in a worker process.

{_tries(found)}

`python benchmarks/fuzz_ingest.py`, seed {found["seed"]}.
"""


def fuzz_labels(found: dict[str, Any]) -> str:
    return f"""### Tables of labels

{_tries(found)}

`python benchmarks/fuzz_ingest.py --only labels`, seed {found["seed"]}.
"""


def fuzz_foreign(found: dict[str, Any]) -> str:
    return f"""### Options, synthetic sets, checkpoints, and what else users hand over

Spoilt beside files that fit them, and read as the commands read them; a crash is whatever does not end in one line.

{_tries(found)}

`python benchmarks/fuzz_foreign.py`, seed {found["seed"]}.
"""


def _tries(found: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {reader} | {one['cases']:,} | {len(one['crashes'])} | {len(one['hangs'])} | {len(one['large'])} | "
        f"{one['slowest_s']:.1f} | {one['peak_rss_mib']} |"
        for reader, one in sorted(found["readers"].items())
    )
    return f"""| reader | cases | crashes | over 10 s | over 1 GiB | slowest, s | peak memory of the worker, MiB |
|---|---|---|---|---|---|---|
{rows}"""
