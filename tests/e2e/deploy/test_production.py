"""Production: TLS and keys at one door, everything else shut, and copies of the data each day."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

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
    url = f"http://127.0.0.1:8500/v1/kv/{key}?raw" if method == "GET" else f"http://127.0.0.1:8500/v1/kv/{key}"
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
