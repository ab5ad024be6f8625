"""Images of our own: built from the checkout where they are missing, and again where the checkout has changed since.

An image says on a label what it was built from. One of the same name without that label came from elsewhere and stays.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.deploy import docker, plan
from services.deploy.docker import DockerFault

LABEL = "aihub.source"
_LOCKS = tuple(f"catalog/locks/{name}.txt" for name in ("api-adapter", "langchain"))
_SOURCES = ("Dockerfile", "requirements", "services", *_LOCKS, "pyproject.toml", "README.md", "LICENSE")
"""What the Dockerfiles take, as `.dockerignore` lets them."""
_CA = ("AIHUB_BUILD_CA", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Own:
    """One image, and how the compose file says it is built."""

    reference: str
    context: Path
    dockerfile: str
    target: str


def own_images(resolved: plan.Resolved) -> list[Own]:
    """Each once, in the order of the file."""
    found: dict[str, Own] = {}
    for service in resolved.get("services", {}).values():
        build = service.get("build")
        if build and service.get("image"):
            own = Own(
                service["image"], Path(build["context"]), build.get("dockerfile", "Dockerfile"), build.get("target", "")
            )
            found.setdefault(own.reference, own)
    return list(found.values())


def why_due(own: Own) -> str | None:
    """Why the image has to be built; None where it serves. Raises DockerFault."""
    labels = docker.image_labels(own.reference)
    if labels is None:
        return "it is not here yet"
    if LABEL in labels and labels[LABEL] != digest(own.context):
        return "the checkout has changed since it was built"
    return None


def build(own: Own) -> None:
    """With its progress on the terminal. Raises DockerFault."""
    command = ["docker", "build", "--file", str(own.context / own.dockerfile), "--tag", own.reference]
    command += ["--target", own.target] if own.target else []
    command += ["--label", f"{LABEL}={digest(own.context)}", *_certificates(os.environ), str(own.context)]
    code = subprocess.run(command, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=False).returncode
    if code:
        raise DockerFault(
            f"{own.reference} could not be built (docker build ended with {code})",
            "Its own words stand above. Behind a proxy that signs for every host name its certificates:"
            " AIHUB_BUILD_CA=FILE; they are not kept in the image.",
        )


def digest(context: Path) -> str:
    """Of everything that goes into the image."""
    total = hashlib.sha256()
    for path in _files(context):
        content = path.read_bytes()
        total.update(f"{path.relative_to(context)} {len(content)}\n".encode() + content)
    return total.hexdigest()[:16]


def _files(context: Path) -> Iterator[Path]:
    for name in _SOURCES:
        top = context / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _certificates(environ: Mapping[str, str]) -> list[str]:
    """This machine's own, for the time of the build alone."""
    bundle = next((environ[name] for name in _CA if environ.get(name)), None)
    return ["--secret", f"id=ca,src={bundle}"] if bundle and Path(bundle).is_file() else []
