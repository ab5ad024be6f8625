"""The running hub as the commands see it: JSON over HTTP on a unix socket of the data folder.

Standard library alone, so that a command answers in the time Python takes to start. The socket is the supervisor's:
while the scaler is being started again a question waits and is answered.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode

from services.cli.failure import Failure, Refused, no_hub
from services.layout import Layout
from services.supervisor.config import Exit

_PATIENCE = 15.0
_PIECE = 1 << 18
_CATALOGUE = "x-aihub-catalogue"
_GOES_BY_THE_LAST = (
    "the catalogue's files have faults, so this goes by what they said before (`aihub doctor` shows the faults)"
)


class Hub:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._told_of_faults = False

    def status(self, *, patience: float = _PATIENCE) -> dict[str, Any]:
        return self.get("/v1/status", patience=patience)

    def get(self, path: str, *, patience: float = _PATIENCE) -> dict[str, Any]:
        return self._ask("GET", path, patience)

    def post(self, path: str, *, patience: float = _PATIENCE, **query: object) -> dict[str, Any]:
        said = {key: value for key, value in query.items() if value is not None}
        return self._ask("POST", f"{path}?{urlencode(said)}" if said else path, patience)

    def tell(self, service: str, verb: str, *, patience: float = _PATIENCE, **query: object) -> dict[str, Any]:
        """One act on one service. Raises Refused with the hub's word where it does not do it."""
        return self.post(f"{_of(service)}/{verb}", patience=patience, **query)

    def explain(self, service: str) -> dict[str, Any]:
        return self.get(f"{_of(service)}/explain")

    @contextmanager
    def download(self, path: str, *, patience: float) -> Iterator[tuple[Mapping[str, str], Iterator[bytes]]]:
        """Headers and body of an answer, the body as it comes. Raises as `get`, and Failure where it is broken off."""
        with self._exchange("GET", path, patience) as answer:
            if answer.status >= 400:
                _understand(answer.status, answer.read())
            yield dict(answer.headers), _pieces(answer)

    def upload(self, path: str, body: Iterator[bytes], *, patience: float) -> dict[str, Any]:
        with self._exchange("PUT", path, patience, body) as answer:
            return _understand(answer.status, answer.read())

    def lines(self, path: str, *, patience: float) -> Iterator[dict[str, Any]]:
        """What a long act tells of itself, line by line, as it goes on. `patience`: seconds between two lines."""
        with self._exchange("POST", path, patience) as answer:
            if answer.status >= 400:
                _understand(answer.status, answer.read())
            for line in answer:
                yield json.loads(line)

    def _ask(self, method: str, path: str, patience: float) -> dict[str, Any]:
        """Raises Failure where no hub runs, it does not answer within `patience` seconds, or it refuses."""
        with self._exchange(method, path, patience) as answer:
            with self._told():
                body = answer.read()
            return _understand(answer.status, body)

    @contextmanager
    def _exchange(
        self, method: str, path: str, patience: float, body: Iterator[bytes] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(str(self.layout.admin_socket), patience)
        try:
            with self._told():
                # Refused before all of it was read: the answer says why.
                with suppress(BrokenPipeError):
                    connection.request(method, path, body, {"Host": "hub", "Connection": "close"})
                answer = connection.getresponse()
            self._tell_of_faults(answer)
            yield answer
        finally:
            connection.close()

    def _tell_of_faults(self, answer: http.client.HTTPResponse) -> None:
        # An unknown name may be one that the files have just added.
        matters = answer.status < 400 or answer.status == http.HTTPStatus.NOT_FOUND
        if answer.getheader(_CATALOGUE) == "faulty" and matters and not self._told_of_faults:
            self._told_of_faults = True
            print(_GOES_BY_THE_LAST, file=sys.stderr)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong on the way becomes a Failure."""
        try:
            yield
        except (FileNotFoundError, ConnectionRefusedError):
            raise no_hub(self.layout.data) from None
        except NotADirectoryError:
            raise Failure(f"{self.layout.data} is no folder") from None
        except PermissionError:
            raise Failure(f"the hub on {self.layout.data} belongs to another user") from None
        except (OSError, http.client.HTTPException) as error:
            raise Failure(
                f"the hub does not answer ({error or type(error).__name__})",
                remedy="Its scaler may be starting again; `aihub logs scaler` tells.",
            ) from None


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := answer.read1(_PIECE):
            yield piece
    except http.client.HTTPException:
        raise Failure("the hub broke off in the middle", remedy="`aihub logs scaler` has the reason.") from None


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("hub", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _of(service: str) -> str:
    return f"/v1/services/{quote(service, safe='')}"


def _understand(status: int, body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if status >= 500 and not isinstance(said, dict):
        raise Failure(f"the hub failed on this question ({status})", remedy="`aihub logs scaler` has the reason.")
    if not isinstance(said, dict):
        raise Failure(
            f"the hub's answer ({status}) is not understood", remedy="Is it of another version? aihub down; aihub up"
        )
    if status < 400:
        return said
    error = said.get("error") or {}
    unknown = status == 404 and error.get("code") == "unknown-service"
    remedy = str(error.get("remedy") or "")
    if error.get("hint"):
        remedy = f"Did you mean {error['hint']}?"
    elif unknown:
        remedy = "`aihub status` lists them."
    raise Refused(
        str(error.get("code", "")),
        str(error.get("message", f"the hub answered {status}")),
        code=Exit.BAD_INPUT if status in (400, 404) else Exit.FAILED,
        remedy=remedy,
    )
