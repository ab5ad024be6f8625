"""Deployments on a real engine. What needs one is left out where there is none, and that is told."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout
from tests.support.engine.presence import engine_is_there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = Path(__file__).parent
    here = [item for item in items if ours in item.path.parents]
    if here and not engine_is_there():
        items[:] = [item for item in items if item not in here]


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """The stand-ins as they have to be now, the hub's own of this checkout among them."""
    done = subprocess.run([sys.executable, "-m", "tests.support.images"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout and a project of the test's own; nothing of them is left afterwards."""
    # A short path: sockets are below it.
    made = Checkout.make(tmp_path_factory.mktemp("d"), f"aihub-deploy-{secrets.token_hex(3)}")
    try:
        yield made
    finally:
        made.remove()
