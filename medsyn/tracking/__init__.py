"""Runs, metrics, lineage and models in MLflow, which nothing else imports; what it misses is delivered later."""

from medsyn.tracking.outbox import Waiting, deliver
from medsyn.tracking.registry import CHAMPION, MODELS, Registered
from medsyn.tracking.run import Run, off, start
from medsyn.tracking.store import client, shown_uri, ui_hint, uri

__all__ = [
    "CHAMPION",
    "MODELS",
    "Registered",
    "Run",
    "Waiting",
    "client",
    "deliver",
    "off",
    "shown_uri",
    "start",
    "ui_hint",
    "uri",
]
