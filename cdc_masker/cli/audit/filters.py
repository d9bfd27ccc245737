"""Which entries the commands of `cdc-masker audit` are about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_masker.events import Fate

if TYPE_CHECKING:
    from cdc_masker.catalog.entries import Wanted

__all__ = ["Column", "Generation", "Outcome", "PolicyVersion", "Since", "Table", "Topic", "Until", "wanted"]

Topic = Annotated[str | None, typer.Option(help="Only this source topic.")]
Generation = Annotated[int | None, typer.Option(min=1, help="Only this generation.")]
Table = Annotated[str | None, typer.Option(help="Only batches with rows of this table: schema.table.")]
Column = Annotated[str | None, typer.Option(help="Only batches in which a column of this name was masked.")]
Outcome = Annotated[Fate | None, typer.Option(help="Only batches in which a record came out so.")]
PolicyVersion = Annotated[int | None, typer.Option(min=0, help="Only what was masked under this version.")]
Since = Annotated[datetime | None, typer.Option(help="Only what was masked since then, in UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Only what was masked before then, in UTC.")]


def wanted(
    topic: str | None,
    generation: int | None,
    table: str | None,
    column: str | None,
    outcome: Fate | None,
    policy_version: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Wanted:
    """What the options say."""
    from cdc_masker.catalog.entries import Wanted  # not on top: the database libraries take long to load

    return Wanted(
        topic=topic,
        generation=generation,
        table=table,
        column=column,
        outcome=outcome,
        policy_version=policy_version,
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
    )
