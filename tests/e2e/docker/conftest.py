"""Whole hubs over containers. What needs an engine is left out where there is none, and that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_hub import DockerHub, Project, docker_hub, projects
from tests.support.engine.presence import engine_is_there

MakeProject = Callable[[str], Project]
StartHub = Callable[..., DockerHub]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = Path(__file__).parent
    here = [item for item in items if ours in item.path.parents]
    if here and not engine_is_there():
        items[:] = [item for item in items if item not in here]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[MakeProject]:
    """Make a compose project by a short name; afterwards nothing of it is left on the engine."""
    with ExitStack() as stack:

        def make(name: str) -> Project:
            [made] = stack.enter_context(projects(tmp_path, name))
            return made

        yield make


@pytest.fixture
def start(tmp_path: Path, project: MakeProject) -> Iterator[StartHub]:
    """Start a hub over projects; at the end of the test it ends by SIGTERM and must leave no process or gateway."""
    with ExitStack() as stack:

        def up(*made: Project, **options: Any) -> DockerHub:
            return stack.enter_context(docker_hub(tmp_path, made, **options))

        yield up
