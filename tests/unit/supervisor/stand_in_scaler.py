"""A small scaler: speaks the supervisor's protocol, writes a bootstrap for Envoy, answers on check and admin sockets.

Run as `python -m`. How it behaves is told by files in its data folder, so that a test can change it between two lives:
`fault` (text: say ERROR and end), `die` (end at once, saying nothing), `stray` (start a program that loses its parent),
`deaf` (ignore SIGTERM), `muddle` (tell Envoy an address that this machine has not got). Each answer on the check socket
is the pid of the one who answers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from services.layout import Layout
from tests.support.admin_stand_in import Server, StandIn

EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


def bootstrap(layout: Layout, host: str, port: int) -> dict[str, object]:
    manager = {
        "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}},
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"},
            }
        ],
    }
    return {
        "admin": {"address": {"pipe": {"path": str(layout.envoy_admin_socket)}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "edge",
                    "enable_reuse_port": False,
                    "address": {"socket_address": {"address": host, "port_value": port}},
                    "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
                }
            ]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--catalog", "--data", "--listen", "--memory", "--concurrency", "--tls-cert", "--tls-key"):
        parser.add_argument(option)
    for option in ("--check-fd", "--ads-fd", "--admin-fd", "--ready-fd"):
        parser.add_argument(option, type=int, required=True)
    said = parser.parse_args()
    layout = Layout.at(said.data)
    data = Path(said.data)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if (data / "deaf").exists() else lambda *_: sys.exit(0))
    if (data / "die").exists():
        print("nothing will come of this", file=sys.stderr)
        sys.exit(9)
    if (data / "fault").exists():
        os.write(said.ready_fd, b"ERROR " + (data / "fault").read_bytes())
        sys.exit(1)
    if (data / "stray").exists():
        subprocess.run(["sh", "-c", f"setsid sleep 600 & echo $! > {data}/stray.pid"], check=True)
    host, _, port = said.listen.rpartition(":")
    if (data / "muddle").exists():
        host = "203.0.113.1"
    (layout.envoy / "bootstrap.json").write_text(json.dumps(bootstrap(layout, host, int(port))))
    os.write(said.ready_fd, b"READY\n")
    os.close(said.ready_fd)
    Server(socket.socket(fileno=said.admin_fd), StandIn(said.listen)).start()
    check = socket.socket(fileno=said.check_fd)
    while True:
        caller, _ = check.accept()
        # A caller that has given up meanwhile is no reason to end.
        with caller, contextlib.suppress(OSError):
            caller.sendall(f"{os.getpid()}\n".encode())


if __name__ == "__main__":
    main()
