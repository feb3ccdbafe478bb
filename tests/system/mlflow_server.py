"""A real MLflow server for tests, which is killed, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from commands import environment
from orthanc import free_port


class MlflowServer:
    """`mlflow server` on this machine, with SQLite, always at the same address.

    Args:
        folder: For everything that it writes.
        empty_store: A database without a run.
    """

    def __init__(self, folder: Path, empty_store: Path) -> None:
        folder.mkdir(parents=True)
        shutil.copy(empty_store, folder / "mlflow.db")
        self._folder, self._log, self.port = folder, folder / "log", free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        places = ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        places += ["--artifacts-destination", str(self._folder / "artifacts"), "--workers", "1"]
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, *places], env=environment(**settings), stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + 180
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                assert answer.status == 200
                return
            time.sleep(0.1)
        raise AssertionError("MLflow does not answer: " + self._log.read_text(errors="replace"))

    def kill(self) -> None:
        """SIGKILL: what it has not written by then is lost."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and answers none."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)
