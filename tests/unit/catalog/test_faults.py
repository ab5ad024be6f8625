"""Every rule of a catalogue: what breaks it is told with its line and field, what would be right and what is there."""

# A broken line and its report stand side by side.
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from services.catalog.load import CatalogError, load

GOOD = 'image: x, profiles: [on-demand], ports: ["127.0.0.1:9000:80"]'


def faults(folder: Path, text: str, **others: str) -> list[str]:
    (folder / "c.yml").write_text(dedent(text))
    for name, body in others.items():
        (folder / name.replace("_dot_", ".")).write_text(dedent(body))
    with pytest.raises(CatalogError) as caught:
        load([folder / "c.yml"], environ={})
    report = caught.value.render(str(folder))
    assert report.splitlines()[-1].startswith(f"{len(caught.value.faults)} fault")
    return [fault.render(str(folder)) for fault in caught.value.faults]


def hub(body: str) -> str:
    return f"services:\n  a:\n    image: x\n    profiles: [on-demand]\n    x-hub: {{{body}}}\n"


RULES = {
    "port: 80, prot: 1": "c.yml:5:23: services.a.x-hub.prot: one of tier, description, port, ports, listen, health, path, "
    "web, stateless, scaling, wake, busy, uses, models, local, not 'prot' (did you mean 'port'?)",
    "port: 70000": "services.a.x-hub.port: a number up to 65535, not 70000",
    "port: many": "services.a.x-hub.port: a whole number, not 'many'",
    "port: 80, web: 7": "services.a.x-hub.web: true or false, not 7",
    "port: 80, tier: gold": "services.a.x-hub.tier: one of infra, persistent, on-demand, not 'gold'",
    "port: 80, description: [a]": "services.a.x-hub.description: a text, not a list",
    "port: 80, health: health": "services.a.x-hub.health: tcp, or a path that begins with /, such as /health, not 'health'",
    "port: 80, path: api/a": "services.a.x-hub.path: a path such as /api/a, with no / at its end, not 'api/a'",
    "port: 80, path: /api/a/": "services.a.x-hub.path: a path such as /api/a, with no / at its end, not '/api/a/'",
    "port: 80, path: /api/../b": "services.a.x-hub.path: a path such as /api/a",
    "port: 80, path: /": "services.a.x-hub.path: a path such as /api/a",
    "port: 80, path: /api": "services.a.x-hub.path: a path that the hub does not keep for itself, not '/api'",
    "port: 80, path: /v1/x": "services.a.x-hub.path: a path that the hub does not keep for itself, not '/v1/x'",
    "port: 80, path: /api/health": "services.a.x-hub.path: a path that the hub does not keep for itself",
    "port: 80, listen: 0": "services.a.x-hub.listen: a port such as 8123, or an address such as 127.0.0.1:8123, not '0'",
    "port: 80, listen: here": "services.a.x-hub.listen: a port such as 8123",
    "port: 80, listen: '300.0.0.1:80'": "services.a.x-hub.listen: a port such as 8123, or an address such as 127.0.0.1:8123",
    "port: 80, listen: 99999": "services.a.x-hub.listen: a port such as 8123",
    "port: 80, uses: b": "services.a.x-hub.uses: a list, not 'b'",
    "port: 80, uses: [a]": "services.a.x-hub.uses: other services than itself, not 'a'",
    "port: 80, uses: [nobody]": "services.a.x-hub.uses: the name of a service, not 'nobody'",
    "port: 80, models: {a: b}": "services.a.x-hub.models: a list, not a mapping",
    "port: 80, models: [1]": "services.a.x-hub.models[0]: a text, not 1",
    "web: true": "services.a: a port (under ports, or as x-hub.port), as requests to it wake a service on demand",
    "ports: {grpc: {port: 1}}": "services.a.x-hub.ports: a port named main, not 'grpc'",
    "ports: {main: {port: 1}, x: {port: 1}}": "services.a.x-hub.ports.x: a port of its own; main has this one, not 1",
    "ports: {main: {port: 1, protocol: udp}}": "services.a.x-hub.ports.main.protocol: one of http, h2c, tcp, not 'udp'",
    "ports: {main: {prot: 1, port: 1}}": "services.a.x-hub.ports.main.prot: one of port, protocol, not 'prot' "
    "(did you mean 'port'?)",
    "ports: {main: {protocol: tcp}}": "services.a.x-hub.ports.main.port: this key is needed",
    "ports: {main: {port: 1}, A_B: {port: 2}}": "services.a.x-hub.ports.A_B: a name of up to 30 small letters",
    "port: 2, ports: {main: {port: 1}}": "services.a.x-hub.port: 1 as in ports.main, or no port beside ports, not 2",
    "ports: {main: {port: 1, protocol: tcp}}, web: true": "services.a.x-hub.web: a main port that speaks http, not 'tcp'",
    "ports: {main: {port: 1, protocol: tcp}}, health: /x": "services.a.x-hub.health: tcp, as the main port does not",
    "port: 80, scaling: {idle_timeout: 300}": "services.a.x-hub.scaling.idle_timeout: a duration with units, such as 30s, "
    "5m or 1h30m, not 300",
    "port: 80, scaling: {idle_timeout: 0s}": "services.a.x-hub.scaling.idle_timeout: a duration above zero, such as 30s",
    "port: 80, scaling: {idle_timeout: -5s}": "services.a.x-hub.scaling.idle_timeout: a duration above zero",
    "port: 80, scaling: {idle_timeout: 99w99y}": "services.a.x-hub.scaling.idle_timeout: a duration with units",
    "port: 80, scaling: {stop_after: -1s}": "services.a.x-hub.scaling.stop_after: a duration of zero or more",
    "port: 80, scaling: {min_replicas: -1}": "services.a.x-hub.scaling.min_replicas: a number from 0 up, not -1",
    "port: 80, scaling: {max_replicas: 0}": "services.a.x-hub.scaling.max_replicas: a number from 1 up, not 0",
    "port: 80, scaling: {max_replicas: 1.5}": "services.a.x-hub.scaling.max_replicas: a whole number, not 1.5",
    "port: 80, stateless: true, scaling: {min_replicas: 3, max_replicas: 2}": "services.a.x-hub.scaling.min_replicas: at "
    "most max_replicas, which is 2, not 3",
    "port: 80, scaling: {max_replicas: 2}": "services.a.x-hub.scaling.max_replicas: 1, or stateless: true beside it: "
    "several replicas would share one service's data, not 2",
    "port: 80, scaling: {rest: hibernated}": "services.a.x-hub.scaling.rest: one of paused, stopped, not 'hibernated'",
    "port: 80, scaling: {idle: 5m}": "(did you mean 'idle_timeout'?)",
    "port: 80, wake: {hold: 0s}": "services.a.x-hub.wake.hold: a duration above zero",
    "port: 80, wake: {answer: [v1/models]}": "services.a.x-hub.wake.answer[0]: a path that begins with / and has no "
    "blanks, such as /health, not 'v1/models'",
    "port: 80, wake: {ignore_paths: ['/a b']}": "services.a.x-hub.wake.ignore_paths[0]: a path that begins with /",
    "port: 80, wake: {allow_origins: [example.org]}": "services.a.x-hub.wake.allow_origins[0]: an origin such as https://",
    "port: 80, busy: {cpu: 200%}": "services.a.x-hub.busy.cpu: a share of one core from 0 to 100%, such as 10%, not '200%'",
    "port: 80, busy: {http: busy}": "services.a.x-hub.busy.http: a path that begins with /",
    "port: 80, busy: {websocket_idle: 5}": "services.a.x-hub.busy.websocket_idle: a duration with units",
    "port: 80, local: {command: ''}": "services.a.x-hub.local.command: a command line, or a list of words, not ''",
    "port: 80, local: {command: []}": "services.a.x-hub.local.command: a command line, or a list of words",
    'port: 80, local: {command: "a \'b"}': "services.a.x-hub.local.command: a command whose quotes close, not 'a 'b'",
    "port: 80, local: {command: [a, true]}": "services.a.x-hub.local.command: a command line, or a list of words, not a list",
    "port: 80, local: {package: 'pypi:x==1'}": "services.a.x-hub.local.command: this key is needed",
    "port: 80, local: {command: x, package: chromadb}": "services.a.x-hub.local.package: a package of pypi or npm",
    "port: 80, local: {command: x, package: 'pypy:x==1'}": "did you mean 'pypi'?",
    "port: 80, local: {command: x, package: 'pypi:x'}": "services.a.x-hub.local.package: a package pinned to one version, "
    "pypi:NAME==VERSION, not 'pypi:x'",
    "port: 80, local: {command: x, package: 'pypi:x>=1'}": "services.a.x-hub.local.package: a package pinned to one version",
    "port: 80, local: {command: x, package: 'pypi:x==1.*'}": "services.a.x-hub.local.package: a package pinned to one",
    "port: 80, local: {command: x, package: 'npm:x@latest'}": "services.a.x-hub.local.package: a package pinned to one "
    "version, npm:NAME@VERSION",
    "port: 80, local: {command: x, package: 'npm:x@^1.2.3'}": "services.a.x-hub.local.package: a package pinned to one",
    "port: 80, local: {command: x, package: 'pypi:x==1', lock: no.txt}": "services.a.x-hub.local.lock: a file that is "
    "there, not 'no.txt'",
    "port: 80, local: {command: x, lock: no.txt}": "services.a.x-hub.local.lock: a package beside it, not 'no.txt'",
    "port: 80, local: {command: 'x {port:grpc}'}": "services.a.x-hub.local.command: a port of this service (main), not "
    "'{port:grpc}'",
    "port: 80, local: {command: 'x {url:olama}'}": "services.a.x-hub.local.command: the name of a service, not "
    "'{url:olama}'",
    "port: 80, local: {command: 'x {prot}'}": "services.a.x-hub.local.command: one of {port}, {data}, {models}, "
    "{public_url}, {url}, {python}, {hub}, not '{prot}' (did you mean 'port'?)",
    "port: 80, local: {command: x, environment: {A: '{url:b}'}}": "services.a.x-hub.local.environment.A: the name of a "
    "service, not a text that is not shown here",
    "port: 80, local: {command: x, environment: {A: [1]}}": "services.a.x-hub.local.environment.A: a text, a number",
    "port: 80, local: {command: x, requires: /bin/sh}": "services.a.x-hub.local.requires: a text of the form",
    "port: 80, local: {commnd: x}": "(did you mean 'command'?)",
    "port: 80, local: x": "services.a.x-hub.local: a mapping, not 'x'",
}


