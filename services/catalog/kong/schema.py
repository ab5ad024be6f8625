"""Fields of Kong 3.9's entities and of the plugins this hub uses, and what each may hold.

Owns single values alone: what several fields or several entities have to agree on is `reader`'s and `laws`'. It is
narrower than Kong on purpose: a field or plugin that nobody here needs is refused, so that using it begins with
reading about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Check = Callable[[object], str]
"""What would be right; empty for a value that is."""

_LONGEST_TIMEOUT = 2**31 - 2
_NAME = re.compile(r"[A-Za-z0-9._~-]+\Z")
_HEADER = re.compile(r"[A-Za-z0-9_-]+\Z")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_URL = re.compile(r"(?:http|https|grpc|grpcs)://(?P<host>[^/:@\s]+):(?P<port>[0-9]{1,5})\Z")
_PLAIN_PATH = re.compile(r"/(?:[A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]*\Z")
_MAGIC = re.compile(r"[\\^$*+?()\[\]{}|]")


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping: its fields, and which of them must be there."""

    fields: Mapping[str, Check]
    required: frozenset[str] = field(default_factory=frozenset)


def whole(least: int, most: int) -> Check:
    def check(value: object) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if good else f"a whole number of {least} to {most}, unquoted and without a unit"

    return check


def one_of(*words: str) -> Check:
    return lambda value: "" if isinstance(value, str) and value in words else f"one of {', '.join(words)}"


def flag(value: object) -> str:
    return "" if isinstance(value, bool) else "true or false"


def text(pattern: re.Pattern[str], wanted: str) -> Check:
    return lambda value: "" if isinstance(value, str) and pattern.match(value) else wanted


def some(inner: Check) -> Check:
    """A list of at least one, none of them twice."""

    def check(value: object) -> str:
        if not isinstance(value, list) or not value:
            return "a list of at least one value"
        if wanted := next((wish for item in value if (wish := inner(item))), ""):
            return f"a list whose every value is {wanted}"
        return "" if len(set(value)) == len(value) else "a list that holds no value twice"

    return check


def path(value: object) -> str:
    if not isinstance(value, str):
        return "a path"
    if value.startswith("~"):
        try:
            re.compile(value[1:])
        except re.error as error:
            return f"a valid expression ({error})"
        return "" if value.startswith("~/") else "an expression that begins with ~/"
    if _MAGIC.search(value):
        return "an expression begins with ~; without it Kong takes the signs as they stand, a plain path"
    return "" if _PLAIN_PATH.match(value) else "a plain path that begins with / and holds no // or %"


def origin(value: object) -> str:
    """Plain, or an expression that is anchored: an open one also matches `https://example.org.evil.net`."""
    if not isinstance(value, str):
        return "an origin"
    if re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", value):
        return ""
    try:
        re.compile(value)
    except re.error as error:
        return f"an origin, or a valid expression for some ({error})"
    return "" if value.startswith("^http") and value.endswith("$") else "an expression from ^http to $"


def headers(value: object) -> str:
    wanted = "a mapping of header names to lists of values"
    if not isinstance(value, Mapping) or not value:
        return wanted
    values = some(lambda item: "" if isinstance(item, str) and item else "a text")
    names = all(isinstance(name, str) and _HEADER.match(name) and name.lower() != "host" for name in value)
    return "" if names and not any(values(inner) for inner in value.values()) else wanted


def url(value: object) -> str:
    match = _URL.match(value) if isinstance(value, str) else None
    good = match is not None and _HOST.match(match["host"]) and 0 < int(match["port"]) <= 65535
    return "" if good else "scheme, host name and port alone, such as http://envoy:8000 (Kong expands no ${})"


def key(value: object) -> str:
    """A key is a secret: it is described, never shown. References are taken literally, so they are refused."""
    if not isinstance(value, str) or re.search(r"[${}\s]|[^\x21-\x7e]", value):
        return "a key of plain signs, not a reference: Kong would take the reference itself for the key"
    return "" if len(value) >= LEAST_KEY else f"a key of at least {LEAST_KEY} signs"


