"""Pulls images through the engine: one at a time, told layer by layer, and ended by nobody who only waited for it.

Owns the pull and the words for its failures. Who needs which image is not decided here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from services.scaler.drivers.base import PrepareError, ProgressReport
from services.scaler.drivers.docker import credentials
from services.scaler.drivers.docker.engine import Engine, EngineAway, EngineRefused
from services.scaler.drivers.docker.images import Images

log = logging.getLogger(__name__)

FLOOR = 2 * 1024**3
"""Bytes of free disk below which nothing is pulled."""

_FAILURES = (
    (
        re.compile(r"no space left|disk quota", re.IGNORECASE),
        "the engine's disk is full; `docker system df` shows what takes it, `docker image prune` frees some",
    ),
    (
        re.compile(r"no matching manifest|does not match the specified platform|image operating system", re.IGNORECASE),
        "its registry has it, but not for this kind of machine",
    ),
    (
        re.compile(r"manifest unknown|manifest for .* not found|manifest .*unknown|tag .*unknown", re.IGNORECASE),
        "its registry has no such tag; mend `image:`",
    ),
    (
        re.compile(r"\bdenied\b|unauthorized|authentication required|403 Forb|401 Una|no basic auth credentials"),
        "its registry does not give it to this user: it is private or does not exist; `docker login REGISTRY`, or mend"
        " `image:`",
    ),
    (re.compile(r"toomanyrequests|429 Too", re.IGNORECASE), "its registry wants us to wait (rate limit); log in there"),
    (
        re.compile(
            r"dial tcp|lookup |no such host|connection refused|connection reset|i/o timeout|TLS handshake|unreachable"
            r"|deadline exceeded|request canceled|x509|proxyconnect|: EOF|5\d\d [A-Z]",
        ),
        "its registry cannot be reached (is there a network?)",
    ),
    (re.compile(r"name unknown|repository .* not found|not found"), "its registry has no such image; mend `image:`"),
    (re.compile(r"invalid reference|must be lowercase"), "that is no name of an image; mend `image:`"),
)


def failure(reference: str, said: str) -> str:
    """One sentence for the waiting caller."""
    meaning = next((words for pattern, words in _FAILURES if pattern.search(said)), "the engine says why")
    return f"image {reference} cannot be pulled: {meaning}: {said.strip()[:400]}"


@dataclass(slots=True)
class Layers:
    """How far a pull is, by what the engine tells of its layers. Downloading counts half, unpacking half."""

    _totals: dict[str, int] = field(default_factory=dict)
    _loaded: dict[str, int] = field(default_factory=dict)
    _unpacked: dict[str, int] = field(default_factory=dict)
    _fraction: float = 0.0

    def take(self, row: Mapping[str, Any]) -> tuple[str, float | None, str]:
        """Phase, fraction (never falls), detail."""
        layer, status = str(row.get("id", "")), str(row.get("status", ""))
        detail = row.get("progressDetail") or {}
        current, total = detail.get("current"), detail.get("total")
        match status:
            case "Downloading":
                if total:
                    self._totals[layer] = total
                self._loaded[layer] = current or 0
            case "Verifying Checksum" | "Download complete":
                self._loaded[layer] = self._totals.get(layer, 0)
            case "Extracting":
                self._loaded[layer] = self._totals.setdefault(layer, total or 0)
                self._unpacked[layer] = min(current or 0, self._totals[layer])
            case "Pull complete" | "Already exists":
                self._loaded[layer] = self._unpacked[layer] = self._totals.get(layer, 0)
        wanted = sum(self._totals.values())
        if wanted:
            done = (sum(self._loaded.values()) + sum(self._unpacked.values())) / (2 * wanted)
            self._fraction = max(self._fraction, min(done, 1.0))
        phase = "installing" if status in ("Extracting", "Pull complete") else "downloading"
        size = f"{sum(self._loaded.values()) >> 20} of {wanted >> 20} MiB" if wanted else status.lower()
        return phase, self._fraction if wanted else None, size


class _Pull:
    """One pull and those who look on."""

    def __init__(self) -> None:
        self.reports: list[ProgressReport] = []
        self.task: asyncio.Task[None] | None = None

    def report(self, phase: str, fraction: float | None, detail: str) -> None:
        for report in self.reports:
            report(phase, fraction, detail)


class Pulls:
    def __init__(self, engine: Engine, images: Images, floor: int = FLOOR) -> None:
        self._engine = engine
        self._images = images
        self._floor = floor
        self._turn = asyncio.Lock()
        self._current = ""
        self._under_way: dict[str, _Pull] = {}

    async def pull(self, reference: str, report: ProgressReport, platform: str = "") -> None:
        """Have the image; joins a pull of it that is under way. A waiter that is cancelled leaves it going on. Raises
        PrepareError."""
        pull = self._under_way.get(reference)
        if pull is None:
            pull = self._under_way[reference] = _Pull()
            pull.task = asyncio.get_running_loop().create_task(self._run(reference, pull, platform))
            pull.task.add_done_callback(lambda task: self._done(reference, task))
        assert pull.task is not None
        pull.reports.append(report)
        try:
            await asyncio.shield(pull.task)
        finally:
            pull.reports.remove(report)

    async def close(self) -> None:
        tasks = [pull.task for pull in self._under_way.values() if pull.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, reference: str, task: asyncio.Task[None]) -> None:
        self._under_way.pop(reference, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s", error)

    async def _run(self, reference: str, pull: _Pull, platform: str) -> None:
        if self._turn.locked():
            pull.report("waiting", None, f"{self._current} is being pulled")
        async with self._turn:
            self._current = reference
            self.check_room(reference)
            try:
                await self._stream(reference, pull, platform)
            except (EngineRefused, EngineAway) as error:
                raise PrepareError(failure(reference, str(error))) from error
            except aiohttp.ClientError as error:
                raise PrepareError(
                    f"image {reference}: its pull was interrupted: {self._engine.away(error)}"
                ) from error
            self._images.forget()
            await self._images.look()
            pull.report("installing", 1.0, "done")

    async def _stream(self, reference: str, pull: _Pull, platform: str) -> None:
        params = {"fromImage": reference, **({"platform": platform} if platform else {})}
        last = reference.rpartition("/")[2]
        if ":" not in last and "@" not in last:
            params["tag"] = "latest"
        layers = Layers()
        auth = await credentials.header(reference)
        pull.report("downloading", None, "asking the registry")
        async with self._engine.raw("POST", "images/create", params, headers=auth) as answer:
            async for line in answer.content:
                if not line.strip():
                    continue
                row = json.loads(line)
                if said := (row.get("errorDetail") or {}).get("message") or row.get("error"):
                    raise EngineRefused(500, said)
                pull.report(*layers.take(row))
                self.check_room(reference)

    def check_room(self, what: str) -> None:
        """Raises PrepareError where less than the floor is free on the engine's disk, as far as it can be seen."""
        root = self._engine.local_root
        free = _free(root) if root else None
        if free is not None and free < self._floor:
            raise PrepareError(
                f"{what}: only {free >> 20} MiB of disk are free at {root}, and nothing is pulled below"
                f" {self._floor >> 20} MiB: `docker system df` shows what takes it, `docker image prune` frees some"
            )


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
