"""`aihub completion`: the script by which a shell completes commands, options and names of services."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script.

    \b
    Examples:
      eval "$(aihub completion bash)"                                       # now; in ~/.bashrc: always
      aihub completion fish > ~/.config/fish/completions/aihub.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "aihub", "_AIHUB_COMPLETE").source())
