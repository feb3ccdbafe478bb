"""A real PACS for tests: Orthanc with its DICOMweb plugin, and a proxy before it in which things go wrong on demand."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

USER, PASSWORD = "radiology", "CANARY-pass/wörd"
PLUGINS = ("/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins", "/usr/lib/orthanc")


def installed() -> tuple[str, str]:
    """Orthanc and its DICOMweb plugin, or a skip that says what is missing."""
    program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    found = [file for folder in PLUGINS for file in sorted(Path(folder).glob("libOrthancDicomWeb.so*"))]
    if program is None or not found:
        pytest.skip("no Orthanc with its DICOMweb plugin (Debian: apt-get install orthanc orthanc-dicomweb)")
    return program, str(found[0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """A server process of our own, with authentication and an SQLite store.

    Args:
        folder: For everything that it writes.
    """

    def __init__(self, folder: Path) -> None:
        self._program, plugin = installed()
        self.port = free_port()
        store = folder / "store"
        store.mkdir(parents=True)
        self._file, self._log = folder / "orthanc.json", folder / "orthanc.log"
        settings: dict[str, Any] = {
            "StorageDirectory": str(store),
            "IndexDirectory": str(store),
            "Plugins": [plugin],
            "HttpPort": self.port,
            "HttpThreadsCount": 4,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self._file.write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def start(self) -> None:
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen([self._program, str(self._file)], stdout=log, stderr=log)
        for _ in range(400):
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError("Orthanc does not listen")

    def kill(self) -> None:
        """SIGKILL: what it has not written by then is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Use Orthanc's own interface, which is not what is tested."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {"Authorization": f"Basic {credentials()}"})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status == 200, (method, path, response.status, content)
        return content

    def files(self) -> dict[str, bytes]:
        """SOP Instance UID -> the file that the server has stored, of all instances."""
        found = json.loads(self.ask("GET", "/instances?expand"))
        return {
            one["MainDicomTags"]["SOPInstanceUID"]: self.ask("GET", f"/instances/{one['ID']}/file") for one in found
        }

    def count(self) -> int:
        return int(json.loads(self.ask("GET", "/statistics"))["CountInstances"])

    def put(self, *files: Path) -> None:
        """Store files, as a scanner would."""
        for file in files:
            self.ask("POST", "/instances", file.read_bytes())

    def delete(self, uid: str) -> None:
        found = json.loads(self.ask("POST", "/tools/lookup", uid.encode()))
        self.ask("DELETE", f"/instances/{found[0]['ID']}")


def credentials() -> str:
    return b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass
class Request:
    """What a client asks for; a rule looks at it, and may answer in the server's stead."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    number: int  # among those of this method, from 1
    drop: bool = False  # hand it on, but lose the answer
    cut: int | None = None  # bytes of the answer after which the connection breaks
    edit: Callable[[bytes], bytes] | None = None  # change the answer
    answer: tuple[int, dict[str, str], bytes] | None = None


class Proxy:
    """Hands requests on to a server, as the rule lets it; keeps them all.

    Args:
        orthanc: The server, or another one with a port.
        certificate: PEM with key and certificate: TLS instead of plain HTTP, as where a web server stands before it.
    """

    def __init__(self, orthanc: Any, certificate: Path | None = None) -> None:
        self._scheme = "https" if certificate else "http"
        self.requests: list[Request] = []
        self.rule: Callable[[Request], None] = lambda request: None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one piece: two would wait for each other

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                number = 1 + sum(r.method == self.command for r in proxy.requests)
                request = Request(self.command, self.path, dict(self.headers), body, number)
                proxy.requests.append(request)
                proxy.rule(request)
                try:
                    status, headers, content = request.answer or proxy.forward(orthanc, request)
                except OSError:
                    self.close_connection = True  # as a server that is gone
                    return
                if request.drop:
                    self.close_connection = True
                    return
                content = request.edit(content) if request.edit else content
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: request.cut])
                self.close_connection = request.cut is not None

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def forward(orthanc: Any, request: Request) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", orthanc.port, timeout=30)
        kept = ("Authorization", "Accept", "Content-Type")
        try:
            headers = {name: request.headers[name] for name in kept if name in request.headers}
            connection.request(request.method, request.path, request.body or None, headers)
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError from error
        finally:
            connection.close()
        return response.status, {"Content-Type": response.headers.get("Content-Type", "")}, content

    @property
    def address(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.address}/dicom-web"

    def asked(self, method: str, part: str = "") -> list[Request]:
        return [r for r in self.requests if r.method == method and part in r.path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """An empty PACS."""
    made = Orthanc(tmp_path / "orthanc")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def proxy(orthanc: Orthanc) -> Iterator[Proxy]:
    """The way to that PACS on which things go wrong."""
    made = Proxy(orthanc)
    yield made
    made.close()


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The credentials, in this process's environment and for others."""
    given = {"MEDSYN_PACS_USER": USER, "MEDSYN_PACS_PASSWORD": PASSWORD}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that are waited between tries, which take no time here."""
    from medsyn.pacs import client

    waited: list[float] = []
    monkeypatch.setattr(client, "pause", waited.append)
    return waited
