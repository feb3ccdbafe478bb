"""How a first stage is fitted, whatever its kind."""

from __future__ import annotations

from typing import NamedTuple

from medsyn.generator.first_stage.flow import PriorTraining


class Fitting(NamedTuple):
    """Wishes, of which a kind heeds those that mean something to it."""

    explained: float  # share of the variance to keep, if `most` components suffice for it
    most: int  # components at most
    halvings: int = 0  # of the images, before
    prior: PriorTraining = PriorTraining()  # how what makes new codes is trained
