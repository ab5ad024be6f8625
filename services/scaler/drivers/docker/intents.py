"""Requests to the engine as intents: asked for twice they end as if asked once.

A connection may break after the engine has acted and before its answer has come; the request is then repeated, and the
engine refuses it, since all is as it was asked to be. Each verb that is not so by the engine's own doing is made so
here. What was created by a lost request is found again by its name, so nothing is created without one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.scaler.drivers.docker.engine import Engine, EngineRefused

log = logging.getLogger(__name__)

_NOT_FOUND = 404
_CONFLICT = 409
_LEAVING = ("marked for removal", "removal of container", "is dead")
_STUCK = re.compile(r"\btask [0-9a-f]{64}: already exists")
_REMOVAL = 15.0


async def intend(engine: Engine, path: str, *fine: str, **params: Any) -> bool:
    """`fine`: what the engine says where it is so already. False where it was so before; where nobody can tell, since
    the answer to an earlier try was lost, true. Raises EngineRefused, EngineAway."""
    try:
        await engine.post(path, **params)
    except EngineRefused as error:
        if not any(word in str(error) for word in fine):
            raise
        return error.repeated
    return True


async def create(engine: Engine, description: Mapping[str, Any], name: str) -> str:
    """Create a container; its id. `description` carries labels that nothing of others has. Raises EngineRefused, where
    the name is another's too, EngineAway."""
    try:
        return str((await engine.post("containers/create", dict(description), name=name))["Id"])
    except EngineRefused as error:
        if error.status != _CONFLICT or not error.repeated:
            raise
        found = await engine.get(f"containers/{name}/json")
        if not dict(description["Labels"]).items() <= found["Config"]["Labels"].items():
            raise
        return str(found["Id"])


def is_leaving(error: EngineRefused) -> bool:
    """Whether it was refused because somebody else is just removing the container."""
    return error.status == _CONFLICT and any(words in str(error) for words in _LEAVING)


def is_stuck(error: EngineRefused) -> bool:
    """Whether a start was refused for a task that the engine's runtime has of the container, left by a start in whose
    midst the engine went down. Engine 20.10 never starts that container again."""
    return _STUCK.search(str(error)) is not None


def is_unusable(error: EngineRefused) -> bool:
    """Whether a start was refused since the container is gone, goes, or is stuck: another one may do."""
    return error.status == _NOT_FOUND or is_leaving(error) or is_stuck(error)


async def until_removed(engine: Engine, container: str) -> None:
    """Somebody else may be removing it: until that is done its name is taken, and compose takes it for one that is
    there. Raises EngineRefused, EngineAway."""
    try:
        async with asyncio.timeout(_REMOVAL):
            await engine.post(f"containers/{container}/wait", condition="removed")
    except EngineRefused as error:
        if error.status != _NOT_FOUND:
            raise
    except TimeoutError:
        log.warning("container %s is still being removed after %g s", container[:12], _REMOVAL)


async def connect(engine: Engine, container: str, network: str, endpoint: Mapping[str, Any]) -> None:
    """Connect a container to a network; one that is connected stays as it is. Raises EngineRefused, EngineAway."""
    said = {"Container": container, "EndpointConfig": dict(endpoint)}
    await _all_the_same(engine, f"networks/{network}/connect", said, ("already exists in network",))


async def disconnect(engine: Engine, container: str, network: str) -> None:
    """Take a container from a network. Raises EngineRefused, EngineAway."""
    said = {"Container": container, "Force": True}
    await _all_the_same(engine, f"networks/{network}/disconnect", said, ("is not connected to",))


async def _all_the_same(engine: Engine, path: str, body: Mapping[str, Any], fine: Sequence[str]) -> None:
    try:
        await engine.post(path, dict(body))
    except EngineRefused as error:
        if not any(word in str(error) for word in fine):
            raise
