"""A real Consul: where its program is, how it is built, and agents of it on free ports.

`python -m tests.support.consul` makes it ahead of the tests and prints its path: taken out of the stand-in image where
that is here, else built, some minutes once, then kept. It comes from its Go module by the Go compiler that the other
upstreams use too, for no distribution has a good version.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.support.ports import free_port
from tests.support.upstream_env import toolchain

VERSION = "1.22.7"
_API = "1.34.1"
"""Of Consul's own client module, in the version that belongs to it; the module names it by folder."""

_IMAGE = "aihub-test/consul"
_READY_WITHIN = 30.0
_MANAGEMENT = "5d2a9f0c-6b1e-4c6e-9d53-0d9b3f7a1c11"
"""What the agents with access control let do everything. They end with the test."""


def binary() -> Path:
    """The program: on PATH, kept from before, or built now. Raises CalledProcessError."""
    named = shutil.which("consul")
    if named:
        return Path(named)
    cache = Path(os.environ.get("AIHUB_TEST_CACHE") or "~/.cache/aihub-tests").expanduser()
    program = cache / "bin" / f"consul-{VERSION}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with (cache / "consul.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists() and not _copied(program):
                _build(program)
    return program


def _copied(program: Path) -> bool:
    """Whether the stand-in image is here, which has the same program: building it twice takes minutes."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    made = subprocess.run([docker, "create", _IMAGE], capture_output=True, text=True, check=False)
    if made.returncode:
        return False
    container, partial = made.stdout.strip(), program.with_suffix(".partial")
    try:
        copied = subprocess.run([docker, "cp", f"{container}:/usr/local/bin/consul", str(partial)], check=False)
    finally:
        subprocess.run([docker, "rm", container], capture_output=True, check=False)
    if copied.returncode:
        return False
    partial.replace(program)
    return True


def _build(program: Path) -> None:
    """The module's own parts stand in it by folder, which other modules may not use: here they come by version."""
    go = toolchain().go
    flags = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod -buildvcs=false -trimpath"}
    environment = {key: value for key, value in os.environ.items() if key != "GOROOT"} | flags

    def run(*words: str, cwd: Path) -> str:
        return subprocess.check_output([str(go), *words], cwd=cwd, env=environment, text=True)

    with tempfile.TemporaryDirectory(prefix="consul-") as folder:
        found = json.loads(run("mod", "download", "-json", f"github.com/hashicorp/consul@v{VERSION}", cwd=Path(folder)))
        source = Path(folder) / "source"
        shutil.copytree(found["Dir"], source, copy_function=shutil.copyfile)
        for path in (source, *source.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        _without_folders(source / "go.mod")
        run("mod", "edit", f"-require=github.com/hashicorp/consul/api@v{_API}", cwd=source)
        built = program.with_suffix(".partial")
        run("build", "-ldflags", "-s -w", "-o", str(built), ".", cwd=source)
        built.replace(program)


def _without_folders(mod: Path) -> None:
    """The module file without its `replace (…)` block."""
    lines, inside = [], False
    for line in mod.read_text().splitlines(keepends=True):
        inside = inside or line.startswith("replace (")
        if not inside:
            lines.append(line)
        inside = inside and line.strip() != ")"
    mod.write_text("".join(lines))


class Agent:
    """One server on loopback that forgets everything when it ends. May be ended and started again at its port."""

    def __init__(self, folder: Path, *, access_control: bool = False) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.management = _MANAGEMENT if access_control else ""
        self._folder = folder
        self._others = [free_port() for _ in range(3)]
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"X-Consul-Token": self.management} if self.management else None
        self._session = aiohttp.ClientSession(headers=headers)
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.stop()
        assert self._session is not None
        await self._session.close()

    async def start(self) -> None:
        self._process = self._spawn()
        async with asyncio.timeout(_READY_WITHIN):
            while not await self._leads():
                assert self._process.poll() is None, (self._folder / "consul.log").read_text()
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Ends as if its machine had; safe to call again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def get(self, path: str) -> Any:
        """JSON of an answer; None where nothing is."""
        assert self._session is not None
        async with self._session.get(self.url + path) as answer:
            return None if answer.status == 404 else await answer.json(content_type=None)

    async def put(self, path: str, body: object = None) -> Any:
        assert self._session is not None
        async with self._session.put(self.url + path, json=body) as answer:
            text = await answer.text()
            assert answer.status == 200, f"{answer.status} {text}"
            return json.loads(text) if text else None

    async def instances(self, service: str) -> list[dict[str, Any]]:
        """What is registered and not critical, each its `Service` part."""
        found = await self.get(f"/v1/health/service/{service}?passing")
        return [entry["Service"] for entry in found]

    async def value(self, key: str) -> Any:
        """A key's value, itself JSON; None where there is none."""
        return await self.get(f"/v1/kv/{key}?raw")

    async def register(self, service: str, port: int, *, name: str = "", **more: object) -> str:
        """As somebody else would, with a check that passes until it is told otherwise. Returns the instance's id."""
        instance = name or f"{service}-elsewhere"
        check = {"TTL": "10m", "Status": "passing"}
        entry = {"ID": instance, "Name": service, "Address": "127.0.0.1", "Port": port, "Check": check, **more}
        await self.put("/v1/agent/service/register", entry)
        return instance

    async def deregister(self, instance: str) -> None:
        await self.put(f"/v1/agent/service/deregister/{instance}")

    async def fail(self, instance: str) -> None:
        await self.put(f"/v1/agent/check/fail/service:{instance}")

    async def token(self, name: str, rules: str) -> str:
        """A new token with one policy of these rules."""
        await self.put("/v1/acl/policy", {"Name": name, "Rules": rules})
        made = await self.put("/v1/acl/token", {"Policies": [{"Name": name}]})
        return str(made["SecretID"])

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self._folder / "consul.log").open("ab") as log:
            return subprocess.Popen(self._command(), stdout=log, stderr=log)

    def _command(self) -> list[str]:
        lan, wan, server = self._others
        ports = {"http-port": self.port, "serf-lan-port": lan, "serf-wan-port": wan, "server-port": server}
        off = {"grpc-port": -1, "grpc-tls-port": -1, "dns-port": -1}
        plain = {"bind": "127.0.0.1", "client": "127.0.0.1", "log-level": "warn", **ports, **off}
        command = [str(binary()), "agent", "-dev", *(f"-{key}={value}" for key, value in plain.items())]
        if self.management:
            rules = self._folder / "acl.json"
            rules.write_text(json.dumps(_access_control(self.management)))
            command.append(f"-config-file={rules}")
        return command

    async def _leads(self) -> bool:
        """It has taken up its own registration, so it takes ours."""
        with contextlib.suppress(aiohttp.ClientError):
            return bool(await self.get("/v1/health/service/consul?passing"))
        return False


def _access_control(management: str) -> Mapping[str, object]:
    tokens = {"initial_management": management, "agent": management}
    return {"acl": {"enabled": True, "default_policy": "deny", "tokens": tokens}}


@contextlib.asynccontextmanager
async def agent(folder: Path, *, access_control: bool = False) -> AsyncIterator[Agent]:
    async with Agent(folder, access_control=access_control) as made:
        yield made


if __name__ == "__main__":
    sys.stdout.write(f"{binary()}\n")
