"""The two programs of our own that the catalogue runs, without a hub around them."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.llama.serve import NoModel, chosen_model
from tests.support.ports import free_port

pytestmark = pytest.mark.process

HELLO = Path(__file__).parents[3] / "services" / "hello" / "hello.py"


@pytest.fixture
def hello() -> Iterator[int]:
    """The port of a running hello."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-I", "-S", HELLO, "--port", str(port)])
    try:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end, "hello does not listen"
        yield port
    finally:
        process.terminate()
        process.wait(10)


def answered(connection: http.client.HTTPConnection, method: str, path: str, **more: object) -> tuple[int, bytes]:
    connection.request(method, path, **more)  # type: ignore[arg-type]
    response = connection.getresponse()
    return response.status, response.read()


def said(port: int, text: bytes) -> bytes:
    """Everything that comes back for these bytes until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_one_connection_carries_many_requests_of_every_kind(hello: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", hello, timeout=10)
    assert answered(connection, "GET", "/health") == (200, b'{"status": "ok"}\n')
    assert answered(connection, "HEAD", "/") == (200, b"")
    assert answered(connection, "POST", "/echo", body=b"x" * 3_000_000) == (200, b"x" * 3_000_000)
    assert answered(connection, "POST", "/echo", body=iter([b"in ", b"chunks"]), encode_chunked=True) == (
        200,
        b"in chunks",
    )
    assert answered(connection, "GET", "/nothing")[0] == 404
    assert answered(connection, "POST", "/")[0] == 405
    assert answered(connection, "GET", "/")[1].startswith(b'{"hello": "world"')
    connection.close()


def test_a_browser_gets_a_page(hello: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", hello, timeout=10)
    status, page = answered(connection, "GET", "/", headers={"Accept": "text/html,*/*"})
    assert (status, page[:15]) == (200, b"<!doctype html>")
    connection.close()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: minus one\r\n\r\n", b"400"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"413"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 30_000 + b"\r\n", b"400"),
    ],
)
def test_a_request_that_is_none_is_refused_and_the_next_client_is_served(
    hello: int, request_text: bytes, status: bytes
) -> None:
    assert said(hello, request_text).split()[1] == status
    assert said(hello, b"GET /health HTTP/1.0\r\n\r\n").split()[1] == b"200"


def test_the_model_named_is_taken_absolute_or_below_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "one.gguf"
    file.write_bytes(b"GGUF....")
    (tmp_path / "two.gguf").write_bytes(b"GGUF....")
    assert chosen_model("one.gguf", tmp_path) == file
    assert chosen_model(str(file), Path("/nowhere")) == file


def test_the_only_model_of_the_folder_is_taken_where_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "one.gguf"
    file.write_bytes(b"GGUF....")
    assert chosen_model("", tmp_path) == file


@pytest.mark.parametrize(
    ("named", "files", "wrong"),
    [
        ("", {}, "no model to serve"),
        ("", {"a.gguf": b"GGUF", "b.gguf": b"GGUF"}, "more than one model (a.gguf, b.gguf)"),
        ("a.gguf", {}, "there is no such file"),
        ("a.gguf", {"a.gguf": b"PK\3\4"}, "is not a GGUF file"),
    ],
)
def test_without_a_model_it_is_said_what_is_wrong_and_what_to_set(
    tmp_path: Path, named: str, files: dict[str, bytes], wrong: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NoModel) as told:
        chosen_model(named, tmp_path)
    assert wrong in str(told.value)
    assert "AIHUB_LLAMA_MODEL" in str(told.value)
