"""Small projects whose meaning compose and we have to agree on; each is files by name, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent


@dataclass(frozen=True)
class Case:
    name: str
    files: Mapping[str, str]
    order: tuple[str, ...] = ("compose.yml",)
    environ: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[str, ...] = ("*",)


def one(name: str, text: str, *, environ: Mapping[str, str] | None = None, **others: str) -> Case:
    """A case of one compose file, with other files by names whose dots and slashes are written `_dot_`, `_in_`."""
    files = {key.replace("_dot_", ".").replace("_in_", "/"): dedent(body) for key, body in others.items()}
    return Case(name, {"compose.yml": dedent(text), **files}, environ=environ or {})


def service(name: str, text: str, *, environ: Mapping[str, str] | None = None, **others: str) -> Case:
    """A case of one service whose body is `text`."""
    body = "services:\n  a:\n    image: x\n" + "".join(f"    {line}\n" for line in dedent(text).strip().splitlines())
    return one(name, body + "volumes: {vol: {}, other: {}}\n", environ=environ, **others)


AGREED = [
    one("a mapping of two services", "services: {a: {image: x}, b: {image: 'y:1'}}"),
    service(
        "environment as a mapping of every scalar",
        """
        environment: {A: on, B: 0777, C: -0, D: .5, E: 1e400, F: 12345678901234567890123, G: 1.0, H: ~, I: "", J: 1e21,
          K: 1.e5, L: 0b11, M: 190:20:30, N: 08, O: +5, P: 1_0.5, Q: yes, R: 0o17, S: 0x1F, T: true, U: False, V: 1e3,
          W: 1.50, X: 0.00001, Y: 1.5e-7, Z: 123456789.123,
          F1: 1e6, F2: 1234567.5, F3: 123456.5, F4: 1e20, F5: 0.0001, F6: 999999.5, F7: 2e6, F8: 1e15,
          F9: -1e7, FA: 100000.0}""",
    ),
    service("environment as a list", "environment: [A=1, B=, 'C=d=e', D, A=2]", environ={"D": "set"}),
    service("a name without a value is taken from the environment", "environment: {A: , B: }", environ={"A": "x"}),
    service(
        "quotes and blocks",
        """
        environment:
          A: 'it''s'
          B: "tab\\there"
          C: |
            two
            lines
          D: >-
            folded
            text
          E: "  kept  " """,
    ),
    service(
        "a variable and its forms",
        """
        environment: {A: $V, B: "${V}", C: "${V:-d}", D: "${V-d}", E: "${V:+r}", F: "${V+r}", G: "$$V",
          H: "a${V}b$V"}""",
        environ={"V": "value"},
    ),
    service(
        "the same forms of an empty variable",
        """
        environment: {A: $V, B: "${V}", C: "${V:-d}", D: "${V-d}", E: "${V:+r}", F: "${V+r}", G: "${V?}" }""",
        environ={"V": ""},
    ),
    service(
        "the same forms of a variable that is not set",
        """
        environment: {A: "x$V", B: "${V}", C: "${V:-d}", D: "${V-d}", E: "${V:+r}", F: "${V+r}"}""",
    ),
    service(
        "defaults nest",
        """
        environment: {A: "${X:-${Y:-z}}", B: "${X:-${V}-${V}}", C: "${V:+${V}s}", D: "${X:-{}}", E: "${X:-{x}y}",
          F: "${X:-a}b}", G: "${X:-$$a}", H: "${X:-a$}"}""",
        environ={"V": "v"},
    ),
    service("a dollar that begins no name stays", """environment: {A: "$1", B: "$", C: "a$", D: "$é", E: "$ {A}"}"""),
    service(
        "variables reach numbers and flags",
        """
        deploy: {replicas: "${N:-0}", resources: {limits: {memory: "${M:-1g}", cpus: "${C}"}}}
        stop_grace_period: ${G:-20s}""",
        environ={"C": "0.5"},
    ),
    service(".env beside the file", "environment: {A: $A, B: '${B}', C: $C}", _dot_env="A=1\nB='x y'\nC=${A}2\n"),
    service("the environment wins over .env", "environment: {A: $A}", environ={"A": "outer"}, _dot_env="A=inner\n"),
    service("a name without a value is taken from .env too", "environment: {A: }", _dot_env="A=1\n"),
    service("the project's name is a variable", "environment: {A: '${COMPOSE_PROJECT_NAME}'}"),
    one(
        "anchors, aliases and merge keys",
        """
        x-base: &base {image: x, environment: &env {A: 1, B: 2}, labels: {a: b}}
        x-more: &more {image: y, stop_signal: SIGINT}
        services:
          a: {<<: *base, image: own}
          b: {<<: [*more, *base], environment: {<<: *env, B: 3}}
          c: {<<: *base, <<: *base}
        """.replace("          c: {<<: *base, <<: *base}\n", ""),
    ),
    service(
        "env_file",
        "env_file: e.env",
        e_dot_env="""\
        # a comment
        A=1
        B="x\\ny $A"
        C='$A'
        D=a#b #c
        export F=f
        G: g
        I=
        J="a" trailing
        K="multi
        line"
        L=${A:-z}
        N= spaced value
        O=a\\nb
        P="a\\$A"
        Q='it'
        R="a\\"b"
        S='x\\'y'
        T= #c
        U=$$x
        1V=2
        W-X=1
        """,
    ),
    service(
        "several env_files, one of them absent",
        """
        env_file: [one.env, {path: two.env}, {path: three.env, required: false}]
        environment: {B: own}""",
        one_dot_env="A=1\nB=1\nC=1\n",
        two_dot_env="C=${A}2\nD=4\n",
    ),
    service("an env_file read raw", "env_file: [{path: e.env, format: raw}]", e_dot_env='A="q" #no\nB=$A\n#c\n\nC=\n'),
    service("a name alone in an env_file", "env_file: e.env", environ={"A": "outer"}, e_dot_env="A\nB\nC=1\n"),
    service("null in environment hides the env_file", "env_file: e.env\nenvironment: {A: }", e_dot_env="A=1\nB=2\n"),
    service("short ports", 'ports: ["8080", "127.0.0.1:81:80", 22, "9000:90", "1.2.3.4::70"]'),
    service(
        "ranges of ports",
        """
        ports: ["3000-3002:4000-4002/udp", "7000-7005:80", "9000-9001", "0.0.0.0:80-81:80-81"]""",
    ),
    service("ports on IPv6", 'ports: ["[::1]:90:90", "[::]:80:80/tcp"]'),
    service("ports that YAML 1.1 would take for sexagesimals", "ports: [22:22, 80:80, 40:40]"),
    service(
        "long ports",
        """
        ports:
          - {target: 80, published: "91", host_ip: 127.0.0.1, protocol: tcp, mode: host}
          - {target: "81", published: 92}
          - {target: 82, published: "90-92", protocol: udp}
          - {name: grpc, target: 83, app_protocol: grpc}""",
    ),
    service("the same port twice", 'ports: ["80:80", "80:80"]'),
    service("expose", 'expose: [80, "81", "90-92", "13/udp", "80"]'),
    service("labels as a list", "labels: [a=b, c, a=d]"),
    service("labels as a mapping", "labels: {a: null, b: 1.50, c: true, d: x}"),
    service("labels of ours are labels", "labels: {aihub.port: 80, aihub.scaling.idle_timeout: 5m}\nports: ['80']"),
    service(
        "short volumes",
        """
        volumes: ["vol:/d", "./x:/y:ro", "/anon", "~/h:/h", ".:/here", "../up:/up", "/a:/b:ro,z", "/c:/d2:rw",
          "v:/e"]""",
        environ={"HOME": "/home/somebody"},
    ),
    service(
        "long volumes",
        """
        volumes:
          - {type: bind, source: ./q, target: /z, read_only: true}
          - {type: volume, source: vol, target: /v}
          - {type: volume, target: /anonymous}
          - {type: tmpfs, target: /t}""",
    ),
    service("two volumes at one place", "volumes: ['vol:/d', 'other:/d']"),
    one("depends_on as a list", "services: {a: {image: x, depends_on: [b, c]}, b: {image: x}, c: {image: x}}"),
    one(
        "depends_on with conditions",
        """
        services:
          a:
            image: x
            depends_on:
              b: {condition: service_healthy, required: false}
              c: {condition: service_completed_successfully, restart: true}
          b: {image: x}
          c: {image: x}
        """,
    ),
    service(
        "limits and reservations",
        """
        deploy: {replicas: 0, resources: {limits: {memory: 2G, cpus: '1.5'}, reservations: {memory: 512m}}}""",
    ),
    service("the older limits", "mem_limit: 1.5g\nmem_reservation: 512M\ncpus: 0.5"),
    service("a limit said twice alike", "cpus: 1\ndeploy: {resources: {limits: {cpus: '1'}}}"),
    service("a size with a blank", "mem_limit: 1 gb"),
    service("a size in bytes", "mem_limit: 1073741824"),
    service("a size in binary units", "mem_limit: 2GiB"),
    service("a part of a size", "mem_limit: 0.5g"),
    service("a duration of every unit", "stop_grace_period: 1h5m30s20ms"),
    service("a duration with a part", "stop_grace_period: 1.5m"),
    service("a duration that begins with a point", "stop_grace_period: .5s"),
    service("a duration in days", "stop_grace_period: 1d"),
    service("a duration of nothing", 'stop_grace_period: "0"'),
    service("a stop signal", "stop_signal: SIGINT"),
    service("flags as YAML 1.1 wrote them", "init: yes\ntty: 'on'\nread_only: true"),
    service(
        "a healthcheck", 'healthcheck: {test: "curl -f http://localhost/h", interval: 1m30s, start_period: 5000ms}'
    ),
    service("null where compose takes it", "command:\nentrypoint:\ndeploy:"),
    one("keys of one's own", "x-any: {a: [1, {b: 2}]}\nservices: {a: {image: x, x-mine: {c: 1}}}"),
    one(
        "several documents in a file",
        "services: {a: {image: x, environment: {A: 1}}}\n---\nservices: {a: {environment: {B: 2}}}",
    ),
    Case(
        "two files merge",
        {
            "compose.yml": dedent("""
                services:
                  b:
                    image: x
                    ports: ["1:1", "2:2"]
                    environment: {A: 1, B: 2}
                    labels: [q=2, r]
                    command: y z
                    profiles: [p, q]
                    expose: ["9", 8]
                    volumes: ["vol:/d", "vol:/e"]
                    depends_on: {c: {condition: service_healthy}}
                    deploy: {resources: {limits: {memory: 1g, cpus: 1}}}
                volumes: {vol: {}, other: {}}
                """),
            "over.yml": dedent("""
                services:
                  b:
                    ports: ["2:2", "3:3"]
                    environment: [A=9, Z]
                    labels: {q: 1}
                    command: [x]
                    profiles: [q, z]
                    expose: [9]
                    volumes: ["other:/d:ro"]
                    depends_on: [c, d]
                    deploy: {resources: {limits: {cpus: 2}}}
                  c: {image: y}
                  d: {image: z}
                """),
        },
        ("compose.yml", "over.yml"),
        {"Z": "set"},
    ),
    Case(
        "reset and override",
        {
            "compose.yml": dedent("""
                services:
                  b:
                    image: x
                    ports: ["1:1", "2:2"]
                    environment: {A: 1}
                    labels: {q: 2, r: 1}
                    expose: [7]
                  c: {image: q}
                """),
            "over.yml": dedent("""
                services:
                  b: {ports: !override ["3:3"], environment: !reset {}, labels: {q: !reset null}, expose: !override [8]}
                  c: !reset {}
                """),
        },
        ("compose.yml", "over.yml"),
    ),
    one("override in a lone file", "services: {a: {image: x, stop_signal: !reset q, ports: !override ['9']}}"),
    one(
        "include, with a folder and .env of its own",
        """
        include: [here.yml, sub/inc.yml]
        services: {a: {image: x, depends_on: [b, c]}}
        """,
        here_dot_yml="services: {b: {image: '${IMG:-none}', volumes: ['./v:/v']}}",
        sub_in_inc_dot_yml="""
            services: {c: {image: '${IMG:-none}', environment: {IMG: }, volumes: ['./v:/v'], env_file: e.env}}
            """,
        sub_in__dot_env="IMG=fromsub\n",
        sub_in_e_dot_env="E=1\n",
    ),
    one(
        "the outer .env wins over the included one",
        "include: [sub/inc.yml]\nservices: {a: {image: $IMG}}",
        sub_in_inc_dot_yml="services: {c: {image: $IMG}}",
        sub_in__dot_env="IMG=inner\n",
        _dot_env="IMG=outer\n",
    ),
    one(
        "include in its long form",
        """
        include:
          - {path: [sub/one.yml, sub/two.yml], project_directory: other, env_file: [sub/x.env]}
        services: {a: {image: x}}
        """,
        sub_in_one_dot_yml="services: {c: {image: $X, volumes: ['./v:/v'], environment: {A: 1}}}",
        sub_in_two_dot_yml="services: {c: {environment: {A: 2, B: 3}}}",
        sub_in_x_dot_env="X=y\n",
        other_in_keep="x\n",
    ),
    one(
        "the same file included twice",
        "include: [i.yml, i.yml]\nservices: {a: {image: x}}",
        i_dot_yml="services: {b: {image: x}}",
    ),
    one(
        "includes include",
        "include: [sub/i.yml]\nservices: {a: {image: x}}",
        sub_in_i_dot_yml="include: [deep/j.yml]\nservices: {b: {image: x, volumes: ['./b:/b']}}",
        sub_in_deep_in_j_dot_yml="services: {c: {image: x, volumes: ['./c:/c']}}",
    ),
    one(
        "extends within a file",
        """
        services:
          base: {image: x, environment: {A: 1, B: 2}, ports: ["80"], labels: {l: 1}, depends_on: [c]}
          a: {extends: base, environment: [A=3], ports: ["81:81"], stop_signal: SIGINT}
          b: {extends: {service: a}, image: own}
          c: {image: y}
        """,
    ),
    one(
        "extends from another file",
        """
        services: {a: {extends: {file: sub/base.yml, service: b}, environment: {C: 3}}}
        volumes: {vol: {}}
        """,
        sub_in_base_dot_yml="""
            services:
              b: {extends: c, env_file: e.env, volumes: ['./v:/v', 'vol:/w', {type: bind, source: ./q, target: /q}]}
              c: {image: x, environment: {A: 1}}
            """,
        sub_in_e_dot_env="E=1\n",
    ),
    Case(
        "profiles choose",
        {
            "compose.yml": dedent("""
                services:
                  a: {image: x}
                  b: {image: x, profiles: [p]}
                  c: {image: x, profiles: [q, on-demand]}
                """)
        },
        profiles=("p", "on-demand"),
    ),
    Case(
        "a dependency that is not required may be disabled",
        {
            "compose.yml": dedent("""
                services:
                  a: {image: x, depends_on: {b: {condition: service_started, required: false}}}
                  b: {image: x, profiles: [p]}
                """)
        },
        profiles=("on-demand",),
    ),
    Case(
        "profiles of the environment",
        {"compose.yml": "services: {a: {image: x}, b: {image: x, profiles: [p]}, c: {image: x, profiles: [q]}}"},
        environ={"COMPOSE_PROFILES": "p,r"},
        profiles=(),
    ),
]

REFUSED = [
    service("a key twice", "labels: {a: 1, a: 2}"),
    service("an unknown key", "imgae: y"),
    one("an unknown key at the top", "service: {}\nservices: {a: {image: x}}"),
    one("a service that is nothing", "services: {a: }"),
    one("services that are nothing", "services:"),
    one("services that are a list", "services: [a]"),
    one("an empty file", ""),
    one("no mapping", "just text"),
    one("a tab", "services:\n\ta: 1"),
    service("a key that is a number", "environment: {1: a}"),
    service("an environment value that is a list", "environment: {A: [1]}"),
    service("an environment item that is a number", "environment: [1]"),
    service("an environment that is nothing", "environment:"),
    service("a date in the environment", "environment: {A: 2024-01-01}"),
    service("labels that are nothing", "labels:"),
    service("ports that are nothing", "ports:"),
    service("a required variable that is missing", 'environment: {A: "${X:?no x}"}'),
    service("a required variable that is empty", 'environment: {A: "${X:?}"}', environ={"X": ""}),
    service("a brace that does not close", 'environment: {A: "${X"}'),
    service("a brace without a name", 'environment: {A: "${}"}'),
    service("an operator nobody knows", 'environment: {A: "${X:x}"}'),
    service("a duration without a unit", "stop_grace_period: '10'"),
    service("a duration that is a number", "stop_grace_period: 10"),
    service("a duration with blanks", "stop_grace_period: 1h 5m"),
    service("a duration in years", "stop_grace_period: 1y"),
    service("a size of unknown unit", "mem_limit: 1x"),
    service("a size of nothing", "mem_limit: ''"),
    service("cpus that are no number", "cpus: many"),
    service("two limits that differ", "cpus: 1\ndeploy: {resources: {limits: {cpus: '2'}}}"),
    service("replicas below zero", "deploy: {replicas: -1}"),
    service("replicas that are no number", "deploy: {replicas: some}"),
    service("an unknown key in deploy", "deploy: {replica: 1}"),
    service("a port that is no number", 'ports: ["80:8x"]'),
    service("a port too high", 'ports: ["80:70000"]'),
    service("a published port too high", 'ports: ["80000:80"]'),
    service("ranges of different length", 'ports: ["8080-8081:1-3"]'),
    service("a host that is no address", 'ports: ["localhost:80:80"]'),
    service("a protocol nobody knows", 'ports: ["80:80/foo"]'),
    service("a long port without target", "ports: [{published: 80}]"),
    service("a port that is true", "ports: [true]"),
    service("a port that is a fraction", "ports: [1.5]"),
    service("a port that is zero", "ports: [0]"),
    service("a volume of unknown kind", "volumes: [{type: foo, target: /x}]"),
    service("a volume that is not declared", "volumes: ['nobody:/x']"),
    service("a network that is not declared", "networks: [nobody]"),
    service("a network that is not declared, with an alias", "networks: {default: , nobody: {aliases: [b]}}"),
    service("a dependency that does not exist", "depends_on: [b]"),
    service("a condition nobody knows", "depends_on: {a: {condition: foo}}"),
    service("a dependency without condition", "depends_on: {a: {}}"),
    one("a circle of dependencies", "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}"),
    service("an env_file that is missing", "env_file: nobody.env"),
    service("an env_file with a quote that does not close", "env_file: e.env", e_dot_env='A="x\n'),
    service("an env_file with a blank in a name", "env_file: e.env", e_dot_env="a b=1\n"),
    service("a healthcheck that names no kind", "healthcheck: {test: [a, b]}"),
    service("a healthcheck whose interval is a number", "healthcheck: {interval: 5}"),
    service("profiles that are a text", "profiles: on-demand"),
    one("neither image nor build", "services: {a: {command: x}}"),
    one("an include that is missing", "include: [nobody.yml]\nservices: {a: {image: x}}"),
    one(
        "an include that includes its includer",
        "include: [i.yml]\nservices: {a: {image: x}}",
        i_dot_yml="include: [compose.yml]\nservices: {b: {image: x}}",
    ),
    one(
        "a service that is also included",
        "include: [i.yml]\nservices: {b: {image: y}}",
        i_dot_yml="services: {b: {image: x}}",
    ),
    one("extends of nobody", "services: {a: {image: x, extends: nobody}}"),
    one("extends in a circle", "services: {a: {extends: b}, b: {extends: a}}"),
    one("two merge keys", "x-a: &a {image: x}\nservices: {a: {<<: *a, <<: *a}}"),
    one("an alias of nothing", "services: {a: *nobody}"),
    Case(
        "a mapping over a list",
        {
            "compose.yml": "services: {a: {image: x, ports: ['80']}}",
            "over.yml": "services: {a: {ports: {b: 1}}}",
        },
        ("compose.yml", "over.yml"),
    ),
    Case(
        "a dependency whose profile is not enabled",
        {"compose.yml": "services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}"},
        profiles=("on-demand",),
    ),
]
