from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.main import aihub
from services.layout import Layout
from services.supervisor import lock
from tests.support.admin_stand_in import Server, StandIn


@dataclass(frozen=True, slots=True)
class Commands:
    """`aihub`, on a data folder of its own."""

    layout: Layout

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(aihub, [*words, "--data", str(self.layout.data)])


@pytest.fixture
def run(tmp_path: Path) -> Commands:
    layout = Layout.at(tmp_path)
    layout.make()
    return Commands(layout)


@pytest.fixture
def hub(run: Commands) -> Iterator[StandIn]:
    """A hub that runs on the folder of `run`."""
    held = lock.take(run.layout.lock)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(run.layout.admin_socket))
    listening.listen()
    stand_in = StandIn()
    server = Server(listening, stand_in)
    server.start()
    yield stand_in
    server.stop()
    os.close(held)
