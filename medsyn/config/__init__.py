"""The options of every stage, the presets of every modality, and pipelines of stages."""

from medsyn.config.checked import Strict, validate
from medsyn.config.options import (
    STAGES,
    AugmentOptions,
    Balance,
    EvaluateOptions,
    IngestOptions,
    Measure,
    TrainOptions,
    parse_budget,
)
from medsyn.config.pipelines import load_pipeline
from medsyn.config.presets import MODALITIES, Augmentation, Modality, Preset, load_preset, read_preset, shipped

__all__ = [
    "MODALITIES",
    "STAGES",
    "AugmentOptions",
    "Augmentation",
    "Balance",
    "EvaluateOptions",
    "IngestOptions",
    "Measure",
    "Modality",
    "Preset",
    "Strict",
    "TrainOptions",
    "load_pipeline",
    "load_preset",
    "parse_budget",
    "read_preset",
    "shipped",
    "validate",
]
