"""Addresses of other services inside a local program's environment: `http://qdrant:6333` → where it really answers.

Between containers a service's name is a host name; between processes of one machine it is not. Owns that translation
alone; what a service's address is comes in as a value. Text that only looks like an address of a service stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from services.catalog.addresses import Addresses
from services.catalog.model import Catalog, Service

# Ends where a host name ends: `http://ollama.example.org` and `http://ollama-2` are other hosts than `ollama`.
_URL = re.compile(r"(?<![\w+.-])(http|ws)://([^/@\s]*@)?([A-Za-z0-9][\w-]*)(?::([0-9]{1,5}))?(?![\w.:@-])")
_DEFAULT_PORT = 80


def rewrite_urls(environment: Mapping[str, str], catalog: Catalog, where: Mapping[str, Addresses]) -> Mapping[str, str]:
    """`http://NAME:PORT` and `ws://NAME:PORT` of a service that has that port become its address on this machine.

    The main port becomes `internal`, another one the host address it is published at; a port that is neither stays
    as written. Path, query and user part are kept. Idempotent as long as no service is called `localhost`.
    """

    def local(match: re.Match[str]) -> str:
        scheme, user, name, port = match.groups()
        service = catalog.services.get(name)
        base = _base(service, int(port or _DEFAULT_PORT), where) if service else None
        if base is None:
            return match.group()
        _, _, rest = base.partition("://")
        return f"{scheme if scheme == 'ws' else base.partition(':')[0]}://{user or ''}{rest}"

    return MappingProxyType({key: _URL.sub(local, value) for key, value in environment.items()})


def _base(service: Service, number: int, where: Mapping[str, Addresses]) -> str | None:
    port = next((port for port in service.ports if port.number == number), None)
    if port is None:
        return None
    if port == service.main and service.name in where:
        return where[service.name].internal.rstrip("/")
    publish = next((publish for publish in service.publishes if publish.port == port.name), None)
    if publish is None:
        return None
    host = "127.0.0.1" if publish.host in ("", "0.0.0.0", "::") else publish.host
    return f"http://{host}:{publish.number}"
