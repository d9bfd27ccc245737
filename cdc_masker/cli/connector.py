"""`cdc-masker connector`: the source connector in Kafka Connect."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cdc_masker import settings
from cdc_masker.cli.progress import progress
from cdc_masker.connect import Connector
from cdc_masker.connect import render as render_configuration

__all__ = ["app"]

app = typer.Typer(help="Debezium's PostgreSQL connector, configured from settings.", no_args_is_help=True)


@app.command()
def render() -> None:
    """Print the configuration as JSON; it holds references to secrets, never a secret."""
    print(json.dumps(render_configuration(settings.load()), indent=2))


@app.command()
def apply(
    seconds: Annotated[float, typer.Option("--timeout", help="Seconds to wait until the connector runs.")] = 90.0,
) -> None:
    """Send the configuration to Kafka Connect unless it is there already, and wait until the connector runs."""
    loaded = settings.load()
    with progress() as tell:
        sent = Connector(loaded).apply(seconds, lambda told: tell(f"{loaded.connector_name}: {told}"))
    print(f"{loaded.connector_name} runs; its configuration was {'sent' if sent else 'there already'}")


@app.command()
def status() -> None:
    """Print the states of the connector and its tasks; exit code 1 unless all of them run."""
    loaded = settings.load()
    found = Connector(loaded).status()
    print(f"{loaded.connector_name}: {found or 'Kafka Connect has no connector of that name'}")
    if found is None or not found.running:
        raise typer.Exit(1)
