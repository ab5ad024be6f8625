"""What is made from the shipped catalogue and kept beside it: the table of services in `docs/`, the ports that
production closes, and who the adapter asks for models.

Pure: text and catalogue in, text out. `generate` reads, writes and compares the files.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

from services.catalog.model import Catalog, Protocol, Service, Tier
from services.catalog.units import size_text

LICENCE, LINK = "org.opencontainers.image.licenses", "org.opencontainers.image.url"
_BEGIN, _END = ". begin\n", "  # end\n"
_NAMED = re.compile(r"^  ([a-z0-9][a-z0-9-]*):", re.MULTILINE)
_MODELS = "/v1/models"
_SPEAKERS = re.compile(r"^      AIHUB_MODEL_SERVICES: >-\n(?P<words>(?:        \S+\n)+)", re.MULTILINE)
_PARTING = re.compile(r"[\s,$]")
_GROUPS = {"own": "the hub's own", "docker-compose.distributed-ai": "base"}
_COLUMNS = ("service", "what it is", "group", "tier", "image", "own port", "memory, limit", "licence", "without Docker")
_HEAD = """# The services

Made by `scripts/generate` from `docker-compose.distributed-ai.yml` and `catalog/*.yml`; how to read it stands below.

"""
_FOOT = """
Each name leads to where the service comes from. *Own port*: on 127.0.0.1, beside `/api/NAME` and `NAME.localhost` at
the gateway; services without one are reached by others only. *Memory*: what a first start is reckoned at, then the
limit; what was measured since counts more. *Tier*: infra is what the hub stands on, persistent is awake as long as the
hub is, on-demand sleeps until somebody asks. *Without Docker*: what `aihub up` installs by itself at the first wake, by
the registry's own name and version, or the program that it needs; a dash where the service runs in containers alone.

An image is pinned to a tag that its project or somebody who runs it has published. None of them was built here, but for
those named `aihub/…`, which `docker compose build` makes.
"""


def table(catalog: Catalog) -> str:
    """The document. Raises ValueError naming a service that lacks a licence or a source."""
    lines = [_row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    lines += [_row(_cells(service)) for service in catalog.services.values()]
    return _HEAD + "\n".join(lines) + "\n" + _FOOT


def closed_ports(text: str, catalog: Catalog) -> str:
    """The override of production with its generated part anew. Raises ValueError where its marks are missing."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError("the override of production has lost the marks `begin` and `end` of its generated part")
    services = head.partition("\nservices:\n")[2]
    by_hand = frozenset(_NAMED.findall(services))
    return head + begin + "".join(_closed(catalog, by_hand)) + end + tail


def model_services(text: str, catalog: Catalog) -> str:
    """The base file with the adapter's setting anew: who speaks OpenAI's API. Raises ValueError where it has lost it."""
    found = _SPEAKERS.search(text)
    if found is None:
        raise ValueError("the compose file has lost AIHUB_MODEL_SERVICES, a folded text with a word on each line")
    words = "".join(f"        {_speaker(one)}\n" for one in catalog.services.values() if _speaks(one))
    return text[: found.start("words")] + words + text[found.end("words") :]


def _speaks(service: Service) -> bool:
    return bool(service.models) or _MODELS in service.wake.answer


def _speaker(service: Service) -> str:
    if service.main is None:
        raise ValueError(f"{service.name} has models and no port that answers")
    odd = [model for model in service.models if _PARTING.search(model)]
    if odd:
        raise ValueError(f"{service.name}: the adapter cannot be told of a model named {odd[0]!r}")
    named = f"#{','.join(service.models)}" if service.models else ""
    return f"{service.name}=http://{service.name}:{service.main.number}/v1{named}"


def _closed(catalog: Catalog, by_hand: Collection[str]) -> list[str]:
    found = [service.name for service in catalog.services.values() if service.publishes]
    return [f"  {name}: {{ports: !reset []}}\n" for name in found if name not in by_hand]


def _cells(service: Service) -> list[str]:
    own = service.image is None or service.image.startswith("aihub/") or _group(service) == _GROUPS["own"]
    licence, link = service.labels.get(LICENCE), service.labels.get(LINK)
    if not licence or not (link or own) or service.image is None:
        raise ValueError(f"{service.name} wants an image, and labels {LICENCE} and {LINK}")
    return [
        f"[{service.name}]({link})" if link else service.name,
        service.description,
        _group(service),
        service.tier,
        f"`{service.image}`",
        ", ".join(str(publish.number) for publish in service.publishes) or "-",
        _memory(service),
        licence,
        _locally(service),
    ]


def _group(service: Service) -> str:
    stem = PurePath(service.source.file).stem
    if service.ports and service.ports[0].protocol is Protocol.TCP and service.tier is Tier.ON_DEMAND:
        return "databases"
    return _GROUPS.get(stem, stem)


def _memory(service: Service) -> str:
    limits = service.resources
    amounts = [size_text(amount) for amount in (limits.memory_reservation, limits.memory_limit) if amount]
    return ", ".join(amounts) or "-"


def _locally(service: Service) -> str:
    local = service.local
    if local is None:
        return "-"
    if local.package is not None:
        return f"{local.package.registry} `{local.package.requirement}`"
    return f"the program `{local.requires}`" if local.requires else "in this repository"


def _row(cells: Collection[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