@pytest.mark.parametrize("body", RULES)
def test_every_rule_of_the_extension_is_told(body: str, tmp_path: Path) -> None:
    told = faults(tmp_path, hub(body))
    assert any(RULES[body] in line for line in told), told
    assert all(line.startswith("c.yml:") for line in told)


SERVICES = {
    "{Tabby: {image: x}}": "c.yml:1:12: services.Tabby: a name of 1 to 63 small letters, digits and dashes, as it becomes a "
    "host name and part of a URL, not 'Tabby' (such as tabby)",
    "{a_b: {image: x}}": "(such as a-b)",
    "{vectors: {image: x}}": "services.vectors: a name other than health, hub, tasks, usage, v1, vectors, which the hub",
    "{a: [x]}": "services.a: a mapping, not a list",
    "{a: {image: x, imgae: y}}": "c.yml:1:26: services.a.imgae: a key of a compose service, not 'imgae' (did you mean "
    "'image'?)",
    "{a: {image: x, xhub: {}}}": "services.a.xhub: a key of a compose service, not 'xhub' (did you mean 'x-hub'?)",
    "{a: {image: x, qqq: {}}}": "(keys of your own begin with x-)",
    "{a: {image: x, x-hub: 1}}": "services.a.x-hub: a mapping, not 1",
    "{a: {image: x, deploy: {replica: 1}}}": "(did you mean 'replicas'?)",
    "{a: {image: x, deploy: {resources: {limits: {memry: 1g}}}}}": "services.a.deploy.resources.limits.memry: one of cpus, "
    "memory, pids, not 'memry' (did you mean 'memory'?)",
    "{a: {image: x, mem_limit: 2X}}": "services.a.mem_limit: a size with a unit of 1024s, such as 512m or 2G, not '2X'",
    "{a: {image: x, cpus: 0}}": "services.a.cpus: a number of cores above 0 and up to 4096, such as 0.5 or 2, not 0",
    "{a: {image: x, cpus: 1, deploy: {resources: {limits: {cpus: 2}}}}}": "services.a.cpus: the same as "
    "deploy.resources.limits.cpus, or only one of the two, not 1",
    "{a: {image: x, stop_grace_period: -5s}}": "services.a.stop_grace_period: a duration of zero or more, such as 10s",
    "{a: {image: x, stop_signal: SIGFOO}}": "services.a.stop_signal: the name of a signal, such as SIGINT, not 'SIGFOO'",
    "{a: {image: x, ports: ['1:80', '2:81']}}": "services.a.ports: x-hub.port, or x-hub.ports with main: several ports are "
    "exposed (80, 81)",
    "{a: {image: x, ports: ['80:8x']}}": "services.a.ports[0]: a port such as 8080, 80:8080 or 127.0.0.1:80:8080/udp, not",
    "{a: {image: x, ports: [{target: 80, publish: 1}]}}": "(did you mean 'published'?)",
    "{a: {image: x, deploy: {replicas: 0}}}": "services.a: a port (under ports, or as x-hub.port), as requests",
    "{a: {image: x, scale: 0}}": "services.a: a port (under ports, or as x-hub.port), as requests",
    "{a: {image: x, x-hub: {web: true}}}": "services.a.x-hub.web: x-hub.port beside it: pages are served at a port",
    "{a: {image: x, x-hub: {port: 1, scaling: {min_replicas: 0}}}}": "at least 1 for a service that is not on demand, not 0 "
    "(profiles: [on-demand] lets it sleep)",
    "{a: {command: x}}": "services.a: an image, a build, or x-hub.local that says how it runs here",
    "{a: {image: x, depends_on: [ollma]}, ollama: {image: x}}": "services.a.depends_on.ollma: the name of a service, not "
    "'ollma' (did you mean 'ollama'?)",
    "{a: {image: x, depends_on: {b: {condition: healthy}}}, b: {image: x}}": "a condition of service_started, "
    "service_healthy, service_completed_successfully, not 'healthy'",
    "{a: {image: x, depends_on: {b: {condition: service_started, require: 1}}}, b: {image: x}}": "(did you mean 'required'?)",
    "{a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, c: {image: x, depends_on: [a]}}": "services that do "
    "not need each other in a circle: a → b → c → a",
    "{a: {image: x, depends_on: [b]}, b: {image: x, x-hub: {uses: [a]}}}": "need each other in a circle",
    f"{{a: {{image: x, depends_on: [b]}}, b: {{{GOOD}}}}}": "services.a.depends_on.b: required: false for a service on "
    "demand, not 'b' (without the profile, compose would refuse the whole file)",
    "{a: {image: x, depends_on: [b]}, b: {image: x, profiles: [debug]}}": "services.a.depends_on.b: a service that is "
    "enabled, not 'b' (its profile is not)",
    f"{{a: {{{GOOD}}}, b: {{{GOOD}}}}}": "services.b.ports: an address that is not taken by a (line 1 of c.yml), not "
    "'127.0.0.1:9000'",
    f"{{a: {{{GOOD}}}, b: {{image: x, ports: ['0.0.0.0:9000:80']}}}}": "an address that is not taken by a",
    "{a: {image: x, ports: ['[::1]:90:80']}, b: {image: x, ports: ['[::]:90:80']}}": "an address that is not taken by a (line 1 "
    "of c.yml), not '[::]:90'",
    f"{{a: {{{GOOD}}}, b: {{image: x, x-hub: {{port: 1, listen: 9000}}}}}}": "services.b.x-hub.listen: an address that is not",
    "{a: {image: x, ports: ['9:80', '9:81'], x-hub: {ports: {main: {port: 80}, b: {port: 81}}}}}": "an address that is not "
    "taken by another of its ports",
    "{a: {image: x, ports: ['0.0.0.0:9:80', '127.0.0.1:9:80']}}": "services.a.ports: an address that is not taken by another "
    "of its ports, not '127.0.0.1:9'",
    "{a: {image: x}, b: {image: x, x-hub: {path: /api/a}}}": "services.b.x-hub.path: a path of its own; a (line 1 of c.yml) "
    "has it, not '/api/a'",
    "{a: {image: x, volumes: ['data:/d']}}": "services.a.volumes[0]: a volume that is declared under volumes at the top",
    "{a: {image: x, env_file: no.env}}": "services.a.env_file[0]: a file that is there, or required: false, not 'no.env'",
    "{a: {image: x, labels: {aihub.prot: 1}}}": "services.a.x-hub.prot: one of",
    "{a: {image: x, labels: {aihub.scaling: 1, aihub.scaling.rest: paused}}}": "a key that is not also the beginning",
    "{a: {image: x, profiles: on-demand}}": "services.a.profiles: a list, not 'on-demand'",
    "{a: {image: 2024-01-01}}": "services.a.image: a text, not the date 2024-01-01",
}


