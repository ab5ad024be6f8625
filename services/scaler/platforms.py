"""Which driver a configuration asks for, and who reads its catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.catalog.load import CatalogReader
from services.catalog.model import Catalog
from services.layout import Layout
from services.scaler.control.reload import Reader
from services.scaler.drivers.base import Driver, Post
from services.scaler.drivers.keeping import Keeping
from services.scaler.mesh.envoy_mesh import EnvoyMesh

if TYPE_CHECKING:
    from services.scaler.inner import InnerNames

PROCESS, DOCKER = "process", "docker"
_PER_CORE = 4


def starts_at_once(kind: str, cores: int) -> int:
    """Cold starts that may be under way together. Most of a container's start is the engine waiting for the kernel:
    two at a time leave cores idle, and beyond four a core nothing is won."""
    return _PER_CORE * max(2, cores) if kind == DOCKER else max(2, cores)


def driver_of(kind: str, layout: Layout, post: Post, *, hold: bool = False) -> Driver:
    """`hold`: containers have their networks from holders, where they can."""
    # Imported where it is asked for: who runs processes need not have the library that speaks to Docker.
    if kind == DOCKER:
        from services.scaler.drivers.docker.driver import DockerDriver

        return DockerDriver(layout, post, hold=hold)
    from services.scaler.drivers.process.driver import ProcessDriver

    return ProcessDriver(layout, post)


def reader_of(kind: str, lazy: str | None, project_name: str | None) -> Reader:
    """Raises ValueError where `lazy` cannot be read."""
    if kind == DOCKER:
        from services.compose.lazy import Wish
        from services.compose.stacks import StackReader

        return StackReader(Wish.parse(lazy), project_name=project_name)
    return CatalogReader()


def inner_names(driver: Driver, mesh: EnvoyMesh, binary: str, catalog: Callable[[], Catalog]) -> InnerNames:
    """Of a driver for Docker."""
    from services.scaler.drivers.docker.driver import DockerDriver
    from services.scaler.inner import InnerNames

    assert isinstance(driver, DockerDriver)
    return InnerNames(driver, mesh, binary, catalog)


async def dismiss(driver: Driver) -> None:
    """The hub ends in order: a driver for Docker removes what stands there for the hub alone. Before it is closed."""
    from services.scaler.drivers.docker.driver import DockerDriver

    assert isinstance(driver, DockerDriver)
    await driver.keeper.dismiss()


def keeping_of(driver: Driver) -> Keeping:
    """What keeps the data of the driver's services."""
    keeping: Keeping = driver.keeping  # type: ignore[attr-defined]  # no part of the contract of replicas
    return keeping
