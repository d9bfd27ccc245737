"""Which masked copy of a raw topic is the live one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, func, literal, select
from sqlalchemy.dialects.postgresql import Insert, insert

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import generation, policy_version
from cdc_masker.errors import SetupError

__all__ = ["PostgresGenerations"]

LIVE = "live"


class PostgresGenerations:
    """The port `GenerationStore` on PostgreSQL. `output_prefix` names the output topics of generations it registers."""

    def __init__(self, database: Database, output_prefix: str) -> None:
        self._database = database
        self._output_prefix = output_prefix

    async def live(self, topics: Sequence[str]) -> dict[str, int]:
        """The live generation of each raw topic; one that is new to the catalog is registered as generation 1.

        Workers that register the same topic at once agree. Raises `SetupError` for a topic whose output topic belongs
        to another one, or which has generations but no live one.
        """
        wanted = sorted(set(topics))
        if not wanted:
            return {}
        async with self._database.transaction() as connection:
            live = select(generation.c.topic, generation.c.generation).where(
                generation.c.topic.in_(wanted), generation.c.state == LIVE
            )
            found = {row.topic: row.generation for row in await connection.execute(live)}
            if missing := [topic for topic in wanted if topic not in found]:
                for topic in missing:
                    await connection.execute(self._registration(topic))
                found = {row.topic: row.generation for row in await connection.execute(live)}
        for topic in wanted:
            if topic not in found:
                raise SetupError(
                    f"topic {topic} has no live generation in the catalog, or {self._output_prefix}{topic} is the output "
                    "of another topic; look into table generation"
                )
        return found

    def _registration(self, topic: str) -> Insert:
        version = select(func.coalesce(func.max(policy_version.c.version), 0)).scalar_subquery()
        first = select(literal(topic), literal(1), literal(self._output_prefix + topic), literal(LIVE), version).where(
            ~exists().where(generation.c.topic == topic)
        )
        columns = ["topic", "generation", "output_topic", "state", "policy_version"]
        return insert(generation).from_select(columns, first).on_conflict_do_nothing()
