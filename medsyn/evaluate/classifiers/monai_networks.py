"""MONAI's classification networks, from scratch, with a stem that fits the size of the images.

Both are made for 224 px, which their stems and stages divide by 32: of 28 px nothing would be left. Below 64 px the
stem keeps the size (as MedMNIST's baselines do), below 128 px it halves it, from there on it is the published one.
"""

from __future__ import annotations

from monai.networks.nets import DenseNet121
from monai.networks.nets import resnet18 as monai_resnet18
from torch import nn


def resnet18(channels: int, classes: int, side: int) -> nn.Module:
    """ResNet-18 (He et al., CVPR 2016) of MONAI.

    Args:
        channels: Of the images.
        classes: Number of them.
        side: Of the images in pixels.
    """
    return monai_resnet18(
        spatial_dims=2,
        n_input_channels=channels,
        num_classes=classes,
        conv1_t_size=3 if side < 64 else 7,
        conv1_t_stride=1 if side < 64 else 2,
        no_max_pool=side < 128,
    )


def densenet121(channels: int, classes: int, side: int) -> nn.Module:
    """DenseNet-121 (Huang et al., CVPR 2017) of MONAI.

    Args:
        channels: Of the images.
        classes: Number of them.
        side: Of the images in pixels.
    """
    network = DenseNet121(spatial_dims=2, in_channels=channels, out_channels=classes)
    first = network.features.conv0
    assert isinstance(first, nn.Conv2d)
    if side < 64:
        network.features.conv0 = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False)
    if side < 128:
        network.features.pool0 = nn.Identity()
    return network
