"""Networks that a generator checkpoint can hold, by the name in config.json."""

from __future__ import annotations

from typing import Any

from medsyn.errors import DataError
from medsyn.generator.networks.latent import LatentGenerator

NETWORKS: dict[str, type[LatentGenerator]] = {"latent": LatentGenerator}


def build(config: dict[str, Any]) -> LatentGenerator:
    """The network of ``config["network"]``: its ``kind`` and all its sizes.

    Raises:
        DataError: A kind that this medsyn does not know.
    """
    sizes = dict(config)
    kind = sizes.pop("kind", None)
    if kind not in NETWORKS:
        raise DataError(f"network '{kind}' is not known", where="config.json", mend="Upgrade medsyn.")
    return NETWORKS[kind](**sizes)


__all__ = ["NETWORKS", "LatentGenerator", "build"]
