"""Incremental snapshots: what a configuration lets ask for, what is missing around it, and what notifications mean."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import pytest
from typer.testing import CliRunner

from cdc_masker.cli import app
from cdc_masker.connect import render
from cdc_masker.errors import SetupError
from cdc_masker.settings import load
from cdc_masker.snapshots.channels import Channels
from cdc_masker.snapshots.checking import of_signal_table, of_signal_topic, of_tables
from cdc_masker.snapshots.progress import Notification, Progress, Stopping, decode
from cdc_masker.snapshots.signals import Signal
from cdc_masker.source import SignalTable

CANARY = "canary-8c1f2e"
BY_TABLE = {"signal.data.collection": "debezium.signals"}
BY_TOPIC = {"signal.enabled.channels": "kafka", "signal.kafka.topic": "signals", "read.only": "true"}
TOLD = {"notification.enabled.channels": "log, sink", "notification.sink.topic.name": "notes"}
BEATING = {"heartbeat.interval.ms": "10000"}


def test_a_connector_that_nobody_gave_a_channel_has_no_option_for_one() -> None:
    assert not [option for option in render(load()) if option.startswith(("signal", "notification", "read"))]
    channels = Channels.of(render(load()))
    assert not channels
    assert not list(channels.lacks())


def test_a_signal_table_is_where_watermarks_go() -> None:
    filled = render(load(signal_table="debezium.signals", notification_topic="notes"))
    assert filled["signal.enabled.channels"] == "source"
    assert not [option for option in filled if option.startswith(("signal.kafka", "read"))]
    channels = Channels.of(filled)
    assert (channels.table, channels.topic, channels.notifications) == ("debezium.signals", None, "notes")
    assert not list(channels.lacks())


def test_by_a_signal_topic_nothing_is_written_to_the_source() -> None:
    filled = render(load(signal_topic="signals", kafka_brokers="kafka:9092", connector_name="shop"))
    assert filled["signal.kafka.bootstrap.servers"] == "kafka:9092"
    assert filled["signal.kafka.groupId"] == "shop-signals"  # by default all connectors share one, and its offsets
    channels = Channels.of(filled)
    assert (channels.table, channels.topic, channels.read_only) == (None, "signals", True)
    assert not list(channels.lacks())
    both = Channels.of(render(load(signal_topic="signals", signal_table="debezium.signals")))
    assert (both.table, both.topic, both.read_only) == ("debezium.signals", "signals", False)


def test_credentials_for_a_signal_topic_have_no_place() -> None:
    with pytest.raises(SetupError, match="CDC_MASKER_SIGNAL_TABLE"):
        render(load(signal_topic="signals", kafka_security="SSL"))


@pytest.mark.parametrize("name", ["signals", "a.b,c.d", 'a."B"', "a.b c"])
def test_a_signal_table_is_one_table_with_its_schema(name: str) -> None:
    with pytest.raises(SetupError, match="CDC_MASKER_SIGNAL_TABLE"):
        load(signal_table=name)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (BY_TABLE | TOLD, []),
        (BY_TOPIC | TOLD | BEATING, []),
        (BY_TOPIC | TOLD, ["heartbeat.interval.ms"]),
        (BY_TABLE, ["notification.enabled.channels"]),
        (BY_TABLE | {**TOLD, "notification.enabled.channels": "log"}, ["notification.enabled.channels"]),
        (BY_TOPIC | TOLD | {"read.only": "false"}, ["read.only"]),
        (BY_TABLE | BY_TOPIC | TOLD | {"read.only": "false", "signal.enabled.channels": "source,kafka"}, []),
        ({"signal.enabled.channels": "source"}, []),
    ],
)
def test_what_a_configuration_lacks_is_told(options: dict[str, str], missing: list[str]) -> None:
    found = [lack.place for lack in Channels.of({"topic.prefix": "shop", **options}).lacks()]
    assert found == [f"connector: {option}" for option in missing]


@pytest.mark.parametrize(
    ("included", "excluded", "captured"),
    [
        ("", "", True),
        ("crm.customers, crm.orders", "", True),
        (r"CRM\..*", "", True),
        ("crm.cust", "", False),
        ("crm.orders", "", False),
        ("", r"crm\..*", False),
        ("crm[", "", True),  # Debezium decides
    ],
)
def test_the_lists_of_tables_decide_what_can_be_read(included: str, excluded: str, captured: bool) -> None:
    options = {"table.include.list": included, "table.exclude.list": excluded}
    assert Channels.of(options).captures("crm.customers") is captured


def test_a_user_that_is_a_reference_is_not_known() -> None:
    assert Channels.of({"database.user": "${env:SOURCE_USER}"}).user is None
    assert Channels.of({"database.user": "debezium"}).user == "debezium"


WHOLE = SignalTable("debezium.signals", fit=True, published=True, insertable=True, insertable_by=True)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, "not there"),
        (SignalTable("s", fit=False, published=True, insertable=True, insertable_by=True), "three columns"),
        (SignalTable("s", fit=True, published=False, insertable=True, insertable_by=True), "not in the publication shop"),
        (SignalTable("s", fit=True, published=True, insertable=True, insertable_by=False), "the role debezium"),
    ],
)
def test_what_a_signal_table_lacks_is_told(found: SignalTable | None, problem: str) -> None:
    channels = Channels.of(BY_TABLE | {"database.user": "debezium"})
    assert not list(of_signal_table(channels, "shop", WHOLE))
    (lack,) = of_signal_table(channels, "shop", found)
    assert problem in lack.problem


def test_of_a_signal_topic_one_partition_is_read() -> None:
    assert not list(of_signal_topic("signals", 1))
    assert len(list(of_signal_topic("signals", 4))) == 1


def test_tables_without_a_primary_key_are_refused_before_anything_is_asked() -> None:
    missing, unkeyed = of_tables(["a.a", "a.b", "a.c"], {"a.a": True, "a.c": False})
    assert (missing.place, unkeyed.place) == ("source: table a.b", "source: table a.c")


def test_a_signal_names_each_table_by_an_expression_that_matches_no_other() -> None:
    data = json.loads(Signal.execute(["crm.customers", "crm.a$b"], "OPS-7").data)
    assert data["reason"] == "OPS-7"
    assert data["type"] == "incremental"
    plain, special = data["data-collections"]
    assert plain == "crm.customers"  # so that Debezium takes it as a name where it knows no such table yet
    assert re.fullmatch(special, "crm.a$b")
    assert "data-collections" not in json.loads(Signal.stop([], "OPS-7").data)


# What Debezium 3.7 wrote of two tables, the first in two chunks.
KEYS = {"last_processed_key": CANARY, "maximum_key": CANARY}


def told(kind: str, id_: str = "mine", about: str = "Incremental Snapshot", **data: str) -> Notification:
    document = {
        "id": id_,
        "aggregate_type": about,
        "type": kind,
        "additional_data": {"connector_name": "shop", **data},
        "timestamp": 1_700_000_000_000,
    }
    found = decode(json.dumps(document).encode())
    assert found == decode(json.dumps({"schema": {"type": "struct"}, "payload": document}).encode())
    assert found is not None
    return found


def reading(table: str, chunk: int, **more: str) -> Notification:
    counts = {"chunk_index": str(chunk), "total_chunks": "2", "total_rows": "30"}
    return told("IN_PROGRESS", current_collection_in_progress=table, **counts, **KEYS, **more)


def scanned(table: str, status: str = "SUCCEEDED", rows: int = 30, id_: str = "mine") -> Notification:
    return told("TABLE_SCAN_COMPLETED", id_, scanned_collection=table, status=status, total_rows_scanned=str(rows))


def heard(*notifications: Notification) -> Progress:
    progress = Progress("mine", "shop", ["crm.people", "crm.empty"])
    for one in notifications:
        progress.hear(one)
        assert CANARY not in f"{progress} {[str(table) for table in progress.tables.values()]}"
    return progress


def test_a_snapshot_is_followed_from_the_signal_to_its_last_table() -> None:
    begun = heard(told("STARTED"), reading("crm.people", 1))
    assert str(begun) == "0 of 2 tables ended; crm.people: chunk 1 of 2, 30 rows in all"
    assert not begun.ended
    ended = heard(
        told("STARTED"),
        reading("crm.people", 1),
        reading("crm.people", 2),
        scanned("crm.people"),
        scanned("crm.empty", "EMPTY", 0),
    )
    assert ended.ended
    assert ended.fine
    assert CANARY not in json.dumps([asdict(table) for table in ended.tables.values()])
    people, empty = ended.tables.values()
    assert (people.rows, people.chunks, empty.rows) == (30, 2, 0)


@pytest.mark.parametrize("status", ["NO_PRIMARY_KEY", "SQL_EXCEPTION", "UNKNOWN_SCHEMA", "SKIPPED", "a b\n"])
def test_a_table_that_was_not_read_is_told(status: str) -> None:
    progress = heard(told("STARTED"), scanned("crm.people"), scanned("crm.empty", status))
    assert progress.ended
    assert not progress.fine
    assert (progress.tables["crm.empty"].status or "").isidentifier()


def test_a_snapshot_that_was_stopped_is_not_complete_though_debezium_says_completed() -> None:
    progress = heard(told("STARTED"), reading("crm.people", 1), told("COMPLETED"))
    assert progress.ended
    assert not progress.fine
    assert {table.status for table in progress.tables.values()} == {"STOPPED"}


def test_tables_that_are_taken_out_leave_the_others_going_on() -> None:
    progress = heard(told("STARTED"), told("ABORTED", "other", data_collections="crm.empty"))
    assert progress.tables["crm.empty"].status == "STOPPED"
    assert not progress.ended


def test_what_came_before_the_signal_or_is_about_others_is_not_heard() -> None:
    assert not heard(
        told("COMPLETED", "earlier"),
        scanned("crm.people", id_="earlier"),
        told("TABLE_SCAN_COMPLETED", about="Initial Snapshot", scanned_collection="crm.people", status="SUCCEEDED"),
        told("STARTED", connector_name="other"),
    ).begun
    # A later signal adds tables to the snapshot, which goes on under its id.
    progress = heard(told("STARTED"), scanned("crm.people", id_="later"), scanned("crm.empty", id_="later"))
    assert progress.fine


@pytest.mark.parametrize("data", [{}, {"total_chunks": CANARY, "chunk_index": "٣"}])
def test_counts_that_are_none_are_left_out(data: dict[str, str]) -> None:
    progress = heard(told("STARTED"), *[told("IN_PROGRESS", current_collection_in_progress="crm.people", **data)] * 2)
    assert str(progress) == "0 of 2 tables ended; crm.people: chunk 2"


def test_a_pause_is_told() -> None:
    assert str(heard(told("STARTED"), told("PAUSED"))).endswith("paused")


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[1]", b'{"schema":{},"payload":{"id":1}}'])
def test_what_is_no_notification_is_passed_over(value: Any) -> None:
    assert decode(value) is None


def test_the_end_of_a_snapshot_has_an_id_of_its_own() -> None:
    stopping = Stopping("shop")
    assert not stopping.hear(told("COMPLETED"))
    assert not stopping.hear(told("ABORTED", connector_name="other", data_collections="crm.people"))
    assert not stopping.ended
    assert stopping.hear(told("ABORTED", "nobody knows it", data_collections="crm.people,crm.empty"))
    assert stopping.tables == ["crm.people", "crm.empty"]
    stopping.hear(told("ABORTED", data_collections=""))
    assert stopping.tables == []


@pytest.mark.parametrize(
    "arguments", [["--reason", "x"], ["crm.people", "--reason", " "], ["people", "--reason", "x"], ["a.b,a.c", "--reason", "x"]]
)
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(arguments: list[str]) -> None:
    assert isinstance(CliRunner().invoke(app, ["snapshot", *arguments]).exception, SetupError)
