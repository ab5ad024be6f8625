"""What a deploy was told: the words of the command line, and for what they leave out, the last deploy's settings."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from services.catalog.addresses import is_domain
from services.deploy.deployment import FILE, PROD, PROJECT, Deployment
from services.deploy.plan import Env, Phase
from services.layout import Layout

_OVERRIDE = "AIHUB_COMPOSE_OVERRIDE"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


class BadWords(Exception):
    """The message names the option, its value and what it may be."""


@dataclass(frozen=True, slots=True)
class Said:
    act: str
    """`up`, `check`, `down`, `status`, or `deployed`, which asks whether anything is."""
    phase: Phase
    volumes: bool
    env: Env | None
    data: str | None
    domain: str | None
    project: str | None
    tls: tuple[Path, Path] | None
    overrides: tuple[Path, ...]


def read(words: Sequence[str]) -> Said:
    """Raises BadWords."""
    given = _parser().parse_args(words)
    env = Env(given.env) if given.env else None
    if (given.tls_cert is None) != (given.tls_key is None):
        raise BadWords("--tls-cert and --tls-key go together")
    if given.tls_cert and env is Env.DEV:
        raise BadWords("--tls-cert is for --env prod: in dev the gateway listens on loopback alone, without TLS")
    if given.domain and not is_domain(given.domain.lower()):
        raise BadWords(f"--domain {given.domain}: no DNS name such as hub.example.org, and no IPv4 address")
    if given.project_name and not _PROJECT.match(given.project_name):
        raise BadWords(
            f"--project-name {given.project_name}: small letters, digits, - and _, 63 at the most, a letter or digit"
            " first"
        )
    return Said(
        given.act,
        Phase(given.phase),
        given.volumes,
        env,
        given.data,
        given.domain.lower() if given.domain else None,
        given.project_name,
        (given.tls_cert.resolve(), given.tls_key.resolve()) if given.tls_cert else None,
        tuple(path.resolve() for path in given.override or ()),
    )


def deployment(root: Path, said: Said, before: Mapping[str, str], environ: Mapping[str, str]) -> Deployment:
    """`before`: variables of `.env`. Raises KeyError where neither names an environment."""
    domain = said.domain or before.get("HUB_DOMAIN") or "localhost"
    return Deployment(
        root,
        Layout.at(said.data or environ.get("AIHUB_DATA") or before.get("HUB_DATA")),
        said.env or Env(before["HUB_ENV"]),
        domain,
        said.tls or _tls_before(before, domain),
        said.overrides or _overrides(root, said.act, before, environ),
        said.project or before.get("COMPOSE_PROJECT_NAME") or PROJECT,
    )


def _tls_before(before: Mapping[str, str], domain: str) -> tuple[Path, Path] | None:
    """The user's own of the last deploy; None where that one made its own."""
    chain, key = before.get("HUB_TLS_CERT"), before.get("HUB_TLS_KEY_FILE")
    made = Path(before.get("HUB_DATA", "")) / "tls"
    if not chain or not key or Path(chain).parent == made or domain != before.get("HUB_DOMAIN"):
        return None
    return Path(chain), Path(key)


def _overrides(root: Path, act: str, before: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Path, ...]:
    given = [Path(one) for one in environ.get(_OVERRIDE, "").split(os.pathsep) if one]
    if given:
        return tuple(path.resolve() for path in given)
    own = {root / FILE, root / PROD}
    files = [Path(one) for one in before.get("COMPOSE_FILE", "").split(os.pathsep) if one]
    # One that has gone must not hinder taking down what it helped to bring up.
    return tuple(path for path in files if path not in own and (act not in ("down", "status") or path.is_file()))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadWords(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m services.deploy", description=__doc__)
    parser.add_argument("act", choices=("up", "check", "down", "status", "deployed"))
    parser.add_argument("--env", choices=[env.value for env in Env])
    parser.add_argument("--phase", choices=[phase.value for phase in Phase], default=Phase.ALL.value)
    parser.add_argument("--project-name", help=f"default: {PROJECT}")
    parser.add_argument("--data", help="default: $AIHUB_DATA, else the user's data home")
    parser.add_argument("--domain", help="services are NAME.DOMAIN; default: localhost")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--override", type=Path, action="append", help=f"a further compose file; also ${_OVERRIDE}")
    parser.add_argument("--volumes", action="store_true", help="with down: the data too")
    return parser
