"""Begins one program: its words, its environment, its session, its log.

The environment is made from nothing: a program that the hub runs sees none of the hub's own variables. The program is
begun without code of ours between fork and exec, so Python can use vfork, and a large scaler forks as fast as a small.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.catalog.addresses import Addresses
from services.catalog.model import Catalog, Local, Service
from services.catalog.placeholders import Placeholders, expand
from services.catalog.rewrite import rewrite_urls
from services.layout import Layout
from services.scaler.drivers.base import StartError
from services.scaler.drivers.process import logs
from services.scaler.drivers.process.proc import MARK

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_OOM_SCORE = "500"
_PASSED_ON = ("TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Facts about the machine, not about the hub."""


@dataclass(frozen=True, slots=True)
class Program:
    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


def user_path() -> str:
    return os.environ.get("PATH") or _SYSTEM_PATH


@dataclass(frozen=True, slots=True)
class Ground:
    """What a program is begun on: all that is not said by its own catalogue entry."""

    mark: str
    layout: Layout
    programs: Path | None
    """Those of its own environment, found before any other."""
    catalog: Catalog
    where: Mapping[str, Addresses]


def program(service: Service, local: Local, ports: Mapping[str, int], ground: Ground) -> Program:
    """What is to be run. Raises StartError where a placeholder has no value or the command is not there."""
    data = ground.layout.service_data(service.name)
    own = ground.where.get(service.name)
    values = Placeholders(
        ports=ports,
        data=str(data),
        models=str(ground.layout.models),
        public_url=own.origin if own else "",
        urls={name: addresses.internal for name, addresses in ground.where.items()},
    )
    wished = {
        **rewrite_urls(service.environment, ground.catalog, ground.where),
        **rewrite_urls(local.environment, ground.catalog, ground.where),
    }
    try:
        words = [expand(word, values) for word in local.command]
        wished = {key: expand(value, values) for key, value in wished.items()}
    except LookupError as error:
        raise StartError(f"{service.name}: {error.args[0]}") from error
    environment = {**_minimal(ground.programs, data), **wished, MARK: ground.mark}
    found = shutil.which(words[0], path=environment["PATH"]) if words else None
    if found is None:
        wanted = words[0] if words else ""
        raise StartError(f"{service.name}: command {wanted!r} not found; looked in {environment['PATH']}")
    return Program([found, *words[1:]], environment, data)


def begin(program: Program, service: Service, log: Path, replica: str) -> subprocess.Popen[bytes]:
    """Run it in a session of its own. Raises StartError."""
    program.folder.mkdir(parents=True, exist_ok=True)
    for volume in service.volumes:
        if volume.named and volume.source:
            (program.folder / volume.source).mkdir(exist_ok=True)
    try:
        handle = logs.open_log(log, replica)
    except OSError as error:
        raise StartError(f"{service.name}: its log {log} cannot be opened: {error.strerror}") from error
    try:
        process = subprocess.Popen(
            program.words,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd=program.folder,
            env=program.environment,
            start_new_session=True,
        )
    except OSError as error:
        raise StartError(f"{service.name}: {program.words[0]} cannot be run: {error.strerror}") from error
    finally:
        os.close(handle)
    _yield_memory(process.pid)
    return process


def abandon(process: subprocess.Popen[bytes]) -> None:
    """End what was begun a moment ago and cannot be looked after: nobody would ever find it. Needs no descriptor."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _minimal(programs: Path | None, data: Path) -> dict[str, str]:
    path = user_path()
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | {
        "PATH": f"{programs}{os.pathsep}{path}" if programs else path,
        "HOME": str(data),
        "LANG": "C.UTF-8",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        # What a program says just before it dies is worth more than the few writes that buffering saves.
        "PYTHONUNBUFFERED": "1",
    }


def _yield_memory(pid: int) -> None:
    """Should the machine run out of memory after all, a service goes before the hub that can start it again."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(_OOM_SCORE)
    except OSError:
        return
