"""What the rendered file says of each service."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from services.catalog.kong import laws
from services.catalog.kong.classes import LIMITS, RouteClass
from services.catalog.kong.document import KongService
from services.catalog.kong.fill import Environment
from services.catalog.kong.render import render
from services.catalog.kong.text import rendered
from services.catalog.model import Catalog, Wake
from tests.unit.kong.scene import CATALOG, CHROMA, CONSUL, SERVED, document, finished, service

PROD = document()
DEV = document(environment=Environment.DEV)


def named(name: str) -> KongService:
    return next(service for service in PROD.services if service.name == name)


def config(kong_service: KongService, plugin: str) -> dict[str, object]:
    return dict(next(found.config for found in kong_service.plugins if found.name == plugin))


def test_the_text_is_the_document_whichever_reader_reads_it() -> None:
    found = render(CATALOG)
    assert yaml.safe_load(rendered(found)) == found
    assert rendered(found) == rendered(render(CATALOG))


def test_no_law_is_broken_in_either_environment() -> None:
    assert laws.broken(PROD, keys=True) == []
    assert laws.broken(DEV, keys=False) == []


def test_each_service_has_a_kong_service_for_each_class_and_nothing_else_has_one() -> None:
    names = {kong.name for kong in PROD.services}
    wanted = {f"{s.name}.{c}" for s in SERVED for c in ("health", "api")}
    wanted |= {f"{name}.pages" for name in ("webui", "qdrant", "tasks-ui")} | {"qdrant.grpc", "triton.grpc"}
    assert names == wanted | {f"hub.{c}" for c in ("health", "settings", "pages", "api")}


def test_what_the_hub_stands_on_and_what_speaks_no_http_is_not_reached_from_outside() -> None:
    assert not [kong.name for kong in PROD.services if kong.name.startswith(("redis.", "consul."))]


def test_what_the_hub_stands_on_is_reached_where_its_label_says_so() -> None:
    adapter = replace(CONSUL, name="adapter", path="/api/adapter", labels={"kong.public": "true"})
    shut = replace(CONSUL, labels={"kong.public": "false"})
    kong = document(Catalog(services={"adapter": adapter, "consul": shut}))
    assert {one.name for one in kong.services if not one.name.startswith("hub.")} == {"adapter.health", "adapter.api"}
    assert laws.broken(kong, keys=True) == []


def test_a_label_that_opens_by_half_is_told_with_service_and_label() -> None:
    wrong = replace(CONSUL, labels={"kong.public": "yes"})
    with pytest.raises(ValueError, match=r"services\.consul\.labels\.kong\.public: true or false, not 'yes'"):
        render(Catalog(services={"consul": wrong}))


def test_kong_waits_ten_seconds_longer_than_the_service_holds() -> None:
    assert named("chroma.api").read_timeout == named("chroma.api").write_timeout == 310_000
    assert named("webui.pages").read_timeout == 610_000
    assert named("hub.api").read_timeout == 610_000, "as long as the longest: its routes wait for any service"
    short = Catalog(services={"a": service("a", wake=Wake(hold=0.25))})
    assert next(s for s in document(short).services if s.name == "a.api").read_timeout == 10_250


def test_all_of_it_goes_to_envoy_and_grpc_as_grpc() -> None:
    assert {kong.url for kong in PROD.services if not kong.name.endswith(".grpc")} == {"http://envoy:8000"}
    assert {kong.url for kong in PROD.services if kong.name.endswith(".grpc")} == {"grpc://envoy:8000"}
    assert {route.protocols for route in named("qdrant.grpc").routes} == {frozenset({"grpc", "grpcs"})}


@pytest.mark.parametrize("route_class", list(RouteClass))
def test_a_class_has_its_limits(route_class: RouteClass) -> None:
    limits = LIMITS[route_class]
    for kong in PROD.services:
        if laws.route_class(kong) is route_class:
            rate = config(kong, "rate-limiting")
            assert (rate.get("second"), rate["minute"]) == (limits.second, limits.minute)
            assert rate["limit_by"] == ("consumer" if limits.key else "ip")


def test_programs_may_ask_twenty_times_a_second_and_settings_change_five_times_a_minute() -> None:
    assert (LIMITS[RouteClass.API].second, LIMITS[RouteClass.API].minute) == (20, 600)
    assert (LIMITS[RouteClass.SETTINGS].second, LIMITS[RouteClass.SETTINGS].minute) == (None, 5)


def test_a_label_lets_a_service_take_larger_bodies_but_not_on_its_health() -> None:
    labelled = replace(CHROMA, labels={"kong.upload": "4G"})
    kong = {s.name: s for s in document(Catalog(services={"chroma": labelled})).services}
    assert config(kong["chroma.api"], "request-size-limiting")["allowed_payload_size"] == 4096
    assert config(kong["chroma.health"], "request-size-limiting")["allowed_payload_size"] == 1
    assert config(named("chroma.api"), "request-size-limiting")["allowed_payload_size"] == 128


def test_a_label_that_is_no_size_is_told_with_service_and_label() -> None:
    wrong = replace(CHROMA, labels={"kong.upload": "plenty"})
    with pytest.raises(ValueError, match=r"services\.chroma\.labels\.kong\.upload: .* not 'plenty'"):
        render(Catalog(services={"chroma": wrong}))


def test_pages_that_a_service_allows_may_read_its_answers_and_no_others() -> None:
    allowed = config(named("webui.api"), "cors")["origins"]
    assert isinstance(allowed, list)
    assert r"^https://example\.com$" in allowed
    assert not [found for found in named("chroma.api").plugins if found.name == "cors"]


def test_everything_but_health_asks_for_a_key_in_prod_and_nothing_does_in_dev() -> None:
    with_key = {s.name for s in PROD.services if any(p.name == "key-auth" for p in s.plugins)}
    assert {s.name for s in PROD.services} - with_key == {s.name for s in PROD.services if s.name.endswith(".health")}
    assert "key-auth" not in finished(environment=Environment.DEV)
    assert DEV.consumers == ()


def test_a_service_that_stands_where_anothers_health_would_be_asked_for_is_not_opened_by_it() -> None:
    other = service("other", path="/api/chroma/health")
    found = document(Catalog(services={"chroma": CHROMA, "other": other}))
    assert "chroma.health" not in {kong.name for kong in found.services}
