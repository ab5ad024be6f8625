"""How a service of our own runs: its words, its log, its end by SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeVar

from aiohttp import web

from services.web_service.settings import SettingFault

_T = TypeVar("_T")
_GRACE = 5.0
"""Seconds that answers under way have when the process is to end."""
_BACKLOG = 1024


def run(
    name: str,
    read: Callable[[Mapping[str, str]], _T],
    application: Callable[[_T], web.Application],
) -> int:
    """Serve until SIGTERM or SIGINT. `read` raises SettingFault. Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "chromadb"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = read(os.environ)
        asyncio.run(_until_told(_serve(application(settings), arguments.host, arguments.port)))
    except (SettingFault, OSError) as fault:
        print(f"{name}: {fault}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        pass
    return 0


async def _serve(app: web.Application, host: str, port: int) -> None:
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_GRACE)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        logging.getLogger(__name__).info("serves %s:%s", host, port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _until_told(work: Coroutine[None, None, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
