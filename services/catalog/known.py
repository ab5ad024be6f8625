"""What is known of images and port numbers that a compose file says nothing about: a small table of facts.

Owns guesses alone: which ports of a service nobody described speak HTTP, and which images do their work without being
asked. `x-hub` and labels say better; whoever reads them does not look here.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.catalog.model import Port, Protocol

_TCP_IMAGES = {
    5432: "postgres postgresql pgvector postgis timescaledb timescaledb-ha pgbouncer pgvecto-rs vectorchord cockroach",
    3306: "mysql mariadb percona percona-server tidb mysql-server",
    6379: "redis valkey keydb dragonfly redis-stack redis-stack-server garnet",
    11211: "memcached",
    27017: "mongo mongodb mongodb-community-server ferretdb",
    5672: "rabbitmq lavinmq",
    4222: "nats",
    9092: "kafka redpanda cp-kafka",
    2181: "zookeeper cp-zookeeper",
    9042: "cassandra scylla",
    1433: "azure-sql-edge mssql/server",
    1521: "oracle-free oracle-xe",
    9000: "clickhouse clickhouse-server",
    7687: "neo4j memgraph",
    1883: "mosquitto eclipse-mosquitto emqx",
    2379: "etcd",
    389: "openldap",
    11300: "beanstalkd",
}
"""Databases and brokers by the port they listen on: their own protocols cannot be held at a gateway."""

_HTTP_IMAGES = {
    80: "nginx httpd whoami",
    3000: "grafana open-webui gitea forgejo",
    5601: "kibana",
    5678: "n8n",
    6333: "qdrant",
    7700: "meilisearch",
    8000: "chroma",
    8080: "tika-server searxng weaviate adminer",
    8108: "typesense",
    8888: "jupyter",
    9000: "minio",
    9200: "elasticsearch opensearch",
    11434: "ollama",
}
"""Well-known programs whose compose entries often name no port."""

_TCP_PORTS = """21 22 23 25 53 110 111 139 143 389 445 465 514 554 587 636 873 993 995 1433 1514 1521 1883 1935 2049
    2181 2379 2380 3306 3389 3478 4222 4369 5222 5432 5671 5672 5900 6222 6379 6432 6667 7687 8554 8883 9042 9092 9094
    11211 11300 25672 26257 27017 27018 28015 33060 61616"""
_TLS_PORTS = "443 8443 9443 10443"
_H2C_PORTS = "4317 6334 19530 50051"
_PROTOCOLS = {
    **{int(number): Protocol.TCP for number in (_TCP_PORTS + " " + _TLS_PORTS).split()},
    **{int(number): Protocol.H2C for number in _H2C_PORTS.split()},
}

_ACTS_BY_ITSELF = {
    "it runs what is due by the clock": """n8n huginn activepieces airflow dagster prefect kestra windmill node-red
        rundeck cronicle temporal temporalio/auto-setup ofelia chadburn healthchecks dkron supercronic home-assistant
        automatisch nextcloud miniflux freshrss tt-rss paperless-ngx""",
    "it watches other services": """changedetection.io uptime-kuma gatus statping diun watchtower dockcheck autoheal
        prometheus alertmanager grafana loki promtail alloy telegraf vector fluentd fluent-bit cadvisor node-exporter
        netdata glances beszel beszel-agent dozzle opentelemetry-collector opentelemetry-collector-contrib jaeger
        jaegertracing/all-in-one tempo signoz zabbix-server-pgsql zabbix-server-mysql victoria-metrics""",
    "it makes backups": """borgmatic restic duplicati kopia duplicacy docker-volume-backup postgres-backup-local
        postgres-backup-s3 mysql-backup backrest autorestic resticker pgbackrest""",
    "it works on queues and connections that come without requests": """act_runner gitlab-runner actions-runner
        github-runner drone-runner-docker syncthing transmission qbittorrent sonarr radarr prowlarr lidarr bazarr
        synapse docker-mailserver zigbee2mqtt frigate pihole adguardhome unifi-network-application mautrix-telegram
        teleport headscale""",
    "it is a way in for others": """traefik nginx-proxy nginx-proxy-manager caddy caddy-docker-proxy haproxy envoy kong
        swag cloudflared ngrok tailscale wireguard wg-easy gluetun bunkerweb pangolin newt docker-socket-proxy
        socket-proxy oauth2-proxy apisix""",
}
"""Programs that have to run without a request, by the reason."""

_REASONS = {name: reason for reason, names in _ACTS_BY_ITSELF.items() for name in names.split()}
_TCP_BY_NAME = {name: number for number, names in _TCP_IMAGES.items() for name in names.split()}
_HTTP_BY_NAME = {name: number for number, names in _HTTP_IMAGES.items() for name in names.split()}


def acts_by_itself(image: str | None) -> str:
    """Why a service of that image has to run without a request; empty for every other."""
    return next((_REASONS[name] for name in _names(image) if name in _REASONS), "")


def ports(image: str | None, exposed: Sequence[int], checked: int | None) -> tuple[Port, ...]:
    """The ports of a service, the main one first; none where nothing is known of any.

    `exposed`: every TCP port that the file names, in its order. `checked`: the port that its healthcheck asks by HTTP.
    """
    names = _names(image)
    main = next((_TCP_BY_NAME[name] for name in names if name in _TCP_BY_NAME), None)
    if main is not None:
        # A database moved to another port is still one, and has no page that would wake it.
        numbers = [main, *exposed] if main in exposed or not exposed else list(exposed)
        return _named([(number, Protocol.TCP) for number in dict.fromkeys(numbers)])
    numbers = list(dict.fromkeys([*exposed, *([checked] if checked else [])]))
    if not numbers:
        numbers = [_HTTP_BY_NAME[name] for name in names if name in _HTTP_BY_NAME]
    known = [(n, Protocol.HTTP if n == checked else _PROTOCOLS.get(n, Protocol.HTTP)) for n in numbers]
    order = {Protocol.HTTP: 1, Protocol.H2C: 2, Protocol.TCP: 3}
    return _named(sorted(known, key=lambda one: 0 if one[0] == checked else order[one[1]]))


def _names(image: str | None) -> tuple[str, str]:
    """`registry:5000/org/NAME:tag@digest` → `org/NAME` and `NAME`."""
    steps = (image or "").lower().partition("@")[0].split("/")
    steps[-1] = steps[-1].partition(":")[0]
    return "/".join(steps[-2:]), steps[-1]


def _named(found: Sequence[tuple[int, Protocol]]) -> tuple[Port, ...]:
    return tuple(
        Port("main" if index == 0 else f"p{number}", number, protocol) for index, (number, protocol) in enumerate(found)
    )
