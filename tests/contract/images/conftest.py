from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine.presence import engine_is_there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of containers are left out where there is no engine."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    if ours and not engine_is_there():
        items[:] = [item for item in items if item not in ours]
