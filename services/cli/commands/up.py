"""`aihub up`: becomes the supervisor, or starts one in the background and waits until the hub answers."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import time
from pathlib import Path

import click

import services
from services.catalog.addresses import is_domain
from services.cli import access, containers, options
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.layout import Layout
from services.supervisor import lock
from services.supervisor.config import SCALER, Exit, Listen

_CATALOG = "docker-compose.distributed-ai.yml"
_EXPOSED = (
    "note: other machines can reach the gateway now, and with it every service, notebooks and shells among them; the"
    " hub asks nobody for a password: give the services theirs, or keep the port behind something that does"
)
_UP_LIMIT = 180.0
_LOOK = 0.05


def _listen(context: click.Context, parameter: click.Parameter, value: str) -> Listen:
    try:
        return Listen.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def _domain(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A DNS name or an IP address: what stands in the Host header of other machines' requests."""
    if value is None or is_domain(value.lower()):
        return value.lower() if value else None
    raise click.BadParameter(f"{value!r} is no DNS name such as box.lan, and no IPv4 address", context, parameter)


def _check_tls(cert: Path, key: Path) -> None:
    """Raises Failure where Envoy could not serve with them."""
    import ssl

    def password() -> str:
        raise Failure(f"--tls-key {key} asks for a password; the hub wants one without", code=Exit.BAD_INPUT)

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password)
    except OSError as error:
        is_other = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        why = "the key is not that of the certificate" if is_other else "no certificate with its key, in PEM form"
        raise Failure(f"--tls-cert {cert} --tls-key {key}: {why}", code=Exit.BAD_INPUT) from None


@click.command()
@click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help=f"Compose file or glob; repeatable. With --driver docker each is a project. Default: {_CATALOG}.",
)
@containers.driver
@containers.names
@options.data
@click.option("--listen", callback=_listen, default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT")
@click.option(
    "--domain",
    callback=_domain,
    metavar="NAME",
    help="What other machines call this one: DOMAIN is the gateway there, NAME.DOMAIN a service.",
)
@click.option(
    "--memory", type=options.Size(), help="What all services together may take, as in 8G. Default: the host's."
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), help="Threads of the gateway. Default: one a core, 4 at most."
)
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Serve HTTPS with it.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--consul",
    envvar="AIHUB_CONSUL",
    metavar="URL",
    help="Tell a Consul what runs here, and serve what other hosts registered there. Its token: $AIHUB_CONSUL_TOKEN.",
)
@click.option("--detach", "-d", is_flag=True, help="Return once the hub answers; it goes on in the background.")
@click.option("--scaler", default=SCALER, hidden=True, help="Python module to run as the scaler.")
def up(
    catalogs: tuple[str, ...],
    driver: str,
    project_name: str | None,
    lazy: str | None,
    names: str | None,
    layout: Layout,
    listen: Listen,
    domain: str | None,
    memory: int | None,
    concurrency: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    consul: str | None,
    detach: bool,
    scaler: str,
) -> None:
    """Start the hub.

    In the foreground until Ctrl-C or SIGTERM, which end every process of it; data stays. What a killed hub left running
    is taken over.

    \b
    Examples:
      aihub up --detach
      aihub up --listen 127.0.0.1:9000 --data ~/other-hub
      aihub up --catalog my-services.yml --memory 8G
      aihub up --listen 0.0.0.0:8443 --domain box.lan --tls-cert cert.pem --tls-key key.pem
      aihub up --driver docker --catalog 'stacks/*/compose.yml' --lazy all

    Exit codes: 2 the catalogue has faults, 3 a hub already runs on the data folder, 4 the address is taken.
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if tls_cert and tls_key:
        _check_tls(tls_cert, tls_key)
    containers.check_together(driver, project_name, lazy, names)
    files = _catalogs(catalogs)
    if project_name is not None and len(files) > 1:
        raise click.UsageError(f"--project-name is for one file; --catalog names {len(files)}")
    if lazy is not None:
        containers.tell_choice([Path(file) for file in files], project_name, lazy)
    if not listen.is_loopback:
        click.echo(_EXPOSED, err=True)
    # -P: a folder named `services` where the user happens to stand must not be taken for ours.
    argv = [sys.executable, "-P", "-m", "services.supervisor", "--data", str(layout.data), "--listen", str(listen)]
    argv += ["--scaler", scaler, "--driver", driver]
    for catalog in files:
        argv += ["--catalog", catalog]
    said = {
        "--domain": domain,
        "--memory": memory,
        "--concurrency": concurrency,
        "--lazy": lazy,
        "--project-name": project_name,
        "--names": names,
    }
    for option, value in said.items():
        argv += [option, str(value)] if value is not None else []
    if tls_cert and tls_key:
        argv += ["--tls-cert", str(tls_cert.resolve()), "--tls-key", str(tls_key.resolve())]
    if consul:
        os.environ["AIHUB_CONSUL"] = consul
    if not detach:
        os.execv(sys.executable, argv)
    _in_background(argv, layout)
    click.echo(access.tell(Hub(layout).status()))


def _catalogs(said: tuple[str, ...]) -> list[str]:
    """Absolute paths. Raises Failure where one of them names no file."""
    if not said:
        own = Path(services.__file__).parents[1] / _CATALOG
        found = own if own.is_file() else Path(_CATALOG).resolve()
        if not found.is_file():
            raise Failure(
                f"no {_CATALOG} here", code=Exit.BAD_INPUT, remedy="Name a catalogue: aihub up --catalog FILE"
            )
        return [str(found)]
    files: list[str] = []
    for pattern in said:
        matches = sorted(glob.glob(os.path.expanduser(pattern))) if glob.has_magic(pattern) else [pattern]
        if os.path.isdir(pattern):
            remedy = f"Name the compose file in it: --catalog {os.path.join(pattern, 'compose.yml')}"
            raise Failure(f"--catalog {pattern} is a folder", code=Exit.BAD_INPUT, remedy=remedy)
        if not matches or not all(os.path.isfile(match) for match in matches):
            raise Failure(f"--catalog {pattern}: no such file", code=Exit.BAD_INPUT)
        files += [os.path.abspath(match) for match in matches]
    return files


def _in_background(argv: list[str], layout: Layout) -> None:
    """Start the supervisor in a session of its own, pass on what it says until the hub is up. Raises Failure."""
    if (pid := lock.holder(layout.lock)) is not None:
        who = f" (pid {pid})" if pid else ""
        raise Failure(
            f"a hub already runs on {layout.data}{who}",
            code=Exit.WRONG_STATE,
            remedy="`aihub status` shows it, `aihub down` ends it; --data DIR starts another one beside it.",
        )
    log = layout.logs / "supervisor.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("ab")
    except OSError as error:
        raise Failure(f"cannot write {log}: {error.strerror}", remedy="Choose another folder: --data DIR") from None
    with output:
        begin = output.tell()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
    _follow(process, log, begin)


def _follow(process: subprocess.Popen[bytes], log: Path, begin: int) -> None:
    deadline = time.monotonic() + _UP_LIMIT
    with log.open("rb") as said:
        said.seek(begin)
        while True:
            ended = process.poll()
            text = said.read().decode(errors="replace")
            click.echo(text, nl=False, err=True)
            if ended is not None:
                raise SystemExit(ended or int(Exit.FAILED))
            if "hub is up at" in text:
                break
            if time.monotonic() > deadline:
                raise Failure(f"the hub is not up after {_UP_LIMIT:.0f} s", remedy=f"It goes on trying; see {log}")
            time.sleep(_LOOK)
    # It lives on without us: Popen must not warn that nobody waited for it.
    process.returncode = 0
