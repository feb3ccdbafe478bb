"""`mlflow models serve --env-manager local` answers with labelled images."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import environment
from PIL import Image

from medsyn import generator, tracking
from medsyn.gan import TrainResult
from medsyn.workspace import Workspace

Ask = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ask(trained: tuple[Workspace, TrainResult], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A server with the champion, and a function that posts to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binaries = str(Path(sys.executable).parent)
    surroundings = environment(MLFLOW_TRACKING_URI=tracking.uri(trained[0]), MLFLOW_DISABLE_TELEMETRY="true")
    surroundings["PATH"] = os.pathsep.join([binaries, surroundings["PATH"]])
    surroundings.pop("PYTHONPATH", None)  # the model brings its code along
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/medsyn-xray@champion"]
    log = tmp_path_factory.mktemp("server") / "log"
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            env=surroundings,
            cwd=log.parent,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"

    def post(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    try:
        for _ in range(240):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(log.read_text())
        yield post
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def decoded(row: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(row["image"], validate=True))) as picture:
        assert picture.format == "PNG"
        assert picture.text["Synthetic"] == "true"
        return np.asarray(picture)


def test_images_are_those_of_the_generator(ask: Ask, trained: tuple[Workspace, TrainResult]) -> None:
    status, answer = ask(
        {
            "dataframe_records": [
                {"label": "upper", "n": 3, "seed": 5, "index": 62},
                {"label": "lower", "n": 1, "seed": 0, "index": 0},
            ]
        }
    )
    assert status == 200, answer
    rows = answer["predictions"]
    assert [(r["label"], r["seed"], r["index"]) for r in rows] == [
        ("upper", 5, 62),
        ("upper", 5, 63),
        ("upper", 5, 64),
        ("lower", 0, 0),
    ]
    made = generator.load(trained[1].path)
    for row in rows:
        (expected,) = made.sample(np.array([made.classes.index(row["label"])]), row["seed"], np.array([row["index"]]))
        assert np.array_equal(decoded(row), np.round(expected[0] * 255).astype(np.uint8))


def test_a_label_is_enough(ask: Ask) -> None:
    status, answer = ask({"dataframe_split": {"columns": ["label"], "data": [["lower"]]}})
    assert status == 200, answer
    (row,) = answer["predictions"]
    assert (row["label"], row["seed"], row["index"]) == ("lower", 0, 0)


def test_truncation(ask: Ask, trained: tuple[Workspace, TrainResult]) -> None:
    status, answer = ask({"dataframe_records": [{"label": "lower"}], "params": {"truncation": 0.3}})
    assert status == 200, answer
    made = generator.load(trained[1].path)
    (expected,) = made.sample(np.array([made.classes.index("lower")]), 0, np.array([0]), truncation=0.3)
    assert np.array_equal(decoded(answer["predictions"][0]), np.round(expected[0] * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("row", "params", "says"),
    [
        ({"label": "other"}, {}, "there are lower, upper"),
        ({"label": "lower", "n": 0}, {}, "n must be at least 1"),
        ({"label": "lower", "seed": -1}, {}, "not negative"),
        ({"label": "lower", "n": 10**9}, {}, "more than 1024"),
        ({"label": "lower"}, {"truncation": 1.5}, "truncation must lie"),
    ],
)
def test_requests_that_make_no_sense(ask: Ask, row: dict[str, Any], params: dict[str, Any], says: str) -> None:
    status, answer = ask({"dataframe_records": [row], "params": params})
    assert status == 400
    assert says in json.dumps(answer)
