"""The contract of each port, held against its real implementation and the one in memory."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.errors import KeyringError, PolicyError, Reason
from cdc_masker.events import Acceptance, Fate
from cdc_masker.evidence import decode_entry, encode_entry
from cdc_masker.keys import CommandKeys, EnvironmentKeys, FileKeys, new_keyring, write
from cdc_masker.policies import EMPTY, Policy, Rule
from cdc_masker.ports import AuditStore, Generation, GenerationStore, KeySource, PolicySource
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from cdc_masker.testing import MemoryAudit, MemoryGenerations, MemoryKeys, MemoryPolicies
from tests.entries import TOPIC, entry, note
from tests.migrations.kit import Revisions

ENTRY = entry(
    10,
    19,
    gaps=((11, 11), (17, 18)),
    counts={Fate.MASKED: 5, Fate.CONTROL: 0, Fate.QUARANTINED: 1, Fate.DROPPED: 1},
    notes=(note(12, place="value", timestamp=-1), note(15, Reason.SIGNAL, fate=Fate.DROPPED)),
    shape_version=0,
)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def catalog(request: pytest.FixtureRequest) -> Settings | None:
    """A catalog without rows on a real server, or None: in memory."""
    if request.param == "memory":
        return None
    make: Callable[[str], Database] = request.getfixturevalue("fresh_database")
    settings = load(database_url=make("contract").dsn, database_ssl="disable")
    commands.upgrade(settings)
    return settings


@pytest.fixture
async def policies(catalog: Settings | None) -> AsyncIterator[PolicySource]:
    if catalog is None:
        yield MemoryPolicies()
        return
    async with open_catalog(catalog) as opened:
        yield opened.policies


@pytest.fixture
async def generations(catalog: Settings | None) -> AsyncIterator[GenerationStore]:
    if catalog is None:
        yield MemoryGenerations()
        return
    async with open_catalog(catalog) as opened:
        yield opened.generations


@pytest.fixture
async def audit(catalog: Settings | None) -> AsyncIterator[AuditStore]:
    if catalog is None:
        yield MemoryAudit()
        return
    async with open_catalog(catalog) as opened:
        yield opened.audit


async def test_policies_before_anybody_decided_redact_everything(policies: PolicySource) -> None:
    assert await policies.current() == await policies.current(1) == EMPTY
    with pytest.raises(PolicyError, match="key epoch 2: no policy of this epoch was released"):
        await policies.current(2)


@pytest.fixture
def rotated_catalog(catalog: Settings | None, tmp_path: Path) -> Settings | None:
    if catalog is not None:
        revisions = Revisions(tmp_path)
        changes = ("keep_column('s.t', 'a', reason='r')", "keep_column('s.t', 'b', reason='r')", "use_key_epoch(2)")
        for number, change in enumerate(changes):
            revisions.write(f"r{number}", f"r{number - 1}" if number else None, f"op.{change}")
        commands.upgrade(catalog, tmp_path)
    return catalog


@pytest.fixture
async def rotated(rotated_catalog: Settings | None) -> AsyncIterator[PolicySource]:
    """Three versions: the first two keep a column more each, the third has keys of another epoch."""
    if rotated_catalog is None:
        source = MemoryPolicies()
        for version, columns, epoch in ((1, "a", 1), (2, "ab", 1), (3, "ab", 2)):
            rules = [Rule(schema="s", table="t", column=column, method="keep", reason="r") for column in columns]
            source.release(Policy.of(version, key_epoch=epoch, rules=rules))
        yield source
        return
    async with open_catalog(rotated_catalog) as opened:
        yield opened.policies


async def test_policies_of_another_epoch_are_not_met(rotated: PolicySource) -> None:
    newest, first, second = await rotated.current(), await rotated.current(1), await rotated.current(2)
    assert (newest.version, newest.key_epoch) == (3, 2)
    assert (first.version, first.key_epoch, [rule.column for rule in first.rules]) == (2, 1, ["a", "b"])
    assert second == newest
    with pytest.raises(PolicyError, match="key epoch 3"):
        await rotated.current(3)


async def test_each_version_can_be_had(rotated: PolicySource) -> None:
    assert [((await rotated.at(version)).version, (await rotated.at(version)).key_epoch) for version in (3, 1, 2)] == [
        (3, 2),
        (1, 1),
        (2, 1),
    ]
    with pytest.raises(PolicyError, match="version 4"):
        await rotated.at(4)


FIRST, SECOND = Policy.of(3), Policy.of(4, key_epoch=2)


async def test_a_generation_keeps_the_epoch_and_the_version_that_it_began_under(generations: GenerationStore) -> None:
    assert await generations.live() == []
    assert await generations.register(1, [], FIRST) == {}
    a, b, c = Generation("a", 1, 1, 3), Generation("b", 1, 1, 3), Generation("c", 1, 2, 4)
    assert await generations.register(1, ["b", "a", "b"], FIRST) == {"a": a, "b": b}
    assert await generations.register(1, ["b", "c"], SECOND) == {"b": b, "c": c}


async def test_generations_of_a_topic_live_beside_each_other(generations: GenerationStore) -> None:
    await generations.register(2, ["b", "a"], SECOND)
    await generations.register(1, ["a"], FIRST)
    assert await generations.live() == [Generation("a", 1, 1, 3), Generation("a", 2, 2, 4), Generation("b", 2, 2, 4)]


async def test_generations_agree_when_asked_at_once(generations: GenerationStore) -> None:
    topics = [f"topic-{number}" for number in range(20)]
    asked = [generations.register(1, topics[start:], policy) for start in range(4) for policy in (FIRST, SECOND)]
    answers = await asyncio.gather(*asked)
    live = {generation.topic: generation for generation in await generations.live()}
    assert sorted(live) == sorted(topics)
    assert all(answer.items() <= live.items() for answer in answers)


async def test_audit_stores_each_entry_once(audit: AuditStore) -> None:
    second = entry(20)
    assert await audit.append([]) == 0
    assert await audit.append([ENTRY]) == 1
    assert await audit.append([ENTRY, second, second]) == 1
    assert await audit.append([ENTRY, second]) == 0


async def test_audit_leaves_what_is_there(audit: AuditStore) -> None:
    await audit.append([ENTRY])
    assert await audit.append([replace(ENTRY, last_offset=99, worker="other")]) == 0
    assert await audit.last(1, "topic-id", TOPIC, 3) == ENTRY


async def test_audit_takes_a_large_batch(audit: AuditStore) -> None:
    batch = [entry(start, start) for start in range(5000)]
    assert await audit.append(batch) == 5000
    assert await audit.last(1, "topic-id", TOPIC, 3) == batch[-1]


async def test_audit_knows_how_far_each_log_is_covered(audit: AuditStore) -> None:
    first = entry(5, 9)
    await audit.append([ENTRY, first])
    assert await audit.last(1, "topic-id", TOPIC, 3) == ENTRY
    assert [await audit.ending_at(1, "topic-id", TOPIC, 3, offset) for offset in (4, 8, 9, 19, 20)] == [
        None,
        None,
        first,
        ENTRY,
        None,
    ]
    for other in (
        (2, "topic-id", TOPIC, 3),
        (1, "topic-id-2", TOPIC, 3),
        (1, "topic-id", "other", 3),
        (1, "topic-id", TOPIC, 4),
    ):
        assert await audit.last(*other) is None
        assert await audit.ending_at(*other, 19) is None
    elsewhere = entry(3, 4, partition=4)
    await audit.append([elsewhere])
    assert sorted(await audit.last_of_each(), key=lambda each: each.partition) == [ENTRY, elsewhere]


async def test_audit_holds_whatever_an_entry_may_hold(audit: AuditStore) -> None:
    number, count = 2**31 - 1, 2**63 - 1
    name = "".join(chr(0x10000 + 37 * each) for each in range(249))  # four bytes each, and nothing to compress
    assert len(name) == 249
    widest = entry(
        count,
        count,
        generation=number,
        incarnation=name,
        topic=name,
        partition=number,
        counts=dict.fromkeys(Fate, count),
        columns={"\\u0000": {name: {name: count}}},
        gaps=((count, count),),
        notes=(
            note(0, topic=name, partition=number, timestamp=-(2**63), place=name),
            note(count, topic=name, partition=number, timestamp=count),
        ),
        policy_version=count,
        shape_version=count,
        key_epoch=number,
        masked_at=253_402_300_799_999,
        accepted=Acceptance(name, name, name),
    )
    assert decode_entry(encode_entry(widest)) == widest
    assert await audit.append([widest]) == 1
    assert await audit.last(number, name, name, number) == widest


@pytest.fixture(params=["memory", "file", "environment", "command"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> KeySource:
    ring = new_keyring()
    path = tmp_path / "keys.json"
    write(ring, path)
    sources: dict[str, KeySource] = {
        "memory": MemoryKeys(ring),
        "file": FileKeys(path),
        "environment": EnvironmentKeys(SecretStr(path.read_text())),
        "command": CommandKeys(shlex.join(["cat", str(path)])),
    }
    return sources[request.param]


def test_keys_derive_the_same_each_time(keys: KeySource) -> None:
    derived = keys.load().derive("tokenize", "email", 1)
    assert len(derived) == 32
    assert keys.load().derive("tokenize", "email", 1) == derived
    assert keys.load().derive("tokenize", "phone", 1) != derived
    with pytest.raises(KeyringError):
        keys.load().derive("tokenize", "email", 2)