@pytest.mark.parametrize("body", SERVICES)
def test_every_rule_of_services_is_told(body: str, tmp_path: Path) -> None:
    told = faults(tmp_path, f"services: {body}\n")
    assert any(SERVICES[body] in line for line in told), told


FILES = {
    "servces: {a: {image: x}}": "c.yml:1:1: servces: a key of a compose file, not 'servces' (did you mean 'services'?)",
    "services: [a]": "c.yml:1:1: services: a mapping of services, not a list",
    "": "c.yml: a mapping with services; the file is empty",
    "just text": "c.yml:1: a mapping with services at its top, not 'just text'",
    "services: {a: {image: x}}\nservices: {}": "c.yml:2:1: each key once; it is on line 1 already, not 'services'",
    "services:\n\ta: x": "c.yml:2:1: this is no YAML: found character that cannot start any token while scanning for the "
    "next token (YAML is indented with blanks, not tabs)",
    "services: {1: {image: x}}": "c.yml:1:12: keys are texts; put it in quotes, not '1'",
    "services: {a: {image: !!int x}}": "a value that fits its tag !!int, not 'x'",
    "services: {a: {<<: 3, image: x}}": "a mapping, or a list of mappings, to merge",
    "services: {a: {image: '${X'}}": "c.yml:1:16: services.a.image: a closing } after ${; write $$ for a dollar sign",
    "services: {a: {image: '${X:?say which}'}}": "services.a.image: the variable X to be set: say which",
    "services: {a: {image: x, environment: {A: '${X'}}}": "services.a.environment.A: a closing } after ${; write $$ for a "
    "dollar sign, not a text that is not shown here",
    "include: [.]": "is not: it is a folder; name the compose file in it",
    "include: [no.yml]": "c.yml:1:11: a file that can be read, which ",
    "include: x": "include: a list of files, not 'x'",
    "include: [{paths: a}]": "(did you mean 'path'?)",
    "include: [https://example.org/c.yml]": "include[0].path: the path of a file on this machine",
    "include: [c.yml]": "files include each other: c.yml → c.yml",
    "services: {a: {extends: b, image: x}, bb: {image: x}}": "services.a.extends: the name of a service, not 'b'",
    "services: {a: {extends: a}}": "services extend each other: a → a",
    "services: {a: {extends: 3, image: x}}": "services.a.extends: the name of a service, or a mapping with service",
}


