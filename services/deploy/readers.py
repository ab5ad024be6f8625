"""A container reads its configuration when it starts, and sees a file that was replaced only from then on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from services.deploy import docker, plan
from services.deploy.docker import Compose


def behind(compose: Compose, resolved: plan.Resolved, names: Sequence[str], below: Sequence[Path]) -> Iterator[str]:
    """Those of the services that run with an older file of one of the folders `below` than is there now. Raises
    DockerFault."""
    containers = {one.service: one.name for one in compose.containers() if one.state == "running"}
    for name in names:
        sources = plan.bound_files(resolved, name, below)
        if name in containers and sources and _newest(sources) > docker.started_at(containers[name]):
            yield name


def _newest(sources: Sequence[Path]) -> float:
    """When one of these files, or of those below, last changed or was put there."""
    files = [file for source in sources for file in ([source] if source.is_file() else source.rglob("*"))]
    return max((file.stat().st_ctime for file in files if file.is_file()), default=0.0)
