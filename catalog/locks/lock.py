"""Makes the hash locks of the catalogue's Python packages from wanted.toml, by `uv pip compile`.

A lock records no host and no path, and holds for every platform that the packages have files for. That it is here, in
the repository, and not made at the first wake, is why a service that worked once works for everybody and for long:
the newest release of something far down has broken several of these programs since they were released.
Node packages: `npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts`, by hand.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
UV = Path(sys.executable).with_name("uv")
OPTIONS = "--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet"


def lock(name: str, wanted: dict) -> None:
    """Write NAME.txt. Raises CalledProcessError where the packages do not fit together."""
    with tempfile.TemporaryDirectory() as folder:
        asked, left_out = Path(folder, "asked.in"), Path(folder, "without.in")
        asked.write_text("\n".join([wanted["package"], *wanted.get("with", ())]) + "\n")
        left_out.write_text("".join(f'{package} ; python_version < "3"\n' for package in wanted.get("without", ())))
        words = [UV, "pip", "compile", *OPTIONS.split(), "--no-emit-index-url", "--no-emit-find-links"]
        if "before" in wanted:
            words += ["--exclude-newer", wanted["before"]]
        words += ["--override", left_out, asked, "--output-file", FOLDER / f"{name}.txt"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def main(names: list[str]) -> int:
    table = tomllib.loads((FOLDER / "wanted.toml").read_text())
    if unknown := [name for name in names if name not in table]:
        print(f"not in wanted.toml: {', '.join(unknown)}", file=sys.stderr)
        return 2
    for name in names or table:
        print(name, flush=True)
        lock(name, table[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