@pytest.mark.parametrize("text", FILES)
def test_every_rule_of_files_is_told(text: str, tmp_path: Path) -> None:
    told = faults(tmp_path, text)
    assert any(FILES[text] in line for line in told), told


def test_a_required_variable_is_told_once_wherever_its_text_goes(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        """
        x-both: &both {environment: {A: "${NOPE?}"}}
        services:
          a: {image: x, <<: *both}
          b: {image: x, <<: *both, volumes: ["${NOPE?}:/x"]}
        """,
    )
    assert told == [
        "c.yml:2:30: services.a.environment.A: the variable NOPE to be set, not a text that is not shown here",
        "c.yml:5:38: services.b.volumes[0]: the variable NOPE to be set, not '${NOPE?}:/x'",
    ]


def test_all_faults_of_all_files_are_in_one_report_in_their_order(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        """
        include: [i.yml]
        services:
          a: {image: x, imgae: y, mem_limit: 2X}
          b: {image: x, x-hub: {prot: 1, scaling: {idle_timeout: 0s, rest: no}}}
        """,
        i_dot_yml="services: {c: {image: x, stop_signal: SIGFOO}}\n",
    )
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in told] == [
        "c.yml:4:17 services.a.imgae",
        "c.yml:4:27 services.a.mem_limit",
        "c.yml:5:25 services.b.x-hub.prot",
        "c.yml:5:44 services.b.x-hub.scaling.idle_timeout",
        "c.yml:5:62 services.b.x-hub.scaling.rest",
        "i.yml:1:26 services.c.stop_signal",
    ]


