"""Ways in which a training fails: each named, and answered."""

from medsyn.gan.health.recovery import Recovery
from medsyn.gan.health.samples import Glance, Samples
from medsyn.gan.health.watch import Problem, Watch

__all__ = ["Glance", "Problem", "Recovery", "Samples", "Watch"]
