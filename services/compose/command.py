"""Running `docker compose` on one project: creating containers, hashes, what only compose knows of a file.

Owns finding the client and the plugin, the arguments that make compose see the project as we do, and compose's own
words where it fails. It starts no container that is lazy; who may be created when is the driver's to decide.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.catalog.model import Stack

OLDEST = (2, 24)
"""The first compose that knows `!override`, which the override files say."""
_PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL: compose replaces a container by renaming the old one, and should finish that."""
_INSTALL = "https://docs.docker.com/compose/install/"
_LOG_LINE = re.compile(r'^time="[^"]*" level=(?P<level>\w+) msg="(?P<text>.*)"$')


class ComposeError(Exception):
    """Compose is missing, too old, or refused. The message says what, in compose's own words where it said any."""


class ComposeCli:
    """Compose on one project. Verbs that change something run one after another; reading ones whenever they like.

    Every verb raises ComposeError. Cancelling one ends its compose process before the cancellation goes on.
    """

    def __init__(self, stack: Stack, override: Path | None, environ: Mapping[str, str] | None = None) -> None:
        """`override`: a last file over the stack's own, left out while it is not there. `environ`: what compose sees,
        the process's own unless given; `DOCKER_HOST` and contexts are honoured by the client itself."""
        self._stack = stack
        self._override = override
        self._environ = dict(os.environ if environ is None else environ)
        self._program: tuple[str, ...] = ()
        self._changing = asyncio.Lock()

    async def config(self) -> Mapping[str, Any]:
        """What compose makes of the files, every profile enabled. Texts hold `$$` for a dollar, as in a file."""
        text = await self._run(["--profile", "*", "config", "--format", "json"])
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ComposeError(f"docker compose config gave no JSON: {error}") from None
        return found if isinstance(found, dict) else {}

    async def hashes(self) -> Mapping[str, str]:
        """Service → what its container would carry as `com.docker.compose.config-hash`, with the override."""
        lines = (await self._run(["--profile", "*", "config", "--hash", "*"])).splitlines()
        pairs = (line.split() for line in lines)
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    async def create(
        self, service: str, replicas: int = 1, recreate: bool = False, *, fitting_too: bool = False
    ) -> None:
        """Make the containers of one service, stopped, with the networks and volumes they need.

        Containers that are there stay as they are; with `recreate` those that no longer fit the files are made anew,
        running ones too, and with `fitting_too` all. `replicas` are there afterwards: more of them are removed. Pulls
        or builds a missing image.
        """
        verb = ["--profile", "*", "up", "--no-start", "--no-deps", "--scale", f"{service}={replicas}"]
        which = ["--force-recreate"] if fitting_too else [] if recreate else ["--no-recreate"]
        await self._change([*verb, *which, service])

    async def build(self, service: str) -> None:
        """Build the image of a service that says how; others may change containers meanwhile."""
        await self._run(["--profile", "*", "build", "--quiet", service])

    async def up(self, services: Sequence[str]) -> None:
        """Start services and what they need, detached; containers that are there are started and never made anew.

        Services on demand are left out: no profile is enabled. Returns once compose has started them, which with
        conditions in `depends_on` takes until those hold.
        """
        if services:
            await self._change(["up", "--detach", "--no-recreate", *services])

    async def down(self, *, volumes: bool = False) -> None:
        """Remove every container and network of the project, those of all profiles; with `volumes` their data too."""
        await self._change(["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])])

    async def _change(self, words: Sequence[str]) -> None:
        # Two at once would both make the project's network, and the engine allows two of one name.
        async with self._changing:
            await self._run(words)

    async def _run(self, words: Sequence[str]) -> str:
        if not self._program:
            self._program = await find(self._environ)
        said, complaint, code = await _execute([*self._program, *self._project(), *words], self._environ)
        if code:
            verb = next((word for word in words if not word.startswith("-") and word != "*"), "")
            raise ComposeError(f"docker compose {verb}, project {self._stack.project}: {own_words(complaint, code)}")
        return said

    def _project(self) -> list[str]:
        stack = self._stack
        words = ["--ansi", "never", "--progress", "quiet", "--project-name", stack.project]
        words += ["--project-directory", stack.directory]
        for file in stack.files:
            words += ["--file", file]
        if self._override is not None and self._override.exists():
            words += ["--file", str(self._override)]
        return words


async def find(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The words that begin a call of compose. Raises ComposeError where there is none, or one that is too old."""
    docker = shutil.which("docker", path=environ.get("PATH"))
    alone = shutil.which("docker-compose", path=environ.get("PATH"))
    found = ""
    for program in ([(docker, "compose")] if docker else []) + ([(alone,)] if alone else []):
        said, _, code = await _execute([*program, "version", "--format", "json"], environ)
        version = _version(said) if code == 0 else ""
        found = found or version
        if _numbers(version) >= OLDEST:
            return tuple(program)
    wanted = f"version {OLDEST[0]}.{OLDEST[1]} or newer is needed: {_INSTALL}"
    if found:
        raise ComposeError(f"docker compose is of version {found}; {wanted}")
    if docker:
        raise ComposeError(f"{docker} has no compose plugin; {wanted}")
    raise ComposeError(f"there is no program docker on the PATH; it is needed with its compose plugin, {wanted}")


def own_words(complaint: str, code: int) -> str:
    """What compose said went wrong: its warnings and the progress of a pull are not the reason."""
    lines: list[str] = []
    for line in complaint.splitlines():
        logged = _LOG_LINE.match(line)
        if logged is None:
            lines.append(line.strip())
        elif logged["level"] in ("error", "fatal"):
            lines.append(logged["text"])
    text = "\n".join(dict.fromkeys(line for line in lines if line))
    if code < 0 and not text:
        return f"ended by {signal.Signals(-code).name}"
    return text or f"failed with code {code} and said nothing"


def _version(said: str) -> str:
    try:
        return str(json.loads(said)["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


async def _execute(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, str, int]:
    """Output, complaint and exit code of a program that gets no input. Raises ComposeError where it cannot begin."""
    beginning = asyncio.ensure_future(_begin(argv, environ))
    try:
        process = await asyncio.shield(beginning)
    except asyncio.CancelledError:
        # A start that is cut off would end the client and leave the plugin that it has started.
        with contextlib.suppress(OSError):
            await _end(await beginning)
        raise
    except OSError as error:
        raise ComposeError(f"{argv[0]} cannot be run: {error.strerror or error}") from None
    try:
        said, complaint = await process.communicate()
    except BaseException:
        await _end(process)
        raise
    return said.decode(errors="replace"), complaint.decode(errors="replace"), process.returncode or 0


async def _begin(argv: Sequence[str], environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environ),
        # The client starts the plugin as a child: both are ended together.
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _PATIENCE)
