"""Look at a generator: a class x seed grid, a latent walk, a morph between classes, a truncation sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from medsyn import compute, portable
from medsyn import generator as generators
from medsyn.exploration.drawing import Bar, Row, save_gif, save_png, sheet
from medsyn.exploration.interpolation import Point, between
from medsyn.exploration.options import ExploreOptions
from medsyn.generator import Generator
from medsyn.workspace import Workspace, disk_errors

FOLDER = "explorations"
PSI = (1.0, 0.85, 0.7, 0.5, 0.3)
STEPS = 7
"""Tiles of a way on paper, ends included."""

MORPH_ROWS = 4
WALKS = 4
"""Walks of a class beside each other in the animation."""


@dataclass(frozen=True)
class ExploreResult:
    """The pictures that `run` made.

    Attributes:
        generator: Name of the checkpoint folder.
        path: Folder of the pictures.
        files: The pictures, PNG and GIF.
    """

    generator: str
    path: Path
    files: list[Path]


def run(options: ExploreOptions, workspace: Workspace) -> ExploreResult:
    """Draw what a generator has learnt.

    Args:
        options: Which generator, and how much of it.
        workspace: Where generators lie and the pictures go.

    Raises:
        MissingError: There is no such generator.
        DataError: The checkpoint is damaged.
        EnvironmentFault: The device is not there, or the folder cannot be written.
    """
    source = portable.chosen(workspace, options.generator, options.modality)
    generator = generators.load(source, compute.device(options.device, options.threads))
    folder = Path(options.out) if options.out else workspace.create().path / FOLDER / source.name
    footer = f"Generator {source.name}, checkpoint {generator.config['digest'][:16]}."
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            _classes(generator, options, footer, folder / "classes.png"),
            *_walk(generator, options, footer, folder),
            *_morph(generator, options, footer, folder),
            _truncation(generator, options, footer, folder / "truncation.png"),
        ]
    return ExploreResult(source.name, folder, files)


def _seeds(options: ExploreOptions) -> list[int]:
    return list(range(options.seed, options.seed + options.columns))


def _of_seeds(generator: Generator, label: int, seeds: list[int], truncation: float = 1.0) -> np.ndarray:
    """Candidate 0 of every seed: ``[n, C, H, W]``."""
    return np.concatenate([generator.sample(np.array([label]), s, np.array([0]), truncation) for s in seeds])


def _classes(generator: Generator, options: ExploreOptions, footer: str, path: Path) -> Path:
    seeds = _seeds(options)
    rows = [Row(name, _of_seeds(generator, place, seeds)) for place, name in enumerate(generator.classes)]
    note = (
        "A column has the same noise in every class: what differs down a column is the class. Tiles that are alike "
        "along a row are a warning."
    )
    save_png(sheet("Class × seed", note, rows, [f"seed {s}" for s in seeds], footer), path)
    return path


def _walk(generator: Generator, options: ExploreOptions, footer: str, folder: Path) -> list[Path]:
    still = np.linspace(0, 1, STEPS)
    first, second = options.seed, options.seed + 1
    rows = [
        Row(name, between(generator, Point(c, first), Point(c, second), still))
        for c, name in enumerate(generator.classes)
    ]
    note = (
        "From the noise of one seed to that of the next, in small steps. Every step should look like a scan: blurred "
        "or doubled shapes half-way mean that the generator knows single patients rather than what lies between."
    )
    columns = [f"seed {first}", *(f"{share * 100:.0f} %" for share in still[1:-1]), f"seed {second}"]
    save_png(sheet("Latent walk", note, rows, columns, footer), folder / "walk.png")
    # Every column is one leg ahead of its neighbour on the same ring of seeds: the animation ends where it began.
    ring = [options.seed + w for w in range(WALKS)]
    ways = np.stack(
        [
            [
                between(generator, Point(c, a), Point(c, b), _eased(options.frames))
                for a, b in pairwise([*ring, ring[0]])
            ]
            for c in range(len(generator.classes))
        ]
    )
    frames = []
    for leg, frame, share in _frames(WALKS, options.frames):
        turned = np.roll(ways, -leg, axis=1)[:, :, frame]
        shown = [Row(name, tiles) for name, tiles in zip(generator.classes, turned, strict=True)]
        frames.append(sheet("Latent walk", "", shown, footer=footer, bar=Bar("one seed", "the next", share)))
    save_gif(frames, options.frames, folder / "walk.gif", grey=generator.image_shape[0] == 1)
    return [folder / "walk.png", folder / "walk.gif"]


def _morph(generator: Generator, options: ExploreOptions, footer: str, folder: Path) -> list[Path]:
    classes = generator.classes
    # Two classes have one way between them; more of them are a ring.
    pairs = list(pairwise(range(len(classes)))) + ([(len(classes) - 1, 0)] if len(classes) > 2 else [])
    still, seeds = np.linspace(0, 1, STEPS), _seeds(options)
    shown = seeds[: MORPH_ROWS if len(pairs) == 1 else MORPH_ROWS // 2]
    rows = [
        Row(
            f"seed {s}",
            between(generator, Point(a, s), Point(b, s), still),
            f"{classes[a]}  →  {classes[b]}" if s == shown[0] else "",
        )
        for a, b in pairs
        for s in shown
    ]
    note = (
        "One noise, from one class to another: what changes is what the generator takes for the class, and all that "
        "comes with it."
    )
    columns = [f"{share * 100:.0f} %" for share in still]
    save_png(sheet("Class morph at fixed noise", note, rows, columns, footer), folder / "morph.png")
    legs = pairs if len(pairs) > 1 else [*pairs, pairs[0][::-1]]
    half = -(-len(seeds) // 2)
    ways = [
        np.stack([between(generator, Point(a, s), Point(b, s), _eased(options.frames)) for s in seeds]) for a, b in legs
    ]
    frames = []
    for leg, frame, share in _frames(len(legs), options.frames):
        a, b = legs[leg]
        tiles = ways[leg][:, frame]
        lines = [Row("", tiles[:half]), Row("", tiles[-half:])]
        bar = Bar(classes[a], classes[b], share)
        frames.append(sheet("Class morph at fixed noise", "", lines, footer=footer, bar=bar))
    save_gif(frames, options.frames, folder / "morph.gif", grey=generator.image_shape[0] == 1)
    return [folder / "morph.png", folder / "morph.gif"]


def _truncation(generator: Generator, options: ExploreOptions, footer: str, path: Path) -> Path:
    seeds = _seeds(options)
    rows = [
        Row(f"ψ = {psi:g}", _of_seeds(generator, c, seeds, psi), name if psi == PSI[0] else "")
        for c, name in enumerate(generator.classes)
        for psi in PSI
    ]
    note = (
        "The noise times ψ: below 1, images are more typical of their kind and less diverse. For augmentation, stay "
        "at 1: diversity is what it needs."
    )
    save_png(sheet("Truncation", note, rows, [f"seed {s}" for s in seeds], footer), path)
    return path


def _eased(frames: int) -> np.ndarray:
    """Shares of a leg that begin and end slowly, ``[frames]`` in [0, 1): the next leg begins with the end."""
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(frames) / frames)


def _frames(legs: int, frames: int) -> Iterator[tuple[int, int, float]]:
    """Leg, frame of it, and share of the way."""
    for leg in range(legs):
        for frame, share in enumerate(_eased(frames)):
            yield leg, frame, float(share)
