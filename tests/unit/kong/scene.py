"""A small catalogue with everything that the public edge tells apart, and its file, finished for each environment."""

from __future__ import annotations

from services.catalog.kong.document import Document
from services.catalog.kong.fill import Environment, filled
from services.catalog.kong.reader import read
from services.catalog.kong.render import render
from services.catalog.kong.text import rendered
from services.catalog.model import Catalog, Port, Protocol, Service, Tier, Wake

DOMAIN = "hub.example.org"
KEY = "0123456789abcdef0123456789abcdef"
VARIABLES = {"HUB_DOMAIN": DOMAIN, "HUB_GATEWAY_KEY": KEY}

GRPC = Port("grpc", 6334, Protocol.H2C)


def service(name: str, *ports: Port, **more: object) -> Service:
    given: dict[str, object] = {"path": f"/api/{name}", "ports": ports or (Port("main", 8000),), **more}
    return Service(name, **given)  # type: ignore[arg-type]


CHROMA = service("chroma")
CHROMA_2 = service("chroma-2")
WEBUI = service("webui", web=True, wake=Wake(hold=600.0, allow_origins=("https://example.com",)))
QDRANT = service("qdrant", Port("main", 6333), GRPC, web=True, tier=Tier.PERSISTENT, lazy=False)
TRITON = service("triton", Port("main", 8001, Protocol.H2C))
HUBBLE = service("hubble")
TASKS_UI = service("tasks-ui", web=True)
BETA = service("beta", path="/v1beta")
INNER = service("inner", path="/api/chroma/inner")
REDIS = service("redis", Port("main", 6379, Protocol.TCP))
CONSUL = service("consul", tier=Tier.INFRA, lazy=False)
SERVED = (CHROMA, CHROMA_2, WEBUI, QDRANT, TRITON, HUBBLE, TASKS_UI, BETA, INNER)
CATALOG = Catalog(services={s.name: s for s in (*SERVED, REDIS, CONSUL)})


def finished(catalog: Catalog = CATALOG, environment: Environment = Environment.PROD) -> str:
    return filled(rendered(render(catalog)), environment, VARIABLES)


def document(catalog: Catalog = CATALOG, environment: Environment = Environment.PROD) -> Document:
    return read(finished(catalog, environment))
