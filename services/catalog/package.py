"""`x-hub.local.package`: which registry, which one version, and the lock file that pins what it pulls in too.

Owns the syntax and the look-up of the lock. Nothing is asked of a registry here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from services.catalog.faults import nearest
from services.catalog.model import Package

_PYPI = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._-]+(?:,[A-Za-z0-9._-]+)*\])?==[0-9][A-Za-z0-9.!+_-]*\Z"
)
_NPM = re.compile(
    r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*@"
    r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\Z"
)
_FORMS = {"pypi": (_PYPI, "pypi:NAME==VERSION"), "npm": (_NPM, "npm:NAME@VERSION")}
_LOCKS = {"pypi": "locks/{name}.txt", "npm": "locks/{name}.package-lock.json"}


def parse(text: str) -> Package:
    """Raises ValueError with what would be right."""
    registry, colon, requirement = text.partition(":")
    if not colon or registry not in _FORMS:
        hint = nearest(registry, _FORMS) if colon else ""
        raise ValueError("a package of pypi or npm, such as pypi:chromadb==1.5.9" + (f"; {hint}" if hint else ""))
    pattern, form = _FORMS[registry]
    if len(text) > 200 or not pattern.match(requirement):
        raise ValueError(f"a package pinned to one version, {form}")
    return Package(registry, requirement)


def lock_path(package: Package, service: str, said: str | None, declared_in: str) -> Path:
    """Where the lock is, or would be; relative names start at the folder of the file that declares the package."""
    name = said if said is not None else _LOCKS[package.registry].format(name=service)
    return Path(os.path.normpath(Path(declared_in).parent / os.path.expanduser(name)))
