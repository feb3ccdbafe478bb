"""Shape and appearance apart: principal components of images that were first warped onto each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from medsyn.compute import numpy_rng
from medsyn.generator.first_stage import prior as priors
from medsyn.generator.first_stage.components import Components, principal
from medsyn.generator.first_stage.fitting import Fitting

CONTROLS = 4
"""Control points a side of the displacement field: 32 numbers an image, position and size among them."""

ALIGN_SIDE = 32
ALIGN_IMAGES = 2000
ITERATIONS = 80
TARGET_COMPONENTS = 4
STAY, SMOOTH = 1.2, 1.0  # weights of the penalties on displacement and on its second differences


class AlignedPCA(nn.Module):
    """An active appearance model (Cootes, Edwards and Taylor 2001) without landmarks.

    Plain components blend patients of different build into ghosts. Here every training image gets a smooth
    displacement field that warps it onto the others; the components are those of the warped images, and the fields
    have components of their own.

    Args:
        image_shape: ``(C, H, W)``.
        coefficients: Components of the appearance, the first part of a code.
        shape_coefficients: Components of the fields, the rest of it.
        prior: Kind and sizes of what makes new codes, see `medsyn.generator.first_stage.prior`.
    """

    target_mean: torch.Tensor
    target: torch.Tensor

    def __init__(
        self, image_shape: tuple[int, int, int], coefficients: int, shape_coefficients: int, prior: dict[str, Any]
    ) -> None:
        super().__init__()
        self.appearance = Components(image_shape, coefficients)
        self.shape = Components((2, CONTROLS, CONTROLS), shape_coefficients)
        self.prior = priors.build(prior, coefficients + shape_coefficients)
        self.noise, self.picks = self.prior.noise, self.prior.picks
        pixels = _small(torch.zeros(1, *image_shape, device="cpu")).numel()
        self.register_buffer("target_mean", torch.zeros(pixels))
        self.register_buffer("target", torch.zeros(TARGET_COMPONENTS, pixels))

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray, fitting: Fitting) -> AlignedPCA:
        """Align and fit.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1].
            labels: int64 ``[n]``; every class occurs.
            fitting: What is wished for; `explained` of appearance and of shape alike, `most` of the appearance. Images
                are never halved: it is the kind for those that have details to align.
        """
        x = torch.tensor(images)
        controls, (mean, target) = align(x)
        appearance = principal(
            warp(x, field(controls, x.shape[-2:])).numpy(), explained=fitting.explained, most=fitting.most
        )
        shape = principal(controls.numpy(), explained=fitting.explained, most=2 * CONTROLS**2)
        codes = np.concatenate([appearance.codes, shape.codes], 1)
        made = priors.fit(codes, labels, fitting.prior)
        stage = cls(tuple(images.shape[1:]), len(appearance.scale), len(shape.scale), made.sizes())
        stage.appearance.take(appearance)
        stage.shape.take(shape)
        stage.prior = made
        stage.target_mean.copy_(mean)
        stage.target.copy_(target)
        return stage

    def sizes(self) -> dict[str, Any]:
        """For config.json."""
        parts = {"coefficients": self.appearance.coefficients, "shape_coefficients": self.shape.coefficients}
        return {"kind": "aligned-pca", **parts, "prior": self.prior.sizes()}

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[n, C, H, W]`` to codes ``[n, K]``; each is aligned first, which takes milliseconds an image."""
        with torch.enable_grad():
            controls, _ = _descend(_small(images), (self.target_mean, self.target))
        aligned = warp(images, field(controls, images.shape[-2:]))
        return torch.cat([self.appearance.encode(aligned), self.shape.encode(controls)], 1)

    def sample(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Standard normal noise ``[n, noise]`` and conditions ``[n, c]`` to codes ``[n, K]``."""
        return self.prior(noise, condition)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes ``[n, K]`` to images ``[n, C, H, W]``, not clipped."""
        aligned = self.appearance.decode(codes[:, : self.appearance.coefficients])
        controls = self.shape.decode(codes[:, self.appearance.coefficients :])
        return warp(aligned, inverse(field(controls, aligned.shape[-2:])))

    def detail(self, images: torch.Tensor) -> torch.Tensor:
        """All of the images: a bent space has no complement."""
        return images


def align(images: torch.Tensor) -> tuple[torch.Tensor, Space]:
    """Find the fields that make images alike: near to their own projection on a few common components.

    The components and the fields take turns; images, means removed, are compared at `ALIGN_SIDE` pixels. Displacement
    and bending cost, and the mean field is kept at zero, so that the average patient stays where he is.

    Args:
        images: ``[n, C, H, W]``.

    Returns:
        Control points ``[n, 2, CONTROLS, CONTROLS]``: displacement along x and y, 2 being the side of the image; and
        what the images were made alike to.
    """
    small = _small(images)
    chosen = numpy_rng("align", len(small)).permutation(len(small))[:ALIGN_IMAGES]
    controls, space = _descend(small[chosen], None)
    if len(chosen) == len(small):
        return controls[np.argsort(chosen)], space
    return torch.cat([_descend(part, space)[0] for part in small.split(ALIGN_IMAGES)]), space


def _small(images: torch.Tensor) -> torch.Tensor:
    """Images at about `ALIGN_SIDE` pixels, each of mean 0 and deviation 1."""
    small = F.avg_pool2d(images, max(1, round(images.shape[-1] / ALIGN_SIDE)))
    small = small - small.mean((1, 2, 3), keepdim=True)
    return small / small.std((1, 2, 3), keepdim=True).clamp_min(1e-3)


Space = tuple[torch.Tensor, torch.Tensor]  # mean [D] and components [k, D]


def _descend(small: torch.Tensor, space: Space | None) -> tuple[torch.Tensor, Space]:
    controls = torch.zeros(len(small), 2, CONTROLS, CONTROLS, device=small.device, requires_grad=True)
    optimiser = torch.optim.Adam([controls], 0.01)
    current = space
    for _ in range(ITERATIONS):
        warped = warp(small, field(controls, small.shape[-2:]), mode="bilinear").flatten(1)
        if space is None:
            current = _common(warped.detach())
        assert current is not None
        mean, components = current
        target = (warped.detach() - mean) @ components.T @ components + mean
        bend = controls.diff(n=2, dim=-1).square().mean((1, 2, 3)) + controls.diff(n=2, dim=-2).square().mean((1, 2, 3))
        cost = (warped - target).square().mean(1) + STAY * controls.square().mean((1, 2, 3)) + SMOOTH * bend
        optimiser.zero_grad()
        cost.sum().backward()
        optimiser.step()
        if space is None:
            with torch.no_grad():
                controls -= controls.mean(0)
    assert current is not None
    return controls.detach(), current


def _common(flat: torch.Tensor) -> Space:
    """Mean and leading components, by subspace iteration from fixed vectors: no global random state is touched."""
    mean = flat.mean(0)
    centred = flat - mean
    start = numpy_rng("common", flat.shape[1]).standard_normal((flat.shape[1], TARGET_COMPONENTS), np.float32)
    vectors = torch.from_numpy(start)
    for _ in range(3):
        vectors, _ = torch.linalg.qr(centred.T @ (centred @ vectors))
    return mean, vectors.T


def field(controls: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Control points ``[n, 2, g, g]`` to the displacement of every pixel, ``[n, H, W, 2]``."""
    return F.interpolate(controls, tuple(size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def warp(images: torch.Tensor, displacement: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """``out(u) = images(u + displacement(u))``; beyond the border the nearest pixel goes on."""
    place = _identity(displacement) + displacement
    return F.grid_sample(images, place, mode=mode, padding_mode="border", align_corners=False)


def inverse(displacement: torch.Tensor) -> torch.Tensor:
    """The field e that undoes a field d: the fixed point of ``e(x) = -d(x + e(x))``."""
    identity, channels_first = _identity(displacement), displacement.permute(0, 3, 1, 2)
    undo = torch.zeros_like(displacement)
    for _ in range(8):
        moved = F.grid_sample(channels_first, identity + undo, padding_mode="border", align_corners=False)
        undo = -moved.permute(0, 2, 3, 1)
    return undo


def _identity(like: torch.Tensor) -> torch.Tensor:
    height, width = like.shape[1:3]
    unit = torch.eye(2, 3, device=like.device, dtype=like.dtype)[None]
    return F.affine_grid(unit, [1, 1, height, width], align_corners=False)
