"""Sizes read from control groups of both versions and from the engine; names taken away; the keeper's program."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path

import pytest

from services.catalog.inside import InsideNetwork
from services.scaler.drivers.docker import gateways, keeper, naming, sizes

ID = "ab" * 32


def proc(tmp_path: Path, lines: str) -> Path:
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "cgroup").write_text(lines)
    return tmp_path / "proc"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_sizes_are_read_from_version_one_without_idle_page_cache(tmp_path: Path) -> None:
    lines = f"5:memory:/docker/{ID}\n2:cpuacct:/docker/{ID}\n1:cpu:/docker/{ID}\n0::/docker/{ID}\n"
    root = tmp_path / "cgroup"
    write(root / "memory" / "docker" / ID / "memory.usage_in_bytes", "1000\n")
    write(root / "memory" / "docker" / ID / "memory.stat", "cache 900\ninactive_file 1\ntotal_inactive_file 400\n")
    write(root / "cpuacct" / "docker" / ID / "cpuacct.usage", "2500000000\n")
    groups = sizes.groups_of(7, ID, proc(tmp_path, lines), root)
    assert groups is not None
    assert sizes.read(groups) == sizes.Reading(600, 2.5)


def test_sizes_are_read_from_version_two_without_idle_page_cache(tmp_path: Path) -> None:
    path = f"/system.slice/docker-{ID}.scope"
    root = tmp_path / "cgroup"
    write(root / path.lstrip("/") / "memory.current", "1000\n")
    write(root / path.lstrip("/") / "memory.stat", "anon 10\ninactive_file 300\n")
    write(root / path.lstrip("/") / "cpu.stat", "usage_usec 1500000\nuser_usec 1\n")
    groups = sizes.groups_of(7, ID, proc(tmp_path, f"0::{path}\n"), root)
    assert groups is not None
    assert sizes.read(groups) == sizes.Reading(700, 1.5)


def test_the_group_of_another_program_that_has_the_pid_now_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "cgroup" / "user").mkdir(parents=True)
    assert sizes.groups_of(7, ID, proc(tmp_path, "0::/user\n"), tmp_path / "cgroup") is None
    assert sizes.groups_of(8, ID, tmp_path / "proc", tmp_path / "cgroup") is None


def test_the_engines_statistics_are_read_of_both_versions() -> None:
    cpu = {"cpu_usage": {"total_usage": 10**9}}
    first = {"memory_stats": {"usage": 100, "stats": {"total_inactive_file": 40, "inactive_file": 1}}, "cpu_stats": cpu}
    second = {"memory_stats": {"usage": 100, "stats": {"inactive_file": 30}}, "cpu_stats": cpu}
    assert sizes.from_statistics(first) == sizes.Reading(60, 1.0)
    assert sizes.from_statistics(second) == sizes.Reading(70, 1.0)
    assert sizes.from_statistics({"memory_stats": {}, "cpu_stats": {}}) is None


def test_a_connection_is_made_anew_only_where_it_has_names_and_keeps_the_rest() -> None:
    networks = {
        "named": {"Aliases": ["p-web-1", "web"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}, "GwPriority": 0},
        "short": {"Aliases": [ID[:12]], "IPAMConfig": None},
        "none": {"Aliases": None},
    }
    inspected = {"Id": ID, "Name": "/p-web-1", "NetworkSettings": {"Networks": networks}}
    assert naming.named(inspected) == {"named": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_keepers_program_is_an_executable_of_its_machine(machine: str) -> None:
    content = keeper.program(machine)
    assert content[:4] == b"\x7fELF"
    assert int.from_bytes(content[18:20], "little") == {"x86_64": 62, "aarch64": 183}[machine]
    assert len(content) < 200


def test_the_keepers_program_waits_and_uses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keep"
    path.write_bytes(keeper.program(platform.machine()))
    path.chmod(0o755)
    with subprocess.Popen([path]) as running:
        time.sleep(0.2)
        assert running.poll() is None
        assert (Path("/proc") / str(running.pid) / "stat").read_text().split()[13:15] == ["0", "0"]
        running.kill()


def test_names_that_no_gateway_has_are_those_that_a_new_one_gets() -> None:
    network = InsideNetwork("p_default", ("10.0.0.0/24",), {"ollama": "ollama", "chroma": "chroma"})
    wanted = gateways.wanted([network], ("aihub",))
    assert wanted == {("p_default", "ollama"), ("p_default", "chroma"), ("p_default", "aihub")}
    inspected = {
        "Id": ID,
        "Config": {"Labels": {gateways.GATEWAY: "inner-2"}},
        "State": {"Running": True},
        "NetworkSettings": {
            "Networks": {
                "p_default": {"Aliases": ["ollama", "aihub"], "EndpointID": "e"},
                "aihub-x": {"Aliases": None, "EndpointID": "f"},
                "lost": {"Aliases": ["chroma"], "EndpointID": ""},
            }
        },
    }
    found = gateways.gateway_of(inspected)
    assert wanted - found.names == {("p_default", "chroma")}
    assert gateways.next_name([found.name]) == "inner-3"
    assert gateways.next_name([]) == "inner-1"
