"""A command that a document shows must exist, with the options it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from services.cli.main import aihub

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/**/*.md")})
_BLOCK = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:\./scripts/|aihub )[^`\n]+)`")


def shown(document: Path) -> list[str]:
    text = document.read_text()
    lines = [line.strip() for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$ ") for line in lines] + _INLINE.findall(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_a_document_shows_exist(document: Path) -> None:
    wrong = []
    for line in shown(document):
        words = shlex.split(line, comments=True)
        if words[:1] and words[0] in ("aihub", ".venv/bin/aihub") and len(words) > 1:
            wrong += [f"{line}: {fault}" for fault in faults_of(words[1:])]
        elif words[:1] and words[0].startswith(("./scripts/", "scripts/")) and not (ROOT / words[0]).is_file():
            wrong.append(f"{line}: no such script")
    assert wrong == []


def faults_of(words: list[str]) -> list[str]:
    if words[0].startswith("-"):
        return [] if words[0] in ("--help", "--version") else [f"no option {words[0]}"]
    context = click.Context(aihub)
    command = aihub.get_command(context, words[0])
    if command is None:
        return [f"no command {words[0]}"]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    return [f"no option {word}" for word in words[1:] if word.startswith("-") and word.partition("=")[0] not in options]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_links_to_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []
