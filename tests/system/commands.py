"""Run medsyn as a user does, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from helpers import SMALL

MINI = """
name: mini
stages:
  - ingest: {sample_subjects: 50, name: mini, size: 32, workers: 1}
  - train-gan: {modality: xray, budget: 2kimg, batch: 32, knobs: KNOBS}
  - augment: {modality: xray, n: 40, balance: equal}
  - evaluate: {modality: xray, seeds: 2, steps: 4, ratios: [0.5], classical: without, bootstrap: 100}
""".replace("KNOBS", json.dumps(SMALL))

NARROW = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
"""The same knobs, as they are typed."""


def environment(**extra: str) -> dict[str, str]:
    """The tests' own environment, without a user's medsyn or MLflow settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MEDSYN_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200", **extra}


def medsyn(*arguments: object, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "medsyn", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=600)


def start(*arguments: object, cwd: Path, **extra: str) -> subprocess.Popen[str]:
    """Start one command in a process group of its own."""
    command = [sys.executable, "-m", "medsyn", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(process: subprocess.Popen[str], true: Callable[[], object], seconds: float = 300) -> None:
    """Wait for something that a command does; it must not end before."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()[0]
        if time.monotonic() > end:
            with suppress(ProcessLookupError):  # it leads no group
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            raise AssertionError(f"not within {seconds:g} s: {process.communicate()[0]}")
        time.sleep(0.01)


def snapshot(folder: Path) -> set[str]:
    """Every result that a user can see, and every half-made thing, below a workspace."""
    if not folder.exists():
        return set()
    shown = {f"{kind.name}/{path.name}" for kind in folder.iterdir() if kind.is_dir() for path in kind.iterdir()}
    return {
        name
        for name in shown
        if not name.endswith(".lock") and name.split("/")[0] not in ("cache", "logs", "private", "tracking")
    }
