"""Replays in the catalog: how one begins, what it is told, how generations end, and what each function refuses to whom."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic import command

from cdc_masker import resources
from cdc_masker.catalog import Catalog, commands, open_catalog
from cdc_masker.errors import SetupError
from cdc_masker.policies import Policy
from cdc_masker.ports import Cutover, Generation, Replay, Stretch
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.migrations.kit import Revisions, query

pytestmark = pytest.mark.stack

A, B = Stretch("a", 0, "id", 5, 20), Stretch("b", 1, "other", 0, 0)


@pytest.fixture
async def catalog(settings: Settings, revisions: Revisions, login: Callable[[str], str]) -> AsyncIterator[Catalog]:
    """Two policy versions and generation 1 of three topics; whoever asks is an operator."""
    await asyncio.to_thread(commands.upgrade, settings, revisions.directory)
    async with open_catalog(settings) as opened:
        await opened.generations.register(1, ["a", "b", "c"], await opened.policies.at(1))
    async with open_catalog(load(database_url=await asyncio.to_thread(login, "operator"), database_ssl="disable")) as opened:
        yield opened


async def begun(catalog: Catalog, *stretches: Stretch) -> Replay:
    policy = await catalog.policies.at(1)
    return await catalog.replays.begin(policy, stays=True, pattern="a|b", reason="a new key", stretches=stretches)


def receipts(database: Database) -> list[tuple[object, ...]]:
    asked = (
        "SELECT kind, about, reason, detail::text, login LIKE 'operator%' FROM cdc_masker.receipt "
        "WHERE kind <> 'weaken' ORDER BY id"
    )
    return query(database.dsn, asked)


async def states(database: Database) -> dict[tuple[object, object], object]:
    rows = await asyncio.to_thread(query, database.dsn, "SELECT topic, generation, state FROM cdc_masker.generation")
    return {(topic, number): state for topic, number, state in rows}


async def test_a_replay_takes_the_next_number_and_registers_its_topics(catalog: Catalog) -> None:
    assert (await catalog.replays.find(2), await catalog.replays.all()) == (None, [])
    made = await begun(catalog, B, A)
    assert made == Replay(
        generation=2,
        policy_version=1,
        stays=True,
        pattern="a|b",
        reason="a new key",
        created_at=made.created_at,
        created_by=made.created_by,
        state="running",
        stretches=(A, B),
    )
    assert made.created_by.startswith("operator")
    assert [each for each in await catalog.generations.live() if each.number == 2] == [
        Generation("a", 2, 1, 1),
        Generation("b", 2, 1, 1),
    ]
    other = await begun(catalog)
    assert (other.generation, other.stretches) == (3, ())
    assert await catalog.replays.all() == [made, other]
    assert await catalog.replays.find(2) == made


async def test_replays_that_begin_at_once_get_numbers_of_their_own(catalog: Catalog, settings: Settings) -> None:
    async with open_catalog(settings) as second:
        made = await asyncio.gather(*(begun(each, A) for each in (catalog, second, catalog, second)))
    assert sorted(each.generation for each in made) == [2, 3, 4, 5]


async def test_what_can_not_begin_leaves_nothing(catalog: Catalog, database: Database) -> None:
    taken = "INSERT INTO cdc_masker.generation VALUES ('z', 1, 'masked.b.g2', 'live', 1, 1)"
    await asyncio.to_thread(query, database.dsn, taken)
    with pytest.raises(SetupError, match=r"topic masked\.b\.g2 is the output of another generation"):
        await begun(catalog, A, B)
    for wrong in (A._replace(start=-1), A._replace(start=21)):
        with pytest.raises(SetupError, match="23514"):
            await begun(catalog, wrong)
    with pytest.raises(SetupError, match="there is no policy version 9"):
        await catalog.replays.begin(Policy.of(9), stays=True, pattern="a", reason="r", stretches=[A])
    assert await catalog.replays.all() == []
    assert ("a", 2) not in await states(database)


async def test_a_replay_is_paused_resumed_and_cancelled(catalog: Catalog, database: Database, settings: Settings) -> None:
    made = await begun(catalog, A, B)
    for kind, state in (("pause", "paused"), ("resume", "running"), ("pause", "paused"), ("cancel", "cancelled")):
        await catalog.replays.tell(2, kind, f"why {kind}")  # type: ignore[arg-type]
        assert await catalog.replays.find(2) == replace(made, state=state)  # type: ignore[arg-type]
    for kind in ("resume", "cancel"):
        with pytest.raises(SetupError, match="replay 2 was cancelled"):
            await catalog.replays.tell(2, kind, "again")  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="generation 1 is no replay"):
        await catalog.replays.tell(1, "pause", "why")
    found = await states(database)
    assert (found["a", 1], found["a", 2], found["b", 2]) == ("live", "cancelled", "cancelled")
    assert await asyncio.to_thread(receipts, database) == [("cancel", "2", "why cancel", '{"topics" : ["a", "b"]}', True)]
    async with open_catalog(settings) as worker:
        for topic in ("a", "new"):
            with pytest.raises(SetupError, match=r"not live|replay 2 was cancelled"):
                await worker.generations.register(2, [topic], await worker.policies.at(1))
    assert (await begun(catalog, A)).generation == 3


async def test_what_was_told_is_heard(catalog: Catalog, database: Database) -> None:
    await begun(catalog, A)
    connection = await asyncpg.connect(database.dsn, ssl=False)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("cdc_masker", lambda *told: heard.put_nowait(str(told[3])))
    try:
        await catalog.replays.tell(2, "pause", "why")
        assert await asyncio.wait_for(heard.get(), 10) == "replay_event"
        await catalog.replays.close(1, ["a"], "why")
        assert await asyncio.wait_for(heard.get(), 10) == "generation"
    finally:
        await connection.close()


async def test_a_generation_is_closed_cut_over_and_retired(catalog: Catalog, database: Database) -> None:
    await begun(catalog, A, B)
    at = [Cutover("a", 0, 2, 1, 19, 15, 7), Cutover("b", 1, 2, 1, -1, 0, 0)]
    with pytest.raises(SetupError, match="generation 1 of topic a is not closed"):
        await catalog.replays.cut(at)
    with pytest.raises(SetupError, match="generation 1 of topic a is neither closed nor cancelled"):
        await catalog.replays.retire(1, ["a"], "why")
    with pytest.raises(SetupError, match="no later generation of topic c is live"):
        await catalog.replays.close(1, ["a", "c"], "why")
    with pytest.raises(SetupError, match="generation 1 of topic other is not live"):
        await catalog.replays.close(1, ["a", "other"], "why")
    assert set((await states(database)).values()) == {"live"}
    for _ in range(2):  # whoever was cut off does it again
        await catalog.replays.close(1, ["a", "b"], "new keys")
        await catalog.replays.cut(at)
        await catalog.replays.cut([each._replace(new_position=99) for each in at])
    with pytest.raises(SetupError, match="generation 2 is what consumers read"):
        await catalog.replays.tell(2, "cancel", "why")
    assert (await catalog.replays.cutovers(2), await catalog.replays.cutovers(3)) == (at, [])
    for _ in range(2):
        await catalog.replays.retire(1, ["a"], "nobody reads it")
    found = await states(database)
    assert (found["a", 1], found["b", 1], found["a", 2]) == ("retired", "closed", "live")
    assert await asyncio.to_thread(receipts, database) == [
        ("close", "1", "new keys", '{"topics" : ["a", "b"]}', True),
        ("retire-generation", "1", "nobody reads it", '{"topics" : ["a"]}', True),
    ]
    with pytest.raises(SetupError, match="generation 1 of topic a is not live"):
        await catalog.replays.close(1, ["a"], "why")


async def test_a_later_replay_can_be_cancelled_after_a_cut_over(catalog: Catalog, database: Database) -> None:
    await begun(catalog, A)
    await catalog.replays.close(1, ["a"], "why")
    assert (await begun(catalog, A)).generation == 3
    with pytest.raises(SetupError, match="generation 2 is what consumers read"):
        await catalog.replays.tell(2, "cancel", "why")  # though a later one is live: nobody was told to read that
    await catalog.replays.tell(3, "cancel", "why")
    await catalog.replays.retire(3, ["a"], "why")
    found = await states(database)
    assert (found["a", 2], found["a", 3]) == ("live", "retired")


async def test_an_operator_does_it_through_the_functions_only(catalog: Catalog, login: Callable[[str], str]) -> None:
    await begun(catalog, A)
    operator = await asyncio.to_thread(login, "operator")
    for statement in (
        "INSERT INTO cdc_masker.replay VALUES (9, 1, true, 't', 'why', now(), 'me')",
        "INSERT INTO cdc_masker.replay_event VALUES (default, now(), 'me', 2, 'pause', 'why')",
        "INSERT INTO cdc_masker.generation VALUES ('z', 1, 'masked.z', 'live', 1, 1)",
        "UPDATE cdc_masker.generation SET state = 'closed'",
        "INSERT INTO cdc_masker.audit_entry SELECT * FROM cdc_masker.audit_entry",
        "SELECT cdc_masker.release_policy('{}', '', '')",
        "SELECT cdc_masker.write_receipt('reveal', 'r', 'why', '{}')",
        "SELECT * FROM cdc_masker.subject_key",
        "SELECT * FROM cdc_masker.receipt",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncio.to_thread(query, operator, statement)


@pytest.mark.parametrize("role", ["worker", "auditor", "custodian", "retention", "migrator", "signer"])
async def test_nobody_else_does_it(catalog: Catalog, login: Callable[[str], str], role: str) -> None:
    await begun(catalog, A)
    other = await asyncio.to_thread(login, role)
    for call in (
        "begin_replay(3, 1, true, 'a', 'why', '[]', '[]')",
        "tell_replay(2, 'pause', 'why')",
        "close_generation(1, '{a}', 'why')",
        "record_cutovers('[]')",
        "retire_generation(1, '{a}', 'why')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncio.to_thread(query, other, f"SELECT cdc_masker.{call}")


def test_a_catalog_without_replays_is_upgraded_and_goes_down(settings: Settings, database: Database, tmp_path: Path) -> None:
    """As somebody has it whose policies were released before there were replays."""
    older = tmp_path / "older"
    shutil.copytree(resources.path("migrations"), older, ignore=shutil.ignore_patterns("0002_*"))
    policies = tmp_path / "policies"
    policies.mkdir()
    revisions = Revisions(policies)
    revisions.write("one", None, "op.keep_column('s.t', 'c', reason='r')")
    config = commands._config(settings, None)
    config.set_main_option("version_locations", f"{older / 'versions'}\n{policies}")
    command.upgrade(config, "heads")
    before = functions(database)

    commands.upgrade(settings, policies)
    assert asyncio.run(commands.position(settings, policies)).at_head
    assert query(database.dsn, "SELECT count(*) FROM cdc_masker.replay") == [(0,)]
    revisions.write("two", "one", "op.keep_column('s.t', 'd', reason='r')")
    commands.upgrade(settings, policies)
    assert query(database.dsn, "SELECT max(version) FROM cdc_masker.policy_version") == [(2,)]
    commands.downgrade(settings, "catalog_0001", policies)
    assert functions(database) == before
    guards = "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'cdc_masker_guard%' AND evtenabled = 'A'"
    assert query(database.dsn, guards) == [(2,)]


def functions(database: Database) -> list[tuple[object, ...]]:
    described = "SELECT proname::text, prosrc, proacl::text FROM pg_proc WHERE pronamespace = 'cdc_masker'::regnamespace"
    return sorted(query(database.dsn, described))
