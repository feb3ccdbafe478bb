"""One DICOMweb server: who may ask it, what is asked again, and what its refusals mean."""

from __future__ import annotations

import email.utils
import io
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset
from requests.auth import AuthBase, HTTPBasicAuth

from medsyn.errors import EnvironmentFault, MedsynError, UsageError
from medsyn.pacs.address import PASSWORD, ROOT, TOKEN, USER, checked_url, is_here
from medsyn.pacs.messages import body_of, first, only_part, plain_content_type, redirection
from medsyn.progress import SILENT, Progress

T = TypeVar("T")

TIMEOUT = (10.0, 120.0)
"""Seconds to connect, and between two bytes of an answer: some archives fetch from tape."""
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)
"""Seconds between tries, the longest of each; half of it is drawn. Long enough for a server to be restarted."""
WAITS_AT_FIRST = WAITS[:2]
"""While the server has never answered, and for errors of its own (500): most likely these stay."""
LONGEST_RETRY_AFTER = 600.0
PAGE = 100
"""Answers asked for at once. Servers may give fewer: only an empty answer is the end."""
LIST = 50
"""UIDs in one request: some servers take no address of more than 4 KiB."""
UID_OF = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}
"""What is searched for -> tag that tells its answers apart."""
_PASSING = frozenset({408, 425, 429, 502, 503, 504, 507})
"""HTTP status of what passes; 500 is asked again less often, all others are final."""
pause = time.sleep


