"""What is decided about a replica by looking at its entry and at words of the engine. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from services.catalog.model import Service
from services.scaler.core.events import End
from services.scaler.drivers.base import Finished, Interrupted, Left, StartError
from services.scaler.drivers.docker.containers import Ended
from services.scaler.drivers.docker.replica import Replica

_DONE = "exited with code 0"
"""How a container ended that has done its work."""


def unavailable(service: Service) -> str | None:
    """Why no container driver can run it as it is written; None where one can."""
    own = service.containers
    if own is None:
        return f"{service.name} belongs to no compose project that this hub has read"
    if service.scaling.max_replicas > 1 and (why := single(service)):
        return f"{service.name} cannot have {service.scaling.max_replicas} replicas: {why}; say `max_replicas: 1`"
    if service.lazy and own.network_mode not in (None, "host", "bridge"):
        return (
            f"{service.name} has `network_mode: {own.network_mode}`, so no gateway can reach it: give it a network, or"
            " leave it out of what is on demand"
        )
    return None


def single(service: Service) -> str | None:
    """Why there can be only one container of it; None where there may be several."""
    own = service.containers
    if own is not None and own.container_name:
        return f"its container has a fixed name ({own.container_name})"
    if own is not None and own.network_mode == "host" and service.ports:
        return "on the host's network its ports can be taken only once"
    if not service.lazy and service.publishes:
        return f"port {service.publishes[0].number} of the host can be taken only once"
    written = next((volume for volume in service.volumes if volume.source and not volume.read_only), None)
    if written is not None and not service.stateless:
        return f"two would write to {written.source} (read-only volumes and `stateless: true` may be shared)"
    return None


def hindrance(service: Service, others: Sequence[Replica]) -> str | None:
    """Why no further replica can be started now; None where one can."""
    living = next((one for one in others if not one.ended.done()), None)
    if living is None or service.scaling.max_replicas > len(others):
        return None
    return f"{service.name} runs already as {living.id} (container {living.record.name})"


def explained(said: str) -> str:
    """The engine's words on a start that failed, with what mends it where that is known."""
    if "no space left" in said:
        return (
            "the disk of the Docker Engine is full; `docker system df` shows what takes it, `docker image prune` frees"
            f" some: {said}"
        )
    if "port is already allocated" in said or "address already in use" in said:
        return f"a port that it publishes is taken; `docker ps` shows by whom, or mend its `ports:`: {said}"
    if "could not select device driver" in said:
        return f"the engine has no driver for a device it asks for (a GPU?); mend `deploy.resources.devices`: {said}"
    return said


def ending(manner: str, took: float, service: Service) -> str:
    """How a container ended that was asked to."""
    signal = "SIG" + service.stop_signal.strip().upper().removeprefix("SIG")
    if manner == "was ended by SIGKILL" and took >= service.stop_grace:
        return f"did not end within {service.stop_grace:g} s of {signal} and was killed"
    return f"{manner.removeprefix('was ')} after {took:.2f} s"


def end_of(service: Service | None, ended: Ended, *, by_hand: bool) -> End:
    """What the end of a container says. What is not on demand is begun again by the engine, as often as its entry says;
    the hub leaves it so where that is over. `service`: None where the catalogue no longer has it."""
    if by_hand:
        return End.BY_HAND
    if service is None:
        return End.CRASHED
    if service.may_finish and ended.manner == _DONE:
        return End.FINISHED
    # With `on-failure` the engine tries again, and then no more.
    return End.LEFT if not service.lazy and (ended.for_good or service.ends) else End.CRASHED


AS_ERROR = MappingProxyType({End.CRASHED: StartError, End.BY_HAND: Interrupted, End.FINISHED: Finished, End.LEFT: Left})
"""What an end is to those who wait for the container to become ready."""
