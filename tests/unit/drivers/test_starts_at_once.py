"""How many cold starts a driver is given together."""

from __future__ import annotations

import pytest

from services.scaler.platforms import DOCKER, PROCESS, starts_at_once


@pytest.mark.parametrize(("cores", "processes", "containers"), [(1, 2, 8), (2, 2, 8), (8, 8, 32)])
def test_containers_start_four_a_core_where_programs_start_one(cores: int, processes: int, containers: int) -> None:
    assert (starts_at_once(PROCESS, cores), starts_at_once(DOCKER, cores)) == (processes, containers)
