"""`x-hub`: what compose cannot say about a service. The one place that says which keys there are and what they mean.

Owns the shape of the extension, its defaults and their explanation; the JSON Schema for editors is made from it
(`python -m services.catalog.schema`). Rules between several fields or several services are `build`'s and `check`'s.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from services.catalog import units
from services.catalog.model import Busy as BusyDefaults
from services.catalog.model import Protocol, Rest, Tier
from services.catalog.model import Scaling as ScalingDefaults
from services.catalog.model import Wake as WakeDefaults

SCHEMA_FILE = "compose.schema.json"
_SCALING, _WAKE, _BUSY = ScalingDefaults(), WakeDefaults(), BusyDefaults()
_DURATION_PATTERN = r"^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d|w))+$"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


class LabelText(str):
    """A value that came from a label: where a list is wanted, its words stand between commas."""

    __slots__ = ()


def _positive_duration(value: object) -> float:
    if isinstance(value, float):
        return value  # a default
    seconds = units.seconds(value)
    if seconds <= 0:
        raise ValueError("a duration above zero, such as 30s or 5m")
    return seconds


def _idle_duration(value: object) -> float | None:
    return None if value is None or value == "never" else _positive_duration(value)


def _unnegative_duration(value: object) -> float:
    if isinstance(value, float):
        return value
    seconds = units.seconds(value)
    if seconds < 0:
        raise ValueError("a duration of zero or more, such as 0s or 15m")
    return seconds


def _size(value: object) -> int:
    size = int(units.size(value))
    if size <= 0:
        raise ValueError("a size above zero, such as 512M or 2G")
    return size


def _words(value: object) -> object:
    if isinstance(value, LabelText):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _url_path(value: object) -> object:
    """A path of a URL as a service gets it."""
    if not isinstance(value, str) or not value.startswith("/") or re.search(r"[\s#\x00-\x1f]", value):
        raise ValueError("a path that begins with / and has no blanks, such as /health")
    return value


def _health(value: object) -> object:
    try:
        return value if value == "tcp" else _url_path(value)
    except ValueError:
        raise ValueError("tcp, or a path that begins with /, such as /health") from None


def _origin(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
        raise ValueError("an origin such as https://example.org or http://localhost:3000")
    return value.lower()


def _command(value: object) -> object:
    if isinstance(value, list):
        for word in value:
            if isinstance(word, bool) or not isinstance(word, str | int | float):
                raise ValueError("a command line, or a list of words")
        return [str(word) for word in value]
    if not isinstance(value, str):
        raise ValueError("a command line, or a list of words")
    return value


def _listen(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
UrlPath = Annotated[str, BeforeValidator(_url_path), WithJsonSchema({"type": "string", "pattern": "^/"})]
Paths = Annotated[tuple[UrlPath, ...], BeforeValidator(_words)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
_duration_schema = WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN, "examples": ["30s", "5m", "1h30m"]})
Duration = Annotated[float, BeforeValidator(_positive_duration), _duration_schema]
Size = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"type": ["string", "integer"], "examples": ["512M", "2G"]})
]
DurationOrZero = Annotated[float, BeforeValidator(_unnegative_duration), _duration_schema]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class PortEntry(Part):
    port: PortNumber
    """Port inside the container."""
    protocol: Protocol = Protocol.HTTP
    """http, h2c (HTTP/2 without TLS, gRPC) or tcp. A tcp port is not woken by its traffic."""


class ScalingEntry(Part):
    min_replicas: Annotated[int, Field(ge=0, le=100)] | None = None
    """Replicas that always run. Default: 0 for a service on demand, 1 for every other."""
    max_replicas: Annotated[int, Field(ge=1, le=100)] | None = None
    """Replicas at most; above 1 needs `stateless: true`. Default: 1, or min_replicas."""
    scale_up_threshold: Annotated[int, Field(ge=0, le=1_000_000)] = _SCALING.scale_up_threshold
    """Requests in flight per ready replica above which one more is started; 0: never."""
    idle_timeout: Duration = _SCALING.idle_timeout
    """How long a replica may be without use until it rests, such as 5m."""
    stop_after: DurationOrZero = _SCALING.stop_after
    """How much longer until a paused replica is stopped, such as 15m."""
    rest: Rest = _SCALING.rest
    """How a replica rests: paused (frozen, answers again in milliseconds) or stopped."""


class WakeEntry(Part):
    hold: Duration = _WAKE.hold
    """Longest time a request is held while the service wakes."""
    start_timeout: Duration = _WAKE.start_timeout
    """A replica that is not ready this long after its start has failed."""
    ignore_paths: Paths = _WAKE.ignore_paths
    """Paths whose requests neither wake the service nor keep it awake."""
    ignore_agents: Words = _WAKE.ignore_agents
    """User-Agents (any part of them) whose requests neither wake nor keep awake, such as Uptime-Kuma."""
    answer: Paths = _WAKE.answer
    """GET paths answered from the last good reply while the service sleeps."""
    allow_origins: Annotated[tuple[Annotated[str, BeforeValidator(_origin)], ...], BeforeValidator(_words)] = (
        _WAKE.allow_origins
    )
    """Origins of other sites whose pages may wake the service, such as https://example.org."""