LEAST_KEY = 16
_name = text(_NAME, "a name of letters, digits and . _ ~ -")
_header = text(_HEADER, "a header name")
_host = text(_HOST, "a host name without a port")
_timeout = whole(1, _LONGEST_TIMEOUT)
_count = whole(1, 10**9)
_listed: Check = lambda value: "" if isinstance(value, list) else "a list"  # noqa: E731
_table: Check = lambda value: "" if isinstance(value, Mapping) else "a mapping"  # noqa: E731

ROOT = Record(
    {
        "_format_version": one_of("3.0"),
        "services": _listed,
        "routes": _listed,
        "plugins": _listed,
        "consumers": _listed,
    },
    frozenset({"_format_version", "services"}),
)
SERVICE = Record(
    {
        "name": _name,
        "url": url,
        "retries": whole(0, 32767),
        "connect_timeout": _timeout,
        "read_timeout": _timeout,
        "write_timeout": _timeout,
        "tags": some(_name),
        "routes": _listed,
        "plugins": _listed,
    },
    frozenset({"name", "url"}),
)
ROUTE = Record(
    {
        "name": _name,
        "service": _name,
        "protocols": some(one_of("http", "https", "grpc", "grpcs")),
        "hosts": some(_host),
        "paths": some(path),
        "methods": some(text(re.compile(r"[A-Z]+\Z"), "a method in capitals")),
        "headers": headers,
        "strip_path": flag,
        "preserve_host": flag,
        "request_buffering": flag,
        "response_buffering": flag,
        "regex_priority": whole(0, 2**31),
        "tags": some(_name),
        "plugins": _listed,
    },
    frozenset({"name"}),
)
CONSUMER = Record(
    {"username": _name, "custom_id": _name, "tags": some(_name), "keyauth_credentials": _listed, "plugins": _listed},
    frozenset({"username"}),
)
CREDENTIAL = Record({"key": key, "tags": some(_name)}, frozenset({"key"}))
PLUGIN = Record(
    {
        "name": _name,
        "config": _table,
        "enabled": flag,
        "protocols": some(one_of("http", "https", "grpc", "grpcs")),
        "tags": some(_name),
        "service": _name,
        "route": _name,
        "consumer": _name,
    },
    frozenset({"name"}),
)
PLUGINS: Mapping[str, Record] = {
    "key-auth": Record(
        {
            "key_names": some(_header),
            "key_in_header": flag,
            "key_in_query": flag,
            "key_in_body": flag,
            "hide_credentials": flag,
            "run_on_preflight": flag,
        }
    ),
    "rate-limiting": Record(
        {
            **dict.fromkeys(("second", "minute", "hour", "day", "month", "year"), _count),
            "limit_by": one_of("consumer", "credential", "ip", "service"),
            "policy": one_of("local"),
            "fault_tolerant": flag,
            "hide_client_headers": flag,
        },
        frozenset({"policy"}),
    ),
    "request-size-limiting": Record(
        {
            "allowed_payload_size": whole(1, 2**31),
            "size_unit": one_of("megabytes", "kilobytes", "bytes"),
            "require_content_length": flag,
        },
        frozenset({"allowed_payload_size"}),
    ),
    "cors": Record(
        {
            "origins": some(origin),
            "methods": some(one_of("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT")),
            "headers": some(_header),
            "exposed_headers": some(_header),
            "credentials": flag,
            "max_age": whole(0, 86400),
            "preflight_continue": flag,
        },
        frozenset({"origins"}),
    ),
    "correlation-id": Record(
        {"header_name": _header, "generator": one_of("uuid", "uuid#counter", "tracker"), "echo_downstream": flag},
        frozenset({"generator"}),
    ),
    "prometheus": Record(
        dict.fromkeys(
            (
                "per_consumer",
                "status_code_metrics",
                "latency_metrics",
                "bandwidth_metrics",
                "upstream_health_metrics",
            ),
            flag,
        )
    ),
}
