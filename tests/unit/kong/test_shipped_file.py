"""The file that is kept in the repository: made from the shipped catalogue, lawful, and useless until filled in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.catalog.kong import laws
from services.catalog.kong.document import KongFileError
from services.catalog.kong.fill import Environment, filled
from services.catalog.kong.markers import KNOWN, markers
from services.catalog.kong.reader import read
from services.catalog.kong.render import is_served, render
from services.catalog.kong.text import rendered
from services.catalog.load import load
from services.catalog.model import Catalog, Protocol, Service
from tests.unit.kong.router import Request, chosen
from tests.unit.kong.scene import DOMAIN, VARIABLES

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDER = CHECKOUT / "config" / "kong"
TEXT = (FOLDER / "kong.yml").read_text("utf-8")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load([CHECKOUT / "docker-compose.distributed-ai.yml"], environ={}, profiles=())


def test_it_is_what_the_catalogue_makes_of_it(catalog: Catalog) -> None:
    assert rendered(render(catalog)) == TEXT, "run scripts/generate"


def test_the_one_for_dev_needs_no_deploy(catalog: Catalog) -> None:
    assert (FOLDER / "kong.dev.yml").read_text("utf-8") == filled(rendered(render(catalog)), Environment.DEV, {})


def test_compose_alone_takes_the_keyless_file_on_loopback_and_the_one_that_kong_refuses_in_production() -> None:
    development = (CHECKOUT / "docker-compose.distributed-ai.yml").read_text("utf-8")
    production = (CHECKOUT / "docker-compose.prod.yml").read_text("utf-8")
    assert "${HUB_KONG_FILE:-./config/kong/kong.dev.yml}:/kong/kong.yml:ro" in development
    assert "${HUB_KONG_FILE:-./config/kong/kong.yml}:/kong/kong.yml:ro" in production


@pytest.mark.parametrize("environment", list(Environment))
def test_filled_in_it_is_lawful(environment: Environment) -> None:
    document = read(filled(TEXT, environment, VARIABLES))
    assert laws.broken(document, keys=environment is Environment.PROD) == []


def test_as_it_is_kept_it_is_refused_and_holds_no_key() -> None:
    assert set(markers(TEXT)) - {"${}"} == KNOWN
    with pytest.raises(KongFileError) as caught:
        read(TEXT)
    refused = {problem.place for problem in caught.value.problems}
    assert any(place.endswith(".url") for place in refused)
    assert any(place.endswith(".key") for place in refused)


def asked_of(service: Service) -> Iterator[tuple[Request, str]]:
    """Requests for each of a service's addresses, and the class they belong to."""
    by_host = "pages" if service.web else "api"
    grpc = {"content-type": "application/grpc"}
    yield Request("localhost", f"{service.path}/v1/x", "POST"), "api"
    yield Request(DOMAIN, service.path), "api"
    yield Request("localhost", f"{service.path}/health"), "health"
    yield Request(f"{service.name}.{DOMAIN}", "/", tls=True), by_host
    yield Request(f"{service.name}.localhost", f"/api/{service.name}/health"), by_host
    if any(port.protocol is Protocol.H2C for port in service.http_ports):
        yield Request(f"{service.name}.{DOMAIN}", "/pkg.Service/Method", "POST", grpc, tls=True), "grpc"
    if service.http_ports[0].protocol is Protocol.H2C:
        yield Request("localhost", f"{service.path}/pkg.Service/Method", "POST", grpc), "grpc"


def test_every_service_is_reached_by_its_own_addresses_and_no_route_leads_elsewhere(catalog: Catalog) -> None:
    document = read(filled(rendered(render(catalog)), Environment.PROD, VARIABLES))
    reached: set[str] = set()
    for service in filter(is_served, catalog.services.values()):
        for request, route_class in asked_of(service):
            found = chosen(document, request)
            assert found is not None, request
            assert found[0].name == f"{service.name}.{route_class}", request
            reached.add(found[1].name)
    assert reached == {r.name for kong in document.services for r in kong.routes if not kong.name.startswith("hub.")}
