"""The generator: the model, and the checkpoint folder that holds it; shared by training and augmentation."""

from medsyn.generator.checkpoint import load, save
from medsyn.generator.model import Generator

__all__ = ["Generator", "load", "save"]
