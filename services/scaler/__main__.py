"""`python -m services.scaler`: the scaler as the supervisor starts it, with the listening sockets it keeps for us.

Tells on `--ready-fd` how it went: a line `READY`, or `ERROR` and the text. Exit codes: 0 ended on request, 2 faulty
catalogue, 70 internal fault. SIGTERM and SIGINT end it and every replica; after a SIGKILL the next one adopts them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from services.catalog.addresses import Edge
from services.catalog.load import CatalogError
from services.scaler.drivers.base import DriverError
from services.scaler.elsewhere import consul_of_environment
from services.scaler.service_scaler import Config, ServiceScaler, Sockets


def main() -> int:
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    host, _, port = arguments.listen.rpartition(":")
    tls = (arguments.tls_cert, arguments.tls_key) if arguments.tls_cert and arguments.tls_key else None
    try:
        consul = consul_of_environment()
    except (ValueError, OSError) as error:
        _tell(arguments.ready_fd, f"ERROR Consul: {error}\n")
        return 2
    config = Config(
        catalog=tuple(arguments.catalog),
        data=arguments.data,
        edge=Edge(host.strip("[]"), int(port), tls is not None),
        memory=arguments.memory,
        domain=arguments.domain,
        concurrency=arguments.concurrency,
        tls=tls,
        driver=arguments.driver,
        lazy=arguments.lazy,
        project_name=arguments.project_name,
        hold=arguments.names == "holder",
        envoy=arguments.envoy,
        consul=consul,
    )
    fds = (arguments.check_fd, arguments.ads_fd, arguments.admin_fd)
    sockets = Sockets(*(socket.socket(fileno=fd) for fd in fds))
    for listener in (sockets.check, sockets.ads, sockets.admin):
        listener.setblocking(False)
    return asyncio.run(_serve(config, sockets, arguments.ready_fd))


async def _serve(config: Config, sockets: Sockets, ready_fd: int) -> int:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    scaler = ServiceScaler(config)
    try:
        await scaler.start(sockets)
    except (CatalogError, DriverError) as error:
        _tell(ready_fd, f"ERROR {error}\n")
        return 2
    _tell(ready_fd, "READY\n")
    # What is there now mostly stays. Else the collector would look through it again and again, which takes 0.1-0.2 s of
    # a thousand services, and most likely while a changed catalogue is taken in.
    gc.collect()
    gc.freeze()
    await ended.wait()
    await scaler.stop()
    return 0


def _tell(fd: int, text: str) -> None:
    with os.fdopen(fd, "w", encoding="utf-8") as pipe:
        pipe.write(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.scaler", description="Started by `aihub up`.")
    parser.add_argument("--catalog", type=Path, action="append", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--listen", default="127.0.0.1:8000")
    parser.add_argument("--memory", type=int, help="bytes")
    parser.add_argument("--domain", help="services are NAME.DOMAIN besides NAME.localhost")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--driver", choices=("process", "docker"), default="process")
    parser.add_argument("--names", choices=("alias", "holder"), default="alias", help="who answers inside networks")
    parser.add_argument("--lazy", help="containers that run only while used: all, or names between commas")
    parser.add_argument("--project-name", help="of the one compose file")
    parser.add_argument("--envoy", help="binary of the gateway")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    for name in ("check", "ads", "admin", "ready"):
        parser.add_argument(f"--{name}-fd", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
