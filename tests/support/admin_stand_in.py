"""The admin API as commands see it, over three services whose states a test sets: a small honest hub without Envoy.

It keeps to the shapes of the real one: errors are `{"error": {"code", "message", ...}}`, unknown services 404 with a
hint, a wake that cannot be waited for 503 with `waiting`.
"""

from __future__ import annotations

import difflib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, Any]]


class StandIn:
    """What the hub knows, and `asked`: every request in order, as `POST /v1/services/chroma/pin?for=60.0`."""

    def __init__(self, listen: str = "127.0.0.1:8000") -> None:
        self.listen = listen
        self.asked: list[str] = []
        self.services = {
            "hello": _service("hello", listen, state="stopped", expected=0.04),
            "chroma": _service("chroma", listen, state="ready", expected=0.0, own="http://127.0.0.1:8101"),
            "db": _service("db", listen, state="stopped", http=False),
            "kong": _service("kong", listen, state="unavailable", reason="has no x-hub.local.command", tier="infra"),
        }
        self.in_use: dict[str, str] = {}
        """Services that will not rest, and why."""
        self.wakes: dict[str, Answer] = {}
        """Answers to `wake` other than a plain success."""
        self.restarts: dict[str, Answer] = {}
        """The same of `restart`."""
        self.faulty = False
        """The catalogue's files have a fault."""

    def answer(self, method: str, target: str) -> Answer:
        self.asked.append(f"{method} {target}")
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        match method, parts.path.strip("/").split("/"):
            case "GET", ["v1", "status"]:
                return 200, self.status()
            case "GET", ["v1", "df"]:
                sizes = {name: {"data": 4096, "env": 5 << 30, "log": 100} for name in ("chroma", "hello")}
                return 200, {"services": sizes, "cache": 1 << 20, "models": 0, "free": 10 << 30}
            case "GET", ["v1", "doctor"]:
                return 200, {"checks": [{"name": "catalogue", "ok": True, "detail": "3 services", "remedy": ""}]}
            case "POST", ["v1", "prune"]:
                return 200, {"freed": 5 << 30, "cached": 1 << 30, "removed": ["hello"], "kept": {"chroma": "it runs"}}
            case _, ["v1", "services", name, verb]:
                return self._service(method, name, verb, query)
            case _:
                return 404, _error("http", "404 Not Found")

    def status(self) -> dict[str, Any]:
        return {
            "services": self.services,
            "processes": {"supervisor": 1, "scaler": 2, "envoy": 3},
            "budget": {"memory": {"total": 8 << 30, "charged": 1 << 30}},
            "listen": self.listen,
            "catalog": {"files": ["a.yml"], "fault": None},
        }

    def _service(self, method: str, name: str, verb: str, query: dict[str, str]) -> Answer:
        service = self.services.get(name)
        if service is None:
            near = difflib.get_close_matches(name, self.services, n=1)
            return 404, _error("unknown-service", f"no such service: {name}", **({"hint": near[0]} if near else {}))
        match method, verb:
            case "GET", "explain":
                decision = {"at": 1_700_000_000.0, "what": "paused", "reason": "unused for 5 m"}
                return 200, {"state": service["state"], "reason": "why not", "use": ["pinned"], "decisions": [decision]}
            case "POST", "wake" if name in self.wakes:
                return self.wakes[name]
            case "POST", "wake":
                service["state"] = "ready"
            case "POST", "restart" if name in self.restarts:
                return self.restarts[name]
            case "POST", "restart":
                service["state"] = "ready" if float(query["wait"]) else "draining"
            case "POST", "sleep" if name in self.in_use:
                return 409, _error(
                    "in-use", f"{name} stays awake: {self.in_use[name]}", remedy="it rests when that is over"
                )
            case "POST", "sleep":
                service["state"] = query["to"]
            case "POST", "pull" if service["state"] == "unavailable":
                return 409, _error("unavailable", service["reason"])
            case "POST", "pin" | "unpin" | "pull":
                pass
            case _:
                return 404, _error("http", "404 Not Found")
        return 200, {"service": name, "state": service["state"]}


class Server(ThreadingMixIn, BaseServer):
    """Serves a stand-in on a listening unix socket that somebody else made."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, hub: StandIn) -> None:
        super().__init__("hub", _Handler)
        self.socket = listening
        self.hub = hub
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, str]:
        caller, _ = self.socket.accept()
        return caller, "local"

    def shutdown_request(self, request: Any) -> None:
        request.close()

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.socket.close()


class _Handler(BaseHTTPRequestHandler):
    request: socket.socket
    server: Server

    def setup(self) -> None:
        self.rfile = self.request.makefile("rb")
        self.wfile = self.request.makefile("wb")

    def finish(self) -> None:
        self.wfile.close()
        self.rfile.close()

    def do_GET(self) -> None:
        status, body = self.server.hub.answer(self.command, self.path)
        self.send_response(status)
        if self.server.hub.faulty and self.path.startswith("/v1/services/"):
            self.send_header("x-aihub-catalogue", "faulty")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_POST = do_GET  # noqa: N815  the name is the protocol of BaseHTTPRequestHandler

    def log_message(self, format: str, *args: Any) -> None:
        """The test says what it asked."""


def _service(
    name: str, listen: str, *, state: str, expected: float | None = None, own: str | None = None, **more: Any
) -> dict[str, Any]:
    port = listen.rpartition(":")[2]
    base = f"http://localhost:{port}"
    return {
        "state": state,
        "reason": "",
        "replicas": [
            {"id": f"{name}-1", "pid": 4, "endpoint": "127.0.0.1:20001", "state": "ready", "memory": 300 << 20}
        ]
        if state == "ready"
        else [],
        "tier": "on-demand",
        "addresses": {"api": f"{base}/api/{name}", "origin": f"http://{name}.localhost:{port}", "own": own},
        "expected_wake_s": expected,
        "size_bytes": 512 << 20,
        "pinned_until": None,
        "queue_position": None,
        "progress": None,
        "description": "",
        "web": False,
        "last_use": None,
        **more,
    }


def _error(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}
