"""Reads what uv and npm print: how far they are, and what their failures mean for somebody who waits.

Knows words only; it runs nothing. The tools' own sentences are kept where they are the best there is (which version
does not exist), and put into ours where they are not (a refused connection).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_STEPS = (
    (re.compile(r"^Resolved (\d+) packages?"), "downloading", "{} packages"),
    (re.compile(r"^\s*Downloading (\S+)(?: \((.+)\))?"), "downloading", "{} {}"),
    (re.compile(r"^\s*Downloaded (\S+)"), "downloading", "{} done"),
    (re.compile(r"^\s*Building (\S+)"), "building", "{}"),
    (re.compile(r"^Prepared (\d+) packages?"), "installing", "{} packages"),
    (re.compile(r"^Installed (\d+) packages?"), "installing", "{} packages"),
    (re.compile(r"^added (\d+) packages?"), "installing", "{} packages"),
)

_NETWORK = re.compile(
    r"dns error|tcp connect error|Connection refused|connection reset|network is unreachable|timed out|Failed to fetch"
    r"|error sending request|ENOTFOUND|ECONNREFUSED|ECONNRESET|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|Could not connect",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"was not found in|no version of|were found|ETARGET|E404|404 Not Found|No matching version")
_HASH = re.compile(r"Hash mismatch|EINTEGRITY|hashes? (?:are )?(?:missing|required)", re.IGNORECASE)
_SPACE = re.compile(r"No space left|ENOSPC|os error 28")
_PYTHON = re.compile(
    r"requires-python|(?:current|requested) Python version|does not satisfy Python|No interpreter found|EBADENGINE"
    r"|no wheels? with a matching Python|Python ABI tag|Python version tag",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"^(?:hint|warning|npm (?:warn|notice|verbose)|Using Python|npm error A complete log)", re.IGNORECASE
)


def step(line: str) -> tuple[str, str] | None:
    """Phase and detail, where the line tells of either."""
    for pattern, phase, form in _STEPS:
        if found := pattern.match(line):
            return phase, form.format(*(group or "" for group in found.groups())).strip()
    return None


def failure(what: str, output: Sequence[str]) -> str:
    """One sentence for the waiting caller, made of a failed tool's last lines."""
    text = "\n".join(output)
    said = _said(output)
    if _SPACE.search(text):
        return (
            f"{what} could not be installed: the disk is full; `aihub df` shows what takes it, `aihub prune` frees some"
        )
    if _HASH.search(text):
        return f"{what} was refused: a file is not the one that the lock names (hash mismatch): {said}"
    if _PYTHON.search(text):
        return f"{what} does not run on this version of its interpreter: {said}"
    if _ABSENT.search(text):
        return f"{what} does not exist in the registry as it is asked for: {said}"
    if _NETWORK.search(text):
        return f"{what} could not be fetched: the package registry cannot be reached (is there a network?): {said}"
    return f"{what} could not be installed: {said}"


def _said(output: Sequence[str]) -> str:
    lines = [line.strip() for line in output if line.strip() and not _NOISE.match(line.strip()) and not step(line)]
    lines = [re.sub(r"^(?:error|cause|npm error)[: ]\s*", "", line) for line in lines]
    return " | ".join(lines[-6:])[:800] or "it said nothing"
