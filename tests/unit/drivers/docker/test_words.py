"""What the Docker driver reads out of the engine's words: images, progress, failures, logs, ends, addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.catalog.model import Containers, Port, Publish, Scaling, Service, Volume
from services.scaler.drivers.docker import containers, credentials, output, pull, replicas
from services.scaler.drivers.docker.images import familiar, known_names

WEB = Service("web", ports=(Port("main", 80), Port("grpc", 81)), containers=Containers("p", "web"))


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("redis", "redis:latest"),
        ("redis:7", "redis:7"),
        ("docker.io/library/redis:7", "redis:7"),
        ("docker.io/tabbyml/tabby:0.32.0", "tabbyml/tabby:0.32.0"),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("localhost:5000/a:1@sha256:00", "localhost:5000/a@sha256:00"),
    ],
)
def test_an_image_is_known_by_the_name_that_the_engine_lists(reference: str, name: str) -> None:
    assert familiar(reference) == name


def test_images_are_known_by_tag_digest_and_id() -> None:
    rows = [
        {"Id": "sha256:1", "RepoTags": ["a:1", "b:2"], "RepoDigests": ["a@sha256:d"]},
        {"Id": "sha256:2", "RepoTags": None, "RepoDigests": ["<none>@<none>"]},
    ]
    names = known_names(rows)
    assert names["a:1"] == names["b:2"] == names["a@sha256:d"] == "sha256:1"
    assert not [name for name in names if "none" in name]


def test_the_fraction_of_a_pull_rises_to_one_and_never_falls() -> None:
    rows = [
        {"status": "Pulling from library/redis", "id": "7"},
        {"status": "Pulling fs layer", "id": "a"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 100}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 10, "total": 900}},
        {"status": "Already exists", "id": "c"},
        {"status": "Verifying Checksum", "id": "a"},
        {"status": "Download complete", "id": "b"},
        {"status": "Extracting", "id": "a", "progressDetail": {"current": 100, "total": 100}},
        {"status": "Pull complete", "id": "a"},
        {"status": "Extracting", "id": "b", "progressDetail": {"current": 1, "units": "s"}},
        {"status": "Pull complete", "id": "b"},
        {"status": "Status: Downloaded newer image for redis:7"},
    ]
    layers = pull.Layers()
    told = [layers.take(row) for row in rows]
    fractions = [fraction for _, fraction, _ in told if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {phase for phase, _, _ in told} == {"downloading", "installing"}


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", "docker login"),
        ("Head https://ghcr.io/v2/a/manifests/1: denied", "its registry"),
        ("manifest for redis:99 not found: manifest unknown: manifest unknown", "no such tag"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "not for this kind of machine"),
        (
            "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: no such host",
            "is there a network?",
        ),
        ("net/http: TLS handshake timeout", "is there a network?"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
        ("toomanyrequests: You have reached your pull rate limit", "rate limit"),
        ("invalid reference format", "no name of an image"),
        ("something nobody has seen", "the engine says why: something nobody has seen"),
    ],
)
def test_a_failed_pull_is_told_with_what_it_means(said: str, meaning: str) -> None:
    told = pull.failure("a/b:1", said)
    assert told.startswith("image a/b:1 cannot be pulled: ")
    assert meaning in told


def frame(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def test_the_last_lines_are_read_from_frames_and_from_a_terminal_alike() -> None:
    assert output.last_lines(frame(b"one\n") + frame(b"two\n\n", 2)) == ["one", "two"]
    assert output.last_lines(b"one\r\ntwo") == ["one", "two"]
    assert output.last_lines(b"") == []
    assert output.last_lines(frame(b"one\n") + frame(b"Error grabbing logs", 3)) == ["one"], "the engine's own words"
    assert len(output.last_lines(frame(b"x\n" * 50))) == 8
    assert len(output.last_lines(b"y" * 5000)[0]) == 400


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"ExitCode": 3}, "exited with code 3"),
        ({"ExitCode": 0}, "exited with code 0"),
        ({"ExitCode": 143}, "was ended by SIGTERM"),
        ({"ExitCode": 137, "OOMKilled": True}, "was ended by SIGKILL: it went over its memory limit"),
        ({"ExitCode": 255}, "exited with code 255"),
        ({"ExitCode": 127, "Error": "exec: no such file"}, "could not be run: exec: no such file"),
    ],
)
def test_an_end_is_told_in_words(state: dict[str, object], told: str) -> None:
    assert containers.how(state) == told


def network(address: str) -> dict[str, str]:
    return {"IPAddress": address}


def test_the_address_is_one_that_the_hub_can_reach() -> None:
    inspected = {
        "NetworkSettings": {"Networks": {"b": network("10.0.0.2"), "a": network(""), "c": network("10.1.0.2")}}
    }
    assert containers.endpoints(WEB, inspected, None) == {"main": "10.0.0.2:80", "grpc": "10.0.0.2:81"}
    assert containers.endpoints(WEB, inspected, {"c"})["main"] == "10.1.0.2:80"
    assert containers.endpoints(WEB, inspected, {"d"}) == {}
    assert (
        containers.endpoints(WEB, {"NetworkSettings": {"Networks": {"host": network("")}}}, None)["main"]
        == "127.0.0.1:80"
    )
    six = {"NetworkSettings": {"Networks": {"a": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}}}
    assert containers.endpoints(WEB, six, None)["main"] == "[fd00::2]:80"


def test_what_hinders_a_second_container_is_named() -> None:
    assert replicas.single(WEB) is None
    writing = replace(WEB, volumes=(Volume("data", "/data"),))
    assert "two would write to data" in (replicas.single(writing) or "")
    assert replicas.single(replace(writing, stateless=True)) is None
    assert replicas.single(replace(WEB, volumes=(Volume("data", "/data", read_only=True),))) is None
    fixed = replace(WEB, lazy=False, publishes=(Publish("main", "127.0.0.1", 8080),))
    assert "port 8080 of the host" in (replicas.single(fixed) or "")
    assert "say `max_replicas: 1`" in (replicas.unavailable(replace(writing, scaling=Scaling(max_replicas=2))) or "")


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("redis:7", "https://index.docker.io/v1/"),
        ("a/b", "https://index.docker.io/v1/"),
        ("docker.io/a/b", "https://index.docker.io/v1/"),
        ("ghcr.io/a/b:1", "ghcr.io"),
        ("localhost/a", "localhost"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000"),
    ],
)
def test_the_registry_of_an_image_is_the_one_its_user_logs_in_to(reference: str, registry: str) -> None:
    assert credentials.registry_of(reference) == registry


def test_the_exit_code_of_one_that_runs_again_is_what_was_told_of_its_end() -> None:
    again = {"Running": True, "Restarting": False, "ExitCode": 0}
    assert containers.how(again, code=3) == "exited with code 3"
    assert containers.how({"ExitCode": 3}) == "exited with code 3"