class Refusal(Exception):
    """The server has understood and says no.

    Attributes:
        status: Of HTTP.
        content: DICOM JSON object of the answer's body, empty where it holds none.
    """

    def __init__(self, status: int, content: Dataset | None = None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status, self.content = status, content if content is not None else Dataset()


@dataclass(frozen=True)
class _Trouble:
    """What another try may mend.

    Attributes:
        what: In words.
        waits: Longest seconds before each further try.
        asked_for: Seconds that the server asks for.
        refusal: What to raise where the tries do not help, None for the machine's fault.
    """

    what: str
    waits: Sequence[float]
    asked_for: float | None = None
    refusal: Refusal | None = None


class TooLargeError(Exception):
    """An instance of more bytes than the caller takes."""


class Pacs:
    """A DICOMweb server.

    Credentials come from ``MEDSYN_PACS_USER`` and ``MEDSYN_PACS_PASSWORD``, ``MEDSYN_PACS_TOKEN`` (a bearer token), or
    netrc (``NETRC``, ``~/.netrc``); certificates are checked against ``REQUESTS_CA_BUNDLE`` or the usual authorities.
    Every request is tried again while the server cannot be reached, is busy (429) or fails (5xx), with growing random
    waits and as ``Retry-After`` says. Errors hold neither credentials nor what was searched for.

    Args:
        url: Root of the service, below which ``/studies`` lies.
        progress: Is told of waits.

    Attributes:
        url: As it may be shown.

    Raises:
        UsageError: Not such a URL, one with credentials or a query in it, or credentials that contradict each other.
    """

    def __init__(self, url: str, progress: Progress = SILENT) -> None:
        self.url = checked_url(url)
        self._progress, self._answered = progress, False
        self._session = _Session()
        self._session.auth = _credentials()
        self._session.max_redirects = 0  # a POST that is sent elsewhere arrives there as a GET
        self._session.headers["Accept"] = "application/dicom+json"
        self._session.hooks["response"] = [plain_content_type]
        # They log UIDs and addresses with what was searched for.
        for name in ("dicomweb_client", "retrying"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        # Chunked bodies cannot be sent twice, and some servers do not take them.
        self._client = DICOMwebClient(
            self.url, session=self._session, chunk_size=2**40, permissive_uid=True, timeout=TIMEOUT
        )
        self._client.set_http_retry_params(retry=False)
        if self.url.startswith("http:") and not is_here(self.url):
            progress.say(f"{self.url}: images and passwords go over the network unencrypted; use https where you can")

    def check(self) -> None:
        """Ask for one study: whoever may not, and what is no DICOMweb root, is told before anything is sent.

        Raises:
            MedsynError: As `search`.
        """
        try:
            self._call(lambda: self._page("studies", {}, limit=1))
        except Refusal as refusal:
            raise self.no_root(f"answers with HTTP status {refusal.status}") from None

    def search(
        self,
        what: str,
        *uids: str,
        filters: Mapping[str, str] | None = None,
        fields: Sequence[str] = (),
        total: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Search (QIDO-RS), page after page.

        Args:
            what: ``studies``, ``series`` or ``instances``.
            uids: Study Instance UID, and Series Instance UID, in which.
            filters: DICOM keyword -> value that is searched for.
            fields: Further keywords that answers shall hold.
            total: How many answers there are at most, where that is known: it spares a request.

        Yields:
            Answers as DICOM JSON objects, each once.

        Raises:
            Refusal: The server does not search for this.
            EnvironmentFault: It cannot be reached, or refuses access.
            UsageError: It answers, but not in DICOM JSON.
        """
        seen: set[str] = set()
        offset = 0
        while total is None or len(seen) < total:
            page = self._call(
                lambda offset=offset: self._page(  # type: ignore[misc]
                    what, filters or {}, *uids, limit=PAGE, offset=offset, fields=fields
                )
            )
            # A server that knows no offset gives the same page again and again.
            fresh = {uid: answer for answer in page if (uid := first(answer, UID_OF[what])) and uid not in seen}
            if not fresh:
                return
            seen.update(fresh)
            offset += len(page)
            yield from fresh.values()

    def find(self, uids: Sequence[str]) -> set[str]:
        """Which of some SOP Instance UIDs the server has, asked in one request; at most `LIST`.

        Raises:
            Refusal: The server does not search across studies.
        """
        wanted = set(uids)
        answers = self._call(
            lambda: self._page("instances", {"SOPInstanceUID": ",".join(sorted(wanted))}, limit=len(wanted))
        )
        return {first(answer, UID_OF["instances"]) for answer in answers} & wanted

    def store(self, datasets: Sequence[Dataset]) -> Dataset:
        """Store instances (STOW-RS); storing one again changes nothing.

        Returns:
            What the server says of each: ReferencedSOPSequence, FailedSOPSequence (PS3.18 table I.1-1).

        Raises:
            Refusal: It stored none, or not all of them; ``content`` may say of which.
            MedsynError: As `search`.
        """
        return self._call(lambda: self._client.store_instances(datasets))

    def retrieve(self, study: str, series: str, instance: str, most: int) -> bytes:
        """One instance as the server has it, byte for byte (WADO-RS).

        Args:
            study: Study Instance UID, as the next.
            series: Series Instance UID.
            instance: SOP Instance UID.
            most: Bytes that are taken.

        Raises:
            Refusal: The server does not have it, or cannot read it.
            TooLargeError: It is larger.
            MedsynError: As `search`.
        """
        url = f"{self.url}/studies/{study}/series/{series}/instances/{instance}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'

        def get() -> bytes:
            with self._session.get(url, headers={"Accept": accept}, stream=True, timeout=TIMEOUT) as response:
                response.raise_for_status()
                content = io.BytesIO()
                for chunk in response.iter_content(2**20):
                    content.write(chunk)
                    if content.tell() > most + 2**16:  # the headers around it
                        raise TooLargeError
                return only_part(content.getvalue(), response.headers.get("Content-Type", ""))

        return self._call(get)

    def _page(self, what: str, filters: Mapping[str, str], *uids: str, **paging: Any) -> list[dict[str, Any]]:
        search = getattr(self._client, f"search_for_{what}")
        answers = search(*uids, search_filters=dict(filters), **paging)
        if not all(isinstance(answer, dict) for answer in answers):
            raise ValueError("not DICOM JSON")
        return answers

    def _call(self, action: Callable[[], T]) -> T:
        """Do one request, again where it may help."""
        tries = 0
        while True:
            try:
                result = action()
            # KeyError and the like: what dicomweb-client and pydicom make of an answer of another kind
            except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
                trouble = self._trouble(error)
            else:
                self._answered = True
                return result
            if tries >= len(trouble.waits):
                if trouble.refusal is not None:
                    raise trouble.refusal
                raise EnvironmentFault(
                    f"{trouble.what}, {tries + 1} times", where=self.url, mend="When it is back, run the command again."
                )
            self._wait(trouble, trouble.waits[tries])
            tries += 1

    def _trouble(self, error: Exception) -> _Trouble:
        """What has gone wrong, where another try may help; else the error that says what to do."""
        if isinstance(error, requests.HTTPError) and error.response is not None:
            self._answered = True
            return self._status(error.response)
        if isinstance(error, requests.TooManyRedirects):
            raise self.no_root(f"sends on to {redirection(error.response)}") from None
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise EnvironmentFault(
                "its TLS certificate is not trusted",
                where=self.url,
                mend="Set REQUESTS_CA_BUNDLE to the PEM file of the authority that has signed it.",
            ) from None
        if isinstance(error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError):
            return _Trouble(_why(error), WAITS if self._answered else WAITS_AT_FIRST)
        raise self.no_root("answers, but not as DICOMweb does") from None

    def _status(self, response: requests.Response) -> _Trouble:
        status = response.status_code
        told = f"answers with HTTP status {status}"
        if status in (401, 403):
            raise EnvironmentFault(
                f"refuses access (HTTP status {status})",
                where=self.url,
                mend=f"Set {USER} and {PASSWORD}, or {TOKEN}, or add the server to ~/.netrc.",
            ) from None
        if status == 500:
            return _Trouble(told, WAITS_AT_FIRST, refusal=Refusal(status, body_of(response)))
        if status in _PASSING:
            return _Trouble(told, WAITS, asked_for=_retry_after(response))
        raise Refusal(status, body_of(response)) from None

    def _wait(self, trouble: _Trouble, longest: float) -> None:
        # Drawn, so that many clients of one server do not come back all at once.
        seconds = longest * random.uniform(0.5, 1) if trouble.asked_for is None else trouble.asked_for
        if seconds > LONGEST_RETRY_AFTER:
            told = f"{trouble.what} and asks to come back in {seconds / 60:.0f} minutes"
            raise EnvironmentFault(told, where=self.url, mend="Run the command again then.")
        self._progress.say(f"{self.url}: {trouble.what}; trying again in {seconds:.1f} s")
        pause(seconds)

    def no_root(self, what: str) -> MedsynError:
        """The error to raise where the address answers, but not as DICOMweb does."""
        return UsageError(f"{what}: is this the root of a DICOMweb service?", where=self.url, mend=ROOT)


class _Session(requests.Session):
    """Puts right what dicomweb-client writes into requests."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        request.headers.pop("Host", None)  # without the port, and not of an IPv6 address
        # Orthanc takes encoded wildcards for the letters.
        request.url = (request.url or "").replace("%2A", "*").replace("%3F", "?")
        return super().send(request, **kwargs)


class _Bearer(AuthBase):
    """As authentication rather than as a header, which an entry of netrc would replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _credentials() -> AuthBase | None:
    """Of the environment; None leaves it to netrc."""
    user, password, token = (os.environ.get(name) or None for name in (USER, PASSWORD, TOKEN))
    if token and (user or password):
        raise UsageError(f"both {TOKEN} and {USER} or {PASSWORD} are set", where="the environment", mend="Unset one.")
    if (user is None) != (password is None):
        missing = USER if user is None else PASSWORD
        raise UsageError(f"{missing} is not set", where="the environment", mend=f"Set {USER} and {PASSWORD}.")
    if token:
        return _Bearer(token)
    # Bytes: as text, requests takes Latin-1 only.
    return HTTPBasicAuth(user.encode(), password.encode()) if user and password else None


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks for (RFC 9110 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _why(error: BaseException) -> str:
    """Why a connection failed, in words of our own: the error's quote the whole address."""
    found: list[BaseException] = [error]
    for one in found:  # grows while it is walked: causes hide in arguments and reasons
        below = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        found += [b for b in below if isinstance(b, BaseException) and all(b is not f for f in found)]
    names = {type(one).__name__ for one in found}
    if any(isinstance(one, socket.gaierror) for one in found) or "NameResolutionError" in names:
        return "has a name that no address belongs to"
    if any(isinstance(one, ConnectionRefusedError) for one in found):
        return "refuses the connection"
    if any(isinstance(one, requests.Timeout | TimeoutError) for one in found):
        return "does not answer in time"
    return "breaks the connection off"
