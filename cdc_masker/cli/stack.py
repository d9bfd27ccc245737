"""`cdc-masker stack`: the local stack for people who develop against it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker.cli.progress import progress
from cdc_masker.stack import Stack, default_directory, fetch_jars

__all__ = ["app"]

app = typer.Typer(help="PostgreSQL, Kafka and Kafka Connect with Debezium, on this machine.", no_args_is_help=True)

Directory = Annotated[
    Path | None, typer.Option("--dir", help="Where data, logs and state are; below the cache directory if not given.")
]


@app.command()
def up(directory: Directory = None) -> None:
    """Start what doesn't run yet, leave it running, and print how to reach and how to stop it.

    What is printed on standard output is shell code: `eval "$(cdc-masker stack up)"` sets cdc-masker up for this stack.
    """
    with progress() as tell:
        stack = Stack(directory or default_directory(), tell)
        stack.up()
    print("\n".join(_directions(stack, directory)))


@app.command()
def down(
    directory: Directory = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete data, logs and state as well.")] = False,
) -> None:
    """Stop every part."""
    with progress() as tell:
        stack = Stack(directory or default_directory(), tell)
        if wipe:
            stack.wipe()
        else:
            stack.down()


@app.command()
def fetch() -> None:
    """Download what the stack runs on a JVM, unless that has been done."""
    with progress() as tell:
        jars = fetch_jars(tell)
    print(jars.servers.parent)


@app.command()
def status(directory: Directory = None) -> None:
    """Print which parts run; exit code 1 when one doesn't."""
    parts = Stack(directory or default_directory()).status()
    for part in parts:
        print(f"{part.name:<9} {f'running, process {part.pid}' if part.running else 'stopped':<24} log: {part.log}")
    if not all(part.running for part in parts):
        raise typer.Exit(1)


def _directions(stack: Stack, directory: Path | None) -> Iterator[str]:
    """How to use the stack, as shell code with comments."""
    option = f" --dir {shlex.quote(str(directory))}" if directory else ""
    database = stack.database()
    yield f"# PostgreSQL     psql {database.dsn}"
    yield f"# Kafka          {stack.kafka_brokers}"
    yield f"# Kafka Connect  {stack.connect_url}"
    yield f"# logs           {stack.log('kafka').parent}"
    yield f"# stop with      cdc-masker stack down{option}"
    for name, value in stack.environment().items():
        yield f"export {name}={shlex.quote(value)}"
