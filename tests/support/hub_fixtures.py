"""Fixtures of every test that runs a whole hub; imported by the conftest files that want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.catalogue import Workshop
from tests.support.hub import Hub, running

StartHub = Callable[..., Hub]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[StartHub]:
    """Start a hub on these services; at the end of the test it ends by SIGTERM and must leave no process."""
    with ExitStack() as stack:

        def start(services: Mapping[str, Any], **options: str | None) -> Hub:
            return stack.enter_context(running(tmp_path, services, **options))

        yield start
