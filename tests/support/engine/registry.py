"""A registry of images on loopback with one small image in it: what the engine pulls from where there is no network.

Every repository gives it, `slow` only when it is told to go on. There is one tag, `1`. A locked registry gives nothing
to who has not logged in (user `me`, password `secret`).
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import os
import platform
from typing import Any

from aiohttp import web

from services.scaler.drivers.docker.images import tar
from services.scaler.drivers.docker.keeper import program

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LOGIN = "Basic " + base64.b64encode(b"me:secret").decode()
_GO = {"x86_64": "amd64", "aarch64": "arm64"}


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    def __init__(self, *, locked: bool = False) -> None:
        self._locked = locked
        machine = platform.machine()
        layer = tar({"keep": (program(machine), 0o755), "ballast": (os.urandom(3 << 20), 0o644)})
        config = {
            "architecture": _GO[machine],
            "os": "linux",
            "config": {"Cmd": ["/keep"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
        self._blobs = {digest(blob): blob for blob in (json.dumps(config).encode(), gzip.compress(layer))}
        [own, packed] = self._blobs
        self._layer = packed
        self._manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._named("application/vnd.docker.container.image.v1+json", own),
                "layers": [self._named("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
            }
        ).encode()
        self.go_on = asyncio.Event()
        """What `slow` waits for in the middle of its layer."""
        self._runner: web.AppRunner | None = None
        self.place = ""
        """`127.0.0.1:PORT`."""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v2/", self._root)
        app.router.add_get("/v2/{name}/manifests/{reference}", self._give_manifest)
        app.router.add_get("/v2/{name}/blobs/{digest}", self._give_blob)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.place = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        self.go_on.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def _named(self, kind: str, name: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": name, "size": len(self._blobs[name])}

    async def _root(self, request: web.Request) -> web.Response:
        self._let_in(request)
        return web.json_response({})

    def _let_in(self, request: web.Request) -> None:
        if self._locked and request.headers.get("Authorization") != _LOGIN:
            raise _not_yet()

    async def _give_manifest(self, request: web.Request) -> web.Response:
        self._let_in(request)
        if request.match_info["reference"] not in ("1", digest(self._manifest)):
            unknown = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(unknown, status=404)
        headers = {"Docker-Content-Digest": digest(self._manifest)}
        return web.Response(body=self._manifest, content_type=_MANIFEST, headers=headers)

    async def _give_blob(self, request: web.Request) -> web.StreamResponse:
        self._let_in(request)
        name = request.match_info["digest"]
        blob = self._blobs[name]
        answer = web.StreamResponse(headers={"Content-Length": str(len(blob))})
        await answer.prepare(request)
        half = len(blob) // 2
        await answer.write(blob[:half])
        if request.match_info["name"] == "slow" and name == self._layer:
            await self.go_on.wait()
        await answer.write(blob[half:])
        return answer


def _not_yet() -> web.HTTPUnauthorized:
    said = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
    headers = {"WWW-Authenticate": 'Basic realm="registry"'}
    return web.HTTPUnauthorized(headers=headers, text=json.dumps(said), content_type="application/json")
