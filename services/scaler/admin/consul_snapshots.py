"""Copies of Consul by its own means: a snapshot of its state, taken while it serves, and put back as a whole.

Consul lets only such a token do that as may do everything. The hub needs no such one for anything else, so it may have
it in a file of its own, `$AIHUB_CONSUL_SNAPSHOT_TOKEN_FILE`, which is read for each snapshot and not kept.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from services.scaler.drivers.keeping import KeepError

CONSUL = "consul"
"""The service whose data these are."""
_MEMBER = "consul.snapshot"
_LIMIT = aiohttp.ClientTimeout(total=300.0)


@dataclass(frozen=True, slots=True)
class ConsulSnapshots:
    url: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    """Goes before `token`."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> ConsulSnapshots | None:
        """None where no Consul is configured."""
        url = environ.get("AIHUB_CONSUL")
        file = environ.get("AIHUB_CONSUL_SNAPSHOT_TOKEN_FILE") or environ.get("AIHUB_CONSUL_TOKEN_FILE")
        if not url:
            return None
        return cls(url.rstrip("/"), environ.get("AIHUB_CONSUL_TOKEN", ""), Path(file) if file else None)

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
        try:
            token = self.token_file.read_text().strip() if self.token_file else self.token
        except OSError as error:
            raise KeepError(f"the token for snapshots of Consul cannot be read: {error}") from error
        headers = {"X-Consul-Token": token} if token else {}
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
