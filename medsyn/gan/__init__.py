"""Training of a class-conditional generator."""

from medsyn.gan.stage import TrainResult, run

__all__ = ["TrainResult", "run"]