def test_no_value_of_an_environment_is_ever_shown(tmp_path: Path) -> None:
    text = """
        services:
          a: {image: x, environment: {TOKEN: "hunter2${"}}
          b: {image: x, environment: {TOKEN: [hunter2]}}
          c: {image: x, environment: [{TOKEN: hunter2}]}
          d: {image: x, environment: hunter2}
          e: {image: x, x-hub: {port: 1, local: {command: x, environment: {TOKEN: "hunter2{url:no}"}}}}
          f: {image: x, x-hub: {port: 1, local: {command: x, environment: hunter2}}}
        """
    told = faults(tmp_path, text)
    assert len(told) >= 6
    assert "hunter2" not in "\n".join(told)


def test_a_fault_in_a_merged_mapping_names_the_line_where_it_was_written(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        """
        x-all: &all
          stop_signal: SIGFOO
        services:
          a:
            <<: *all
            image: x
        """,
    )
    assert told == ["c.yml:3:3: services.a.stop_signal: the name of a signal, such as SIGINT, not 'SIGFOO'"]


def test_a_fault_in_an_env_file_names_its_line(tmp_path: Path) -> None:
    told = faults(tmp_path, "services: {a: {image: x, env_file: e.env}}", e_dot_env="A=1\nB C=2\n")
    assert told == ["e.env:2: lines have the form NAME=value"]


def test_no_file_at_all_is_a_fault() -> None:
    with pytest.raises(CatalogError, match="at least one catalogue file"):
        load([])


def test_a_process_in_the_background_names_whole_paths(tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        load([tmp_path / "c.yml"], environ={})
    assert caught.value.render("/").startswith(f"{tmp_path}/c.yml: ")
