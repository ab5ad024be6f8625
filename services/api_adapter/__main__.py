"""`python -m services.api_adapter --host H --port N`: serves until SIGTERM or SIGINT, and ends with what it is doing.

Also run as a file, in an environment of packages that is not the hub's: then it finds its own modules itself.
Clients of the databases are made at the first request that wants one: they are most of what a start would take.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import types
from collections.abc import Coroutine
from pathlib import Path

if not __package__:
    # Nothing but `services` itself: beside it the hub's own packages may stand.
    sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]
    _package = types.ModuleType("services")
    _package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules.setdefault("services", _package)

from services.api_adapter.serve import serve
from services.api_adapter.settings import SettingFault, read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.api_adapter", description="One API for many dialects.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "chromadb", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = read(os.environ)
    except SettingFault as fault:
        print(f"api-adapter: {fault}", file=sys.stderr)
        return 2
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_until_told(serve(settings, arguments.host, arguments.port)))
    return 0


async def _until_told(work: Coroutine[None, None, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


if __name__ == "__main__":
    sys.exit(main())