class BusyEntry(Part):
    cpu: Annotated[
        float, BeforeValidator(units.share), WithJsonSchema({"type": ["string", "number"], "examples": ["10%", 0.1]})
    ] = _BUSY.cpu
    """Share of one core over the last minute above which a replica is in use; 0: CPU does not count."""
    http: UrlPath | None = None
    """Path of the service that answers 200 while it is busy."""
    websocket_idle: Annotated[
        float | None,
        BeforeValidator(_idle_duration),
        WithJsonSchema({"type": "string", "examples": ["never", "30m"], "default": "never"}),
    ] = None
    """How long a websocket may be silent until it stops counting as use, or never."""


class TypicalEntry(Part):
    install: Size | None = None
    """What the installed environment takes on disk, such as 388M."""
    first_start: Duration | None = None
    """How long the first start after the installation takes."""
    start: Duration | None = None
    """How long a later start takes."""
    memory: Size | None = None
    """What it takes when it has just started."""


class LocalEntry(Part):
    command: Annotated[
        str | tuple[str, ...],
        BeforeValidator(_command),
        WithJsonSchema({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]}),
    ]
    """What runs: a line split as a shell splits words (there is no shell), or a list of words. {port}, {port:NAME},
    {data}, {models}, {public_url}, {url:OTHER}, {python} and {hub} are filled in; a doubled {{port}} is meant
    literally."""
    package: Annotated[str, Field(examples=["pypi:chromadb==1.5.9", "npm:flowise@3.0.1"])] | None = None
    """Installed before the first start, pinned to one version: pypi:NAME==VERSION or npm:NAME@VERSION."""
    lock: str | None = None
    """File with every package and hash, relative to this file. Default: locks/NAME.txt (PyPI) or
    locks/NAME.package-lock.json (npm) where it exists."""
    environment: dict[str, Any] | list[str] = Field(default_factory=dict)
    """Over the service's own environment, with the same placeholders as the command."""
    expose: bool = False
    """Whether the program may listen beyond loopback; otherwise such a replica is refused."""
    requires: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+$")] | None = None
    """A program that has to be on the PATH; without it the service is unavailable, and says so."""
    typical: TypicalEntry = TypicalEntry()
    """What it was seen to take elsewhere: for estimates until this host has measured it."""


class XHub(Part):
    tier: Tier | None = None
    """infra, persistent or on-demand. Default: on-demand with `profiles: [on-demand]` or `deploy.replicas: 0`, else
    persistent."""
    description: Annotated[str, Field(max_length=400)] = ""
    """One line for people."""
    port: PortNumber | None = None
    """The service's own HTTP port inside the container. Default: the one that is exposed."""
    ports: Annotated[dict[str, PortEntry], Field(max_length=20)] | None = None
    """Several ports by name; `main` is the service's own."""
    listen: (
        Annotated[
            str,
            BeforeValidator(_listen),
            WithJsonSchema({"type": ["integer", "string"], "examples": [8123, "0.0.0.0:8123"]}),
        ]
        | None
    ) = None
    """An address of its own at the gateway, `8123` (on loopback) or `127.0.0.1:8123`, instead of the one in `ports`."""
    health: Annotated[str, BeforeValidator(_health)] | None = None
    """A path that answers 2xx when the service is ready, or tcp. Default: what a healthcheck by curl or wget asks for,
    else tcp."""
    path: str | None = None
    """Prefix at the gateway. Default: /api/NAME."""
    web: bool = False
    """Has pages for people: a browser that opens its path goes on to the service's own origin."""
    stateless: bool = False
    """Several replicas may run at once, as none keeps anything the others lack."""
    scaling: ScalingEntry = ScalingEntry()
    """How many replicas run, and when they rest."""
    wake: WakeEntry = WakeEntry()
    """Which requests wake the service, and how long they are held."""
    busy: BusyEntry = BusyEntry()
    """What counts as use besides requests."""
    uses: Words = ()
    """Services that are woken with this one and stay awake while it is, besides those in depends_on."""
    models: Words = ()
    """Names of its models on the OpenAI-compatible routes."""
    local: LocalEntry | None = None
    """How to run it without Docker."""


def json_schema() -> dict[str, Any]:
    """The schema of a compose file that leaves compose's own keys open and describes every `x-hub`."""
    inner = XHub.model_json_schema(ref_template="#/definitions/{model}")
    definitions = {"x-hub": inner, **inner.pop("$defs")}
    for definition in definitions.values():
        definition.pop("title", None)
        for prop in definition.get("properties", {}).values():
            _tidy(prop)
    service = {"type": "object", "properties": {"x-hub": {"$ref": "#/definitions/x-hub"}}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A compose file with x-hub",
        "description": "Compose's own keys are left open; x-hub says what compose cannot say.",
        "type": "object",
        "properties": {"services": {"type": "object", "additionalProperties": service}},
        "definitions": definitions,
    }


def _tidy(prop: dict[str, Any]) -> None:
    """As an editor shows it: no null where leaving the key out means the same, durations as they are written."""
    prop.pop("title", None)
    options = [option for option in prop.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del prop["anyOf"]
        prop.update(options[0])
    default = prop.get("default")
    if default is None or default == "" or isinstance(default, dict | list | tuple):
        prop.pop("default", None)
    elif isinstance(default, float) and "pattern" in prop:
        prop["default"] = units.duration_text(default)
    if "$ref" in prop:
        # Beside a bare $ref, draft 7 ignores every other key.
        prop["allOf"] = [{"$ref": prop.pop("$ref")}]
    if "description" in prop:
        prop["description"] = " ".join(prop["description"].split())


def rendered() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
