"""An incremental snapshot brings each row again while changes go on: masked, in the audit, and in the right order."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from typer.testing import CliRunner

from cdc_masker.cli import app
from cdc_masker.connect import Connector
from cdc_masker.doctor import examine
from cdc_masker.stack import Stack
from tests.integration.kit import CANARY, Deployment, until
from tests.integration.test_doctor import PROGRAM

pytestmark = pytest.mark.stack

ROWS = 600
CHANGED = 50
# Many small chunks, so that changes come in between; and Debezium looks for signals more often than every 5 s.
OPTIONS = {"incremental.snapshot.chunk.size": "5", "signal.poll.interval.ms": "500", "heartbeat.interval.ms": "500"}
TABLES = f"""
create schema crm;
create table crm.people (id int primary key, name text, number int);
create table crm.nameless (name text);
create table crm.untold (id int primary key);
create schema debezium;
create table debezium.signals (id varchar(42) primary key, type varchar(32) not null, data varchar(2048));
insert into crm.people select one, '{CANARY}', 0 from generate_series(1, {ROWS}) one
"""
WHY = ("--reason", "OPS-7", "--timeout", "60")


@pytest.fixture
def deployed(stack: Stack, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Deployment]:
    """A source whose operator may do nothing in it yet, a catalog elsewhere, and nothing that captures."""
    name = unique("snapshot")
    deployment = Deployment.make(stack, tmp_path, f"{name}_masker")
    source = stack.create_database(name)
    stack.sql(f"{TABLES}; create role {name} login password 'operator'", name)
    deployment.environment |= stack.environment(name) | {
        "CDC_MASKER_DATABASE_URL": deployment.environment["CDC_MASKER_DATABASE_URL"],
        "CDC_MASKER_CONNECTOR_NAME": name,
        "CDC_MASKER_SOURCE_SERVER": name,
        "CDC_MASKER_SOURCE_SLOT": name,
        "CDC_MASKER_SOURCE_PUBLICATION": name,
        "CDC_MASKER_SOURCE_TABLES": "crm.people,crm.nameless",
        "CDC_MASKER_SOURCE_TOPICS": rf"{name}\..*",
        "CDC_MASKER_SOURCE_URL": f"{source.dsn_of(name, 'operator')}?sslmode=disable",
        "CDC_MASKER_NOTIFICATION_TOPIC": f"{name}.notifications",
    }
    yield deployment
    deployment.close()


def test_each_row_comes_again_while_changes_go_on(deployed: Deployment, stack: Stack) -> None:
    name = deployed.environment["CDC_MASKER_SOURCE_SERVER"]
    assert "does not run" in _refusal(deployed, "crm.people")
    Connector(deployed.settings(), OPTIONS).apply(90)
    assert "takes no signals; set CDC_MASKER_SIGNAL_TABLE" in _refusal(deployed, "crm.people")

    # From here on as with a connector that is there already: its topic of notifications comes with the first of them.
    deployed.environment["CDC_MASKER_SIGNAL_TABLE"] = "debezium.signals"
    Connector(deployed.settings(), OPTIONS).apply(90)
    assert "does not capture crm.untold" in _refusal(deployed, "crm.untold")
    assert "crm.nameless: without a primary key" in _refusal(deployed, "crm.people", "crm.nameless")
    assert "INSERT on the table" in _refusal(deployed, "crm.people")
    stack.sql(f"grant usage on schema debezium to {name}; grant insert on debezium.signals to {name}", name)
    stack.sql(f"alter publication {name} drop table debezium.signals", name)
    assert f"not in the publication {name}" in _refusal(deployed, "crm.people")
    assert _findings(deployed) == ["source: signal table debezium.signals"]
    stack.sql(f"alter publication {name} add table debezium.signals", name)
    assert not _findings(deployed)

    deployed.say(
        'op.keep_column("crm.people", "id", reason="an identity without meaning")',
        'op.mask_column("crm.people", "name", method="tokenize", reason="a name")',
        'op.keep_column("crm.people", "number", reason="says nothing")',
    )
    worker = deployed.ready(deployed.start())
    with _changes(stack, name):
        done = _run(deployed, "crm.people", "--json")
    assert done.exit_code == 0, done.exception
    (table,) = json.loads(done.stdout)["tables"]
    assert (table["status"], table["chunks"] >= ROWS / 5 - CHANGED) == ("SUCCEEDED", True)
    assert re.search(r"crm\.people: chunk \d+ of \d+", done.stderr)
    assert CANARY not in done.output
    asked = stack.sql("select data::json ->> 'reason' from debezium.signals where type = 'execute-snapshot'", name)
    assert asked == "OPS-7"

    topic = f"{name}.crm.people"
    held = [row.split("|") for row in stack.sql("select id, number from crm.people", name).split()]
    rows = {int(id_): int(number) for id_, number in held}
    until(lambda: _last(deployed.records(topic)) == rows, 60, lambda: "the changes do not all come")
    raw = deployed.records(topic)
    # Of a row that changed meanwhile Debezium hands on the change instead.
    assert {_id(one) for one in raw if _again(one)} >= set(range(CHANGED + 1, ROWS + 1))
    until(lambda: len(deployed.masked(topic)) == len(raw), 60, lambda: worker.log.read_text()[-3000:])
    masked = deployed.records(deployed.masked_topic(topic))
    assert _last(masked) == rows
    assert sum(map(_again, masked)) == sum(map(_again, raw))

    # Of keys in notifications and of what was asked for nothing is published either.
    assert CANARY not in str(masked)
    asked_for = deployed.masked_topic(f"{name}.debezium.signals")
    until(lambda: bool(deployed.records(asked_for)), 30)
    assert not re.search("OPS-7|people|execute", str(deployed.records(asked_for)))
    until(lambda: deployed.audited() >= sum(sum(deployed.end_offsets(one).values()) for one in _sources(deployed)), 60)
    assert not deployed.records(deployed.environment["CDC_MASKER_QUARANTINE_TOPIC"])
    assert deployed.records(f"{name}.notifications")
    assert not deployed.records(deployed.masked_topic(f"{name}.notifications"))
    code, told, errors = deployed.run("audit", "verify")
    assert code == 0, told + errors

    worker.kill()
    stack.sql(
        f"insert into crm.people select -one, '{CANARY}', 0 from generate_series(1, 10000) one", name
    )  # so that it takes long
    command = [str(PROGRAM), "snapshot", "crm.people", *WHY]
    with Popen(command, env=deployed.environment, text=True, stdout=PIPE, stderr=PIPE) as going:
        assert going.stderr is not None
        assert next(line for line in going.stderr if "chunk" in line)
        ended = _run(deployed, "--stop")
        assert (ended.exit_code, ended.stdout) == (0, "stopped: crm.people\n"), ended.exception
        assert "STOPPED" in going.communicate(timeout=30)[0]
    assert going.returncode == 1


def test_a_signal_topic_asks_for_it_where_nothing_may_be_written(deployed: Deployment, stack: Stack) -> None:
    name = deployed.environment["CDC_MASKER_SOURCE_SERVER"]
    deployed.environment["CDC_MASKER_SIGNAL_TOPIC"] = f"{name}-signals"
    Connector(deployed.settings(), OPTIONS).apply(90)
    done = _run(deployed, "crm.people")
    assert done.exit_code == 0, done.exception
    assert done.stdout == f"crm.people: SUCCEEDED, {ROWS} rows in {ROWS // 5} chunks\n"
    until(lambda: {_id(one) for one in deployed.records(f"{name}.crm.people") if _again(one)} == set(range(1, ROWS + 1)), 30)
    assert not stack.sql("select 1 from debezium.signals limit 1", name)


def _run(deployed: Deployment, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["snapshot", *arguments, *WHY], env=deployed.environment)


def _refusal(deployed: Deployment, *tables: str) -> str:
    return str(_run(deployed, *tables).exception)


def _findings(deployed: Deployment) -> list[str]:
    """The places at which the doctor finds something about signals."""
    return [found.place for found in asyncio.run(examine(deployed.settings())) if "signal" in found.place]


@contextmanager
def _changes(stack: Stack, name: str) -> Iterator[None]:
    """Rows change, go and come for as long as this lasts."""
    enough = threading.Event()

    def change() -> None:
        turn = 0
        while not enough.is_set():
            turn += 1
            row = turn % CHANGED + 1
            statements = (
                f"update crm.people set number = {turn} where id = {row}",
                f"delete from crm.people where id = {row + 7} and id < {CHANGED}",
                f"insert into crm.people values ({ROWS + turn}, '{CANARY}', {turn})",
            )
            stack.sql("; ".join(statements), name)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        yield
    finally:
        enough.set()
        changing.join()


def _sources(deployed: Deployment) -> list[str]:
    return [topic for topic in deployed.topics() if deployed.settings().is_source(topic)]


def _id(record: Any) -> int:
    return int(json.loads(record.key)["id"])


def _again(record: Any) -> bool:
    """Whether an incremental snapshot read it."""
    event: Any = json.loads(record.value) if record.value else {"op": "d"}
    return bool(event["op"] == "r" and event["source"]["snapshot"] == "incremental")


def _last(records: Sequence[Any]) -> dict[int, int]:
    """The number in the last event of each row that is still there."""
    found: dict[int, int] = {}
    for one in sorted(records, key=lambda one: (one.partition, one.offset)):
        after = json.loads(one.value)["after"] if one.value else None
        if after is None:
            found.pop(_id(one), None)
        else:
            found[_id(one)] = after["number"]
    return found
