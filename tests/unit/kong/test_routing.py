"""Every address of the catalogue, asked of a model of Kong's router."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.kong.fill import Environment
from services.catalog.model import RESERVED_NAMES, Catalog, Service
from tests.unit.kong.router import Request, chosen
from tests.unit.kong.scene import DOMAIN, SERVED, document, service

PROD = document()
PLAIN_HOSTS = ("localhost", "127.0.0.1", DOMAIN, "localhost:8000")
GRPC = {"content-type": "application/grpc"}


def service_of(request: Request) -> str | None:
    found = chosen(PROD, request)
    return found[0].name if found else None


@pytest.mark.parametrize("one", SERVED, ids=lambda one: one.name)
@pytest.mark.parametrize("host", PLAIN_HOSTS)
def test_a_service_is_reached_below_its_path_by_every_method(one: Service, host: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        for below in ("", "/", "/v1/things", "/healthz", "/health/more", "/health\n", "/api/other"):
            assert service_of(Request(host, one.path + below, method)) == f"{one.name}.api"


@pytest.mark.parametrize("one", SERVED, ids=lambda one: one.name)
@pytest.mark.parametrize("domain", ["localhost", DOMAIN])
def test_a_service_is_reached_by_host_whatever_the_path(one: Service, domain: str) -> None:
    wanted = f"{one.name}.{'pages' if one.web else 'api'}"
    for path in ("/", "/api/health", "/api/chroma/health", "/api/webui/x", "/v1/models", "/api/hub/x"):
        for method in ("GET", "POST"):
            assert service_of(Request(f"{one.name}.{domain}", path, method)) == wanted


@pytest.mark.parametrize("one", SERVED, ids=lambda one: one.name)
def test_only_looking_at_the_very_address_of_health_needs_no_key(one: Service) -> None:
    assert service_of(Request("localhost", f"{one.path}/health")) == f"{one.name}.health"
    assert service_of(Request("localhost", f"{one.path}/health", "HEAD")) == f"{one.name}.health"
    assert service_of(Request("localhost", f"{one.path}/health", "POST")) == f"{one.name}.api"


def test_the_hubs_own_view_of_health_needs_no_key() -> None:
    for path in ("/api/health", "/api/health/chroma", "/api/health/open-webui"):
        assert service_of(Request("localhost", path)) == "hub.health"
    for path in ("/api/healthy", "/api/health/", "/api/health/chroma/x", "/api/health/../chroma"):
        assert service_of(Request("localhost", path)) is None


def test_what_changes_the_hub_is_a_class_of_its_own_and_looking_is_not() -> None:
    assert service_of(Request("localhost", "/api/hub/services/chroma", "POST")) == "hub.settings"
    assert service_of(Request("localhost", "/api/hub/services/chroma")) == "hub.api"
    assert service_of(Request(f"hub.{DOMAIN}", "/login", "POST")) == "hub.settings"
    assert service_of(Request(f"hub.{DOMAIN}", "/page.js")) == "hub.pages"


def test_names_that_begin_as_one_of_the_hubs_own_are_not_taken_for_it() -> None:
    for path, wanted in (("/api/hubble/x", "hubble.api"), ("/api/tasks-ui/x", "tasks-ui.api"), ("/v1beta", "beta.api")):
        for method in ("GET", "POST"):
            assert service_of(Request("localhost", path, method)) == wanted


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES - {"health"}))
def test_names_that_the_hub_keeps_lead_to_the_hub(name: str) -> None:
    assert service_of(Request("localhost", f"/api/{name}/x")) == "hub.api"


def test_openai_clients_reach_the_hub() -> None:
    assert service_of(Request("localhost", "/v1/chat/completions", "POST")) == "hub.api"


def test_grpc_is_told_apart_by_its_content_type() -> None:
    assert service_of(Request("qdrant.localhost", "/qdrant.Points/Search", "POST", GRPC)) == "qdrant.grpc"
    assert service_of(Request("qdrant.localhost", "/collections", "POST")) == "qdrant.pages"
    assert service_of(Request(f"triton.{DOMAIN}", "/inference/Infer", "POST", GRPC, tls=True)) == "triton.grpc"
    assert service_of(Request("localhost", "/api/triton/inference/Infer", "POST", GRPC)) == "triton.grpc"
    assert service_of(Request("localhost", "/api/chroma/x", "POST", GRPC)) == "chroma.api"


@pytest.mark.parametrize(
    "host", ["", "example.com", "kong", "redis.localhost", "consul.localhost", f"consul.{DOMAIN}", "x.hub.localhost"]
)
def test_a_host_that_is_not_ours_finds_nothing_not_even_health(host: str) -> None:
    for path in ("/", "/api/health", "/api/chroma/health", "/api/chroma", "/v1/models"):
        assert service_of(Request(host, path)) is None


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/api/redis", "/api/consul/v1/kv", "/.hub/", "/status"])
def test_a_path_that_is_nobodys_finds_nothing(path: str) -> None:
    assert service_of(Request("localhost", path)) is None


NAMES = st.from_regex(r"[a-c](?:[a-c-]{0,3}[a-c])?", fullmatch=True)


@given(st.sets(NAMES, min_size=1, max_size=6), st.sampled_from(["", "/", "/x", "/health", "/health/x"]), st.booleans())
def test_whatever_the_names_a_path_finds_its_own_service(names: set[str], below: str, web: bool) -> None:
    catalog = Catalog(services={name: service(name, web=web) for name in names})
    found = document(catalog, Environment.DEV)
    for name in names:
        by_path = chosen(found, Request("localhost", f"/api/{name}{below}", "POST"))
        by_host = chosen(found, Request(f"{name}.localhost", below or "/"))
        assert by_path is not None
        assert by_path[0].name == f"{name}.api"
        assert by_host is not None
        assert by_host[0].name == f"{name}.{'pages' if web else 'api'}"
