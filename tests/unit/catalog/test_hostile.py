"""Files that nobody should have written: each is a clear fault, quickly, and nothing but CatalogError comes out."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.catalog.load import CatalogError, load

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 1.0
"""Seconds of this process's own time for one file; other programs of the machine do not count."""


def outcome(folder: Path, data: bytes) -> str:
    """The report, or an empty text for a good file. Any other exception is a failure of the test."""
    (folder / "c.yml").write_bytes(data)
    before = time.process_time()
    try:
        load([folder / "c.yml"], environ={})
        report = ""
    except CatalogError as error:
        report = error.render(str(folder))
    assert time.process_time() - before < LIMIT
    return report


def bomb(levels: int, width: int) -> bytes:
    lines = ["x-a0: &a0 [x]"]
    lines += [f"x-a{n}: &a{n} [{','.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join([*lines, "services: {a: {image: x}}"]).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "an alias bomb": (bomb(12, 9), "aliases may expand"),
    "a wide alias bomb": (bomb(3, 3000), "aliases may expand"),
    "brackets without end": (b"[" * 200_000, "nested more than 100 deep"),
    "braces without end": (b"{a: " * 50_000, "nested more than 100 deep"),
    "dashes without end": (b"- " * 100_000, "nested more than 100 deep"),
    "question marks without end": (b"? " * 50_000, "nested more than 100 deep"),
    "indentation without end": (b"".join(b" " * n + b"a:\n" for n in range(1500)), "nested more than 100 deep"),
    "brackets behind quoted ones": (b"['] ', " * 50_000, "nested more than 100 deep"),
    "an anchor inside itself": (b"services: &a {a: {image: x, x-a: *a}}", "cannot contain itself"),
    "a merge of itself": (b"services: &a {<<: *a}", "cannot contain itself"),
    "an alias of nothing": (b"services: *a", "undefined alias"),
    "a zero byte": (b"services: {a: {image: 'x\0'}}", "no such sign; is this a text file?, not U+0000"),
    "no UTF-8": (b"services: {a: {image: '\xff'}}", "has to be UTF-8, not byte 0xff"),
    "half a sign": (b"services: {a: {image: x}}\n# \xe2\x82", "has to be UTF-8"),
    "UTF-16": ("services: {a: {image: x}}".encode("utf-16"), "has to be UTF-8"),
    "an executable": (b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 100, ""),
    "a picture": (b"\x89PNG\r\n\x1a\n" + os.urandom(4096), "has to be UTF-8"),
    "a huge text": (b"services: {a: {image: '" + b"x" * 3_000_000 + b"'}}", "at most 2 MiB"),
    "a large text": (b"services: {a: {image: '" + b"x" * 2_000_000 + b"'}}", ""),
    "a long key": (b"services: {" + b"k" * 1_000_000 + b": 1}", "this is no YAML"),
    "a long quoted key": (b"services: {'" + b"k" * 900 + b"': 1}", "services.k"),
    "many values": (b"x-a:\n" + b"- 1\n" * 400_000, "more than 120000 values"),
    "many nested values": (b"- - -\n" * 300_000, "more than 120000 values"),
    "many documents": (b"--- {}\n" * 50_000, "more than 100 documents"),
    "many keys twice": (b"services: {" + b"a: {image: x}, " * 20_000 + b"}", "each key once"),
    "a Python object": (b"services: !!python/object/apply:os.system [id]", "a mapping of services"),
    "a long number": (b"services: {a: {image: x, mem_limit: " + b"9" * 5000 + b"}}", "services.a.mem_limit"),
    "a large exponent": (b"services: {a: {image: x, cpus: 1e999999999}}", "services.a.cpus"),
    "infinity": (b"services: {a: {image: x, cpus: .inf, mem_limit: .nan, scale: .inf}}", "services.a.cpus"),
    "defaults nested without end": (
        b"services: {a: {image: '" + b"${A:-" * 5000 + b"}" * 5000 + b"'}}",
        "services.a.image",
    ),
    "braces that never close": (b"services: {a: {image: '" + b"${A:-" * 50_000 + b"'}}", "services.a.image"),
    "a range of all ports": (b"services: {a: {image: x, ports: ['1-65535'], expose: [1-65535]}}", "at most 1000 ports"),
    "many ranges of all ports": (
        b"services: {a: {image: x, ports: [" + b", ".join(b"'%d-%d'" % (n, n + 900) for n in range(1, 2000)) + b"]}}",
        "at most 1000 ports",
    ),
    "a long name": (b"services: {" + b"a" * 900 + b": {image: x}}", "a name of 1 to 63"),
    "a name of signs": ("services: {'é/../\u202e': {image: x}}".encode(), "a name of 1 to 63"),
    "a line break in a name": (b'services: {"a\\nb: fine": {image: x}}', "a name of 1 to 63"),
    "empty": (b"", "the file is empty"),
    "blanks": (b" \n\n \n", "the file is empty"),
    "a byte-order mark": (b"\xef\xbb\xbfservices: {a: {image: x}}", ""),
    "carriage returns": (b"services:\r\n  a:\r\n    image: x\r\n", ""),
    "a number": (b"42", "a mapping with services at its top"),
    "many unknown keys": (b"services: {a: {" + b", ".join(b"q%d: 1" % n for n in range(50_000)) + b"}}", "q0"),
    "many services": (
        b"services: {" + b", ".join(b"s%d: {image: x}" % n for n in range(22_000)) + b"}",
        "at most 3000",
    ),
    "many faulty services": (b"services: {" + b", ".join(b"s%d: {imge: x}" % n for n in range(22_000)) + b"}", "imge"),
    "many odd placeholders": (
        b"services: {a: {image: x, x-hub: {local: {command: '" + b"{prot} " * 100_000 + b"'}}}}",
        "did you mean",
    ),
    "a ladder of aliases": (
        b"x-0: &a0 {}\n" + b"".join(b"x-%d: &a%d [*a%d]\n" % (n, n, n - 1) for n in range(1, 190)) + b"services: {}",
        "nested more than 100 deep when aliases are followed",
    ),
    "a ladder of merges": (
        b"x-0: &a0 {k0: 0}\n"
        + b"".join(b"x-%d: &a%d {<<: *a%d, k%d: 1}\n" % (n, n, n - 1, n) for n in range(1, 2000))
        + b"services: {}",
        "aliases may expand",
    ),
    "a ladder of services": (
        b"services:\n" + b"".join(b"  s%d: {image: x, extends: s%d}\n" % (n, n + 1) for n in range(1000)),
        "at most 20 deep",
    ),
    "a ladder of dependencies": (
        b"services:\n"
        + b"".join(b"  s%d: {image: x, depends_on: [s%d]}\n" % (n, n + 1) for n in range(1999))
        + b"  s1999: {image: x}\n",
        "",
    ),
    "many variables": (b"services: {a: {image: 'x" + b"$A" * 300_000 + b"'}}", ""),
    "a long list of faults": (
        b"services:\n" + b"".join(b"  a%d: {imgae: x}\n" % n for n in range(3000)),
        "… and ",
    ),
    "a circle of many": (
        b"services:\n" + b"".join(b"  a%d: {image: x, depends_on: [a%d]}\n" % (n, (n + 1) % 1000) for n in range(1000)),
        "in a circle",
    ),
    "everybody needs everybody": (
        b"services:\n"
        + b"".join(
            b"  a%d: {image: x, depends_on: [%s]}\n" % (n, b", ".join(b"a%d" % m for m in range(n))) for n in range(150)
        ),
        "",
    ),
    "many services at one port": (
        b"services:\n" + b"".join(b"  a%d: {image: x, ports: ['1:80']}\n" % n for n in range(1000)),
        "an address that is not taken",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_quick_and_clear_report(name: str, tmp_path: Path) -> None:
    data, wanted = HOSTILE[name]
    report = outcome(tmp_path, data)
    assert wanted in report
    assert all(len(line) < 1000 and line.isprintable() for line in report.splitlines())
    assert len(report.splitlines()) < 210
    if not wanted and name not in ("an executable",):
        assert report == ""


def test_a_file_that_is_not_there_or_no_file_is_a_fault(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    for path in (tmp_path / "nobody.yml", tmp_path, tmp_path / "pipe.yml", Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(CatalogError, match="can be read"):
            load([path], environ={})


@pytest.mark.parametrize(
    "data",
    [
        b"".join(b"V%d=${V%d}x\n" % (n + 1, n) for n in range(50_000)),
        b"V0=x\n" + b"".join(b"V%d=$V%d$V%d\n" % (n + 1, n, n) for n in range(100)),
        b"A='" * 100_000,
        b'A="' + b"$A" * 500_000 + b'"',
        b"A=" + b"${A:-" * 100_000,
        b"\n" * 1_000_000 + b"a b",
        b"\xff",
        bytes(range(256)) * 100,
        b"x" * 3_000_000,
    ],
)
def test_a_hostile_env_file_is_a_quick_report_or_good(data: bytes, tmp_path: Path) -> None:
    for name in (".env", "e.env"):
        (tmp_path / name).write_bytes(data)
        report = outcome(tmp_path, b"services: {a: {image: x, env_file: [{path: e.env, required: false}]}}")
        assert "Traceback" not in report
        (tmp_path / name).unlink()


def test_variables_that_expand_without_end_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=" + "x" * 900_000)
    report = outcome(tmp_path, b"services: {a: {image: x, labels: [" + b"$A, " * 20_000 + b"]}}")
    assert "variables come to at most" in report


def test_includes_that_double_at_every_step_are_read_once_each(tmp_path: Path) -> None:
    for number in range(18):
        include = f"include: [f{number + 1}.yml, ./f{number + 1}.yml]\n" if number < 17 else ""
        (tmp_path / f"f{number}.yml").write_text(include + f"services: {{s{number}: {{image: x}}}}\n")
    before = time.process_time()
    assert len(load([tmp_path / "f0.yml"], environ={}).services) == 18
    assert time.process_time() - before < LIMIT


def test_includes_without_end_are_a_fault(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"f{number}.yml").write_text(
            f"include: [f{number + 1}.yml]\nservices: {{s{number}: {{image: x}}}}\n"
        )
    with pytest.raises(CatalogError, match="nested at most 20 deep"):
        load([tmp_path / "f0.yml"], environ={})


# -- mutations ---------------------------------------------------------------------------------------------------------

Mutation = Callable[[random.Random, bytes], bytes]
TOKENS = (
    b": ", b"- ", b"[", b"]", b"{", b"}", b"*", b"&a ", b"<<: *a", b"!!int ", b"!reset ", b"'", b'"', b"|", b">", b"#",
    b"%", b"@", b"?", b"---\n", b"...\n", b"\t", b"\0", b"\xff", b"null", b"~", b"0x", b"1e9", b"-1", b"9" * 20,
    b"true", b"2024-01-01", b"22:22", b"${", b"$", b"x-hub: ", b"services:\n",
    b"include: [c.yml]\n", b"\r", b"\xc2\x85",
)  # fmt: skip
SWAPS = (
    b"[1, 2]",
    b"{a: b}",
    b"text",
    b"7",
    b"-7",
    b"1.5",
    b"true",
    b"null",
    b'""',
    b"[[]]",
    b"{}",
    b"2024-01-01",
    b"5m",
)


def flipped(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]


def cut(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at + dice.randrange(1, 200) :]


def truncated(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(len(data))]


def doubled_line(dice: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = dice.randrange(len(lines))
    return b"".join([*lines[:at], lines[at], *lines[at:]])


def moved_line(dice: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    line = lines.pop(dice.randrange(len(lines)))
    lines.insert(dice.randrange(len(lines) + 1), line)
    return b"".join(lines)


def indented(dice: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = dice.randrange(len(lines))
    lines[at] = b" " * dice.randrange(1, 5) + lines[at] if dice.random() < 0.5 else lines[at].lstrip(b" ")
    return b"".join(lines)


def with_token(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + dice.choice(TOKENS) + data[at:]


def with_swapped_value(dice: random.Random, data: bytes) -> bytes:
    values = list(re.finditer(rb"(?<=: )[^\n]+", data))
    if not values:
        return data
    value = dice.choice(values)
    return data[: value.start()] + dice.choice(SWAPS) + data[value.end() :]


def with_swapped_keys(dice: random.Random, data: bytes) -> bytes:
    keys = list(re.finditer(rb"[A-Za-z_-]+(?=:)", data))
    if len(keys) < 2:
        return data
    one, other = sorted(dice.sample(keys, 2), key=lambda match: match.start())
    return data[: one.start()] + other.group() + data[one.end() : other.start()] + one.group() + data[other.end() :]


MUTATIONS: tuple[Mutation, ...] = (
    flipped, cut, truncated, doubled_line, moved_line, indented, with_token, with_swapped_value, with_swapped_keys,
)  # fmt: skip


def originals() -> list[bytes]:
    """The real catalogue, its includes apart: each file is read alone."""
    files = [ROOT / "docker-compose.distributed-ai.yml", *sorted((ROOT / "catalog").glob("*.yml"))]
    return [re.sub(rb"(?m)^include:\n(?:  - .*\n)+", b"", file.read_bytes()) for file in files]


@pytest.mark.parametrize("batch", range(10))
def test_five_hundred_mutated_catalogues_are_reports_or_good(batch: int, tmp_path: Path) -> None:
    texts = originals()
    broken = 0
    for number in range(50):
        dice = random.Random(batch * 50 + number)
        data = dice.choice(texts)
        for _ in range(dice.randrange(1, 6)):
            data = dice.choice(MUTATIONS)(dice, data or b"services: {}\n")
        report = outcome(tmp_path, data)
        broken += bool(report)
        assert "Traceback" not in report
        assert all(re.match(r"(c\.yml|.*: )|\d+ fault|… and", line) for line in report.splitlines())
    assert broken > 10
