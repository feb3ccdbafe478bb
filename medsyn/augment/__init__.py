"""Labelled synthetic cases from a checkpoint."""

from medsyn.api import augment, make_callable

make_callable(__name__, augment)
