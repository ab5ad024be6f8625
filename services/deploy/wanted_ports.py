"""Ports of this machine that a phase takes: whether each can be had, who has it otherwise."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.cli.failure import Failure
from services.cli.hub import Hub
from services.deploy import docker, plan
from services.deploy.finding import Finding
from services.layout import Layout
from services.supervisor import ports

_HUB = "scaler"
_LOOK = 0.2


def of(project: str, layout: Layout, resolved: plan.Resolved, names: Sequence[str]) -> Iterator[Finding]:
    """A port that the hub's gateway has is as good as free: it lets go of it when the hub reads that compose is to have
    it. Raises DockerFault."""
    held, gateway = docker.port_holders(), _gateway(layout)
    wanted = list(plan.published(resolved, names))
    if _HUB in names and (listen := plan.option(resolved, _HUB, "--listen")):
        host, _, number = listen.rpartition(":")
        wanted.append(plan.Published(_HUB, host, int(number)))
    running = docker.services_running(project)
    taken = [found for port in wanted if port.service not in running and (found := _taken(port, held, gateway))]
    yield from taken
    if not taken:
        yield Finding("ports", f"{len(wanted)} to publish, all free or ours")
    if _HUB in names and _HUB not in running:
        lazy = plan.published(resolved, plan.lazy_services(resolved))
        yield from (replace(found, fatal=False) for port in lazy if (found := _taken(port, held, gateway)))


def until_let_go(project: str, layout: Layout, resolved: plan.Resolved, names: Sequence[str], patience: float) -> None:
    """Return when the hub's gateway has none of the ports of these services that compose is about to publish, or after
    `patience` seconds; compose then says which it could not have. Raises DockerFault."""
    until = time.monotonic() + patience
    if (gateway := _gateway(layout)) is None:
        return
    running = docker.services_running(project)
    for port in plan.published(resolved, [name for name in names if name not in running]):
        while _refusal(port.host, port.number) and _has(gateway, port.number) and time.monotonic() < until:
            time.sleep(_LOOK)


def _gateway(layout: Layout) -> int | None:
    """The hub's Envoy; None where no hub answers."""
    try:
        found = Hub(layout).status()["processes"]["envoy"]
    except Failure:
        return None
    return int(found) if found else None


def _has(process: int, number: int) -> bool:
    return (ports.holder(number) or "").startswith(f"pid {process} ")


def _taken(port: plan.Published, held: Mapping[int, tuple[str, str]], gateway: int | None) -> Finding | None:
    who, remedy = None, f"Free it, or change the port of {port.service} in the compose file."
    if port.number in held:
        owner, container = held[port.number]
        who = f"the container {container}" + (f" of the project {owner}" if owner else "")
        remedy = f"docker stop {container}"
    elif (number := _refusal(port.host, port.number)) is None or (gateway and _has(gateway, port.number)):
        return None
    elif number == errno.EADDRNOTAVAIL:
        who, remedy = "nobody: this machine has no such address", f"Change it at {port.service} in the compose file."
    else:
        who = ports.holder(port.number) or "another program"
    detail = f"{port.host}:{port.number}, which {port.service} wants, is taken by {who}"
    return Finding("port", detail, False, remedy, is_port=True)


def _refusal(host: str, number: int) -> int | None:
    """Why the engine could not listen there; None where it could. Low ports it may have although we may not."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
            probe.listen(1)
        except PermissionError:
            return errno.EADDRINUSE if ports.holder(number) else None
        except OSError as error:
            return error.errno
    return None
