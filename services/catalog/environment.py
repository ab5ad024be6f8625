"""`env_file` of a service, short and long, → the variables that its `environment` goes over."""

from __future__ import annotations

import os
from pathlib import Path as FilePath

from services.catalog.dotenv import DotenvFault, parse, parse_raw
from services.catalog.faults import Findings
from services.catalog.keys import Shape, fits, flag
from services.catalog.merge import as_row
from services.catalog.project import Context
from services.catalog.store import Recorder
from services.catalog.tree import Mark, Path, Table, Value, where

_KEYS = ("path", "required", "format")


def env_files(
    value: Value, path: Path, raw: Table, context: Context, store: Recorder, findings: Findings
) -> dict[str, str | None]:
    """Variables of all the files in their order, a later one over an earlier one."""
    found: dict[str, str | None] = {}
    for index, item, mark in as_row(value).places():
        step: Path = (*path, "env_file", index)
        place = mark if mark.file else where(raw, ("env_file",))
        entry = item
        if isinstance(item, str):
            entry = Table(mark)
            entry.put("path", item, mark)
        if isinstance(entry, Table):
            found.update(_one(entry, step, place, found, context, store, findings))
        else:
            findings.at(place, step, "the path of a file, or a mapping with path", item)
    return found


def _one(
    entry: Table,
    path: Path,
    place: Mark,
    before: dict[str, str | None],
    context: Context,
    store: Recorder,
    findings: Findings,
) -> dict[str, str | None]:
    for key, _, mark in entry.places():
        if key not in _KEYS:
            findings.at(mark, (*path, key), f"one of {', '.join(_KEYS)}", key, findings.near(key, _KEYS))
    name, required, form = entry.get("path"), entry.get("required", True), entry.get("format", "")
    if not isinstance(name, str) or not name or not fits(Shape.FLAG, required) or form not in ("", "raw"):
        findings.at(place, path, "a mapping with path, required (true or false) and format (raw)", entry)
        return {}
    file = FilePath(os.path.normpath(context.directory / os.path.expanduser(name)))
    if not store.exists(file):
        if flag(required):
            findings.at(place, path, "a file that is there, or required: false", name)
        return {}
    try:
        text = store.text(file).data.decode("utf-8-sig")
        known = {key: text for key, text in before.items() if text is not None}
        return parse_raw(text) if form == "raw" else parse(text, {**known, **context.outer})
    except (OSError, UnicodeDecodeError) as error:
        findings.at(place, path, f"a text file that can be read: {error}", name)
    except DotenvFault as fault:
        findings.at(Mark(str(file), fault.line, 0), (), str(fault))
    return {}
