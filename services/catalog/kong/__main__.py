"""`python -m services.catalog.kong --env prod --output FILE`: fill the rendered file in and put it where Kong reads it.

Owns files and exit codes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services import private_file
from services.catalog.dotenv import DotenvFault, parse
from services.catalog.kong.fill import Environment, FillError, filled

ROOT = Path(__file__).resolve().parents[3]
RENDERED = ROOT / "config" / "kong" / "kong.yml"


def variables(env_file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Of the file, and those of `environ` over them, as compose does it; a missing file has none.

    Raises DotenvFault, OSError, UnicodeDecodeError.
    """
    text = env_file.read_text("utf-8") if env_file.exists() else ""
    found = {name: value or "" for name, value in parse(text, {}).items()}
    return {**found, **{name: value for name, value in environ.items() if name.startswith("HUB_")}}


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    given = _arguments(arguments)
    try:
        found = variables(given.env_file, environ)
        changed = private_file.write(given.output, filled(given.rendered.read_text("utf-8"), Environment(given.env), found))
    except FillError as error:
        sys.stderr.writelines(f"error: {fault}\n" for fault in error.faults)
        return 1
    except DotenvFault as error:
        sys.stderr.write(f"error: {given.env_file}:{error.line}: {error}\n")
        return 1
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{'wrote' if changed else 'unchanged:'} {given.output}\n")
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.catalog.kong", description="Fill in Kong's file.")
    parser.add_argument("--env", choices=[str(name) for name in Environment], required=True)
    parser.add_argument("--output", type=Path, required=True, help="the file that Kong reads")
    parser.add_argument("--env-file", type=Path, default=ROOT / ".env", help="variables; default: .env of the checkout")
    parser.add_argument("--rendered", type=Path, default=RENDERED, help="default: config/kong/kong.yml")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
