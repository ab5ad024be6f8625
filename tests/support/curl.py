"""curl, for what Python's clients do not speak or would tidy up."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    version: str
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


async def curl(*arguments: str) -> Answer:
    """Raises AssertionError where curl itself fails."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-s", "-S", "-i", "--path-as-is", "-m", "30", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    head, _, text = out.decode().partition("\r\n\r\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, text = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    version, status, *_ = first.split(" ")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status), version, headers, text)
