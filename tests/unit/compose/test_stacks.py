"""Several compose projects as one catalogue: their files, names, ports, and what stays the same object."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.catalog.addresses import Edge, addresses
from services.catalog.load import CatalogError
from services.catalog.model import Catalog, Containers, Publish, Service, Tier
from services.compose.lazy import Wish
from services.compose.stacks import StackReader
from tests.unit.compose.conftest import Write

ENVIRON = {"HOME": "/home/somebody"}


def _read(*files: Path, wish: Wish | None = None, **options: object) -> Catalog:
    return StackReader(wish, environ=ENVIRON, **options).read(files)  # type: ignore[arg-type]


def _inside(service: Service) -> Containers:
    assert service.containers is not None
    return service.containers


WEB = "services: {web: {image: x, expose: [80], profiles: [on-demand]}}\n"


def test_each_file_is_a_project_with_its_own_env_and_override(write: Write) -> None:
    one, two = write("services: {a: {image: 'x:${TAG}'}}", "one/compose.yml"), write(WEB, "two/docker-compose.yaml")
    write("TAG=7\n", "one/.env")
    over = write("services: {a: {environment: {B: c}}}", "one/docker-compose.override.yaml")
    catalog = _read(one, two)
    assert catalog.services["a"].image == "x:7"
    assert catalog.services["a"].environment == {"B": "c"}
    assert catalog.stacks["one"].files == (str(one), str(over))
    assert catalog.stacks["two"].files == (str(two),)
    assert catalog.stacks["two"].directory == str(two.parent)
    assert str(two.parent / "compose.override.yml") in catalog.files, "its coming has to be seen"


def test_a_file_that_compose_does_not_find_by_itself_has_no_override(write: Write) -> None:
    write("services: {web: {environment: {B: c}}}", "shop/compose.override.yml")
    write(WEB, "shop/compose.yml")
    for name in ("shop/mine.yml", "shop/docker-compose.yml"):
        assert len(_read(write(WEB, name)).stacks["shop"].files) == 1


@pytest.mark.parametrize(
    ("text", "dotenv", "environ", "project"),
    [
        (WEB, "", {}, "my_shop1"),
        ("name: other\n" + WEB, "", {}, "other"),
        ("name: other\n" + WEB, "COMPOSE_PROJECT_NAME=dot\n", {}, "dot"),
        ("name: other\n" + WEB, "COMPOSE_PROJECT_NAME=dot\n", {"COMPOSE_PROJECT_NAME": "env"}, "env"),
    ],
)
def test_a_project_is_called_as_compose_calls_it(
    write: Write, text: str, dotenv: str, environ: dict[str, str], project: str
) -> None:
    file = write(text, "My_Shop.1/compose.yml")
    write(dotenv, "My_Shop.1/.env")
    assert list(StackReader(environ=environ).read([file]).stacks) == [project]
    assert list(StackReader(environ=environ, project_name="said").read([file]).stacks) == ["said"]


def test_a_name_from_outside_is_not_that_of_several_projects(write: Write) -> None:
    files = [write(WEB, "one/compose.yml"), write(WEB, "two/compose.yml")]
    assert list(StackReader(environ={"COMPOSE_PROJECT_NAME": "env"}).read(files).stacks) == ["one", "two"]
    with pytest.raises(CatalogError, match="one file beside --project-name"):
        StackReader(project_name="said").read(files)


def test_two_files_of_one_project_name_are_a_fault(write: Write) -> None:
    with pytest.raises(CatalogError, match=r"a project name of its own \(name: at its top\)"):
        _read(write(WEB, "one/shop/compose.yml"), write(WEB, "two/shop/compose.yml"))


def test_a_name_of_several_stacks_becomes_that_of_project_and_service_in_each(write: Write) -> None:
    text = """
        services:
          web: {image: x, expose: [80], depends_on: [db], profiles: [on-demand], x-hub: {uses: [only]}}
          db: {image: postgres, profiles: [on-demand]}
          %s: {image: x, expose: [80], profiles: [on-demand]}
    """
    one, two = (
        write(text % "only", "one/compose.yml"),
        write(text.replace("[only]", "[hub]") % "hub", "two/compose.yml"),
    )
    services = _read(one, two).services
    assert list(services) == ["one-web", "one-db", "only", "two-web", "two-db", "two-hub"]
    assert [d.service for d in services["two-web"].depends_on] == ["two-db"]
    assert services["two-web"].uses == ("two-hub",)
    assert services["one-web"].path == "/api/one-web"
    assert (_inside(services["one-web"]).stack, _inside(services["one-web"]).name) == ("one", "web")


def test_names_that_are_no_host_names_are_made_some(write: Write) -> None:
    services = _read(write("services: {My_App.2: {image: x, depends_on: [d_b]}, d_b: {image: redis}, d-b: {image: x}}"))
    found = services.services
    assert list(found) == ["my-app-2", "d-b", "d-b-2"]
    assert found["my-app-2"].depends_on[0].service == "d-b"
    assert _inside(found["my-app-2"]).name == "My_App.2"


def test_what_has_not_changed_stays_the_same_object(write: Write) -> None:
    text = "services: {web: {image: x, ports: ['%s'], depends_on: [db]}, db: {image: redis}}"
    one = write(text % "81:80", "one/compose.yml")
    two = write("services: {web: {image: x, ports: ['82:80']}}", "two/compose.yml")
    reader = StackReader(Wish.parse("one-web,db"), environ=ENVIRON)
    before = reader.read([one, two]).services
    again = reader.read([one, two]).services
    assert all(again[name] is service for name, service in before.items())
    two.write_text(two.read_text().replace("82:80", "84:80"))
    after = reader.read([one, two]).services
    assert [name for name in after if after[name] is not before[name]] == ["two-web"]


def test_a_wish_makes_a_service_one_on_demand(write: Write) -> None:
    service = _read(write("services: {web: {image: x, ports: ['8080:80']}}"), wish=Wish()).services["web"]
    assert service.lazy
    assert service.tier is Tier.ON_DEMAND
    assert service.scaling.min_replicas == 0
    assert service.publishes == (Publish("main", "", 8080),)


@pytest.mark.parametrize(
    ("written", "host"),
    [("8080:80", ""), ("0.0.0.0:8080:80", "0.0.0.0"), ("'[::]:8080:80'", "::"), ("'[::1]:8080:80'", "::1")],
)
def test_a_port_is_published_where_compose_would_publish_it(write: Write, written: str, host: str) -> None:
    service = _read(write(f"services: {{web: {{image: x, ports: [{written}]}}}}"), wish=Wish()).services["web"]
    assert service.publishes == (Publish("main", host, 8080),)


def test_a_network_says_where_its_ports_are_published_unless_they_say_it_themselves(write: Write) -> None:
    option = "{driver_opts: {com.docker.network.bridge.host_binding_ipv4: '%s'}}"
    text = """
        services:
          web: {image: x, ports: ['8080:80']}
          seen: {image: x, ports: ['0.0.0.0:8081:80']}
          other: {image: x, ports: ['8082:80'], networks: [open, odd]}
        networks: {default: %s, open: {}, odd: %s}
    """
    reader = StackReader(Wish(), environ=ENVIRON)
    file = write(text % (option % "127.0.0.1", option % "no address"))
    read = reader.read([file]).services
    assert [read[name].publishes[0].host for name in ("web", "seen", "other")] == ["127.0.0.1", "0.0.0.0", ""]
    assert reader.read([file]).services["web"] is read["web"]
    write(text % (option % "127.0.0.2", option % "0.0.0.0"))
    assert reader.read([file]).services["web"].publishes[0].host == "127.0.0.2"


@pytest.mark.parametrize(
    ("networks", "host"),
    [
        ("[one, own]", ""),
        ("[own, zoo]", "127.0.0.1"),
        ("{own: {gw_priority: 5}, one: {}}", "127.0.0.1"),
        ("{own: {gw_priority: 1}, zoo: {gw_priority: 2}}", ""),
        ("[own, called]", ""),
        ("[own, closed]", "127.0.0.1"),
    ],
)
def test_of_several_networks_the_one_that_leads_outside_says_where_ports_are_published(
    write: Write, networks: str, host: str
) -> None:
    """As the engine chooses it: by its priority, then by its name."""
    file = write(f"""
        services: {{web: {{image: x, ports: ['8080:80'], networks: {networks}}}}}
        networks:
          one: {{}}
          own: {{driver_opts: {{com.docker.network.bridge.host_binding_ipv4: 127.0.0.1}}}}
          zoo: {{}}
          called: {{name: a}}
          closed: {{internal: true}}
    """)
    assert _read(file, wish=Wish()).services["web"].publishes[0].host == host


def test_ports_that_meet_on_one_family_of_addresses_alone_are_two(write: Write) -> None:
    one = write("services: {a: {image: x, ports: ['0.0.0.0:8080:80']}}", "one/compose.yml")
    two = write("services: {b: {image: x, ports: ['[::]:8080:80']}}", "two/compose.yml")
    assert len(_read(one, two, wish=Wish()).services) == 2
    write("services: {b: {image: x, ports: ['8080:80']}}", "two/compose.yml")
    with pytest.raises(CatalogError, match="an address that is not taken by a"):
        _read(one, two, wish=Wish())


def test_ports_of_a_service_that_is_not_lazy_are_the_engines(write: Write) -> None:
    service = _read(write("services: {web: {image: x, ports: ['8080:80']}}")).services["web"]
    assert service.publishes == ()
    assert _inside(service).published == (Publish("main", "", 8080),)
    assert addresses(service, Edge()).own == "http://127.0.0.1:8080"


def test_one_that_always_runs_does_not_keep_awake_what_it_calls_by_name(write: Write) -> None:
    file = write(
        """
        services:
          proxy: {image: traefik, depends_on: [web, db]}
          web: {image: x, expose: [80], profiles: [on-demand]}
          db: {image: postgres, profiles: [on-demand]}
        """
    )
    assert [d.service for d in _read(file).services["proxy"].depends_on] == ["db"]


def test_networks_aliases_and_names_of_containers_are_read(write: Write) -> None:
    file = write(
        """
        services:
          a: {image: x, container_name: old, networks: {front: {aliases: [www, shop]}, back: }}
          b: {image: x, networks: [back]}
          c: {image: x}
          d: {image: x, network_mode: bridge}
        networks: {front: , back: }
        """
    )
    found = {name: _inside(service) for name, service in _read(file).services.items()}
    assert found["a"].networks == {"front": ("www", "shop"), "back": ()}
    assert found["a"].container_name == "old"
    assert found["b"].networks == {"back": ()}
    assert found["c"].networks == {"default": ()}
    assert (found["d"].networks, found["d"].network_mode) == ({}, "bridge")


def test_two_stacks_cannot_have_one_address_or_one_path(write: Write) -> None:
    one = write("services: {a: {image: x, ports: ['8080:80'], x-hub: {path: /x}}}", "one/compose.yml")
    two = write("services: {b: {image: x, ports: ['127.0.0.1:8080:80'], x-hub: {path: /x}}}", "two/compose.yml")
    with pytest.raises(CatalogError) as caught:
        _read(one, two)
    said = str(caught.value)
    assert "services.b.ports: an address that is not taken by a" in said
    assert "services.b.x-hub.path: a path of its own; a" in said


def test_a_service_on_demand_that_nothing_would_wake_is_a_fault(write: Write) -> None:
    with pytest.raises(CatalogError, match=r"services\.w: a port"):
        _read(write("services: {w: {image: x, profiles: [on-demand]}}"))
    needed = "services: {w: {image: x, profiles: [on-demand]}, a: {image: x, expose: [1], depends_on: [w]}}"
    assert _read(write(needed)).services["w"].lazy


def test_legal_compose_that_means_nothing_here_is_no_fault_and_no_note(write: Write) -> None:
    file = write(
        """
        services:
          a:
            image: x
            command: [serve]
            restart: always
            ports: ["8080:80", "8443:443", "53:53/udp"]
            networks: [n]
            secrets: [s]
            sysctls: {net.core.somaxconn: 1024}
            deploy: {resources: {limits: {memory: 1G}}, restart_policy: {condition: any}}
          b: {build: ., depends_on: [lazy]}
          lazy: {image: x, expose: [80], profiles: [on-demand]}
        networks: {n: }
        secrets: {s: {file: ./s}}
        """
    )
    catalog = _read(file)
    assert [note for note in catalog.notes if "Docker" in note or "127.0.0.1" in note] == []


def _digest(write: Write, entry: str) -> str:
    text = "services: {a: {image: x, expose: [80]%s}}\nnetworks: {n: }"
    return _read(write(text % f", {entry}")).services["a"].digest


@pytest.mark.parametrize(
    "entry",
    [
        *("user: me", "networks: [n]", "labels: {a: b}", "shm_size: 1g", "environment: {A: b}"),
        *("env_file: e", "command: serve", "deploy: {resources: {limits: {memory: 1G}}}"),
    ],
)
def test_what_makes_another_container_makes_another_digest(write: Write, entry: str) -> None:
    write("A=b\n", "shop/e")
    before = _digest(write, "x-a: b")
    assert _digest(write, entry) != before


@pytest.mark.parametrize(
    "entry",
    [
        *("profiles: [on-demand]", "ports: ['8080:80']", "restart: always", "container_name: n", "depends_on: []"),
        *("deploy: {replicas: 0}", "x-hub: {scaling: {idle_timeout: 9m}}", "pull_policy: always"),
    ],
)
def test_what_the_override_takes_over_or_compose_ignores_makes_no_other_digest(write: Write, entry: str) -> None:
    assert _digest(write, entry) == _digest(write, "x-a: b")


def test_files_that_compose_file_names_together_are_one_project(write: Write) -> None:
    one = write("services: {a: {image: x, expose: [1]}}", "compose.yml")
    write("services: {a: {environment: {B: c}}}", "compose.prod.yml")
    env = write("COMPOSE_FILE=compose.yml:compose.prod.yml\n", ".env")
    reader = StackReader(environ=ENVIRON)
    catalog = reader.read([one])
    assert catalog.services["a"].environment == {"B": "c"}
    assert {str(env), str(one.with_name("compose.prod.yml"))} <= set(catalog.files)
    write("COMPOSE_FILE=other.yml:compose.yml\n", ".env")
    assert reader.read([one]).services["a"].environment == {}
