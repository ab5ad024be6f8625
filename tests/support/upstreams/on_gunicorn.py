"""The common paths, websocket apart, as a WSGI program under gunicorn: a master that watches one threaded worker."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from gunicorn.app.base import BaseApplication
from identity import Identity, begin, digest_answer, options, sized, tick

Start = Callable[[str, list[tuple[str, str]]], Any]


class App:
    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        kind, body = self._body(environ, query)
        headers = [("Content-Type", kind), ("X-Instance", self._identity.header)]
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
            body = [body]
        start("200 OK" if kind != "text/none" else "404 Not Found", headers)
        return body

    def _body(self, environ: dict[str, Any], query: dict[str, str]) -> tuple[str, bytes | Iterator[bytes]]:
        match environ["PATH_INFO"].split("/")[1:]:
            case [""]:
                return "text/plain", self._identity.hello
            case ["health"]:
                return "text/plain", b"ok"
            case ["size", length]:
                return "text/plain", sized(int(length))
            case ["slow"]:
                time.sleep(float(query.get("s", 1.0)))
                return "text/plain", b"slow"
            case ["sse"]:
                return "text/event-stream", ticks(int(query.get("n", 10)), float(query.get("every", 0.1)))
            case ["echo-sha"]:
                self._identity.post(environ.get("HTTP_X_POST_ID"))
                return "application/json", digest_of(environ["wsgi.input"])
        return "text/none", b"no such path"


def ticks(count: int, every: float) -> Iterator[bytes]:
    for number in range(count):
        yield tick(number)
        time.sleep(every)


def digest_of(source: Any) -> bytes:
    digest, length = hashlib.sha256(), 0
    while data := source.read(65536):
        digest.update(data)
        length += len(data)
    return digest_answer(digest.hexdigest(), length)


class Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, app: App, chosen: argparse.Namespace) -> None:
        self._app = app
        self._chosen = chosen
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"{self._chosen.host}:{self._chosen.port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": 32,
            "keepalive": int(self._chosen.keep_alive),
            "timeout": self._chosen.timeout,
            "graceful_timeout": 2,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> App:
        return self._app


if __name__ == "__main__":
    arguments = options(__doc__ or "")
    Gunicorn(App(begin("gunicorn", arguments)), arguments).run()
