"""Copies of Consul by its own means: a snapshot of its state, taken while it serves, and put back as a whole."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp

from services.scaler.drivers.keeping import KeepError

CONSUL = "consul"
"""The service whose data these are."""
_MEMBER = "consul.snapshot"
_LIMIT = aiohttp.ClientTimeout(total=300.0)


@dataclass(frozen=True, slots=True)
class ConsulSnapshots:
    url: str
    token: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> ConsulSnapshots | None:
        """None where no Consul is configured."""
        url = environ.get("AIHUB_CONSUL")
        return cls(url.rstrip("/"), environ.get("AIHUB_CONSUL_TOKEN", "")) if url else None

    async def save(self) -> AsyncIterator[bytes]:
        """A tar with the snapshot in it. Raises KeepError."""
        snapshot = await self._ask("GET", None)
        entry = tarfile.TarInfo(_MEMBER)
        entry.size = len(snapshot)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(entry, io.BytesIO(snapshot))
        yield packed.getvalue()

    async def load(self, archive: AsyncIterator[bytes]) -> None:
        """Raises KeepError; Consul's state is then as it was."""
        packed = io.BytesIO(b"".join([piece async for piece in archive]))
        try:
            with tarfile.open(fileobj=packed, mode="r") as opened:
                member = opened.extractfile(_MEMBER)
                assert member is not None
                snapshot = member.read()
        except (tarfile.TarError, KeyError, AssertionError) as error:
            raise KeepError(f"that is no snapshot of Consul: {error}") from error
        await self._ask("PUT", snapshot)

    async def _ask(self, method: str, body: bytes | None) -> bytes:
        headers = {"X-Consul-Token": self.token} if self.token else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=_LIMIT, headers=headers) as session,
                session.request(method, f"{self.url}/v1/snapshot", data=body) as answer,
            ):
                said = await answer.read()
                if answer.status != 200:
                    raise KeepError(f"Consul refuses ({answer.status}): {said.decode(errors='replace').strip()[:200]}")
                return said
        except (aiohttp.ClientError, TimeoutError) as error:
            raise KeepError(f"no Consul answers at {self.url}: {error}") from error
