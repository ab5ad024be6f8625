"""What a service behind `/api/NAME` says of its own paths, mapped back to where its caller sees them.

`Location: /x` becomes `/api/NAME/x`, `Set-Cookie: …; Path=/` becomes `Path=/api/NAME/`. A few lines of Lua in Envoy,
for the hosts that have `/api` alone, and there only for replies that have such a header: Lua for every reply would cost
a tenth of the throughput, the look for the two headers costs a thirtieth.
"""

from __future__ import annotations

from services.catalog.addresses import DOMAIN
from services.scaler.mesh.config import common
from services.scaler.mesh.config.common import Json, Place

_CODE = """
local OWN = {%(own)s}

local function below(mount, path)
  if path == mount or path:sub(1, #mount + 1) == mount .. "/" then return path end
  return mount .. path
end

local function location(mount, value)
  if value:sub(1, 1) == "/" and value:sub(2, 2) ~= "/" then return below(mount, value) end
  local origin, path = value:match("^(https?://[^/?#]+)(.*)$")
  if origin == nil or not OWN[origin:lower()] then return nil end
  if path:sub(1, 1) ~= "/" then path = "/" .. path end
  return origin .. below(mount, path)
end

local function cookie(mount, value)
  return (value:gsub("(;%%s*[Pp][Aa][Tt][Hh]=)(/[^;]*)", function(key, path) return key .. below(mount, path) end, 1))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local target = headers:get("location")
  local cookies = headers:getNumValues("set-cookie")
  if target == nil and cookies == 0 then return end
  local mount = handle:streamInfo():routeName()
  if target ~= nil then
    local mapped = location(mount, target)
    if mapped ~= nil then headers:replace("location", mapped) end
  end
  if cookies == 0 then return end
  local values = {}
  for i = 0, cookies - 1 do values[#values + 1] = headers:getAtIndex("set-cookie", i) end
  headers:remove("set-cookie")
  for _, value in ipairs(values) do headers:add("set-cookie", cookie(mount, value)) end
end
"""


_LUA = "envoy.filters.http.lua"
_FILTER = "map-back"


def map_back_filter(place: Place) -> Json:
    """The HTTP filter, asleep until a virtual host has `map_back_here`."""
    edge = place.edge
    hosts = [DOMAIN, "127.0.0.1", "[::1]", edge.host, *([place.domain] if place.domain else []), *place.names]
    known = sorted({f"{edge.scheme}://{host}:{edge.port}" for host in hosts if host})
    code = _CODE % {"own": ", ".join(f'["{origin}"] = true' for origin in known)}
    message = "envoy.extensions.filters.http.lua.v3.Lua"
    lua = common.extension(_LUA, message, default_source_code={"inline_string": code})
    wrapper = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
    matched = common.extension(_FILTER, wrapper, xds_matcher=_unless_needed(), extension_config=lua)
    return {**matched, "disabled": True}


def map_back_here() -> Json:
    """`typed_per_filter_config` of a virtual host whose services live below a path; their routes bear it as name."""
    message = "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute"
    return {_FILTER: common.typed(message, xds_matcher=_unless_needed())}


def _unless_needed() -> Json:
    skip = common.extension("skip", "envoy.extensions.filters.common.matcher.action.v3.SkipFilter")
    neither = {"and_matcher": {"predicate": [_without("location", "/"), _without("set-cookie", "=")]}}
    return {"matcher_list": {"matchers": [{"predicate": neither, "on_match": {"action": skip}}]}}


def _without(header: str, text: str) -> Json:
    message = "envoy.type.matcher.v3.HttpResponseHeaderMatchInput"
    value = common.extension(header, message, header_name=header)
    return {"not_matcher": {"single_predicate": {"input": value, "value_match": {"contains": text}}}}
