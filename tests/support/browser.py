"""A real headless Chromium, driven by chromedriver's WebDriver protocol over plain HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

# Without --no-sandbox Chromium refuses to run as root, as CI does; --disable-dev-shm-usage for a small /dev/shm.
_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
_START_LIMIT = 20.0


class BrowserFailed(Exception):
    """Carries what the driver answered."""


class Browser:
    """One window. Every call may raise BrowserFailed."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        options = {"args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"], "binary": shutil.which("chromium")}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "pageLoadStrategy": "eager"}
        self._session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def resize(self, width: int, height: int) -> None:
        self._ask("POST", self._path("/window/rect"), {"width": width, "height": height})

    def open(self, url: str) -> None:
        """Navigate, and return when a document is there."""
        self._ask("POST", self._path("/url"), {"url": url})

    @property
    def address(self) -> str:
        return str(self._ask("GET", self._path("/url")))

    @property
    def title(self) -> str:
        return str(self._ask("GET", self._path("/title")))

    def run(self, script: str) -> Any:
        """The value that the script returns."""
        return self._ask("POST", self._path("/execute/sync"), {"script": script, "args": []})

    def text(self) -> str:
        """What a person could read on the page now."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._ask("GET", self._path("/screenshot"))))

    def until(self, script: str, limit: float) -> Any:
        """Run the script until it returns something true, through navigations too."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            with suppress(BrowserFailed):  # the page was exchanged under the script
                if found := self.run(script):
                    return found
            time.sleep(0.05)
        raise BrowserFailed(f"{script!r} is still not true after {limit} s at {self.address}: {self.text()[:500]!r}")

    def close(self) -> None:
        self._ask("DELETE", self._path(""))

    def _path(self, rest: str) -> str:
        return f"/session/{self._session}{rest}"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        except OSError as error:
            raise BrowserFailed(f"{method} {path}: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise BrowserFailed(f"{method} {path}: {value['error']}: {value['message']}")
        return value


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A window of a fresh profile in `folder`. Raises BrowserFailed where Chromium or its driver is not installed."""
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        raise BrowserFailed("chromium and chromedriver are needed: apt-get install chromium chromium-driver")
    port = free_port()
    with (folder / "chromedriver.log").open("wb") as log:
        environment = {**os.environ, "HOME": str(folder)}
        process = subprocess.Popen([driver, f"--port={port}"], stdout=log, stderr=log, env=environment)
    try:
        _wait(port)
        window = Browser(port, folder)
        try:
            yield window
        finally:
            window.close()
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    end = time.monotonic() + _START_LIMIT
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/status")
            if json.loads(connection.getresponse().read())["value"]["ready"]:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise BrowserFailed(f"chromedriver does not answer after {_START_LIMIT} s")
