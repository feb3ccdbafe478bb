"""Images between two images of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from medsyn.generator import Generator
from medsyn.generator.condition import of_classes
from medsyn.generator.model import complete


@dataclass(frozen=True)
class Point:
    """One image of a generator: what `Generator.sample` is asked for."""

    label: int  # class index
    seed: int
    index: int = 0


@torch.inference_mode()
def between(generator: Generator, start: Point, end: Point, shares: np.ndarray) -> np.ndarray:
    """Images on the way from one point to another: their kinds blend, noise turns from the one's to the other's.

    Noise goes along the great circle: straight on, it would shrink half-way, and the images with it (White 2016). Both
    ends make codes of the same noise on the way, each for its own kind, and it is the codes that blend: where the first
    stage has a mixture, one of its components is picked for every image, and a walk from pick to pick would jump.

    Args:
        generator: Of the images.
        start: Where share 0 is.
        end: Where share 1 is; of the same noise for a morph between classes, of the same class for a walk.
        shares: float ``[n]`` in [0, 1].

    Returns:
        float32 ``[n, C, H, W]`` in [0, 1]; at 0 and 1 those of `Generator.sample`, but for the last bits.
    """
    stage: Any = generator.first_stage
    network, device = generator.network, generator.device
    at = torch.as_tensor(shares, dtype=torch.float32, device=device)[:, None]
    ends = (start, end)
    first, second = (torch.from_numpy(generator.draw(p.seed, np.array([p.index]))).to(device) for p in ends)
    labels = torch.tensor([p.label for p in ends], device=device)
    asked = of_classes(labels, generator.config["condition_schema"])
    own = great_circle(first[:, stage.picks : stage.noise], second[:, stage.picks : stage.noise], at)
    codes = [
        stage.sample(torch.cat([z[:, : stage.picks].expand(len(at), -1), own], 1), condition.expand(len(at), -1))
        for z, condition in zip((first, second), asked, strict=True)
    ]
    coarse = stage.decode(torch.lerp(codes[0], codes[1], at))
    rest = great_circle(first[:, stage.noise :], second[:, stage.noise :], at)
    made = [
        complete(stage, network, z, condition, image)
        for z, condition, image in zip(
            *(x.split(int(generator.config["batch"])) for x in (rest, torch.lerp(asked[:1], asked[1:], at), coarse)),
            strict=True,
        )
    ]
    return torch.cat(made).clamp(0, 1).cpu().numpy()


def great_circle(a: torch.Tensor, b: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation (Shoemake 1985): ``a`` and ``b`` ``[1, d]``, shares ``[n, 1]``; float ``[n, d]``."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1, eps=1e-12).clamp(-1, 1)
    angle = torch.arccos(cosine)[:, None]
    if angle.sin().abs().item() < 1e-3:  # one direction: there is no circle, and nothing to shrink
        return torch.lerp(a, b, at)
    return (torch.sin((1 - at) * angle) * a + torch.sin(at * angle) * b) / torch.sin(angle)
