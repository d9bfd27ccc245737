"""The masked copies of raw topics: the epoch whose keys each is made with, and the policy version in whose shape it is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import generation
from cdc_masker.errors import SetupError
from cdc_masker.events import output_topic
from cdc_masker.policies import Policy
from cdc_masker.ports import Generation

__all__ = ["LIVE", "PostgresGenerations"]

LIVE = "live"

_COLUMNS = (generation.c.topic, generation.c.generation, generation.c.key_epoch, generation.c.policy_version)


class PostgresGenerations:
    """The port `GenerationStore` on PostgreSQL. `output_prefix` names the output topics of generations it registers."""

    def __init__(self, database: Database, output_prefix: str) -> None:
        self._database = database
        self._output_prefix = output_prefix

    async def live(self) -> list[Generation]:
        """All that are live; several of one topic may be."""
        wanted = select(*_COLUMNS).where(generation.c.state == LIVE).order_by(*_COLUMNS)
        async with self._database.transaction() as connection:
            return [Generation(*row) for row in await connection.execute(wanted)]

    async def ended(self, number: int) -> dict[str, str]:
        """By topic, the state of its generation `number`, where that is not live any more."""
        wanted = select(generation.c.topic, generation.c.state)
        wanted = wanted.where(generation.c.generation == number, generation.c.state != LIVE)
        async with self._database.transaction() as connection:
            return {row.topic: row.state for row in await connection.execute(wanted)}

    async def register(self, number: int, topics: Sequence[str], policy: Policy) -> dict[str, Generation]:
        """By raw topic, its generation `number`; one that is not there yet begins under `policy`.

        Workers that register the same ones at once agree. Raises `SetupError` for one that is not live any more, or whose
        output topic belongs to another raw topic.
        """
        wanted = sorted(set(topics))
        if not wanted:
            return {}
        there = select(*_COLUMNS).where(
            generation.c.topic.in_(wanted), generation.c.generation == number, generation.c.state == LIVE
        )
        async with self._database.transaction() as connection:
            found = {row.topic: Generation(*row) for row in await connection.execute(there)}
            if missing := [topic for topic in wanted if topic not in found]:
                rows = [self._row(number, topic, policy) for topic in missing]
                await connection.execute(insert(generation).on_conflict_do_nothing(), rows)
                found = {row.topic: Generation(*row) for row in await connection.execute(there)}
        for topic in wanted:
            if topic not in found:
                raise SetupError(
                    f"generation {number} of topic {topic} is not live in the catalog, or "
                    f"{output_topic(self._output_prefix, topic, number)} is the output of another topic; look into table "
                    "generation"
                )
        return found

    def _row(self, number: int, topic: str, policy: Policy) -> dict[str, str | int]:
        return {
            "topic": topic,
            "generation": number,
            "output_topic": output_topic(self._output_prefix, topic, number),
            "state": LIVE,
            "policy_version": policy.version,
            "key_epoch": policy.key_epoch,
        }
