"""How the docker client's user is known to a registry: what `docker login` has left, asked the way the client does."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DOCKER_HUB = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_HELPER_WITHIN = 10.0


async def header(reference: str, config: Path | None = None) -> Mapping[str, str]:
    """`X-Registry-Auth` for the registry of an image; empty where its user has not logged in there."""
    path = config or Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    registry = registry_of(reference)
    found = await _from_helper(known, registry) or _from_file(known, registry)
    if found is None:
        return {}
    said = base64.urlsafe_b64encode(json.dumps({**found, "serveraddress": registry}).encode()).decode()
    return {"X-Registry-Auth": said}


def registry_of(reference: str) -> str:
    first, slash, _ = reference.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost") or first.endswith("docker.io"):
        return _DOCKER_HUB
    return first


def _from_file(known: Mapping[str, Any], registry: str) -> dict[str, str] | None:
    entry = (known.get("auths") or {}).get(registry) or {}
    if entry.get("identitytoken"):
        return {"identitytoken": entry["identitytoken"]}
    try:
        user, colon, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except ValueError:
        return None
    return {"username": user, "password": password} if colon else None


async def _from_helper(known: Mapping[str, Any], registry: str) -> dict[str, str] | None:
    helper = (known.get("credHelpers") or {}).get(registry) or known.get("credsStore")
    if not helper or os.sep in helper:
        return None
    try:
        program = await asyncio.create_subprocess_exec(
            f"docker-credential-{helper}",
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_HELPER_WITHIN):
            said, _ = await program.communicate(registry.encode())
        answer = json.loads(said)
    except (TimeoutError, ValueError):
        return None
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    user, secret = answer.get("Username", ""), answer.get("Secret", "")
    return {"identitytoken": secret} if user == _TOKEN_USER else {"username": user, "password": secret}
