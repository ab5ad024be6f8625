"""What the hub calls the services of several stacks: a host name each, and no two the same.

A service keeps its name where that can be; where two stacks have one of the same, both are called PROJECT-NAME, so that
neither changes its name when the other leaves. Inside its own networks each keeps the name that its file gives it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.catalog.model import RESERVED_NAMES, Service

_LONGEST = 63
Names = Mapping[tuple[str, str], str]
"""(project, name in it) → the hub's own."""


def hub_names(stacks: Mapping[str, Sequence[str]]) -> Names:
    """`stacks`: the names of each project's services."""
    often = Counter(plain for names in stacks.values() for plain in {_plain(name) for name in names})
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for project, names in stacks.items():
        for name in names:
            plain = _plain(name)
            if often[plain] > 1 or plain in RESERVED_NAMES:
                plain = _plain(f"{project}-{name}")
            found[project, name] = _free(plain, taken)
            taken.add(found[project, name])
    return found


def renamed(service: Service, project: str, names: Names) -> Service:
    """The service under the hub's names for it and for those it needs."""
    name = names[project, service.name]
    return replace(
        service,
        name=name,
        path=f"/api/{name}" if service.path == f"/api/{service.name}" else service.path,
        depends_on=tuple(replace(d, service=names.get((project, d.service), d.service)) for d in service.depends_on),
        uses=tuple(names.get((project, other), other) for other in service.uses),
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST].rstrip("-") or "service"


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST - 4]}-{number}"
    return free
