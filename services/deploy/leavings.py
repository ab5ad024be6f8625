"""What the hub has made on the engine besides compose, and takes away when it goes down in order: inner gateways, their
network, the keeper. A hub that was killed leaves them; they are known by their label.
"""

from __future__ import annotations

from services.deploy import docker
from services.layout import Layout


def remove(layout: Layout) -> list[str]:
    """Names of what was removed; networks last, for containers are on them. Raises DockerFault."""
    label = f"label=aihub.data={layout.mark}"
    containers = docker.run(["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}"]).split()
    if containers:
        docker.run(["docker", "rm", "--force", *containers])
    return containers


def remove_networks(layout: Layout) -> list[str]:
    """Raises DockerFault."""
    label = f"label=aihub.data={layout.mark}"
    networks = docker.run(["docker", "network", "ls", "--filter", label, "--format", "{{.Name}}"]).split()
    if networks:
        docker.run(["docker", "network", "rm", *networks])
    return networks
