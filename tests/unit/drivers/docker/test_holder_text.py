"""What holders are made from, and the rules in their namespaces."""

from __future__ import annotations

from services.catalog.model import Containers, Port, Scaling, Service
from services.scaler.drivers.docker.holder_text import Holding, description, endpoints_config, holdings
from services.scaler.drivers.docker.rules import doors, past, script

WEB = Service("shop-web", ports=(Port("main", 80), Port("raw", 9000)), containers=Containers("shop", "web"))
MANY = Service("many", scaling=Scaling(max_replicas=3), containers=Containers("shop", "many"))
RESOLVED = {
    "services": {"web": {"networks": {"default": None}, "hostname": "sinister"}, "many": {"networks": {}}},
    "networks": {"default": {"name": "shop_default"}},
}


def test_a_project_has_a_holder_for_each_service_that_can_be_held_and_a_reason_for_the_others() -> None:
    found, left = holdings([WEB, MANY], RESOLVED, "mark")
    settings = {"hostname": "sinister"}
    names = {"shop_default": ("web",)}
    assert found == {"web": Holding("shop/web", "aihub-mark-holder-shop-web", names, settings, (80, 9000))}
    assert list(left) == ["many"]


def test_the_engine_is_told_the_names_and_the_settings_in_its_own_words() -> None:
    settings = {"hostname": "sinister", "dns": "10.0.0.1", "extra_hosts": ["db=10.0.0.2", "six=::1"]}
    holding = Holding("shop/web", "x", {"one": ("web", "www"), "two": ("web",)}, settings, (80,))
    told = description(holding, "image", {"label": "1"})
    assert told["Hostname"] == "sinister"
    assert told["HostConfig"]["NetworkMode"] == "one"
    assert told["HostConfig"]["Dns"] == ["10.0.0.1"]
    assert told["HostConfig"]["ExtraHosts"] == ["db:10.0.0.2", "six:::1"]
    assert told["NetworkingConfig"]["EndpointsConfig"] == {"one": {"Aliases": ["web", "www"]}}
    assert endpoints_config(holding)[1:] == [("two", {"Aliases": ["web"]})]


def test_each_port_has_a_door_for_callers_and_a_way_past_the_gateways() -> None:
    ports = (80, 9000)
    assert doors(ports) == {80: 61000, 9000: 61001}
    assert past(ports) == {80: 62000, 9000: 62001}
    (line,) = script({"/run/netns/a": ports}).split(" || exit 1")[:-1]
    for rule in ("tcp dport 80 redirect to :61000", "tcp dport 62001 redirect to :9000"):
        assert rule in line
    assert line.startswith("/nsenter --net='/run/netns/a' /nft ")
