"""Documents for Envoy as binary protobuf: it reads them in a third of the time that the same JSON takes.

Owns the translation, and the parts that are translated once and used again. What a document says is its maker's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import FieldDescriptor

from services.scaler.mesh.config.common import Json

_TYPES = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        cluster_pb2.Cluster,
        extension_matcher_pb2.ExtensionWithMatcherPerRoute,
        http_inputs_pb2.HttpRequestHeaderMatchInput,
        http_inputs_pb2.HttpResponseHeaderMatchInput,
        http_protocol_options_pb2.HttpProtocolOptions,
        network_inputs_pb2.FilterStateInput,
        route_components_pb2.Route,
        route_components_pb2.RouteList,
        route_pb2.RouteConfiguration,
        skip_action_pb2.SkipFilter,
    )
}
"""What an `@type` may name."""

_WRAPPERS = frozenset({f"google.protobuf.{name}Value" for name in ("Bool", "Double", "UInt32", "UInt64", "String")})

_Put = Callable[[Any, Any], None]
"""Puts a JSON value into one certain field of a message."""


class Part(dict[str, Any]):
    """A piece of documents that is never changed and always stands where the same kind of message is wanted: it is
    translated once."""

    __slots__ = ("_wire",)
    _wire: bytes

    def wire(self, kind: Any) -> bytes:
        try:
            return self._wire
        except AttributeError:
            self._wire = _translated(kind, {**self})
            return self._wire


def encode(document: Json) -> bytes:
    """A list of resources as Envoy takes it from a file; the same document always gives the same bytes.

    Raises KeyError for a field, a word or an `@type` that is not known here.
    """
    return _translated(discovery_pb2.DiscoveryResponse, document)


def _translated(kind: Any, document: Mapping[str, Any]) -> bytes:
    message = kind()
    _fill(message, document)
    return bytes(message.SerializeToString(deterministic=True))


def _fill(message: Any, document: Mapping[str, Any]) -> None:
    kind: Any = type(message)
    if isinstance(document, Part):
        message.MergeFromString(document.wire(kind))
    elif kind is Packed:
        message.type_url = document["@type"]
        packed = _TYPES[message.TypeName()]
        message.value = _translated(packed, {name: value for name, value in document.items() if name != "@type"})
    else:
        puts = _puts(kind)
        for name, value in document.items():
            puts[name](message, value)


@cache
def _puts(kind: Any) -> Mapping[str, _Put]:
    return {field.name: _put(field) for field in kind.DESCRIPTOR.fields}


def _put(field: FieldDescriptor) -> _Put:
    name, kind = field.name, field.message_type
    if kind is None:
        return _put_plain(field)
    if kind.GetOptions().map_entry:
        return lambda message, value: _fill_map(getattr(message, name), value)
    if field.is_repeated:
        return lambda message, value: _fill_list(getattr(message, name), value)
    if kind.full_name == "google.protobuf.Duration":
        return lambda message, value: _present(message, name).FromJsonString(value)
    if kind.full_name in _WRAPPERS:
        return lambda message, value: setattr(_present(message, name), "value", value)
    return lambda message, value: _fill(_present(message, name), value)


def _put_plain(field: FieldDescriptor) -> _Put:
    name = field.name
    words = {word.name: word.number for word in field.enum_type.values} if field.enum_type else None
    if field.is_repeated:
        return lambda message, value: getattr(message, name).extend(words[one] if words else one for one in value)
    return lambda message, value: setattr(message, name, words[value] if words else value)


def _present(message: Any, name: str) -> Any:
    """Also where all it has to say is what holds anyway."""
    inner = getattr(message, name)
    inner.SetInParent()
    return inner


def _fill_map(entries: Any, document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        _fill(entries[key], value)


def _fill_list(entries: Any, documents: list[Any]) -> None:
    for document in documents:
        _fill(entries.add(), document)
