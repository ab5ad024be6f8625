"""Programs that misbehave, one habit each; the names say what a hub has to cope with.

never-ready     runs and never listens          dies          prints a line and exits with 7
wrong-port      listens on the next port         all-addresses listens on 0.0.0.0
unhealthy       answers 500 on /health           ignores-term  ends by SIGKILL only
fills-log       writes 64 KiB lines for ever     forks-away    a child listens, the parent exits
flaky           dies at its first start only     orphans       leaves a sleeping grandchild in its own session
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    health = 200

    def do_GET(self) -> None:
        status = self.health if self.path == "/health" else 200
        body = b"faulty\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", f"{os.getpid()}-1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def serve(port: int, host: str = "127.0.0.1") -> None:
    ThreadingHTTPServer((host, port), Handler).serve_forever()


def fill_log() -> None:
    line = "x" * 65535 + "\n"
    while True:
        sys.stdout.write(line)
        time.sleep(0.005)


def act(habit: str, port: int, events: Path) -> None:
    with events.open("a") as record:
        record.write(f"start {os.getpid()}\n")
    starts = len(events.read_text().splitlines())
    match habit:
        case "never-ready":
            signal.pause()
        case "dies":
            sys.exit("cannot find my configuration")
        case "wrong-port":
            serve(port + 1)
        case "all-addresses":
            serve(port, "0.0.0.0")
        case "unhealthy":
            Handler.health = 500
            serve(port)
        case "ignores-term":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            serve(port)
        case "fills-log":
            threading.Thread(target=fill_log, daemon=True).start()
            serve(port)
        case "forks-away":
            if os.fork():
                os._exit(0)
            os.setsid()
            serve(port)
        case "flaky":
            if starts == 1:
                sys.exit("not today")
            serve(port)
        case "orphans":
            subprocess.Popen(["sleep", "600"], start_new_session=True)
            serve(port)
        case _:
            sys.exit(f"no habit {habit}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("habit")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--events", type=Path, required=True)
    chosen = parser.parse_args()
    act(chosen.habit, chosen.port, chosen.events)
