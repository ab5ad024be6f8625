"""What a service hands over to the holder of its network, and which services cannot."""

from __future__ import annotations

from typing import Any

import pytest

from services.catalog.model import Containers, Scaling, Service
from services.catalog.tree import Reset
from services.compose.holding import held, hindrance
from services.compose.override import override

NETWORKS: dict[str, dict[str, Any]] = {
    "default": {"name": "shop_default"},
    "other": {"name": "elsewhere"},
    "six": {"enable_ipv6": True},
}
WEB = Service("web", containers=Containers("shop", "web", {"default": ()}, container_name="site"))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"networks": {"default": None, "other": {"aliases": ["www"]}}}, ""),
        ({"networks": {"default": {"ipv4_address": "172.18.0.9"}}}, "ipv4_address"),
        ({"networks": {"six": None}}, "IPv6"),
        ({"networks": {"default": None}, "links": ["db"]}, "links"),
        ({"networks": {"default": None}, "mac_address": "02:42:ac:11:00:02"}, "mac_address"),
        ({"networks": {"default": None}, "ports": [{"target": 53, "protocol": "udp"}]}, "not TCP"),
        ({"networks": {"default": None}, "ports": [{"target": 80, "protocol": "tcp"}]}, ""),
        ({"networks": {"default": None}, "sysctls": {"net.core.somaxconn": "1024"}}, "sysctls"),
        ({"networks": {"default": None}, "sysctls": {"kernel.msgmax": "1024"}}, ""),
    ],
)
def test_what_needs_a_network_of_its_own_is_not_held(said: dict[str, Any], why: str) -> None:
    found = hindrance(WEB, said, NETWORKS)
    assert why in found
    assert bool(found) == bool(why)


def test_what_may_have_several_copies_is_not_held() -> None:
    assert hindrance(Service("web", scaling=Scaling(max_replicas=2)), {}, NETWORKS)


def test_the_holder_gets_every_name_and_what_is_said_of_the_network() -> None:
    connections = {"default": None, "other": {"aliases": ["www", "web"]}}
    said = {"networks": connections, "hostname": "sinister", "dns": ["10.0.0.1"], "extra_hosts": [], "image": "x"}
    found = held(WEB, said, NETWORKS)
    assert found.networks == {"shop_default": ("web", "site"), "elsewhere": ("web", "site", "www")}
    assert found.settings == {"hostname": "sinister", "dns": ["10.0.0.1"]}


def test_the_override_takes_from_the_service_what_its_holder_has() -> None:
    entry = {"profiles": ["on-demand"], "networks": {"default": None}, "hostname": "sinister", "expose": ["80"]}
    services = {"web": entry, "db": {"networks": {"default": None}}}
    said = override({"services": services}, ["web"], {"web": "holder"})["services"]
    gone = {"networks": Reset(), "hostname": Reset(), "expose": Reset()}
    assert said == {"web": {**gone, "network_mode": "container:holder"}}
