"""Keys of subjects, and their erasure, through the functions of `migrations/subjects.sql`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Exists, Float, Integer, Uuid, column, exists, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import erasure, erasure_subject, generation, subject_key, worker_presence
from cdc_masker.ports import Awaited
from cdc_masker.subjects import Asked, Held, Log, News, Standing, SubjectName

__all__ = ["PostgresErasures", "PostgresSubjects"]


class PostgresSubjects:
    """The port `SubjectStore` on PostgreSQL: what a worker may do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(self, asked: Sequence[Asked], log: Log, batch_end: int) -> list[Standing]:
        """What is known of each subject, in order; a key that is not there is made of the candidate."""
        content = [
            {"place": place, **_named(one.name), "epoch": one.epoch, "candidate": one.candidate.hex(), "renew": one.renew}
            for place, one in enumerate(asked)
        ]
        answer = _functions(self._database).subject_keys(
            literal(content, JSON), log.topic, log.incarnation, log.partition, literal(batch_end, BigInteger)
        )
        rows = answer.table_valued(column("place", Integer), "wrapped", "erasing", column("erased", JSON))
        async with self._database.transaction() as connection:
            found = (await connection.execute(select(rows).order_by(rows.c.place))).all()
        return [Standing(row.wrapped, _offsets(row.erased or ()), row.erasing) for row in found]

    async def here(self, worker: UUID, name: str, knows: int | None, seconds: float) -> News:
        """Tells that the worker may use what it knows for so many seconds, and up to which erasure it has dropped keys."""
        call = _functions(self._database).worker_is_here(
            literal(worker, Uuid), name, literal(knows, BigInteger), literal(seconds, Float), type_=JSON
        )
        async with self._database.transaction() as connection:
            news = (await connection.execute(select(call))).scalar_one()
        return News(news["newest"], tuple(SubjectName(domain, bytes.fromhex(digest)) for domain, digest in news["names"]))

    async def leave(self, worker: UUID) -> None:
        """Tells that the worker holds no key any more."""
        async with self._database.transaction() as connection:
            await connection.execute(select(_functions(self._database).worker_leaves(literal(worker, Uuid))))


class PostgresErasures:
    """The port `ErasureStore` on PostgreSQL: what a custodian may do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def domains(self) -> list[str]:
        """The domains in which subjects have keys, or had them."""
        async with self._database.transaction() as connection:
            found = await connection.execute(select(subject_key.c.domain).union(select(erasure_subject.c.domain)))
            return sorted(found.scalars())

    async def topics(self) -> list[str]:
        """The raw topics that were ever masked."""
        async with self._database.transaction() as connection:
            return sorted((await connection.execute(select(generation.c.topic).distinct())).scalars())

    async def sample(self, domain: str) -> Held | None:
        """Some subject's row, by which to tell whether keys fit the catalog; of the newest epoch."""
        some = subject_key.select().where(subject_key.c.domain == domain).order_by(subject_key.c.key_epoch.desc()).limit(1)
        async with self._database.transaction() as connection:
            row = (await connection.execute(some)).first()
        return None if row is None else Held(SubjectName(domain, row.name), row.key_epoch, row.wrapped)

    async def find(self, name: SubjectName, epoch: int) -> Held | None:
        """The subject's key of that epoch, if there is one."""
        wanted = select(subject_key.c.wrapped).where(
            subject_key.c.domain == name.domain, subject_key.c.key_epoch == epoch, subject_key.c.name == name.digest
        )
        async with self._database.transaction() as connection:
            wrapped = (await connection.execute(wanted)).scalar_one_or_none()
        return None if wrapped is None else Held(name, epoch, wrapped)

    async def has_keys(self, names: Iterable[SubjectName]) -> bool:
        """Whether there is something to erase: a key of any of them, or an erasure that was begun."""
        wanted = [tuple(name) for name in names]
        held = exists().where(tuple_(subject_key.c.domain, subject_key.c.name).in_(wanted))
        async with self._database.transaction() as connection:
            return bool((await connection.execute(select(held | _in_erasure(wanted, complete=False)))).scalar_one())

    async def was_erased(self, names: Iterable[SubjectName]) -> bool:
        """Whether any of them was."""
        wanted = [tuple(name) for name in names]
        async with self._database.transaction() as connection:
            return bool((await connection.execute(select(_in_erasure(wanted, complete=True)))).scalar_one())

    async def begin(self, names: Iterable[SubjectName], reason: str) -> list[int]:
        """Begins to erase, or takes up what was begun. From now on, who asks gets no key of theirs. Gives the erasures."""
        call = _functions(self._database).begin_erasure(
            literal([_named(name) for name in names], JSON), reason, type_=ARRAY(BigInteger)
        )
        async with self._database.transaction() as connection:
            return list((await connection.execute(select(call))).scalar_one())

    async def awaited(self, number: int) -> list[Awaited]:
        """The workers that may still use keys which are being erased, up to that erasure."""
        left = func.extract("epoch", worker_presence.c.here_until - func.clock_timestamp())
        waiting = (
            select(worker_presence.c.name, left.label("seconds"))
            .where(left > 0, worker_presence.c.acknowledged < number)
            .order_by(worker_presence.c.name)
        )
        async with self._database.transaction() as connection:
            return [Awaited(row.name, float(row.seconds)) for row in await connection.execute(waiting)]

    async def complete(self, numbers: Sequence[int], ends: Mapping[Log, int]) -> bool:
        """Destroys the keys, stores up to where records are erased, and writes the receipts, all or nothing.

        False, and nothing was done: a worker has not acknowledged yet.
        """
        offsets = [{**log._asdict(), "next_offset": end} for log, end in ends.items()]
        call = _functions(self._database).complete_erasure(literal(list(numbers), ARRAY(BigInteger)), literal(offsets, JSON))
        async with self._database.transaction() as connection:
            return bool((await connection.execute(select(call))).scalar_one())


def _in_erasure(wanted: Sequence[tuple[object, ...]], *, complete: bool) -> Exists:
    return exists().where(
        tuple_(erasure_subject.c.domain, erasure_subject.c.name).in_(wanted),
        erasure_subject.c.number == erasure.c.number,
        erasure.c.completed_at.is_not(None) if complete else erasure.c.completed_at.is_(None),
    )


def _functions(database: Database) -> Any:
    return getattr(func, database.schema)


def _named(name: SubjectName) -> dict[str, str]:
    return {"domain": name.domain, "name": name.digest.hex()}


def _offsets(rows: Iterable[tuple[str, str, int, int]]) -> dict[Log, int]:
    """Where several erasures tell something about a log, the furthest holds."""
    found: dict[Log, int] = {}
    for topic, incarnation, partition, end in rows:
        log = Log(topic, incarnation, partition)
        found[log] = max(end, found.get(log, 0))
    return found
