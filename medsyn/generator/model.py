"""A trained generator: labels, a seed and candidate numbers in, images out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from medsyn.compute import numpy_rng
from medsyn.generator import first_stage, networks
from medsyn.generator.condition import of_classes, width
from medsyn.generator.first_stage import FirstStage
from medsyn.generator.networks.pyramid import doubled, finer, levels_of, noises
from medsyn.generator.tensors import below


class Generator:
    """The network with its first stage, and all that config.json tells about them.

    Args:
        config: Content of config.json; what `sample` needs is ``classes``, ``image_shape``, ``condition_schema``,
            ``network``, ``first_stage`` and ``batch``.
        device: Where it runs.
    """

    def __init__(self, config: dict[str, Any], device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        self.classes: list[str] = list(config["classes"])
        c, h, w = config["image_shape"]
        self.image_shape: tuple[int, int, int] = (c, h, w)
        asked = width(config["condition_schema"])
        self.first_stage = first_stage.build(config["first_stage"], self.image_shape).to(self.device)
        self.network = networks.build(config["network"], self.image_shape, asked).to(self.device).eval()

    @property
    def batch(self) -> int:
        """Images that are always computed together, see `sample`."""
        return int(self.config["batch"])

    @property
    def noise(self) -> int:
        """Standard normal numbers that one image takes."""
        return self.first_stage.noise + self.network.noise

    def draw(self, seed: int, index: np.ndarray, truncation: float = 1.0) -> np.ndarray:
        """The noise of candidates, a pure function of (seed, k).

        Args:
            seed: Not negative.
            index: Candidate numbers k, int64 ``[n]``, not negative.
            truncation: Psi in (0, 1]: factor of all noise but the number that picks a kind of patient, which only a
                mixture has (with a flow it scales everything). Below 1, images are more typical of their kind and less
                diverse (the truncation trick: Brock et al. 2019, section 3.1).

        Returns:
            Standard normal float32 ``[n, noise]`` where truncation is 1.

        Raises:
            ValueError: A truncation that is not in (0, 1].
        """
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation {truncation} must lie above 0 and not above 1")
        made = [numpy_rng("candidate", seed, int(k)).standard_normal(self.noise, np.float32) for k in index]
        noise = np.stack(made) if made else np.empty((0, self.noise), np.float32)
        noise[:, self.first_stage.picks :] *= np.float32(truncation)
        return noise

    def sample(self, labels: np.ndarray, seed: int, index: np.ndarray, truncation: float = 1.0) -> np.ndarray:
        """Make candidates.

        Candidate k is a pure function of (checkpoint, seed, k) and its label: its noise comes from a counter-based
        generator keyed by (seed, k), and it is computed at place (k / number of classes) mod B of a batch of B images
        whatever else is asked for, because another batch size or place may change the last bits. So B candidates of
        one class, each of number ``j * classes + class``, fill a batch.

        Args:
            labels: Class indices, int64 ``[n]``.
            seed: Not negative.
            index: Candidate numbers k, int64 ``[n]``, not negative, in any order.
            truncation: As of `draw`.

        Returns:
            float32 ``[n, C, H, W]`` in [0, 1].

        Raises:
            ValueError: Arrays of different length, a label that is no class, or a truncation outside (0, 1].
        """
        labels, index = np.asarray(labels, np.int64), np.asarray(index, np.int64)
        if labels.shape != index.shape or labels.ndim != 1:
            raise ValueError(f"labels {labels.shape} and index {index.shape} must be vectors of one length")
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes) and index.min() >= 0):
            raise ValueError(f"labels must lie in 0..{len(self.classes) - 1}, candidate numbers at 0 or above")
        size = self.batch
        out = np.empty((len(labels), *self.image_shape), np.float32)
        places = index // len(self.classes) % size
        for rows in _batches(index // len(self.classes), size):
            place = places[rows]
            noise = np.zeros((size, self.noise), np.float32)
            label = np.zeros(size, np.int64)
            label[place] = labels[rows]
            noise[place] = self.draw(seed, index[rows], truncation)
            out[rows] = self._forward(noise, label)[place]
        return out

    @torch.inference_mode()
    def _forward(self, noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        z, label = torch.from_numpy(noise).to(self.device), torch.from_numpy(labels).to(self.device)
        asked = of_classes(label, self.config["condition_schema"])
        return images(self.first_stage, self.network, z, asked).clamp(0, 1).cpu().numpy()

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors, on the CPU, as they are saved in generator.safetensors."""
        parts = {"first_stage": self.first_stage, "network": self.network}
        return {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, part in parts.items()
            for key, value in part.state_dict().items()
        }

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Set all tensors; the names and shapes must match."""
        for name, part in (("first_stage", self.first_stage), ("network", self.network)):
            part.load_state_dict(below(tensors, name))


def images(stage: FirstStage, network: torch.nn.Module, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """A generator's whole way: noise to codes, codes to a coarse image, and what the network adds.

    Args:
        stage: Between codes and coarse images.
        network: Adds details.
        noise: Standard normal ``[n, stage.noise + network.noise]``.
        condition: ``[n, c]``.

    Returns:
        ``[n, C, H, W]``, not clipped.
    """
    coarse = stage.decode(stage.sample(noise[:, : stage.noise], condition))
    return complete(stage, network, noise[:, stage.noise :], condition, coarse)


def complete(
    stage: FirstStage, network: torch.nn.Module, noise: torch.Tensor, condition: torch.Tensor, coarse: torch.Tensor
) -> torch.Tensor:
    """Coarse images with the network's details, from noise ``[n, network.noise]``: ``[n, C, H, W]``, level by level."""
    image = coarse
    for number, (level, drawn) in enumerate(zip(levels_of(network), noise.split(noises(network), 1), strict=True)):
        image = _one_level(stage, number, level, drawn, condition, image)
    return image


def complete_apart(
    stage: FirstStage,
    network: torch.nn.Module,
    noise: torch.Tensor,
    condition: torch.Tensor,
    coarse: torch.Tensor,
    real: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """As `complete`, for training: every level goes on from the real image of the level below, not from a made one.

    Args:
        stage: Made the coarse images.
        network: Completes them.
        noise: ``[n, network.noise]``.
        condition: ``[n, c]``.
        coarse: For the first level.
        real: Of every level, see `medsyn.generator.networks.pyramid.at_sizes`.

    Returns:
        Images of every level, shaped as the real ones.
    """
    parts = zip(levels_of(network), noise.split(noises(network), 1), (coarse, *real), strict=False)
    return [_one_level(stage, i, level, drawn, condition, below) for i, (level, drawn, below) in enumerate(parts)]


def _one_level(
    stage: FirstStage,
    number: int,
    level: torch.nn.Module,
    noise: torch.Tensor,
    condition: torch.Tensor,
    below: torch.Tensor,
) -> torch.Tensor:
    if number == 0:
        return below + stage.detail(level(noise, condition, below))
    base = doubled(below)
    return base + finer(level(noise, condition, base))


def _batches(index: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows that are computed together: one block of numbers, each number once."""
    seen: dict[int, int] = defaultdict(int)
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, k in enumerate(index.tolist()):
        groups[seen[k], k // size].append(row)
        seen[k] += 1
    return [np.array(rows) for rows in groups.values()]
