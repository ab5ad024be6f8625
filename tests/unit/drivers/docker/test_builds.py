"""From which engines on the images that `docker build` makes are told by events."""

from __future__ import annotations

from typing import Any

import pytest

from services.scaler.drivers.docker.engine import tells_of_builds

LAYERS = {"DriverStatus": [["Backing Filesystem", "extfs"], ["Native Overlay Diff", "true"]]}
CONTAINERD = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}


@pytest.mark.parametrize(
    ("spoken", "info", "told"),
    [
        ((1, 41), LAYERS, False),
        ((1, 42), LAYERS, False),
        ((1, 43), LAYERS, True),
        ((1, 51), {"DriverStatus": None}, True),
        ((1, 48), CONTAINERD, False),
        ((1, 49), CONTAINERD, True),
    ],
)
def test_older_engines_do_not_tell_what_was_built(spoken: tuple[int, ...], info: dict[str, Any], told: bool) -> None:
    assert tells_of_builds(spoken, info) is told
