"""A scaler that installs one package, to be killed meanwhile: `fault_installer.py DATA REQUIREMENT`."""

from __future__ import annotations

import asyncio
import sys

from services.catalog.model import Local, Package, Service
from services.layout import Layout
from services.scaler.drivers.process import ProcessDriver
from services.scaler.drivers.process.platform import Wish


async def main(data: str, requirement: str) -> None:
    driver = ProcessDriver(Layout.at(data), print, containment=Wish.WALK)
    await driver.adopt()
    service = Service("svc", local=Local(("x",), Package("pypi", requirement)))
    await driver.prepare(service, lambda *told: print(*told, flush=True))


asyncio.run(main(*sys.argv[1:]))
