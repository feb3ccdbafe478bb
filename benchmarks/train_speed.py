"""How many images a second does a training step show, and does that or memory change with the number of images?

    python benchmarks/train_speed.py            needs pytorch-ignite beside MONAI for its GanTrainer

One recipe's networks in all loops, all in float32 but where a loop's name says otherwise. "plain": the same objective
as it is usually written: a DataLoader, noise of randn, D(real) and D(fake) apart, the penalty in every step, an average
moved tensor by tensor, weights in PyTorch's own order (channels first); as in medsyn, both turns of a step share one
sample, and the levels of a pyramid learn side by side. MONAI's GanTrainer has no penalty, average or condition; its
loss is the cross-entropy of its tutorial, of whole images, which a pyramid makes level upon level. All loops take
turns, so that a slow minute of the machine hits each.
Then trainings on up to a million images, each in a process of its own. No first stage has a flow: the time to fit one
is the plan's, not a step's.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import medsyn
from medsyn import compute
from medsyn.config import TrainOptions
from medsyn.gan.distributed import World
from medsyn.gan.material import Material
from medsyn.gan.recipes import RECIPES
from medsyn.gan.session import Session
from medsyn.gan.trainer import Trainer
from medsyn.generator.condition import of_classes
from medsyn.generator.model import complete_apart
from medsyn.generator.model import images as generated
from medsyn.generator.networks.pyramid import at_sizes, levels_of
from medsyn.progress import SILENT

RESULT = Path(__file__).parent / "results" / "train_speed.json"
Loop = Callable[[int], None]
"""Does so many steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="latent-r3gan", choices=RECIPES)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32, help="default: 32, a plan's on a CPU")
    parser.add_argument("--steps", type=int, default=4, help="of every turn; a multiple of penalty_every is fair")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="loops to measure; default: all")
    parser.add_argument("--sized", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    compute.device("cpu", options.threads)
    if options.sized:
        print(json.dumps(sized(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        dataset = films(Path(folder), options.side)
        arms = race(options, dataset)
        sizes = []
        for images in options.images:
            repeated(dataset, images, Path(folder) / f"of-{images}")
            call = [sys.executable, __file__, *sys.argv[1:], "--sized", f"{folder}/of-{images}"]
            done = subprocess.run(call, capture_output=True, text=True, check=True, env=os.environ)
            sizes.append(json.loads(done.stdout.splitlines()[-1]))
            print(sizes[-1], flush=True)
    found = {
        "command": " ".join(["python benchmarks/train_speed.py", *sys.argv[1:]]),
        "recipe": options.recipe,
        "side": options.side,
        "batch": options.batch,
        "penalty_every": RECIPES[options.recipe].penalty_every,
        "turns": options.turns,
        "steps": options.steps,
        "arms": arms,
        "sizes": sizes,
        "machine": f"{platform.machine()}, {options.threads} thread(s), torch {torch.__version__}",
        "bfloat16_native": compute.bfloat16_is_native(torch.device("cpu")),
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


# ---- the loops


def race(options: argparse.Namespace, dataset: Path) -> list[dict[str, Any]]:
    """Images a second of every loop, in turns."""
    loops: dict[str, Loop] = {}
    for name, make in arms(options, dataset).items():
        if options.only and name not in options.only:
            continue
        try:
            loops[name] = make()
            begun = time.perf_counter()
            loops[name](options.steps)  # not counted: caches, compilation
            print(f"{name}: ready after {time.perf_counter() - begun:.0f} s", flush=True)
        except Exception as error:
            print(f"{name}: not here ({type(error).__name__}: {str(error).splitlines()[0][:100]})", flush=True)
            loops.pop(name, None)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(options.turns):
        for name, loop in loops.items():
            begun = time.perf_counter()
            loop(options.steps)
            seconds[name].append(time.perf_counter() - begun)
    shown = options.batch * options.steps
    rows = [
        {
            "name": name,
            "images_per_second": shown / median(taken),
            "slowest": shown / max(taken),
            "fastest": shown / min(taken),
        }
        for name, taken in seconds.items()
    ]
    for row in rows:
        print(f"{row['name']:40s} {row['images_per_second']:8.1f} images/s", flush=True)
    return rows


def arms(options: argparse.Namespace, dataset: Path) -> dict[str, Callable[[], Loop]]:
    start = session_of(options, dataset).trainer
    every = start.plan.penalty_every

    def ours(change: Callable[[Trainer], object] = lambda _: None, **plan: Any) -> Callable[[], Loop]:
        def make() -> Loop:
            trainer = copy.deepcopy(start)
            trainer.plan = dataclasses.replace(start.plan, **plan)
            change(trainer)
            return lambda steps: [trainer.step() for _ in range(steps)] and None

        return make

    def channels_first(trainer: Trainer) -> None:
        for part in (trainer.generator, trainer.average, trainer.discriminator):
            part.to(memory_format=torch.contiguous_format)

    def first(trainer: Trainer) -> Trainer:
        trainer = copy.deepcopy(trainer)
        channels_first(trainer)
        return trainer

    def compiled(trainer: Trainer) -> None:
        for level in levels_of(trainer.generator):  # a pyramid itself is never called
            level.compile()

    return {
        f"medsyn, penalties every {every} steps": ours(),
        "medsyn, penalties in every step": ours(penalty_every=1),
        "plain PyTorch": lambda: plain(first(start)),
        "MONAI GanTrainer": lambda: gan_trainer(first(start)),
        "medsyn, channels first": ours(channels_first),
        "medsyn, bfloat16": ours(precision="bfloat16"),
        "medsyn, bfloat16, channels first": ours(channels_first, precision="bfloat16"),
        "medsyn, generator compiled": ours(compiled),
    }


def session_of(options: argparse.Namespace, dataset: Path) -> Session:
    given = TrainOptions(
        recipe=options.recipe,
        batch=options.batch,
        budget="1000kimg",
        precision="float32",
        knobs={"prior_steps": 0},
        threads=options.threads,
    )
    material = Material.open(dataset)
    return Session.begin(given, material, World(), time.perf_counter(), SILENT)


def plain(start: Trainer) -> Loop:
    """The same networks and objective as most people would write them down."""
    plan, stage, objective = start.plan, start.stage, start.objective
    generator, discriminator, average = start.generator, start.discriminator, start.average
    conditions = of_classes(start.labels, start.schema)
    everything = TensorDataset(start.data[torch.arange(len(start.labels))], conditions)
    loader = DataLoader(everything, plan.batch, shuffle=True, drop_last=True)
    adam_g = torch.optim.Adam(generator.parameters(), plan.learning_rate, betas=objective.betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), plan.learning_rate, betas=objective.betas)

    turns = itertools.cycle(range(1, objective.critic_steps + 1))

    def scores(images: list[torch.Tensor], condition: torch.Tensor) -> torch.Tensor:
        return torch.stack([critic(x, condition) for critic, x in zip(start.critics, images, strict=True)], 1)

    def penalty(real: list[torch.Tensor], fake: list[torch.Tensor], condition: torch.Tensor) -> torch.Tensor:
        between = torch.rand(len(condition))
        told = [
            objective.penalty(partial(critic, condition=condition), r, f, between)
            for critic, r, f in zip(start.critics, real, fake, strict=True)
        ]
        return torch.stack(told).mean()

    def step(images: torch.Tensor, condition: torch.Tensor) -> None:
        with torch.no_grad():
            coarse = stage.decode(stage.encode(images))
        real, noise = at_sizes(images, start.levels), torch.randn(len(images), generator.noise)
        fake = complete_apart(stage, generator, noise, condition, coarse, real)
        shown = [image.detach() for image in fake]
        loss = objective.discriminator(scores(real, condition), scores(shown, condition))
        loss = loss + plan.gamma * penalty(real, shown, condition)
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        if next(turns) == objective.critic_steps:
            discriminator.requires_grad_(False)
            loss = objective.generator(scores(real, condition), scores(fake, condition))
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            discriminator.requires_grad_(True)
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
                    slow.copy_(0.999 * slow + 0.001 * fast)
        loss.item()

    batches = forever(loader)
    return lambda steps: [step(*next(batches)) for _ in range(steps)] and None


def forever(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def gan_trainer(start: Trainer) -> Loop:
    """MONAI's engine with the loss of its tutorial."""
    from monai.engines import GanTrainer
    from monai.engines.utils import GanKeys

    batch = start.plan.batch
    conditions = of_classes(torch.arange(batch) % len(start.of_class), start.schema)
    images = start.data[torch.arange(len(start.labels))]
    loader = DataLoader([{GanKeys.REALS: image} for image in images], batch, shuffle=True, drop_last=True)
    entropy = F.binary_cross_entropy_with_logits

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = start.generator

        def forward(self, noise: torch.Tensor) -> torch.Tensor:
            return generated(start.stage, self.network, noise, conditions)

    def scores(shown: torch.Tensor) -> torch.Tensor:
        levels = zip(start.critics, at_sizes(shown, start.levels), strict=True)
        return torch.stack([critic(x, conditions) for critic, x in levels], 1)

    def of_d(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        right, wrong = (scores(x) for x in (real, fake.detach()))
        return (entropy(right, torch.ones_like(right)) + entropy(wrong, torch.zeros_like(wrong))) / 2

    def of_g(fake: torch.Tensor) -> torch.Tensor:
        score = scores(fake)
        return entropy(score, torch.ones_like(score))

    whole, rate = Whole(), start.plan.learning_rate

    def loop(steps: int) -> None:
        GanTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            epoch_length=steps,
            train_data_loader=loader,
            g_network=whole,
            g_optimizer=torch.optim.Adam(whole.parameters(), rate),
            g_loss_function=of_g,
            d_network=start.discriminator,
            d_optimizer=torch.optim.Adam(start.discriminator.parameters(), rate),
            d_loss_function=of_d,
            latent_shape=start.stage.noise + start.generator.noise,
            decollate=False,
        ).run()

    return loop


# ---- many images


def films(folder: Path, side: int) -> Path:
    """A dataset of noise, ingested."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 1200), ("val", 100), ("test", 100)):
        arrays[f"{split}_images"] = rng.integers(0, 255, (n, side, side), np.uint8)
        arrays[f"{split}_labels"] = np.arange(n)[:, None] % 2
    np.savez(folder / "films.npz", **arrays)
    return medsyn.ingest(folder / "films.npz", workspace=folder / "workspace", modality="xray", size=side).path


def repeated(dataset: Path, images: int, target: Path) -> None:
    """A dataset with so many training images, which are the same thousand on the disk again and again."""
    target.mkdir()
    for file in dataset.glob("images-*.npy"):
        (target / file.name).symlink_to(file)
    tables = {name: pd.read_parquet(dataset / f"{name}.parquet") for name in ("index", "splits", "targets")}
    splits = tables["splits"].set_index("image")["split"]
    train, tune = (splits.index[splits == name].to_numpy() for name in ("train", "tune"))
    taken = np.concatenate([np.resize(train, images), tune])
    for name, table in tables.items():
        rows = table.drop_duplicates("image").set_index("image").loc[taken].reset_index(drop=True)
        rows.insert(0, "image", np.arange(len(taken)))
        for key in {"subject", "unit"} & set(rows.columns) if name == "splits" else ():
            rows[key] = [f"{value}-{number}" for number, value in enumerate(rows[key])]
        rows.to_parquet(target / f"{name}.parquet")
    (target / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())


def sized(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a kimg and memory of one training, first stage and looks at tune included in the memory."""
    begun = time.perf_counter()
    session = session_of(options, options.sized)
    ready = time.perf_counter() - begun
    session.trainer.step()
    taken = []
    for _ in range(options.turns):
        begun = time.perf_counter()
        for _ in range(options.steps):
            session.trainer.step()
        taken.append((time.perf_counter() - begun) / options.steps / options.batch * 1000)
    return {
        "images": len(session.material.train),
        "in_memory": isinstance(session.trainer.data, torch.Tensor),
        "seconds_per_kimg": median(taken),
        "seconds_until_the_first_step": ready,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
