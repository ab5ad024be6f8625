#!/usr/bin/env -S python3 -I
"""In Kong's place: an Envoy that listens where Kong is told to and passes everything on to envoy:8000.

It knows KONG_PROXY_LISTEN, KONG_ADMIN_LISTEN, KONG_SSL_CERT and KONG_SSL_CERT_KEY, answers 200 on its admin port, and
asks for no keys. It refuses to start without its declarative file.
"""

import json
import os
import re
import sys
import sysconfig
import urllib.request

READY = 8109
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listener(name, address, number, routes, tls):
    manager = {
        "@type": MANAGER,
        "stat_prefix": name,
        "use_remote_address": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls:
        certificate = {
            "certificate_chain": {"filename": os.environ["KONG_SSL_CERT"]},
            "private_key": {"filename": os.environ["KONG_SSL_CERT_KEY"]},
        }
        chain["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificates": [certificate], "alpn_protocols": ["h2", "http/1.1"]},
            },
        }
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": number}},
        "filter_chains": [chain],
    }


def listeners(variable, routes):
    """`0.0.0.0:8443 http2 ssl reuseport, …`"""
    for said in os.environ.get(variable, "off").split(","):
        found = re.match(r"\s*([\d.]+):(\d+)(.*)", said)
        if found:
            yield listener(f"{variable}-{found[2]}", found[1], int(found[2]), routes, "ssl" in found[3].split())


def bootstrap():
    onward = [{"match": {"prefix": "/"}, "route": {"cluster": "envoy", "timeout": "0s"}}]
    answer = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "{}"}}}]
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "envoy", "port_value": 8000}}}}
    cluster = {
        "name": "envoy",
        "type": "STRICT_DNS",
        "dns_refresh_rate": "1s",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "envoy", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    ready = listener("ready", "127.0.0.1", READY, answer, tls=False)
    served = [*listeners("KONG_PROXY_LISTEN", onward), *listeners("KONG_ADMIN_LISTEN", answer), ready]
    return {"static_resources": {"listeners": served, "clusters": [cluster]}}


def main(verb):
    if verb == "health":
        urllib.request.urlopen(f"http://127.0.0.1:{READY}/", timeout=3).read()
        return
    with open(os.environ["KONG_DECLARATIVE_CONFIG"], encoding="utf-8") as file:
        if "_format_version" not in file.read():
            sys.exit("no declarative file")
    envoy = f"{sysconfig.get_path('purelib')}/envoy/_bin/envoy"
    words = [
        "--config-yaml",
        json.dumps(bootstrap()),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "warn",
    ]
    os.execv(envoy, [envoy, *words])


main(sys.argv[1] if len(sys.argv) > 1 else "docker-start")
