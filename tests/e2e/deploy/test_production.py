"""Production: TLS and keys at one door, everything else shut, and copies of the data each day."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest

from services.deploy.credentials import read
from tests.support.checkout import OVERRIDE, Checkout
from tests.support.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

DOMAIN = "hub.test"


def test_other_machines_reach_the_gateway_alone_and_consul_is_copied_and_restored(checkout: Checkout) -> None:
    port = free_port()
    env = checkout.root / ".env"
    env.write_text(f"HUB_HTTPS_PORT={port}\n")
    more = checkout.root / "compose.prod-stand-ins.yml"
    more.write_text("services: {backup: {image: aihub-test/hub}}\n")
    overrides = ["--override", str(checkout.root / OVERRIDE.name), "--override", str(more)]
    said = checkout.up("--env", "prod", "--phase", "infra", "--domain", DOMAIN, *overrides)

    assert f"https://{DOMAIN}:{port}" in said
    assert "header apikey, $HUB_GATEWAY_KEY in .env" in said
    assert "Kong admin" not in said
    assert _get(checkout, port, DOMAIN, "/api/health") == 200
    assert _get(checkout, port, f"hello.{DOMAIN}", "/") == 200, (
        "the certificate and the routes are for hosts of services too"
    )
    assert _published(checkout) == {
        f"0.0.0.0:{port}",
        "127.0.0.1:8500",
        "127.0.0.1:15672",
    }

    made = read(env)
    kong = checkout.data / "kong" / "kong.yml"
    assert kong.stat().st_mode & 0o777 == 0o600
    assert made["HUB_GATEWAY_KEY"] in kong.read_text()
    assert "${" not in "".join(line for line in kong.read_text().splitlines() if not line.startswith("#"))
    assert made["HUB_TLS_CERT"] == str(checkout.data / "tls" / f"{DOMAIN}.crt")

    _the_scaler_has_a_token_of_its_own(checkout, made)

    assert _consul("GET", "who", "")[0] == 403
    token = made["HUB_CONSUL_MANAGEMENT_TOKEN"]
    assert _consul("PUT", "who", token, b"first")[0] == 200
    done = checkout.aihub("backup", "consul")
    assert done.returncode == 0, done.stderr
    assert "snapshot" in done.stdout
    assert _consul("PUT", "who", token, b"second")[0] == 200
    done = checkout.aihub("restore", "consul", "--from", str(checkout.data / "backups"), "--yes")
    assert done.returncode == 0, done.stderr
    assert _consul("GET", "who", token)[1] == b"first"

    # The daily round begins when all has settled; what it does then it can do.
    round_of_one = ["aihub", "backup", "redis", "--data", str(checkout.data), "--to", "/backups"]
    backup = f"{checkout.project}-backup-1"
    subprocess.run(["docker", "exec", backup, *round_of_one], check=True)
    assert list((checkout.data / "backups").glob("redis-*.json"))

    checkout.up("--env", "prod", "--phase", "infra")
    assert read(env) == made, "what was said at first is still meant"

    _new_tokens(checkout, made, port)


def _the_scaler_has_a_token_of_its_own(checkout: Checkout, made: Mapping[str, str]) -> None:
    """With which it registers what is awake, and which says nothing about who may do what."""
    [given] = {value for name, value in _environment(checkout, "scaler") if name == "AIHUB_CONSUL_TOKEN"}
    assert given == made["HUB_CONSUL_SCALER_TOKEN"]
    assert made["HUB_CONSUL_MANAGEMENT_TOKEN"] not in {value for _, value in _environment(checkout, "scaler")}
    assert _until_registered("hello", given)["Service"]["Meta"]["aihub-path"] == "/api/hello"
    for method, path, body in (
        ("GET", "acl/tokens", None),
        ("GET", "acl/policies", None),
        ("PUT", "acl/token", b'{"Policies": [{"Name": "global-management"}]}'),
        ("PUT", "acl/policy", b'{"Name": "all", "Rules": "acl = \\"write\\""}'),
        ("GET", "snapshot", None),
        ("PUT", "kv/who", b"x"),
    ):
        assert _asked(method, path, given, body)[0] == 403, f"{method} {path}"


def _new_tokens(checkout: Checkout, made: Mapping[str, str], port: int) -> None:
    """Those whose lines are taken out of `.env` are drawn anew, and the ones from before are worth nothing."""
    env = checkout.root / ".env"
    names = ("HUB_CONSUL_SCALER_TOKEN", "HUB_CONSUL_MANAGEMENT_TOKEN")
    env.write_text("".join(line for line in env.read_text().splitlines(True) if line.partition("=")[0] not in names))
    said = checkout.up("--env", "prod", "--phase", "infra")
    assert "consul: 2 tokens from before are no longer valid" in said
    now = read(env)
    for name in names:
        assert now[name] != made[name]
        assert _asked("GET", "acl/token/self", now[name])[0] == 200
        assert _asked("GET", "acl/token/self", made[name])[0] == 403
    assert _get(checkout, port, f"hello.{DOMAIN}", "/") == 200, "the scaler with the former one has ended it"
    _until_registered("hello", now["HUB_CONSUL_SCALER_TOKEN"])
    done = checkout.aihub("backup", "consul")
    assert done.returncode == 0, done.stderr


def _until_registered(service: str, token: str) -> Any:
    end = time.monotonic() + 30
    while True:
        status, said = _asked("GET", f"health/service/{service}?passing", token)
        found = json.loads(said) if status == 200 else []
        if found:
            return found[0]
        assert time.monotonic() < end, f"{service} is not registered: {status} {said!r}"
        time.sleep(0.1)


def _environment(checkout: Checkout, service: str) -> set[tuple[str, str]]:
    column = "{{range .Config.Env}}{{println .}}{{end}}"
    words = ["docker", "inspect", "--format", column, f"{checkout.project}-{service}-1"]
    rows = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    return {(name, value) for name, _, value in (row.partition("=") for row in rows)}


def _get(checkout: Checkout, port: int, host: str, path: str) -> int:
    """By TLS, the certificate verified as one for this host."""
    context = ssl.create_default_context(cafile=str(checkout.data / "tls" / f"{DOMAIN}.crt"))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        return int(secure.recv(1024).split()[1])


def _consul(method: str, key: str, token: str, body: bytes | None = None) -> tuple[int, bytes]:
    return _asked(method, f"kv/{key}?raw" if method == "GET" else f"kv/{key}", token, body)


def _asked(method: str, path: str, token: str, body: bytes | None = None) -> tuple[int, bytes]:
    """What Consul answers."""
    url = f"http://127.0.0.1:8500/v1/{path}"
    request = urllib.request.Request(url, data=body, method=method, headers={"X-Consul-Token": token})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _published(checkout: Checkout) -> set[str]:
    done = subprocess.run(["docker", "inspect", *checkout.containers()], check=True, capture_output=True, text=True)
    return {
        f"{binding['HostIp']}:{binding['HostPort']}"
        for one in json.loads(done.stdout)
        for bindings in (one["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    }
