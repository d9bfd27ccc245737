"""Replays and the ends of generations, through the functions of `migrations/replays.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, ColumnElement, Integer, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import cutover, generation, replay, replay_event, replay_partition
from cdc_masker.events import output_topic
from cdc_masker.policies import Policy
from cdc_masker.ports import Cutover, Replay, Stretch

__all__ = ["PostgresReplays"]

_STATES: dict[str | None, Literal["running", "paused", "cancelled"]] = {
    None: "running",
    "resume": "running",
    "pause": "paused",
    "cancel": "cancelled",
}
_STRETCHES = replay_partition.c
_CUTOVERS = tuple(cutover.c[name] for name in Cutover._fields)


class PostgresReplays:
    """The port `ReplayStore` on PostgreSQL. Workers, operators and auditors may read, operators do the rest.

    `output_prefix` names the output topics of the generations that it begins.
    """

    def __init__(self, database: Database, output_prefix: str) -> None:
        self._database = database
        self._output_prefix = output_prefix

    async def find(self, generation: int) -> Replay | None:
        """The replay that makes this generation, None if none does."""
        found = await self._read(replay.c.generation == generation)
        return found[0] if found else None

    async def all(self) -> list[Replay]:
        """All of them, oldest first."""
        return await self._read()

    async def begin(self, policy: Policy, *, stays: bool, pattern: str, reason: str, stretches: Sequence[Stretch]) -> Replay:
        """Takes the next number, and registers the generation of each topic under `policy`, all or nothing.

        Raises `SetupError` for a version that is not in the catalog, and when the name of an output topic is taken.
        """
        content = [
            {**one._asdict(), "start_offset": one.start, "end_offset": one.end}
            for one in stretches  # the members that SQL does not ask for are no harm
        ]
        while True:
            number = await self._next()
            outputs = [
                {"topic": topic, "output_topic": output_topic(self._output_prefix, topic, number)}
                for topic in sorted({one.topic for one in stretches})
            ]
            begun = await self._call(
                "begin_replay",
                literal(number, Integer),
                literal(policy.version, BigInteger),
                stays,
                pattern,
                reason,
                literal(outputs, JSON),
                literal(content, JSON),
            )
            if begun:  # else somebody else has this number meanwhile
                (made,) = await self._read(replay.c.generation == number)
                return made

    async def tell(self, generation: int, kind: Literal["pause", "resume", "cancel"], reason: str) -> None:
        """Tells a replay what to do; whoever makes it hears that soon.

        Raises `SetupError` when there is none, when it was cancelled, and when consumers have nothing else if it is.
        """
        await self._call("tell_replay", literal(generation, Integer), kind, reason)

    async def close(self, generation: int, topics: Sequence[str], reason: str) -> None:
        """Closes the live generation of topics that have a later one, with a receipt. One that is closed stays so."""
        await self._call("close_generation", literal(generation, Integer), literal(list(topics), ARRAY(Text)), reason)

    async def cut(self, cutovers: Sequence[Cutover]) -> None:
        """Stores where closed generations were cut over; what is there for a partition stays."""
        await self._call("record_cutovers", literal([each._asdict() for each in cutovers], JSON))

    async def cutovers(self, generation: int) -> list[Cutover]:
        """Those to this generation, in the order of topics, partitions and what they close."""
        wanted = select(*_CUTOVERS).where(cutover.c.generation == generation)
        wanted = wanted.order_by(cutover.c.topic, cutover.c.partition, cutover.c.closes)
        async with self._database.transaction() as connection:
            return [Cutover(*row) for row in await connection.execute(wanted)]

    async def retire(self, generation: int, topics: Sequence[str], reason: str) -> None:
        """Retires the closed or cancelled generation of topics, with a receipt. One that is retired stays so."""
        await self._call("retire_generation", literal(generation, Integer), literal(list(topics), ARRAY(Text)), reason)

    async def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(getattr(func, self._database.schema), name)
        async with self._database.transaction() as connection:
            return (await connection.execute(select(function(*arguments)))).scalar_one()

    async def _next(self) -> int:
        taken = select(generation.c.generation).union_all(select(replay.c.generation)).subquery()
        async with self._database.transaction() as connection:
            newest: int | None = (await connection.execute(select(func.max(taken.c.generation)))).scalar_one()
        return max((newest or 0) + 1, 2)

    async def _read(self, *which: ColumnElement[bool]) -> list[Replay]:
        told = (
            select(replay_event.c.kind)
            .where(replay_event.c.generation == replay.c.generation)
            .order_by(replay_event.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        parts = (
            select(
                _STRETCHES.generation,
                _STRETCHES.topic,
                _STRETCHES.partition,
                _STRETCHES.incarnation,
                _STRETCHES.start_offset,
                _STRETCHES.end_offset,
            )
            .join(replay)
            .where(*which)
            .order_by(_STRETCHES.topic, _STRETCHES.partition)
        )
        async with self._database.transaction() as connection:
            rows = (await connection.execute(select(replay, told.label("told")).where(*which).order_by("generation"))).all()
            stretches: dict[int, list[Stretch]] = {}
            for number, *stretch in await connection.execute(parts):
                stretches.setdefault(number, []).append(Stretch(*stretch))
        return [
            Replay(
                generation=row.generation,
                policy_version=row.policy_version,
                stays=row.stays,
                pattern=row.pattern,
                reason=row.reason,
                created_at=row.created_at,
                created_by=row.created_by,
                state=_STATES[row.told],
                stretches=tuple(stretches.get(row.generation, ())),
            )
            for row in rows
        ]
